//! Samples and deadlines: which rules they concern, and that a rule that breaks down is the only one that does.

use super::fire::Occurrence;
use super::guard::TIMED_OF;
use super::witness::attribute;
use super::{Engine, requeue, schedule};
use crate::rules::flow::{Effect, Sample, Subscriptions};

/// What a sample does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    Live,
    Quiet,
    Missed,
    History,
}

impl Feed {
    /// Something may come of it.
    pub(super) fn acts(self) -> bool {
        matches!(self, Feed::Live | Feed::Missed)
    }
}

impl Engine {
    pub(super) fn sample(&mut self, sample: &Sample<'_>, now: f64, feed: Feed, out: &mut Vec<Effect>) {
        let Engine { states, routes, timers, subscriptions, evaluations, stopwatch, .. } = self;
        let Some(routes) = routes.get(sample.topic.0 as usize) else { return };
        let routes = routes.at(sample.sal_index);
        let mut k = 0;
        while k < routes.len() {
            let i = routes[k].rule as usize;
            let state = &mut states[i];
            if state.broken {
                k += 1;
                continue;
            }
            if state.family.is_some() {
                let own = &routes[k..];
                let own = &own[..own.iter().take_while(|r| r.rule as usize == i).count()];
                k += own.len();
                let feed = if state.waiting && feed == Feed::Live { Feed::Quiet } else { feed };
                let wanted = match feed {
                    Feed::Live => !state.enabled || state.may_evaluate(sample.sent.0, out),
                    Feed::Missed => state.fires_on(own),
                    Feed::History if !state.filling => false,
                    _ => !state.filling || !state.has_taken(own[0].input, sample),
                };
                if wanted {
                    state.touched = true;
                    let watch = stopwatch.filter(|_| evaluations.is_multiple_of(TIMED_OF));
                    let told = out.len();
                    state.guarded(watch, out, |state, out| {
                        *evaluations += state.family_sample(own, sample, (feed, subscriptions, now), out);
                    });
                    attribute(out.get_mut(told..).unwrap_or_default(), sample, subscriptions);
                    schedule(state, timers, i, now);
                }
                continue;
            }
            let mut dirty = 0;
            while k < routes.len() && routes[k].rule as usize == i {
                let wanted = match feed {
                    Feed::Live if !state.waiting => true,
                    Feed::Missed => state.fires_on(&routes[k..=k]),
                    Feed::History if !state.filling => false,
                    _ => !state.filling || !state.has_taken(routes[k].input, sample),
                };
                if wanted && !state.broken {
                    let (route, live) = (&routes[k], feed == Feed::Live);
                    if feed == Feed::Missed {
                        state.guarded(None, out, |state, _| dirty |= state.accept_again(route, sample));
                    } else if route.plain {
                        dirty |= state.accept(route, sample, live);
                    } else {
                        state.guarded(None, out, |state, _| dirty |= state.accept(route, sample, live));
                    }
                }
                k += 1;
            }
            if dirty != 0
                && !state.broken
                && feed.acts()
                && state.enabled
                && !state.waiting
                && state.may_evaluate(sample.sent.0, out)
            {
                *evaluations += 1;
                state.touched = true;
                let watch = stopwatch.filter(|_| evaluations.is_multiple_of(TIMED_OF));
                let told = out.len();
                state.guarded(watch, out, |state, out| match feed {
                    Feed::Missed => state.on_missed(dirty, sample, subscriptions, now, out),
                    _ => state.on_sample(dirty, sample, subscriptions, now, out),
                });
                attribute(out.get_mut(told..).unwrap_or_default(), sample, subscriptions);
                if state.timed {
                    schedule(state, timers, i, now);
                }
            }
        }
    }

    /// Works off what is due, each at its own time.
    pub(super) fn run_timers(&mut self, now: f64, out: &mut Vec<Effect>) {
        self.now = now;
        if self.awake_since == f64::INFINITY {
            return;
        }
        while let Some((due, i)) = self.timers.pop_due(now) {
            let state = &mut self.states[i];
            if due.to_bits() != state.queued.to_bits() {
                continue;
            }
            state.queued = f64::INFINITY;
            if state.scheduled > due {
                // It was put off meanwhile.
                requeue(state, &mut self.timers, i);
                continue;
            }
            state.touched = true;
            if state.family.is_some() {
                if !state.waiting {
                    let watch = self.stopwatch.filter(|_| self.evaluations.is_multiple_of(TIMED_OF));
                    let evaluations = &mut self.evaluations;
                    state.guarded(watch, out, |state, out| {
                        *evaluations += state.family_on_time(due, now, out);
                    });
                }
                self.schedule(i, due);
                continue;
            }
            let at = state.catch_up(due, now);
            if state.enabled && !state.waiting {
                self.evaluations += 1;
                let watch = self.stopwatch.filter(|_| self.evaluations.is_multiple_of(TIMED_OF));
                state.guarded(watch, out, |state, out| state.on_time(at, out));
            }
            self.schedule(i, at);
        }
    }
}

/// The occurrence of a message: `m:<topic>:<partition>:<offset>`, the topic being `Component.sal_name`.
pub(super) fn message_occurrence(sample: &Sample<'_>, subscriptions: &Subscriptions) -> Occurrence {
    let topic = &subscriptions.topics[sample.topic.0 as usize];
    Occurrence {
        text: format!("m:{}.{}:{}:{}", topic.component, topic.sal_name, sample.partition, sample.offset),
        at: sample.sent,
    }
}
