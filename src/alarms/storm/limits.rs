//! How many notices there may be: a bucket of tokens for all, and one for each rule. A notice takes a token of both; a token comes
//! back after a while. A bucket holds as many as come back in a minute.

use std::collections::BTreeMap;

use salobj::Tai;
use serde::{Deserialize, Serialize};

/// A token is there a little before its time: times are not exact.
const ALMOST: f64 = 1e-6;

/// What was taken and has not come back.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Bucket {
    /// Tokens that are out, at the time `at`.
    out: f64,
    at: Tai,
}

impl Bucket {
    fn at(self, limit: u32, now: Tai) -> Bucket {
        let back = (now - self.at).max(0.0) * f64::from(limit) / 60.0;
        Bucket { out: (self.out - back).max(0.0), at: if now > self.at { now } else { self.at } }
    }

    /// When there are so many tokens; `now` or before if there are.
    fn ready_at(self, limit: u32, tokens: u32, now: Tai) -> Tai {
        if limit == 0 {
            return now;
        }
        let bucket = self.at(limit, now);
        let missing = bucket.out + f64::from(tokens.min(limit)) - f64::from(limit);
        if missing <= ALMOST { now } else { Tai(now.0 + missing * 60.0 / f64::from(limit)) }
    }

    fn take(&mut self, limit: u32, now: Tai) {
        if limit > 0 {
            *self = self.at(limit, now);
            self.out += 1.0;
        }
    }
}

/// All buckets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    all: Bucket,
    /// Those of which something is out.
    rules: BTreeMap<String, Bucket>,
}

impl Limits {
    /// When there are so many tokens for all.
    pub(super) fn all_ready_at(&self, limit: u32, tokens: u32, now: Tai) -> Tai {
        self.all.ready_at(limit, tokens, now)
    }

    /// When there is one for a rule.
    pub(super) fn rule_ready_at(&self, rule: &str, limit: u32, now: Tai) -> Tai {
        self.rules.get(rule).copied().unwrap_or_default().ready_at(limit, 1, now)
    }

    /// Takes one for all.
    pub(super) fn take_all(&mut self, limit: u32, now: Tai) {
        self.all.take(limit, now);
    }

    /// Takes one for a rule.
    pub(super) fn take_rule(&mut self, rule: &str, limit: u32, now: Tai) {
        if limit == 0 {
            self.rules.remove(rule);
            return;
        }
        self.rules.entry(rule.to_owned()).or_default().take(limit, now);
        // A bucket that nobody took from for a minute is full again, whatever its limit.
        self.rules.retain(|_, bucket| now - bucket.at < 60.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_in_a_minute_at_once_then_one_after_the_other() {
        let mut limits = Limits::default();
        let start = Tai(1000.0);
        for _ in 0..6 {
            assert!(limits.all_ready_at(6, 1, start) <= start);
            limits.take_all(6, start);
        }
        assert_eq!(limits.all_ready_at(6, 1, start), Tai(1010.0));
        assert_eq!(limits.all_ready_at(6, 1, Tai(1004.0)), Tai(1010.0));
        assert_eq!(limits.all_ready_at(6, 1, Tai(1010.0)), Tai(1010.0));
        limits.take_all(6, Tai(1010.0));
        assert_eq!(limits.all_ready_at(6, 1, Tai(1010.0)), Tai(1020.0));
        assert_eq!(limits.all_ready_at(0, 1, Tai(1010.0)), Tai(1010.0), "no limit");
    }

    #[test]
    fn rules_have_their_own_and_full_ones_are_forgotten() {
        let mut limits = Limits::default();
        limits.take_rule("A", 1, Tai(0.0));
        assert_eq!(limits.rule_ready_at("A", 1, Tai(0.0)), Tai(60.0));
        assert_eq!(limits.rule_ready_at("B", 1, Tai(0.0)), Tai(0.0));
        limits.take_rule("B", 1, Tai(61.0));
        assert_eq!(limits.rules.keys().collect::<Vec<_>>(), ["B"]);
    }
}
