//! Which alarms may be the cause of which. Rules name causes by patterns; all alarms that name the same one share a group, so
//! that a cause of a thousand alarms is one entry.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::alarms::config::Inhibit;
use crate::alarms::severity::Severity;

/// The alarms that one pattern stands for, and those that name it.
#[derive(Debug, Default)]
struct Group {
    causes: BTreeSet<u64>,
    /// Those of the causes that are as bad as they need to be.
    active: BTreeSet<u64>,
    effects: BTreeSet<u64>,
}

/// All groups, by what was written; alarms by their numbers.
#[derive(Debug, Default)]
pub(super) struct Causes {
    groups: BTreeMap<Inhibit, Group>,
    /// The groups in which an alarm is a cause.
    of: HashMap<u64, BTreeSet<Inhibit>>,
}

impl Causes {
    /// A new alarm, and all the others.
    pub(super) fn join<'a>(
        &mut self,
        (id, name, severity): (u64, &'a str, Severity),
        names: &[Inhibit],
        others: impl Iterator<Item = (u64, &'a str, Severity)> + Clone,
    ) {
        for (inhibit, group) in &mut self.groups {
            enter(&mut self.of, inhibit, group, (id, name, severity));
        }
        self.name(id, names, others.chain([(id, name, severity)]));
    }

    /// An alarm names its causes; `all` are the alarms that there are.
    pub(super) fn name<'a>(
        &mut self,
        id: u64,
        names: &[Inhibit],
        all: impl Iterator<Item = (u64, &'a str, Severity)> + Clone,
    ) {
        for inhibit in names {
            if !self.groups.contains_key(inhibit) {
                let mut group = Group::default();
                for alarm in all.clone() {
                    enter(&mut self.of, inhibit, &mut group, alarm);
                }
                self.groups.insert(inhibit.clone(), group);
            }
            if let Some(group) = self.groups.get_mut(inhibit) {
                group.effects.insert(id);
            }
        }
    }

    /// An alarm names these causes no longer.
    pub(super) fn unname(&mut self, id: u64, names: &[Inhibit]) {
        for inhibit in names {
            let Some(group) = self.groups.get_mut(inhibit) else { continue };
            group.effects.remove(&id);
            if group.effects.is_empty()
                && let Some(group) = self.groups.remove(inhibit)
            {
                for cause in &group.causes {
                    if let Some(of) = self.of.get_mut(cause) {
                        of.remove(inhibit);
                        if of.is_empty() {
                            self.of.remove(cause);
                        }
                    }
                }
            }
        }
    }

    /// An alarm is gone. Gives those whose cause it may have been.
    pub(super) fn leave(&mut self, id: u64, names: &[Inhibit]) -> Vec<u64> {
        let concerned = self.changed(id, Severity::None);
        for inhibit in self.of.remove(&id).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&inhibit) {
                group.causes.remove(&id);
            }
        }
        self.unname(id, names);
        concerned
    }

    /// An alarm's severity is this now. Gives those whose cause it has become, or may be no longer.
    pub(super) fn changed(&mut self, id: u64, severity: Severity) -> Vec<u64> {
        let Some(of) = self.of.get(&id) else { return Vec::new() };
        let mut concerned = BTreeSet::new();
        for inhibit in of {
            let Some(group) = self.groups.get_mut(inhibit) else { continue };
            let changed =
                if severity >= inhibit.from { group.active.insert(id) } else { group.active.remove(&id) };
            if changed {
                concerned.extend(group.effects.iter().copied().filter(|effect| *effect != id));
            }
        }
        concerned.into_iter().collect()
    }

    /// The active alarms that these names stand for, in the order in which the alarms were made, name by name.
    pub(super) fn active<'a>(&'a self, names: &'a [Inhibit]) -> impl Iterator<Item = u64> + 'a {
        names
            .iter()
            .filter_map(|inhibit| self.groups.get(inhibit))
            .flat_map(|group| group.active.iter().copied())
    }

    /// Is this one among them?
    pub(super) fn is_active(&self, names: &[Inhibit], id: u64) -> bool {
        names.iter().filter_map(|inhibit| self.groups.get(inhibit)).any(|group| group.active.contains(&id))
    }

    /// May it be the cause of any?
    pub(super) fn is_cause(&self, id: u64) -> bool {
        self.of.contains_key(&id)
    }
}

fn enter(
    of: &mut HashMap<u64, BTreeSet<Inhibit>>,
    inhibit: &Inhibit,
    group: &mut Group,
    (id, name, severity): (u64, &str, Severity),
) {
    if !inhibit.alarms.matches(name) {
        return;
    }
    group.causes.insert(id);
    of.entry(id).or_default().insert(inhibit.clone());
    if severity >= inhibit.from {
        group.active.insert(id);
    }
}
