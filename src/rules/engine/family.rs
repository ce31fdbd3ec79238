//! Rules with `by`: a state of its own for each key.
//!
//! The rule's own state (here: the parent) has what is the same for all keys: the values of the inputs that have no part
//! in the key, the switch, the budget, a quarantine. A message of an input that `by` reads goes to the member of its key
//! only, a message of any other input to all members. Members know nothing of each other, so that each behaves as the
//! rule would if it had that key's messages alone.
//!
//! A key appears with its first message. It goes when it was silent for `retire`; without that, when it was silent for
//! [`SILENT_S`] and its alarm is at none. One that has runs going stays. Keys beyond [`MOST_KEYS`] push out those that
//! were silent for longest, those at none first.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use salobj::Value;

use super::names::Names;
use super::routes::Route;
use super::state::RuleState;
use super::time::Timers;
use super::{Feed, requeue};
use crate::alarms::Severity;
use crate::rules::expr::Mark;
use crate::rules::flow::{Effect, Sample, Subscriptions};
use crate::rules::keyed::{MOST_KEYS, key_text, order};

/// A key whose alarm is at none goes after so long without a message, seconds.
pub(super) const SILENT_S: f64 = 86_400.0;
/// Longest time until a key that could not go is looked at again, seconds.
pub(super) const LOOK_AGAIN_S: f64 = 3600.0;

/// The key of a member.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MemberKey {
    pub(super) value: Value,
    pub(super) text: String,
    /// Name of the alarm.
    pub(super) alarm: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ordered(pub(super) Value);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Ordered) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Ordered) -> Ordering {
        order(&self.0, &other.0)
    }
}

/// One key.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) state: RuleState,
    /// When its newest message was sent.
    pub(super) seen: f64,
    /// When it may have to go.
    look: f64,
}

impl Member {
    fn idle(&self) -> bool {
        self.state.work.running.is_empty() && self.state.work.queue.is_empty()
    }

    fn at_none(&self) -> bool {
        self.state.said.as_ref().is_none_or(|(severity, _)| *severity == Severity::None)
    }
}

/// All keys of a rule.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) members: Vec<Option<Member>>,
    pub(super) by_key: BTreeMap<Ordered, usize>,
    timers: Timers,
    /// Keys that were pushed out, and messages without a key that is fit to be one.
    pub(super) dropped: u64,
    /// What the alarms of other rules are called.
    pub(super) names: Arc<Names>,
    /// A key that is not taken because its alarm would have the name of another.
    refused: Option<String>,
    /// Kept for their capacity.
    touched: Vec<(usize, u64)>,
    scratch: Vec<Value>,
}

impl Family {
    /// When a member wants to be looked at, or before.
    pub(super) fn next_deadline(&self) -> f64 {
        self.timers.next().map_or(f64::INFINITY, |at| at.0)
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &Member> {
        self.by_key.values().filter_map(|at| self.members[*at].as_ref())
    }

    /// Every member, in the order of the keys; no deadline is changed by it.
    pub(super) fn in_order(&mut self, mut f: impl FnMut(&mut RuleState)) {
        for at in self.by_key.values() {
            if let Some(member) = self.members[*at].as_mut() {
                f(&mut member.state);
            }
        }
    }

    fn states_mut(&mut self) -> impl Iterator<Item = &mut RuleState> {
        self.members.iter_mut().flatten().map(|member| &mut member.state)
    }

    /// Names of the alarms, in the order of the keys.
    pub(super) fn alarms(&self) -> impl Iterator<Item = &str> {
        self.states().filter_map(|member| member.state.key.as_ref()).map(|key| key.alarm.as_str())
    }

    /// The member of a key, made if there is none; `None` if its alarm would have the name of another.
    pub(super) fn member(
        &mut self,
        parent: &RuleState,
        key: Value,
        now: f64,
        out: &mut Vec<Effect>,
    ) -> Option<usize> {
        if let Some(at) = self.by_key.get(&Ordered(key.clone())) {
            return Some(*at);
        }
        let text = key_text(&key);
        let alarm = parent.rule.alarm_name(Some(&text));
        if parent.rule.alarm.is_some()
            && let Some(owner) = self.names.owner(&parent.rule.name, &alarm)
        {
            self.refused = Some(refused(&text, &alarm, owner));
            return None;
        }
        if self.by_key.len() >= MOST_KEYS {
            let rank = |m: &Member| (!m.idle(), !m.at_none());
            let oldest =
                self.by_key.values().copied().filter_map(|at| Some((at, self.members[at].as_ref()?)));
            let oldest =
                oldest.min_by(|(_, a), (_, b)| rank(a).cmp(&rank(b)).then(a.seen.total_cmp(&b.seen)));
            if let Some((at, _)) = oldest {
                self.dropped += 1;
                self.remove(at, out);
            }
        }
        let mut state = RuleState::new(parent.rule.clone());
        state.cells.clone_from(&parent.cells);
        state.marks.clone_from(&parent.marks);
        state.windows.clone_from(&parent.windows);
        state.tables.clone_from(&parent.tables);
        state.enabled = parent.enabled;
        state.quarantined.clone_from(&parent.quarantined);
        state.key = Some(Box::new(MemberKey { value: key.clone(), text, alarm }));
        state.schedule.awake_since = parent.schedule.awake_since;
        state.start_clocks(now);
        let member = Member { state, seen: f64::NEG_INFINITY, look: f64::INFINITY };
        let at = self.members.iter().position(Option::is_none).unwrap_or(self.members.len());
        if at == self.members.len() {
            self.members.push(Some(member));
        } else {
            self.members[at] = Some(member);
        }
        self.by_key.insert(Ordered(key), at);
        Some(at)
    }

    /// The names of other rules' alarms are these now: keys whose alarms have one of them go.
    pub(super) fn take_names(&mut self, parent: &mut RuleState, names: &Arc<Names>, out: &mut Vec<Effect>) {
        self.names = Arc::clone(names);
        let before = self.refused.take();
        if parent.rule.alarm.is_some() {
            let own = |at: &usize| Some((*at, self.members[*at].as_ref()?.state.key.as_ref()?));
            let clash: Vec<(usize, String)> = (self.by_key.values().filter_map(own))
                .filter_map(|(at, key)| {
                    let owner = names.owner(&parent.rule.name, &key.alarm)?;
                    Some((at, refused(&key.text, &key.alarm, owner)))
                })
                .collect();
            for (at, text) in clash {
                self.refused = Some(text);
                self.remove(at, out);
            }
        }
        if before.is_some() || self.refused.is_some() {
            self.tell(parent, out);
        }
    }

    fn remove(&mut self, at: usize, out: &mut Vec<Effect>) {
        let Some(mut member) = self.members[at].take() else { return };
        member.state.withdraw(out);
        if let Some(key) = member.state.key.take() {
            self.by_key.remove(&Ordered(key.value));
            out.push(Effect::KeyGone { rule: member.state.rule.clone(), alarm: key.alarm });
        }
    }

    /// Lets a member do something with the rule's budget, and notes its next deadline. True if what is unknown of it
    /// may have changed.
    pub(super) fn act(
        &mut self,
        parent: &mut RuleState,
        at: usize,
        now: f64,
        out: &mut Vec<Effect>,
        f: impl FnOnce(&mut RuleState, &mut Vec<Effect>),
    ) -> bool {
        let Some(member) = self.members[at].as_mut() else { return false };
        let state = &mut member.state;
        if parent.quarantined.is_some() {
            state.quarantined.clone_from(&parent.quarantined);
        }
        let swap = |parent: &mut RuleState, state: &mut RuleState| {
            std::mem::swap(&mut parent.work.runs, &mut state.work.runs);
            std::mem::swap(&mut parent.work.commands, &mut state.work.commands);
        };
        swap(parent, state);
        let from = out.len();
        f(state, out);
        swap(parent, state);
        parent.work.last_run = parent.work.last_run.max(state.work.last_run);
        let mut told = false;
        if parent.quarantined.is_none() && state.quarantined.is_some() {
            parent.quarantined.clone_from(&state.quarantined);
            told = true;
        }
        let mut i = from;
        while i < out.len() {
            if matches!(out[i], Effect::RuleError { .. }) {
                out.remove(i);
                told = true;
            } else {
                i += 1;
            }
        }
        self.note_deadline(at, now);
        told
    }

    pub(super) fn note_deadline(&mut self, at: usize, now: f64) {
        let Some(member) = self.members[at].as_mut() else { return };
        member.state.scheduled = member.state.next_deadline(now);
        if member.state.enabled {
            member.state.scheduled = member.state.scheduled.min(member.look);
        }
        requeue(&mut member.state, &mut self.timers, at);
    }

    /// Every member does something, in the order of the keys.
    pub(super) fn each(
        &mut self,
        parent: &mut RuleState,
        now: f64,
        out: &mut Vec<Effect>,
        mut f: impl FnMut(&mut RuleState, &mut Vec<Effect>),
    ) -> bool {
        let order: Vec<usize> = self.by_key.values().copied().collect();
        let mut told = false;
        for at in order {
            told |= self.act(parent, at, now, out, &mut f);
        }
        told
    }

    pub(super) fn saw(&mut self, parent: &RuleState, at: usize, sent: f64) {
        if let Some(member) = self.members[at].as_mut() {
            member.seen = member.seen.max(sent);
            if member.look.is_infinite() {
                member.look = member.seen + parent.retire_s().0;
            }
        }
    }

    /// What is told of the rule: a quarantine, or what is unknown of the first key of which something is.
    pub(super) fn tell(&self, parent: &mut RuleState, out: &mut Vec<Effect>) {
        let of = |m: &Member| {
            let key = m.state.key.as_ref()?;
            m.state.error.as_ref().map(|error| format!("{}: {error}", key.text))
        };
        let error = match &parent.quarantined {
            Some(reason) => Some(format!("quarantined: {reason}")),
            None => self.states().find_map(of).or_else(|| self.refused.clone()),
        };
        if parent.error != error {
            parent.error.clone_from(&error);
            out.push(Effect::RuleError { rule: parent.rule.clone(), error });
        }
    }

    pub(super) fn sample(
        &mut self,
        parent: &mut RuleState,
        routes: &[Route],
        sample: &Sample<'_>,
        feed: (Feed, &Subscriptions, f64),
        out: &mut Vec<Effect>,
    ) -> u64 {
        let (feed, subscriptions, now) = feed;
        let (live, acts) = (feed == Feed::Live, feed.acts());
        let take = |state: &mut RuleState, route: &Route| match feed {
            Feed::Missed => state.accept_again(route, sample),
            _ => state.accept(route, sample, live),
        };
        let mut shared = 0;
        let mut refused = false;
        let mut touched = std::mem::take(&mut self.touched);
        touched.clear();
        for route in routes {
            if feed == Feed::Missed && !parent.fires_on(std::slice::from_ref(route)) {
                continue;
            }
            let Some(from) = &route.member else {
                let bit = take(parent, route);
                if bit != 0 {
                    shared |= bit;
                    self.states_mut().for_each(|state| drop_bit(take(state, route)));
                }
                continue;
            };
            if !parent.passes(route, sample) {
                continue;
            }
            let rule = parent.rule.clone();
            let by = rule.code.by.as_ref().and_then(|by| by.inputs[usize::from(route.input)].as_ref());
            let mark = Mark { sent: sample.sent.0, received: sample.received.0, fresh_until: f64::INFINITY };
            let key =
                by.and_then(|by| by.of(sample.cells, from, &mut self.scratch, &parent.rule.parameters, mark));
            let Some(key) = key else {
                self.dropped += 1;
                continue;
            };
            let known = self.by_key.len();
            let dropped = self.dropped;
            let Some(at) = self.member(parent, key, now, out) else {
                self.dropped += 1;
                refused = true;
                continue;
            };
            self.saw(parent, at, sample.sent.0);
            let fresh = self.by_key.len() > known || self.dropped > dropped;
            let Some(member) = self.members[at].as_mut() else { continue };
            if fresh && acts && parent.enabled {
                member.state.say_key(out);
            }
            let bit = take(&mut member.state, route);
            match touched.iter_mut().find(|(other, _)| *other == at) {
                Some((_, bits)) => *bits |= bit,
                None => touched.push((at, bit)),
            }
        }
        let mut count = 0;
        let mut told = false;
        if acts && parent.enabled {
            let mut look = |family: &mut Family, at: usize, dirty: u64| {
                if dirty != 0 {
                    count += 1;
                    told |= family.act(parent, at, now, out, |state, out| match feed {
                        Feed::Missed => state.on_missed(dirty, sample, subscriptions, now, out),
                        _ => state.on_sample(dirty, sample, subscriptions, now, out),
                    });
                }
            };
            if shared == 0 {
                touched.iter().for_each(|(at, dirty)| look(self, *at, *dirty));
            } else {
                let order: Vec<usize> = self.by_key.values().copied().collect();
                for at in order {
                    let own = touched.iter().find(|(other, _)| *other == at).map_or(0, |(_, bits)| *bits);
                    look(self, at, shared | own);
                }
            }
        }
        self.touched = touched;
        if told || refused {
            self.tell(parent, out);
        }
        count
    }

    pub(super) fn on_time(
        &mut self,
        parent: &mut RuleState,
        due: f64,
        now: f64,
        out: &mut Vec<Effect>,
    ) -> u64 {
        let (mut count, mut told) = (0, false);
        let (retire, any) = parent.retire_s();
        while let Some((due, at)) = self.timers.pop_due(due) {
            let Some(member) = self.members[at].as_mut() else { continue };
            if due.to_bits() != member.state.queued.to_bits() {
                continue;
            }
            member.state.queued = f64::INFINITY;
            if member.state.scheduled > due {
                requeue(&mut member.state, &mut self.timers, at);
                continue;
            }
            if due >= member.look {
                if due < member.seen + retire {
                    member.look = member.seen + retire;
                } else if member.idle() && (any || member.at_none()) {
                    self.remove(at, out);
                    told = true;
                    continue;
                } else {
                    member.look = due + retire.clamp(1.0, LOOK_AGAIN_S);
                }
            }
            let when = member.state.catch_up(due, now);
            if parent.enabled {
                count += 1;
                told |= self.act(parent, at, when, out, |state, out| state.on_time(when, out));
            } else {
                self.note_deadline(at, when);
            }
        }
        if told {
            self.tell(parent, out);
        }
        count
    }
}

/// What is said of a key that is not taken.
fn refused(key: &str, alarm: &str, owner: &str) -> String {
    format!("the key \"{key}\" is left out: the name of its alarm, \"{alarm}\", is that of rule \"{owner}\"")
}

/// What is not needed of an answer.
fn drop_bit(_: u64) {}
