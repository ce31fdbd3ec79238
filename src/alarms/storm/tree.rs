//! What hangs on what: a cause, and below it the alarms that it inhibits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::alarms::book::Book;
use crate::alarms::severity::Severity;

/// A cause and what it inhibits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The alarm.
    pub alarm: String,
    /// Its severity.
    pub severity: Severity,
    /// What it inhibits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inhibits: Vec<Tree>,
    /// How many more it inhibits, directly or not, that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Alarms by their cause.
struct Grove<'a> {
    below: BTreeMap<&'a str, Vec<(&'a str, Severity)>>,
    room: usize,
}

impl Tree {
    /// The trees of some alarms, given as name, severity and cause, with at most so many alarms in all; those without a cause that
    /// are none's cause are left out.
    pub fn all<'a>(
        alarms: impl Iterator<Item = (&'a str, Severity, Option<&'a str>)> + Clone,
        most: usize,
    ) -> Vec<Tree> {
        let mut grove = Grove { below: BTreeMap::new(), room: most };
        for (name, severity, cause) in alarms.clone() {
            if let Some(cause) = cause {
                grove.below.entry(cause).or_default().push((name, severity));
            }
        }
        let known: BTreeSet<&str> = alarms.clone().map(|(name, ..)| name).collect();
        let roots = alarms.filter(|(name, _, cause)| {
            grove.below.contains_key(name) && cause.is_none_or(|cause| !known.contains(cause))
        });
        roots
            .map(|(name, severity, _)| (name, severity))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(n, s)| grove.grow(n, s))
            .collect()
    }

    /// How many alarms there are in it, the cause too.
    pub fn size(&self) -> usize {
        1 + self.more + self.inhibits.iter().map(Tree::size).sum::<usize>()
    }

    fn write(&self, before: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = (self.more > 0).then(|| format!("{} more", self.more));
        let lines = self.inhibits.len() + usize::from(more.is_some());
        let corner = |i: usize| if i + 1 == lines { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        for (i, tree) in self.inhibits.iter().enumerate() {
            let (branch, below) = corner(i);
            write!(f, "\n{before}{branch}{} {}", tree.severity, tree.alarm)?;
            tree.write(&format!("{before}{below}"), f)?;
        }
        match more {
            Some(more) => write!(f, "\n{before}└─ {more}"),
            None => Ok(()),
        }
    }
}

/// One line for each alarm, drawn as a tree.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.severity, self.alarm)?;
        self.write("", f)
    }
}

impl<'a> Grove<'a> {
    /// Each alarm has one cause, and is taken out when it is met: this comes to an end.
    fn grow(&mut self, name: &'a str, severity: Severity) -> Tree {
        self.room = self.room.saturating_sub(1);
        let mut tree = Tree { alarm: name.to_owned(), severity, inhibits: Vec::new(), more: 0 };
        for (name, severity) in self.below.remove(name).unwrap_or_default() {
            if self.room > 0 {
                tree.inhibits.push(self.grow(name, severity));
            } else {
                tree.more += self.count(name);
            }
        }
        tree
    }

    fn count(&mut self, name: &str) -> usize {
        let below = self.below.remove(name).unwrap_or_default();
        1 + below.into_iter().map(|(name, _)| self.count(name)).sum::<usize>()
    }
}

impl Book {
    /// What hangs on what now, with at most so many alarms listed.
    pub fn trees(&self, most: usize) -> Vec<Tree> {
        Tree::all(self.by_cause(), most)
    }

    /// What an alarm inhibits, directly or not; `None` if nothing.
    pub fn tree(&self, name: &str, most: usize) -> Option<Tree> {
        let mut grove = Grove { below: BTreeMap::new(), room: most };
        for (name, severity, cause) in self.by_cause() {
            if let Some(cause) = cause {
                grove.below.entry(cause).or_default().push((name, severity));
            }
        }
        let severity = self.alarm(name)?.state().severity;
        let (name, _) = grove.below.get_key_value(name)?;
        Some(grove.grow(name, severity))
    }

    /// The cause of an alarm, the cause of that one and so on: the last is the root. Empty if it has none.
    pub fn causes(&self, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        let mut at = self.cause(name);
        while let Some(cause) = at.filter(|_| all.len() < self.len()) {
            all.push(cause.to_owned());
            at = self.cause(cause);
        }
        all
    }
}
