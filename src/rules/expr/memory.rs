//! The stateful functions: what each remembers, and how it is brought up to date.
//!
//! Before a rule's expressions are evaluated, every stateful function of the rule is updated once, inner ones first,
//! whether or not a short-circuit would skip it. The evaluation then only reads `out`. Functions that count messages
//! move on only when a message of an input that they read came; those that measure time move on at timers too.

use std::collections::VecDeque;

use salobj::Value;
use serde_json::{Value as Json, json};

use super::env::Env;
use super::lists::{same, to_json, value_of};
use super::tree::{BoolE, Expr};

/// Most entries that `as_of` and `count_in` keep; beyond that the oldest go.
const MOST: usize = 4096;

/// A stateful function of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Stateful {
    pub(crate) kind: Kind,
    /// Bit mask of the inputs that its arguments read.
    pub(crate) inputs: u64,
    /// Those whose messages are counted: `counter` counts those that `up` and `down` read; else all of them.
    pub(crate) counted: u64,
}

impl Stateful {
    /// What messages of these inputs mean to it.
    pub(crate) fn news(&self, dirty: u64) -> News {
        let fresh = self.inputs & dirty != 0 || self.inputs == 0;
        News { fresh, counted: fresh && (self.counted & dirty != 0 || self.counted == 0) }
    }
}

/// What has just come for a stateful function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct News {
    /// A message of an input that it reads.
    pub(crate) fresh: bool,
    /// One that it counts.
    pub(crate) counted: bool,
}

/// Which function, and its arguments. Durations are seconds.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// True once the condition has been true for so long.
    Hold(BoolE, f64),
    /// True once it was true at so many messages in a row.
    Consecutive(BoolE, i64),
    /// At how many messages of so many last seconds it was true.
    CountIn(BoolE, f64),
    /// It went from false to true just now.
    Rose(BoolE),
    /// It went from true to false just now.
    Fell(BoolE),
    /// The value differs from the one before.
    Changed(Expr),
    /// The value at the message before.
    Prev(Expr),
    /// Seconds since the value last changed.
    UnchangedFor(Expr),
    /// Seconds since the condition became true; 0 while it is false.
    Elapsed(BoolE),
    /// Up, down (not below 0), reset.
    Counter(BoolE, BoolE, BoolE),
    /// No message of the input for so long; also for one that never sent.
    Absent(u16, f64),
    /// The second is true now, and the first was at most so long before.
    Then(BoolE, BoolE, f64),
    /// The past of a value, for `as_of`.
    Past(Expr, u16),
}

/// What one stateful function remembers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory {
    /// What it says now; null is unknown.
    pub(crate) out: Value,
    /// When it would say something else without a message; infinity if never.
    pub(crate) deadline: f64,
    last: Value,
    since: f64,
    paused: f64,
    count: i64,
    times: VecDeque<f64>,
    past: VecDeque<(f64, Value)>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            out: Value::Null,
            deadline: f64::INFINITY,
            last: Value::Null,
            since: f64::NAN,
            paused: f64::NAN,
            count: 0,
            times: VecDeque::new(),
            past: VecDeque::new(),
        }
    }
}

impl Memory {
    /// Brings it up to date.
    pub(crate) fn update<'a>(&mut self, kind: &'a Kind, news: News, env: &Env<'a>) {
        let (now, fresh) = (env.now, news.fresh);
        self.deadline = f64::INFINITY;
        match kind {
            Kind::Hold(cond, seconds) => self.hold(cond.get(env), *seconds, now),
            Kind::Consecutive(cond, n) => match (fresh, cond.get(env)) {
                (_, None) => self.out = Value::Null,
                (true, Some(true)) => {
                    self.count = self.count.saturating_add(1);
                    self.out = Value::Bool(self.count >= *n);
                }
                (true, Some(false)) => {
                    self.count = 0;
                    self.out = Value::Bool(false);
                }
                (false, Some(_)) => self.out = Value::Bool(self.count >= *n),
            },
            Kind::CountIn(cond, seconds) => {
                let truth = cond.get(env);
                if fresh && truth == Some(true) {
                    self.times.push_back(now);
                }
                while self.times.len() > MOST || self.times.front().is_some_and(|t| *t <= now - seconds) {
                    self.times.pop_front();
                }
                // Once anything was known the count is: what is unknown does not count.
                if truth.is_some() || self.out != Value::Null {
                    self.out = Value::Int(self.times.len() as i64);
                }
                self.deadline = self.times.front().map_or(f64::INFINITY, |t| t + seconds);
            }
            Kind::Rose(cond) => self.edge(cond.get(env), true),
            Kind::Fell(cond) => self.edge(cond.get(env), false),
            Kind::Changed(x) => match x.value(env) {
                None => self.out = Value::Null,
                Some(value) => {
                    self.out = Value::Bool(self.last != Value::Null && !equal(&self.last, &value));
                    self.last = value;
                }
            },
            Kind::Prev(x) => {
                if fresh {
                    self.out = std::mem::replace(&mut self.last, x.value(env).unwrap_or_default());
                }
            }
            Kind::UnchangedFor(x) => match x.value(env) {
                None => self.out = Value::Null,
                Some(value) => {
                    if !equal(&self.last, &value) {
                        self.last = value;
                        self.since = now;
                    }
                    self.out = Value::Double(now - self.since);
                }
            },
            Kind::Elapsed(cond) => match cond.get(env) {
                None => self.out = Value::Null,
                Some(false) => {
                    self.since = f64::NAN;
                    self.out = Value::Double(0.0);
                }
                Some(true) => {
                    if self.since.is_nan() {
                        self.since = now;
                    }
                    self.out = Value::Double(now - self.since);
                }
            },
            Kind::Counter(up, down, reset) => {
                if fresh && reset.get(env) == Some(true) {
                    self.count = 0;
                } else if news.counted && up.get(env) == Some(true) {
                    self.count = self.count.saturating_add(1);
                } else if news.counted && down.get(env) == Some(true) {
                    self.count = (self.count - 1).max(0);
                }
                self.out = Value::Int(self.count);
            }
            Kind::Absent(input, seconds) => {
                if self.since.is_nan() {
                    self.since = now;
                }
                let due = env.marks[usize::from(*input)].received.max(self.since) + seconds;
                self.out = Value::Bool(now >= due);
                if now < due {
                    self.deadline = due;
                }
            }
            Kind::Then(first, second, within) => {
                let second = second.get(env);
                if first.get(env) == Some(true) {
                    self.since = now;
                }
                let in_time = now - self.since <= *within;
                self.out = second.map_or(Value::Null, |v| Value::Bool(v && in_time));
                if self.out == Value::Bool(true) {
                    // The first moment at which it is too late.
                    self.deadline = (self.since + within).next_up();
                }
            }
            Kind::Past(x, input) => {
                if fresh && let Some(value) = x.value(env) {
                    let sent = env.marks[usize::from(*input)].sent;
                    if self.past.back().is_none_or(|(t, _)| *t <= sent) {
                        self.past.push_back((sent, value));
                    }
                    if self.past.len() > MOST {
                        self.past.pop_front();
                    }
                }
            }
        }
    }

    /// Known-true time counts; while the condition is unknown the clock stands still, so that silence neither raises
    /// nor clears.
    fn hold(&mut self, truth: Option<bool>, seconds: f64, now: f64) {
        match truth {
            None => {
                if !self.since.is_nan() && self.paused.is_nan() {
                    self.paused = now;
                }
                self.out = Value::Null;
            }
            Some(false) => {
                self.since = f64::NAN;
                self.paused = f64::NAN;
                self.out = Value::Bool(false);
            }
            Some(true) => {
                if self.since.is_nan() {
                    self.since = now;
                } else if !self.paused.is_nan() {
                    self.since += now - self.paused;
                }
                self.paused = f64::NAN;
                // Compared with the deadline itself: `now - since >= seconds` can miss it by rounding.
                let due = self.since + seconds;
                self.out = Value::Bool(now >= due);
                if now < due {
                    self.deadline = due;
                }
            }
        }
    }

    fn edge(&mut self, truth: Option<bool>, rising: bool) {
        match truth {
            None => self.out = Value::Null,
            Some(v) => {
                self.out = Value::Bool(v == rising && self.last == Value::Bool(!rising));
                self.last = Value::Bool(v);
            }
        }
    }

    /// The value that held at a time, for `as_of`.
    pub(crate) fn at_time(&self, time: f64) -> Option<&Value> {
        let after = self.past.partition_point(|(t, _)| *t <= time);
        after.checked_sub(1).map(|i| &self.past[i].1)
    }

    /// Forgets since when it waits: the start grace of `absent` begins anew.
    pub(crate) fn begin_anew(&mut self, kind: &Kind) {
        if matches!(kind, Kind::Absent(..)) {
            self.since = f64::NAN;
        }
    }

    /// What it has seen so far, in words, for an explanation.
    pub(crate) fn note<'a>(&self, kind: &'a Kind, env: &Env<'a>) -> Option<String> {
        let now = env.now;
        match kind {
            Kind::Hold(..) | Kind::Elapsed(_) if self.since.is_nan() => None,
            Kind::Hold(_, seconds) if !self.paused.is_nan() => {
                let so_far = self.paused - self.since;
                Some(format!("was true for {so_far:.1} s of {seconds} s, and waits while it is unknown"))
            }
            Kind::Hold(_, seconds) => {
                let so_far = now - self.since;
                let left = self.since + seconds - now;
                let rest = if left > 0.0 { format!(", {left:.1} s to go") } else { String::new() };
                Some(format!("true for {so_far:.1} s of {seconds} s{rest}"))
            }
            Kind::Elapsed(_) => Some(format!("true for {:.1} s", now - self.since)),
            Kind::UnchangedFor(_) if self.since.is_nan() => None,
            Kind::UnchangedFor(_) => Some(format!("changed last {:.1} s ago", now - self.since)),
            Kind::Consecutive(_, n) => Some(format!("{} in a row of {n}", self.count)),
            Kind::CountIn(_, seconds) => {
                Some(format!("{} time(s) within the last {seconds} s", self.times.len()))
            }
            Kind::Absent(input, seconds) => {
                let last = env.marks.get(usize::from(*input))?.received;
                let said = if last.is_finite() { "the last message came" } else { "it began to wait" };
                let ago = now - last.max(self.since);
                Some(format!("{said} {ago:.1} s ago, of {seconds} s"))
            }
            Kind::Then(_, _, _) if self.since.is_nan() => Some("the first was not true yet".to_owned()),
            Kind::Then(_, _, within) => {
                let ago = now - self.since;
                Some(format!("the first was true {ago:.1} s ago, {within} s are allowed"))
            }
            Kind::Rose(_) | Kind::Fell(_) => match &self.last {
                Value::Bool(last) => Some(format!("was {last} when it was last looked at")),
                _ => None,
            },
            Kind::Changed(_) | Kind::Prev(_) | Kind::Counter(..) | Kind::Past(..) => None,
        }
    }

    /// For the journal.
    pub(crate) fn save(&self) -> Json {
        json!({
            "out": to_json(&self.out), "last": to_json(&self.last), "since": self.since, "paused": self.paused,
            "count": self.count, "times": self.times,
            "past": self.past.iter().map(|(t, v)| json!([t, to_json(v)])).collect::<Vec<_>>(),
        })
    }

    /// From the journal.
    pub(crate) fn load(json: &Json) -> Option<Memory> {
        let number = |key: &str| json.get(key).and_then(Json::as_f64).unwrap_or(f64::NAN);
        let list = |key: &str| json.get(key).and_then(Json::as_array);
        Some(Memory {
            out: value_of(json.get("out")?),
            last: value_of(json.get("last")?),
            since: number("since"),
            paused: number("paused"),
            count: json.get("count")?.as_i64()?,
            times: list("times")?.iter().filter_map(Json::as_f64).collect(),
            past: list("past")?
                .iter()
                .filter_map(|p| Some((p.get(0)?.as_f64()?, value_of(p.get(1)?))))
                .collect(),
            deadline: f64::INFINITY,
        })
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    a == b || same(a, b)
}
