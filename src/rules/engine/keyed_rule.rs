//! What a rule with `by` does as a whole: hands on to its keys, and is saved with them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::family::{Family, LOOK_AGAIN_S, Member, Ordered, SILENT_S};
use super::names::Names;
use super::routes::Route;
use super::state::RuleState;
use super::{Feed, RuleStatus};
use crate::rules::expr::lists::{to_json, value_of};
use crate::rules::flow::{Effect, Sample, Subscriptions};
use crate::rules::keyed::{key_from, usable};
use crate::rules::model::{Mode, RunContext};

impl RuleState {
    /// After how long a silent key goes, seconds, and whether its severity does not matter.
    pub(super) fn retire_s(&self) -> (f64, bool) {
        match self.rule.code.by.as_ref().and_then(|by| by.retire) {
            Some(seconds) => (seconds, true),
            None => (SILENT_S, false),
        }
    }

    /// Says that the key is there.
    pub(super) fn say_key(&self, out: &mut Vec<Effect>) {
        if let Some(key) = &self.key
            && self.rule.mode == Mode::Live
            && self.rule.alarm.is_some()
        {
            out.push(Effect::KeySeen { rule: self.rule.clone(), alarm: key.alarm.clone() });
        }
    }

    fn with_family<T>(&mut self, f: impl FnOnce(&mut Family, &mut RuleState) -> T) -> Option<T> {
        let mut family = self.family.take()?;
        // The keys are still known after a breakdown: their alarms stay as they are.
        let answer = catch_unwind(AssertUnwindSafe(|| f(&mut family, self)));
        self.family = Some(family);
        Some(answer.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// What the alarms of the rules are called, for the keys.
    pub(super) fn take_names(&mut self, names: &Arc<Names>, out: &mut Vec<Effect>) {
        self.with_family(|family, parent| family.take_names(parent, names, out));
    }

    /// A message of some of its inputs; the answer is how many members were evaluated.
    pub(super) fn family_sample(
        &mut self,
        routes: &[Route],
        sample: &Sample<'_>,
        feed: (Feed, &Subscriptions, f64),
        out: &mut Vec<Effect>,
    ) -> u64 {
        self.with_family(|family, parent| family.sample(parent, routes, sample, feed, out)).unwrap_or(0)
    }

    /// Deadlines of members up to `due`; the answer is how many were evaluated.
    pub(super) fn family_on_time(&mut self, due: f64, now: f64, out: &mut Vec<Effect>) -> u64 {
        self.with_family(|family, parent| family.on_time(parent, due, now, out)).unwrap_or(0)
    }

    /// Every member does something.
    pub(super) fn family_each(
        &mut self,
        now: f64,
        out: &mut Vec<Effect>,
        f: impl FnMut(&mut RuleState, &mut Vec<Effect>),
    ) {
        self.with_family(|family, parent| {
            family.each(parent, now, out, f);
            family.tell(parent, out);
        });
    }

    /// The rule, or the member whose run it is, does something.
    pub(super) fn for_run(
        &mut self,
        run_id: &str,
        now: f64,
        out: &mut Vec<Effect>,
        f: impl FnOnce(&mut RuleState, &mut Vec<Effect>),
    ) {
        if self.family.is_none() {
            return f(self, out);
        }
        self.with_family(|family, parent| {
            let has = |at: &usize| {
                let member = family.members[*at].as_ref();
                member.is_some_and(|m| m.state.work.running.iter().any(|id| id == run_id))
            };
            if let Some(at) = family.by_key.values().copied().find(has)
                && family.act(parent, at, now, out, f)
            {
                family.tell(parent, out);
            }
        });
    }

    /// The member of a key, by its text, does something.
    pub(super) fn for_key<T>(
        &mut self,
        key: &str,
        now: f64,
        out: &mut Vec<Effect>,
        f: impl FnOnce(&mut RuleState, &mut Vec<Effect>) -> T,
    ) -> Option<T> {
        self.with_family(|family, parent| {
            let kind = parent.rule.code.by.as_ref()?.kind;
            let value = key_from(key, kind)?;
            let at = *family.by_key.get(&Ordered(value))?;
            let mut answer = None;
            if family.act(parent, at, now, out, |state, out| answer = Some(f(state, out))) {
                family.tell(parent, out);
            }
            answer
        })?
    }

    /// The state of a key, by its text.
    pub(super) fn of_key(&self, key: &str) -> Option<&RuleState> {
        let family = self.family.as_ref()?;
        let has = |m: &&Member| m.state.key.as_ref().is_some_and(|own| own.text == key);
        family.states().find(has).map(|member| &member.state)
    }

    /// Texts of the keys, in their order.
    pub(super) fn keys(&self) -> Vec<&str> {
        let members = self.family.iter().flat_map(|family| family.states());
        members.filter_map(|m| m.state.key.as_ref()).map(|key| key.text.as_str()).collect()
    }

    /// Another revision that has the same key keeps the keys.
    pub(super) fn adopt_keys(&mut self, old: &RuleState, now: f64) {
        let same = match (&self.rule.code.by, &old.rule.code.by) {
            (Some(new), Some(old)) => new.kind == old.kind && new.texts == old.texts,
            _ => false,
        };
        let Some(before) = old.family.as_ref().filter(|_| same) else { return };
        self.with_family(|family, parent| {
            for member in before.states() {
                if let Some(key) = &member.state.key {
                    let Some(at) = family.member(parent, key.value.clone(), now, &mut Vec::new()) else {
                        continue;
                    };
                    family.saw(parent, at, member.seen);
                    family.note_deadline(at, now);
                }
            }
        });
    }

    pub(super) fn family_status(&self, mut status: RuleStatus) -> RuleStatus {
        let Some(family) = &self.family else { return status };
        status.keys = family.by_key.len();
        status.dropped_keys += family.dropped;
        for member in family.states() {
            let own = member.state.status();
            status.running += own.running;
            status.queued += own.queued;
            status.dropped += own.dropped;
            status.dropped_keys += own.dropped_keys;
        }
        status
    }

    /// For the journal: the keys with their states, and the runs of all.
    pub(super) fn family_save(&self) -> Option<Json> {
        let family = self.family.as_ref()?;
        let key = |member: &Member| {
            let value = member.state.key.as_ref().map(|key| to_json(&key.value));
            // In steps, so that it is not another state at every message.
            let step = (self.retire_s().0 / 16.0).clamp(1.0, LOOK_AGAIN_S);
            let seen = (member.seen / step).ceil() * step;
            json!({"key": value, "seen": seen, "state": member.state.save()})
        };
        let running: Vec<&String> = family.states().flat_map(|m| &m.state.work.running).collect();
        let queue: Vec<_> = family.states().flat_map(|m| &m.state.work.queue).collect();
        Some(json!({
            "revision": self.rule.revision,
            "enabled": self.enabled,
            "quarantined": self.quarantined,
            "runs": self.work.runs,
            "commands": self.work.commands,
            "last_run": self.work.last_run,
            "running": running,
            "queue": queue,
            "keys": family.states().map(key).collect::<Vec<_>>(),
        }))
    }

    /// From the journal; false if it is another revision's.
    pub(super) fn family_load(&mut self, saved: &Json, now: f64) -> bool {
        let (Some(revision), Some(keys)) =
            (saved.get("revision"), saved.get("keys").and_then(Json::as_array))
        else {
            return false;
        };
        if revision.as_str() != Some(&self.rule.revision) {
            return false;
        }
        self.load_common(saved);
        self.with_family(|family, parent| {
            for saved in keys {
                let key = saved.get("key").map(value_of).filter(usable);
                let (Some(key), Some(state)) = (key, saved.get("state")) else { continue };
                let Some(at) = family.member(parent, key, now, &mut Vec::new()) else { continue };
                family.saw(parent, at, saved.get("seen").and_then(Json::as_f64).unwrap_or(now));
                if let Some(member) = family.members[at].as_mut() {
                    member.state.load(state);
                    member.state.enabled = parent.enabled;
                }
                family.note_deadline(at, now);
            }
        });
        true
    }

    /// What of a saved state is the rule's as a whole.
    fn load_common(&mut self, saved: &Json) {
        self.enabled = saved.get("enabled").and_then(Json::as_bool).unwrap_or(true);
        self.quarantined = saved.get("quarantined").and_then(Json::as_str).map(str::to_owned);
        let times = |key: &str| {
            saved.get(key).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_f64).collect()
        };
        self.work.runs = times("runs");
        self.work.commands = times("commands");
        self.work.last_run = saved.get("last_run").and_then(Json::as_f64).unwrap_or(f64::NEG_INFINITY);
    }

    /// A step of a run ended, for the rule or the key that has it.
    pub(super) fn step_of_run(&mut self, run_id: &str, ctx: &RunContext, now: f64, out: &mut Vec<Effect>) {
        self.for_run(run_id, now, out, |state, out| state.step_ended(run_id, ctx, now, out));
    }
}
