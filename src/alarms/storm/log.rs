//! What is not told, for the log: in sums, so that a storm is no storm of lines.

use std::collections::BTreeMap;
use std::time::Duration;

use salobj::Tai;

use super::Why;

/// What is not told is summed up in a line of the log after this.
const SUM_UP_AFTER: Duration = Duration::from_secs(10);

/// Different causes, and names of alarms, that such a line has.
const CAUSES_LOGGED: usize = 100;
const NAMES_LOGGED: usize = 10;

/// What is not told, until it is logged.
#[derive(Debug, Default)]
pub(super) struct Log {
    since: Option<Tai>,
    kept: BTreeMap<(Why, String), (u64, Vec<String>)>,
    /// How many of each kind there were ever, when it was last counted.
    ever: BTreeMap<Why, u64>,
}

impl Log {
    /// Something is not told.
    pub(super) fn keep(&mut self, why: Why, cause: &str, alarm: &str, ever: u64, now: Tai) {
        self.since.get_or_insert(now);
        let full = self.kept.len() >= CAUSES_LOGGED && !self.kept.contains_key(&(why, cause.to_owned()));
        let cause = if full { "" } else { cause };
        let (n, names) = self.kept.entry((why, cause.to_owned())).or_default();
        *n += 1;
        if names.len() < NAMES_LOGGED {
            names.push(alarm.to_owned());
        }
        self.ever.insert(why, ever);
    }

    /// The lines that are due.
    pub(super) fn sum_up(&mut self, now: Tai) -> Vec<String> {
        let mut lines = Vec::new();
        if self.since.is_none_or(|since| since + SUM_UP_AFTER > now) {
            return lines;
        }
        self.since = None;
        for ((why, cause), (n, names)) in std::mem::take(&mut self.kept) {
            let by = if cause.is_empty() { String::new() } else { format!(" by {cause}") };
            let more = n.saturating_sub(names.len() as u64);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let ever = self.ever.get(&why).copied().unwrap_or_default();
            let names = names.join(", ");
            lines.push(format!("not told, {}{by}: {names}{more} ({ever} times ever)", why.text()));
        }
        lines
    }
}
