//! All alarms by name: one owner, who feeds it findings, commands and the time, then saves what [`Book::take_unsaved`]
//! gives, then publishes what [`Book::take_changed`] gives.
//!
//! A book is *frozen* while the CSC is not enabled: nothing fires, nothing is published, commands are refused. A finding
//! that arrives meanwhile (a run ended) is held, the newest for each alarm, and takes effect at [`Book::thaw`]; overdue
//! deadlines fire there too, before it.
//!
//! A rule's finding that equals its last one for the same alarm is dropped here, so that the memory and the alarm are
//! saved, restored and removed together (the Watcher keeps them apart, and loses standing alarms at each enable).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use salobj::Tai;
use serde::Serialize;

use super::alarm::{Alarm, Timer};
use super::config::AlarmConfig;
use super::entry::{AlarmRecord, Entry, Finding};
use super::history::{Cause, Chronicle};
use super::severity::Severity;
use super::snapshot::AlarmSnapshot;
use super::storm::{Storm, StormConfig};
use super::tell::Telling;
use super::windows::Windows;

/// How many alarms there are of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Present severity is warning.
    pub warning: usize,
    /// Present severity is serious.
    pub serious: usize,
    /// Present severity is critical.
    pub critical: usize,
    /// Not nominal and not acknowledged, muted or not.
    pub unacknowledged: usize,
}

/// What is left of a removed alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Removed {
    /// The final, nominal event.
    pub snapshot: AlarmSnapshot,
}

/// There is no alarm of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no alarm named {0}")]
pub struct UnknownAlarm(pub String);

/// All alarms. See the module's documentation.
#[derive(Debug, Default)]
pub struct Book {
    frozen: bool,
    next_id: u64,
    ids: HashMap<Arc<str>, u64>,
    /// In the order in which they were made.
    pub(super) entries: BTreeMap<u64, Entry>,
    /// Earliest deadline of each alarm that has one.
    pub(super) due: BTreeSet<Due>,
    counts: Counts,
    changed: Vec<AlarmSnapshot>,
    unsaved: BTreeSet<Arc<str>>,
    pub(super) telling: Telling,
    pub(super) windows: Windows,
    pub(super) storm: Storm,
    pub(super) chronicle: Chronicle,
}

impl Book {
    /// An empty book that is not frozen.
    pub fn new() -> Book {
        Book::default()
    }

    /// Makes the alarm `name` of `rule`, nominal, or gives the alarm of that name this owner, revision and
    /// configuration; its state stays. A new alarm, and one that now looks different, is published.
    pub fn ensure(&mut self, name: &str, rule: &str, revision: &str, config: &AlarmConfig) {
        let Some(&id) = self.ids.get(name) else {
            let entry = Entry::new(name, rule, revision, config);
            self.publish(entry.snapshot());
            self.insert(entry);
            self.windows.look_again();
            return;
        };
        self.chronicle.because(Cause::Rules);
        self.change(id, |entry| {
            let mut publish = false;
            if entry.alarm.config() != config {
                publish |= entry.alarm.reconfigure(config.clone());
                entry.last = None;
            }
            if entry.rule != rule || entry.revision != revision {
                rule.clone_into(&mut entry.rule);
                revision.clone_into(&mut entry.revision);
                entry.last = None;
                publish = true;
            }
            (publish, ())
        });
    }

    /// A rule's finding for its alarm. True if the alarm took it up; false if it says nothing new, or is held because
    /// the book is frozen.
    ///
    /// # Errors
    /// If there is no alarm of this name: [`Book::ensure`] comes first.
    pub fn set_severity(&mut self, name: &str, finding: Finding, now: Tai) -> Result<bool, UnknownAlarm> {
        let id = self.id(name)?;
        self.storm.see(now);
        let frozen = self.frozen;
        self.chronicle.because(Cause::of(&finding));
        Ok(self.change(id, |entry| {
            if frozen {
                entry.held = Some(finding);
                return (false, false);
            }
            entry.take_up(finding, now)
        }))
    }

    /// The run `task_id` is behind the alarm's severity, and has this report (which is often made after the severity
    /// was set). Nothing happens if another run set the severity meanwhile.
    ///
    /// # Errors
    /// If there is no alarm of this name.
    pub fn set_report(&mut self, name: &str, task_id: &str, report_url: &str) -> Result<(), UnknownAlarm> {
        let id = self.id(name)?;
        self.change(id, |entry| {
            if let Some(held) = entry.held.as_mut().filter(|held| held.task_id.as_deref() == Some(task_id)) {
                held.report_url = Some(report_url.to_owned());
            }
            let new = entry.task_id == task_id && entry.report_url != report_url;
            if new {
                report_url.clone_into(&mut entry.report_url);
            }
            (new && !entry.alarm.nominal(), ())
        });
        Ok(())
    }

    /// The book is told what time it is: for operations that have no time of their own.
    pub fn see(&mut self, now: Tai) {
        self.storm.see(now);
    }

    /// Lets every deadline fire that is due, in the order of their times; gives which of the alarms' own did. None while frozen.
    pub fn tick(&mut self, now: Tai) -> Vec<(String, Timer)> {
        let mut fired = Vec::new();
        self.storm.see(now);
        if !self.frozen {
            self.tick_windows(now);
        }
        let config = self.storm.config();
        while let Some(id) = self.first_due(now) {
            self.chronicle.because(self.entry(id).cause_of_deadline(now, &config));
            let one = self.change(id, |entry| {
                if entry.hush.fire(now, &config) {
                    return (false, None);
                }
                match entry.alarm.fire(now) {
                    Some((timer, outcome)) => (outcome.publish, Some((entry.name.to_string(), timer))),
                    None => (false, None),
                }
            });
            fired.extend(one);
        }
        if !self.frozen {
            self.flush();
        }
        fired
    }

    fn first_due(&self, now: Tai) -> Option<u64> {
        let first = self.due.first().filter(|due| !self.frozen && due.at <= now)?;
        Some(first.id)
    }

    /// When [`Book::tick`] has something to do next; never while frozen.
    pub fn next_deadline(&self) -> Option<Tai> {
        let first = [self.due.first().map(|due| due.at), self.windows.due(), self.storm.due()];
        first.into_iter().flatten().min_by(|a, b| a.0.total_cmp(&b.0)).filter(|_| !self.frozen)
    }

    /// Stops all deadlines and publications (the CSC leaves ENABLED).
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Ends [`Book::freeze`] (the CSC enters ENABLED): overdue deadlines fire, then the held findings take effect.
    pub fn thaw(&mut self, now: Tai) {
        self.frozen = false;
        self.storm.see(now);
        self.tick(now);
        let held: Vec<u64> =
            self.entries.iter().filter(|(_, e)| e.held.is_some()).map(|(id, _)| *id).collect();
        for id in held {
            self.chronicle.because(self.entry(id).held.as_ref().map(Cause::of).unwrap_or_default());
            self.change(id, |entry| match entry.held.take() {
                Some(finding) => entry.take_up(finding, now),
                None => (false, false),
            });
        }
        self.follow_all();
    }

    /// Is the book frozen?
    pub fn frozen(&self) -> bool {
        self.frozen
    }

    /// Forgets an alarm. The caller publishes the final event, frozen or not.
    pub fn remove(&mut self, name: &str) -> Option<Removed> {
        let id = self.ids.remove(name)?;
        let mut entry = self.entries.remove(&id).expect("every name leads to an entry");
        self.account(&entry, id, false);
        self.unsaved.insert(entry.name.clone());
        let before = entry.clone();
        entry.alarm.reset();
        self.follow_incident(&mut entry);
        self.chronicle.because(Cause::Rules);
        self.farewell(id, &mut entry);
        self.chronicle.note(&before, &entry);
        (entry.task_id, entry.report_url) = (String::new(), String::new());
        Some(Removed { snapshot: entry.snapshot() })
    }

    /// Names of the alarms that `rule` owns, in the order in which they were made.
    pub fn names_of(&self, rule: &str) -> Vec<String> {
        self.entries.values().filter(|entry| entry.rule == rule).map(|entry| entry.name.to_string()).collect()
    }

    /// The rule that owns an alarm.
    pub fn owner(&self, alarm: &str) -> Option<&str> {
        self.alarm_entry(alarm).map(|entry| entry.rule.as_str())
    }

    /// Names of the rules that own an alarm.
    pub fn owners(&self) -> BTreeSet<String> {
        self.entries.values().map(|entry| entry.rule.clone()).collect()
    }

    /// Every alarm, nominal ones too, in the order in which they were made.
    pub fn show(&self) -> Vec<AlarmSnapshot> {
        self.entries.values().map(Entry::snapshot).collect()
    }

    /// One alarm as it is published.
    pub fn get(&self, name: &str) -> Option<AlarmSnapshot> {
        self.alarm_entry(name).map(Entry::snapshot)
    }

    /// One alarm with its whole state.
    pub fn alarm(&self, name: &str) -> Option<&Alarm> {
        self.alarm_entry(name).map(|entry| &entry.alarm)
    }

    /// How many alarms there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No alarm at all?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many alarms are in which condition.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Every publication since the last call, in order. The caller empties it after each operation; until then it
    /// grows by one for each alarm that an operation touches.
    #[must_use]
    pub fn take_changed(&mut self) -> Vec<AlarmSnapshot> {
        std::mem::take(&mut self.changed)
    }

    /// Every alarm whose record differs from what was handed out before, by name; no record means that it was removed.
    /// To be saved before [`Book::take_changed`] is published. An alarm that was never anything but nominal has none.
    #[must_use]
    pub fn take_unsaved(&mut self) -> Vec<(String, Option<AlarmRecord>)> {
        let names = std::mem::take(&mut self.unsaved);
        names.into_iter().map(|name| (name.to_string(), self.alarm_entry(&name).map(Entry::record))).collect()
    }

    /// The records of all alarms.
    pub fn export(&self) -> BTreeMap<String, AlarmRecord> {
        self.entries.values().map(|entry| (entry.name.to_string(), entry.record())).collect()
    }

    /// Takes back what was saved, silently: frozen or not, nothing fires before the next [`Book::tick`]. An alarm of
    /// the same name is replaced.
    pub fn import(&mut self, records: impl IntoIterator<Item = (String, AlarmRecord)>) {
        for (name, record) in records {
            if let Some(id) = self.ids.remove(name.as_str()) {
                let old = self.entries.remove(&id).expect("every name leads to an entry");
                self.account(&old, id, false);
                self.storm.leave(id, &old);
            }
            self.insert(Entry::from_record(&name, record));
        }
    }

    pub(super) fn change<R>(&mut self, id: u64, operation: impl FnOnce(&mut Entry) -> (bool, R)) -> R {
        let mut entry = self.entries.remove(&id).expect("every id leads to an entry");
        self.account(&entry, id, false);
        let before = entry.clone();
        let (mut publish, result) = operation(&mut entry);
        if entry.alarm.config().inhibit_by != before.alarm.config().inhibit_by {
            self.rename_causes(id, &before, &entry);
        }
        publish |= self.follow(id, &mut entry, &before);
        if entry != before {
            self.unsaved.insert(entry.name.clone());
            self.chronicle.note(&before, &entry);
        }
        self.account(&entry, id, true);
        if publish {
            self.publish(entry.snapshot());
        }
        let (was, is) = (before.alarm.state().severity, entry.alarm.state().severity);
        self.entries.insert(id, entry);
        if is != was {
            self.spread(id, is);
        }
        result
    }

    fn publish(&mut self, snapshot: AlarmSnapshot) {
        if !self.frozen {
            self.changed.push(snapshot);
        }
    }

    fn insert(&mut self, entry: Entry) {
        let id = self.next_id;
        self.next_id += 1;
        self.account(&entry, id, true);
        self.join_causes(id, &entry);
        self.ids.insert(entry.name.clone(), id);
        self.entries.insert(id, entry);
    }

    /// Adds the deadline of an entry, or takes it out.
    pub(super) fn plan(due: &mut BTreeSet<Due>, entry: &Entry, id: u64, config: &StormConfig, add: bool) {
        let all = [entry.alarm.next_deadline().map(|(at, _)| at), entry.hush.due(config)];
        if let Some(at) = all.into_iter().flatten().min_by(|a, b| a.0.total_cmp(&b.0)) {
            if add {
                due.insert(Due { at, id });
            } else {
                due.remove(&Due { at, id });
            }
        }
    }

    /// Adds an entry to deadlines and counts, or takes it out of them.
    fn account(&mut self, entry: &Entry, id: u64, add: bool) {
        Book::plan(&mut self.due, entry, id, &self.storm.config(), add);
        let count = |n: &mut usize| if add { *n += 1 } else { *n -= 1 };
        match entry.alarm.state().severity {
            Severity::None => {}
            Severity::Warning => count(&mut self.counts.warning),
            Severity::Serious => count(&mut self.counts.serious),
            Severity::Critical => count(&mut self.counts.critical),
        }
        if !entry.alarm.nominal() && !entry.alarm.state().acknowledged {
            count(&mut self.counts.unacknowledged);
        }
    }

    pub(super) fn all_ids(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    pub(super) fn id(&self, name: &str) -> Result<u64, UnknownAlarm> {
        self.ids.get(name).copied().ok_or_else(|| UnknownAlarm(name.to_owned()))
    }

    fn alarm_entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(self.ids.get(name)?)
    }

    pub(super) fn ids_where(&self, name: &str, matches: impl Fn(&str) -> bool) -> Vec<u64> {
        if let Some(id) = self.ids.get(name) {
            return vec![*id];
        }
        self.entries.iter().filter(|(_, entry)| matches(&entry.name)).map(|(id, _)| *id).collect()
    }

    pub(super) fn entry(&self, id: u64) -> &Entry {
        self.entries.get(&id).expect("every id leads to an entry")
    }
}

/// A deadline of an alarm; ordered by time, then by age of the alarm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    at: Tai,
    id: u64,
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        self.at.0.total_cmp(&other.at.0).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
