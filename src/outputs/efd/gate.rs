//! What every call to the server passes: the concurrency cap and the time limit.

use std::time::Duration;

use tokio::sync::Semaphore;

use super::EfdError;

#[derive(Debug)]
pub(super) struct Gate {
    server: String,
    permits: Semaphore,
    timeout: Duration,
}

impl Gate {
    pub(super) fn new(server: String, concurrency: usize, timeout: Duration) -> Gate {
        Gate { server, permits: Semaphore::new(concurrency), timeout }
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Runs the call; waiting for a permit counts towards the time limit.
    pub(super) async fn pass<T>(
        &self,
        call: impl Future<Output = Result<T, EfdError>>,
    ) -> Result<T, EfdError> {
        let guarded = async {
            let _permit = self.permits.acquire().await.expect("this semaphore is never closed");
            call.await
        };
        match tokio::time::timeout(self.timeout, guarded).await {
            Ok(result) => result,
            Err(_) => Err(self.unavailable(format!("no answer within {} s", self.timeout.as_secs_f64()))),
        }
    }

    /// The body of an answer, if it is no longer than `most` bytes.
    pub(super) async fn whole(
        &self,
        mut response: reqwest::Response,
        most: usize,
    ) -> Result<Vec<u8>, EfdError> {
        let mut all = Vec::new();
        while let Some(part) =
            response.chunk().await.map_err(|e| self.unavailable(chain(&e.without_url())))?
        {
            if all.len() + part.len() > most {
                let detail = format!("its answer is longer than {} MB; let it read less", most >> 20);
                return Err(EfdError::BadQuery { detail });
            }
            all.extend_from_slice(&part);
        }
        Ok(all)
    }

    pub(super) fn unavailable(&self, detail: String) -> EfdError {
        EfdError::Unavailable { server: self.server.clone(), detail }
    }

    pub(super) fn bad_reply(&self, detail: String) -> EfdError {
        EfdError::BadReply { server: self.server.clone(), detail }
    }
}

/// The messages of an error and of all that caused it, in one line.
pub(in crate::outputs) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !line.ends_with(&words) {
            line = format!("{line}: {words}");
        }
        source = cause.source();
    }
    line
}

/// Lines of the points, joined; None if nothing is left to write.
pub(super) fn body(points: &[super::Point]) -> Option<String> {
    let lines: Vec<String> = points.iter().filter_map(super::Point::line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
