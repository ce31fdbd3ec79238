//! Supervision: the long-running parts by name, and what is known when one of them ends.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Why a part ended though nobody told it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartEnded {
    /// Its name.
    pub name: &'static str,
    /// What is known.
    pub reason: String,
}

/// The long-running parts of the process. Dropping it ends them.
#[derive(Debug, Default)]
pub struct Parts {
    set: JoinSet<PartEnded>,
    stop: CancellationToken,
}

impl Parts {
    /// Starts a part. It is to run until [`Parts::stop`]; if it ends before, [`Parts::next_end`] says so.
    pub fn add(
        &mut self,
        name: &'static str,
        part: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.set.spawn(async move {
            let guarded = AssertUnwindSafe(part).catch_unwind();
            let ended = tokio::select! {
                () = stop.cancelled() => return PartEnded { name, reason: String::new() },
                ended = guarded => ended,
            };
            let reason = match ended {
                Ok(Ok(())) => "it ended by itself".to_owned(),
                Ok(Err(reason)) => reason,
                Err(panic) => format!("it panicked: {}", panic_text(panic.as_ref())),
            };
            PartEnded { name, reason }
        });
    }

    /// Waits until a part ends that should not have.
    pub async fn next_end(&mut self) -> PartEnded {
        loop {
            match self.set.join_next().await {
                Some(Ok(ended)) if !ended.reason.is_empty() => return ended,
                Some(Ok(_)) => {}
                // The part's own panics are caught above; this is a part that was aborted from outside.
                Some(Err(error)) => return PartEnded { name: "unknown", reason: error.to_string() },
                None => std::future::pending().await,
            }
        }
    }

    /// Ends all parts and waits for them.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.set.join_next().await.is_some() {}
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_dies_is_named() {
        let mut parts = Parts::default();
        parts.add("steady", std::future::pending());
        parts.add("broken", async { panic!("out of ideas") });
        let ended = parts.next_end().await;
        assert_eq!(ended, PartEnded { name: "broken", reason: "it panicked: out of ideas".into() });
        parts.add("refused", async { Err("no disk".to_owned()) });
        assert_eq!(parts.next_end().await.reason, "no disk");
        parts.stop().await;
    }
}
