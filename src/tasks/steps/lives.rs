//! For the tests of backends that talk to services: one step over as many processes as it takes.

use std::sync::Arc;
use std::time::Duration;

use salobj::{Clock, Tai};

use super::testing::{Bench, MemoryShelf};
use super::{Backend, StepCall, StepError, StepOutcome};

impl Bench {
    /// What a process does that was told to begin.
    pub(crate) async fn run(&self, backend: &dyn Backend, call: &StepCall) -> Result<StepOutcome, StepError> {
        backend.execute(call, &self.handle).await
    }

    /// What a process does that finds the journal of the one before it.
    pub(crate) async fn resume(
        &self,
        backend: &dyn Backend,
        call: &StepCall,
    ) -> Result<StepOutcome, StepError> {
        backend.resume(call, self.memo(), &self.handle).await
    }

    /// Lets process after process die at instants that differ with `seed` and from one to the next, until one comes to the
    /// end. `backend` makes the backend of each process.
    pub(crate) async fn die_often<B: Backend>(
        &self,
        call: &StepCall,
        seed: u64,
        backend: impl Fn() -> B,
    ) -> Result<StepOutcome, StepError> {
        let mut instant = seed;
        for process in 0..4 {
            instant = instant.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let life = Duration::from_micros(instant >> 33 & 0x3fff);
            let backend = backend();
            let going = async {
                if process == 0 { self.run(&backend, call).await } else { self.resume(&backend, call).await }
            };
            if let Ok(end) = tokio::time::timeout(life, going).await {
                return end;
            }
        }
        self.resume(&backend(), call).await
    }
}

/// A clock at which a call of the tests is young.
pub(crate) fn clock() -> Clock {
    Clock::scaled(Tai(1000.0), 1.0)
}

/// A clock at which it is too late to begin.
pub(crate) fn late() -> Clock {
    Clock::scaled(Tai(5000.0), 1.0)
}

/// Names of the files that were kept, in order.
pub(crate) fn kept(shelf: &Arc<MemoryShelf>) -> Vec<String> {
    let mut names: Vec<String> = shelf.0.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// The text of a file that was kept.
pub(crate) fn text_of(shelf: &Arc<MemoryShelf>, name: &str) -> String {
    let files = shelf.0.lock().unwrap();
    let found = files.iter().find(|(own, _)| own == name).expect("it was kept");
    String::from_utf8_lossy(&found.1).into_owned()
}

/// Waits until something is so; fails after half a minute.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..30_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came to pass that {what}");
}
