//! The scripts of rules, which are no observing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::words::Known;

/// Scripts of rules that are remembered; more than queues hold.
const MOST: usize = 1024;

/// What is known of them.
#[derive(Debug, Default)]
struct Scripts {
    /// The last ones: queue, its process (which gives numbers anew), script.
    known: VecDeque<(i32, i64, i64)>,
    /// How many are on their way to a queue, their numbers unknown yet.
    flying: BTreeMap<i32, usize>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Own {
    scripts: Mutex<Scripts>,
}

impl Own {
    fn lock(&self) -> MutexGuard<'_, Scripts> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of these scripts of a queue, played by that process, no rule added.
    pub(super) fn strangers(&self, queue: i32, origin: i64, scripts: impl Iterator<Item = i64>) -> usize {
        let own = self.lock();
        let strangers = scripts.filter(|script| !own.known.contains(&(queue, origin, *script))).count();
        strangers.saturating_sub(own.flying.get(&queue).copied().unwrap_or(0))
    }

    /// A script is about to be added.
    pub(super) fn flight(&self, queue: i32) -> Flight<'_> {
        *self.lock().flying.entry(queue).or_default() += 1;
        Flight { own: self, queue, landed: false }
    }
}

/// A script on its way to a queue, until its number is known.
pub(super) struct Flight<'o> {
    own: &'o Own,
    queue: i32,
    landed: bool,
}

impl Flight<'_> {
    /// Notes its number, once it is known.
    pub(super) fn landed(&mut self, known: &Known) {
        if let (Some(script), Some(origin), false) = (known.script, known.queue_origin, self.landed) {
            self.end();
            let mut own = self.own.lock();
            own.known.push_back((self.queue, origin, script));
            if own.known.len() > MOST {
                own.known.pop_front();
            }
        }
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.landed, true)
            && let Some(count) = self.own.lock().flying.get_mut(&self.queue)
        {
            *count = count.saturating_sub(1);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_rules_are_known_by_queue_process_and_number() {
        let own = Own::default();
        let strangers = |origin| own.strangers(3, origin, [300_000, 300_001].into_iter());
        assert_eq!(strangers(1), 2);
        let mut flight = own.flight(3);
        assert_eq!((strangers(1), own.strangers(2, 1, [200_000].into_iter())), (1, 1));
        flight.landed(&Known { queue_origin: Some(1), script: Some(300_001), script_origin: None });
        drop(flight);
        assert_eq!((strangers(1), strangers(2)), (1, 2), "another process gives the same number to others");
        drop(own.flight(3));
        assert_eq!(strangers(1), 1);
    }
}
