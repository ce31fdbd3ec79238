//! Storms in the book: after every change of an alarm, what keeps people from being told of it; else the notice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use salobj::Tai;

use super::log::Log;
use super::step::Step;
use super::{Causes, Hush, KeptBack, KeptBackCounts, Limits, Pause, StormConfig, StormRecord, Why};
use crate::alarms::book::Book;
use crate::alarms::entry::Entry;
use crate::alarms::history::Cause;
use crate::alarms::notice::{Bundle, Notice, Told};
use crate::alarms::severity::Severity;

/// What the book keeps of storms.
#[derive(Debug, Default)]
pub(in crate::alarms) struct Storm {
    pub(super) config: StormConfig,
    pub(super) causes: Causes,
    limits: Limits,
    counts: KeptBackCounts,
    unsaved: bool,
    /// Alarms of which there is something to tell when there is a token.
    waiting: BTreeSet<u64>,
    /// When there may be one.
    flush_at: Option<Tai>,
    /// What goes out as one, while that is being put together.
    sum: Option<Vec<Notice>>,
    out: Vec<Bundle>,
    /// Ends of alarms that were removed in this step.
    removed: Vec<Notice>,
    /// The newest time that the book has heard of.
    now: Tai,
    log: Log,
}

impl Storm {
    /// It is not earlier than this.
    pub(in crate::alarms) fn see(&mut self, now: Tai) {
        if now > self.now {
            self.now = now;
        }
    }

    /// When [`Book::tick`] has something to do.
    pub(in crate::alarms) fn due(&self) -> Option<Tai> {
        self.flush_at
    }

    fn waits_until(&self, entry: &Entry) -> Tai {
        let all = self.limits.all_ready_at(self.config.notices_per_minute, 1, self.now);
        let rule = self.limits.rule_ready_at(&entry.rule, entry.limit(&self.config), self.now);
        if all > rule { all } else { rule }
    }

    /// Takes the tokens for one notice of this alarm, if they are there. One is left for those that wait already.
    fn take(&mut self, entry: &Entry) -> bool {
        let (all, rule) = (self.config.notices_per_minute, entry.limit(&self.config));
        let tokens = if self.waiting.is_empty() { 1 } else { 2 };
        let full = all == 1 && tokens == 2;
        let ready = !full
            && self.limits.all_ready_at(all, tokens, self.now) <= self.now
            && self.limits.rule_ready_at(&entry.rule, rule, self.now) <= self.now;
        if ready {
            self.limits.take_all(all, self.now);
            self.limits.take_rule(&entry.rule, rule, self.now);
        }
        ready
    }

    fn send(&mut self, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        self.counts.told += notices.len() as u64;
        self.counts.messages += 1;
        self.unsaved = true;
        self.out.push(Bundle(notices));
    }

    fn keep_back(&mut self, entry: &mut Entry, why: Option<Why>) {
        let Some(why) = why else {
            entry.hush.kept_back = None;
            return;
        };
        if entry.hush.kept_back.is_some_and(|kept| kept.why == why) {
            return;
        }
        entry.hush.kept_back = Some(KeptBack { why, since: self.now });
        self.unsaved = true;
        let ever = self.counts.count(why);
        let cause = entry.hush.inhibited_by.as_deref().filter(|_| why == Why::Inhibited).unwrap_or_default();
        self.log.keep(why, cause, &entry.name, ever, self.now);
    }
}

impl Storm {
    /// What the site says.
    pub(in crate::alarms) fn config(&self) -> StormConfig {
        self.config
    }

    /// An alarm is replaced.
    pub(in crate::alarms) fn leave(&mut self, id: u64, entry: &Entry) {
        self.waiting.remove(&id);
        self.causes.leave(id, &entry.alarm.config().inhibit_by);
    }
}

fn known(entries: &BTreeMap<u64, Entry>) -> impl Iterator<Item = (u64, &str, Severity)> + Clone {
    entries.iter().map(|(id, e)| (*id, &*e.name, e.alarm.state().severity))
}

impl Book {
    /// An alarm is new; it is not among the others yet.
    pub(in crate::alarms) fn join_causes(&mut self, id: u64, entry: &Entry) {
        let own = (id, &*entry.name, entry.alarm.state().severity);
        self.storm.causes.join(own, &entry.alarm.config().inhibit_by, known(&self.entries));
    }

    /// An alarm names other causes than before.
    pub(in crate::alarms) fn rename_causes(&mut self, id: u64, before: &Entry, entry: &Entry) {
        self.storm.causes.unname(id, &before.alarm.config().inhibit_by);
        let own = (id, &*entry.name, entry.alarm.state().severity);
        let all = known(&self.entries).chain([own]);
        self.storm.causes.name(id, &entry.alarm.config().inhibit_by, all);
    }

    /// What the site says about storms.
    pub fn configure_storms(&mut self, config: StormConfig) {
        for (id, entry) in &self.entries {
            Book::plan(&mut self.due, entry, *id, &self.storm.config, false);
            Book::plan(&mut self.due, entry, *id, &config, true);
        }
        self.storm.config = config;
        if !self.storm.waiting.is_empty() {
            self.storm.flush_at = Some(self.storm.now);
        }
    }

    /// What changed in an alarm's circumstances. True if it is to be published for it.
    pub(in crate::alarms) fn look(&mut self, id: u64, entry: &mut Entry, before: &Entry) -> bool {
        if self.frozen() {
            return false;
        }
        let config = self.storm.config;
        let (is, was) = (entry.alarm.state().severity, before.alarm.state().severity);
        if is != was {
            entry
                .hush
                .changed(entry.alarm.state().timestamp_severity_oldest.unwrap_or(self.storm.now), &config);
        }
        let cause = if is == Severity::None { None } else { self.choose(id, entry) };
        let rises = is > was && is > entry.told && !entry.alarm.config().inhibit_by.is_empty();
        let hush = &mut entry.hush;
        let pause = |length: Duration, why| {
            (!length.is_zero()).then(|| Pause { until: self.storm.now + length, why })
        };
        if is == Severity::None || cause.is_some() {
            hush.pause = None;
        } else if hush.inhibited_by.is_some() {
            hush.pause = pause(config.settle_after_cause, Why::CauseGone);
        } else if rises && hush.pause.is_none() {
            hush.pause = pause(config.wait_for_cause, Why::MayHaveCause);
        }
        hush.inhibited_by = cause;
        hush.inhibited_by != before.hush.inhibited_by
            || hush.flapping_since.is_some() != before.hush.flapping_since.is_some()
    }

    /// The cause of an active alarm: the one that it has while that lasts, else the first that is active. Never one whose own cause
    /// it is itself, over whatever detours.
    fn choose(&self, id: u64, entry: &Entry) -> Option<Arc<str>> {
        let names = &entry.alarm.config().inhibit_by;
        if names.is_empty() {
            return None;
        }
        let fits = |cause: u64| -> bool {
            cause != id && self.entry(cause).rule != entry.rule && !self.leads_to(cause, &entry.name)
        };
        if let Some(present) = &entry.hush.inhibited_by
            && let Ok(cause) = self.id(present)
            && self.storm.causes.is_active(names, cause)
            && fits(cause)
        {
            return Some(Arc::clone(present));
        }
        let cause = self.storm.causes.active(names).find(|cause| fits(*cause))?;
        Some(Arc::clone(&self.entry(cause).name))
    }

    fn leads_to(&self, from: u64, name: &str) -> bool {
        let mut at = from;
        // No chain is longer than there are alarms.
        for _ in 0..self.len() {
            let Some(cause) = self.entry(at).hush.inhibited_by.as_deref() else { return false };
            if cause == name {
                return true;
            }
            let Ok(next) = self.id(cause) else { return false };
            if !self.entries.contains_key(&next) {
                return false;
            }
            at = next;
        }
        true
    }

    /// Tells what is to be told of an alarm, now or later, or notes why not. `call`: somebody is to be called.
    pub(in crate::alarms) fn speak(&mut self, id: u64, entry: &mut Entry, call: bool) {
        let (mut step, mut why) = entry.step(call);
        if step == Some(Step::Forget) {
            entry.hush.flapping_told = false;
            step = None;
        }
        if step.is_none() && !entry.not_escalated {
            self.storm.waiting.remove(&id);
        } else if self.storm.sum.is_some() || (!self.storm.waiting.contains(&id) && self.storm.take(entry)) {
            self.storm.waiting.remove(&id);
            let inhibits = if self.storm.causes.is_cause(id) { self.below(&entry.name) } else { 0 };
            let mut notices = Vec::new();
            if let Some(Step::Tell(what)) = step {
                notices.push(entry.tell(what, inhibits));
            }
            if std::mem::take(&mut entry.not_escalated) {
                notices.push(entry.tell(Told::NotEscalated, inhibits));
            }
            match &mut self.storm.sum {
                Some(sum) => sum.extend(notices),
                None => self.storm.send(notices),
            }
        } else {
            why = Some(Why::TooMany);
            if self.storm.waiting.insert(id) {
                let at = self.storm.waits_until(entry);
                self.storm.flush_at =
                    Some(self.storm.flush_at.map_or(at, |other| if other < at { other } else { at }));
            }
        }
        self.storm.keep_back(entry, why);
    }

    /// An alarm is gone: if it was told, its end is, whatever the state of the CSC.
    pub(in crate::alarms) fn farewell(&mut self, id: u64, entry: &mut Entry) {
        self.storm.waiting.remove(&id);
        let concerned = self.storm.causes.leave(id, &entry.alarm.config().inhibit_by);
        entry.hush = Hush::default();
        if entry.told > Severity::None {
            let inhibits = self.below(&entry.name);
            self.storm.removed.push(entry.tell(Told::Cleared, inhibits));
        }
        self.look_again(&concerned);
    }

    /// An alarm's severity changed: those whose cause it is, or was, are looked at.
    pub(in crate::alarms) fn spread(&mut self, id: u64, severity: Severity) {
        let concerned = self.storm.causes.changed(id, severity);
        self.look_again(&concerned);
    }

    fn look_again(&mut self, ids: &[u64]) {
        let cause = self.chronicle.aside(Cause::Storm);
        for id in ids {
            let entry = self.entry(*id);
            if entry.alarm.state().severity > Severity::None || entry.hush.inhibited_by.is_some() {
                self.change(*id, |_| (false, ()));
            }
        }
        self.chronicle.because(cause);
    }

    /// Everything that waits and may go out goes out as one.
    pub(in crate::alarms) fn flush(&mut self) {
        let (now, config) = (self.storm.now, self.storm.config);
        if self.storm.flush_at.is_none_or(|at| at > now) {
            return;
        }
        let ready = |storm: &Storm, entry: &Entry| storm.waits_until(entry) <= now;
        let ids: Vec<u64> =
            self.storm.waiting.iter().copied().filter(|id| ready(&self.storm, self.entry(*id))).collect();
        self.storm.sum = Some(Vec::new());
        self.chronicle.because(Cause::Storm);
        let mut rules: BTreeMap<String, u32> = BTreeMap::new();
        for id in ids {
            let entry = self.entry(id);
            rules.insert(entry.rule.clone(), entry.limit(&config));
            self.change(id, |_| (false, ()));
        }
        let sum = self.storm.sum.take().unwrap_or_default();
        if !sum.is_empty() {
            self.storm.limits.take_all(config.notices_per_minute, now);
            for (rule, limit) in rules {
                self.storm.limits.take_rule(&rule, limit, now);
            }
            self.storm.send(sum);
        }
        let next = self.storm.waiting.iter().map(|id| self.storm.waits_until(self.entry(*id)));
        self.storm.flush_at = next.min_by(|a, b| a.0.total_cmp(&b.0));
    }

    /// Notices since the last call, in order; those of one bundle go out as one.
    #[must_use]
    pub fn take_notices(&mut self) -> Vec<Bundle> {
        let removed = std::mem::take(&mut self.storm.removed);
        self.storm.send(removed);
        std::mem::take(&mut self.storm.out)
    }

    /// Lines for the log: what was not told, and why, in sums, at most every 10 s.
    #[must_use]
    pub fn take_log(&mut self) -> Vec<String> {
        self.storm.log.sum_up(self.storm.now)
    }

    /// How often people were not told, and why.
    pub fn kept_back(&self) -> KeptBackCounts {
        self.storm.counts
    }

    /// What changed of the record beside the alarms, if anything did.
    #[must_use]
    pub fn take_unsaved_storm(&mut self) -> Option<StormRecord> {
        let changed = std::mem::take(&mut self.storm.unsaved);
        changed.then(|| StormRecord { limits: self.storm.limits.clone(), counts: self.storm.counts })
    }

    /// Takes back what was saved.
    pub fn import_storm(&mut self, record: StormRecord) {
        (self.storm.limits, self.storm.counts) = (record.limits, record.counts);
    }

    /// What keeps people from being told of an alarm.
    pub fn hush(&self, name: &str) -> Option<&Hush> {
        let id = self.id(name).ok()?;
        Some(&self.entry(id).hush)
    }

    /// The alarm's cause.
    pub(super) fn cause(&self, name: &str) -> Option<&str> {
        let id = self.id(name).ok()?;
        self.entries.get(&id)?.hush.inhibited_by.as_deref()
    }

    /// Name, severity and cause of each alarm.
    pub(super) fn by_cause(&self) -> impl Iterator<Item = (&str, Severity, Option<&str>)> + Clone {
        self.entries.values().map(|e| (&*e.name, e.alarm.state().severity, e.hush.inhibited_by.as_deref()))
    }

    /// How many alarms hang on this one.
    fn below(&self, name: &str) -> usize {
        let mut by_cause: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (alarm, _, cause) in self.by_cause() {
            if let Some(cause) = cause {
                by_cause.entry(cause).or_default().push(alarm);
            }
        }
        let mut count = 0;
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            let below = by_cause.remove(name).unwrap_or_default();
            count += below.len();
            open.extend(below);
        }
        count
    }
}
