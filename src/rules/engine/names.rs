//! Names that the alarms of keys must not have: those of other rules' alarms.

use std::collections::HashSet;
use std::sync::Arc;

use crate::rules::model::Rule;

/// The names of all rules that have alarms.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Rules with one alarm, which has the rule's name.
    plain: HashSet<String>,
    /// Rules with an alarm for each key.
    keyed: HashSet<String>,
}

impl Names {
    pub(super) fn of(rules: &[Arc<Rule>]) -> Names {
        let mut names = Names::default();
        for rule in rules.iter().filter(|rule| rule.alarm.is_some()) {
            let of = if rule.is_keyed() { &mut names.keyed } else { &mut names.plain };
            of.insert(rule.name.clone());
        }
        names
    }

    /// The rule to which the name of this alarm belongs, if that is not `rule`, whose key it is: one that is called so,
    /// or one with keys whose name is longer.
    pub(super) fn owner<'a>(&self, rule: &str, alarm: &'a str) -> Option<&'a str> {
        if self.plain.contains(alarm) {
            return Some(alarm);
        }
        let longer = alarm.match_indices('.').filter(|(at, _)| *at > rule.len());
        longer.map(|(at, _)| &alarm[..at]).find(|name| self.keyed.contains(*name))
    }
}
