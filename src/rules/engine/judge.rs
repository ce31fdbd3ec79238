//! Judging the alarm: conditions, gate, reasons, and saying only what is new.

use std::cell::OnceCell;

use serde_json::{Value as Json, json};

use super::state::{Known, RuleState};
use crate::alarms::{Direction, Severity};
use crate::rules::code::{AlarmCode, Condition, Frozen, Verdict};
use crate::rules::expr::tree::Expr;
use crate::rules::expr::{Env, Why};
use crate::rules::flow::Effect;
use crate::rules::model::{Mode, RunContext};
use crate::rules::spec::{Join, OnIdle};
use crate::rules::template::Template;

/// What one condition remembers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CondState {
    /// The severity that it has now, before `hold`; hysteresis looks at it.
    pub(super) raw: Severity,
    /// The severity that counts.
    pub(super) held: Severity,
    /// Since when `raw` is worse than `held`; NaN if it is not.
    pub(super) since: f64,
    /// When `hold` is over.
    pub(super) deadline: f64,
    /// The value that was judged last.
    value: f64,
}

impl Default for CondState {
    fn default() -> CondState {
        CondState {
            raw: Severity::None,
            held: Severity::None,
            since: f64::NAN,
            deadline: f64::INFINITY,
            value: f64::NAN,
        }
    }
}

impl CondState {
    pub(super) fn save(&self) -> Json {
        json!({"raw": self.raw, "held": self.held, "since": self.since, "value": self.value})
    }

    pub(super) fn load(json: &Json) -> Option<CondState> {
        let number = |key: &str| json.get(key).and_then(Json::as_f64).unwrap_or(f64::NAN);
        Some(CondState {
            raw: serde_json::from_value(json.get("raw")?.clone()).ok()?,
            held: serde_json::from_value(json.get("held")?.clone()).ok()?,
            since: number("since"),
            deadline: f64::INFINITY,
            value: number("value"),
        })
    }
}

/// The severity of a condition now, and the value judged; `None` if unknown.
#[inline]
fn severity<'a>(condition: &'a Condition, current: Severity, env: &Env<'a>) -> Option<(Severity, f64)> {
    match &condition.verdict {
        Verdict::Levels { value, levels, .. } => {
            let v = value.get(env);
            if v.is_nan() { None } else { Some((levels.severity(v, current), v)) }
        }
        Verdict::Each(all) => {
            // A level that is not known stays as it is; the others count.
            let mut unknown = 0;
            for (severity, level, _) in all {
                match level.get(env) {
                    Some(true) => return Some((*severity, f64::NAN)),
                    Some(false) => {}
                    None if current == *severity => return Some((*severity, f64::NAN)),
                    None => unknown += 1,
                }
            }
            (unknown < all.len()).then_some((Severity::None, f64::NAN))
        }
        Verdict::Number(expr, _) => {
            let number = match expr {
                Expr::Int(x) => x.get(env).and_then(|n| Severity::try_from(n).ok()),
                other => match other.json(env)? {
                    Json::Number(n) => n.as_i64().and_then(|n| Severity::try_from(n).ok()),
                    Json::String(s) => s.parse().ok(),
                    _ => None,
                },
            };
            number.map(|s| (s, f64::NAN)).or_else(|| env.unknown(Why::WrongType))
        }
    }
}

/// What a condition says of itself where no reason is written.
fn default_reason(condition: &Condition, severity: Severity, value: f64) -> String {
    match &condition.verdict {
        Verdict::Levels { levels, direction, text, unit, .. } => {
            let sign = if *direction == Direction::Above { ">" } else { "<" };
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            let level = levels.level(severity).unwrap_or(f64::NAN);
            format!("{text}: {value:.2}{unit} {sign} {level:.2}")
        }
        Verdict::Each(all) => {
            all.iter().find(|(s, ..)| *s == severity).map_or(String::new(), |(_, _, text)| text.clone())
        }
        Verdict::Number(_, text) => text.clone(),
    }
}

/// What came of judging.
enum Opinion {
    /// This severity; true if some condition is not known.
    Is(Severity, bool),
    /// Nothing new: it stays as it is.
    None,
}

impl RuleState {
    /// Judges on the latched values, and on the results of the newest run if the alarm reads them.
    #[inline]
    pub(super) fn judge_live(&mut self, now: f64, out: &mut Vec<Effect>) {
        let RuleState {
            rule, conditions, cells, marks, tables, memory, fed, said, alarm_error, well, ..
        } = self;
        let Some(alarm) = &rule.code.alarm else { return };
        if alarm.fed_by_tasks && fed.is_none() {
            return;
        }
        let env = Known { cells, marks, tables, memory }.env(rule, fed, now);
        let (opinion, moved) = judge(alarm, conditions, &env, now);
        *well = false;
        if let (Opinion::Is(severity, false), Some((last, _)), None) = (&opinion, said, alarm_error)
            && severity == last
            && (*severity == Severity::None || (alarm.fixed_reason && !moved))
        {
            // As nearly always: it is as it was said.
            *well = *severity == Severity::None;
            return;
        }
        let why = env.why.get().map(|w| w.say(&rule.code.input_names()));
        let rule = rule.clone();
        if let Some(alarm) = &rule.code.alarm {
            self.finish(alarm, opinion, why, now, out);
        }
    }

    /// Judges on the newest run's results and inputs.
    pub(super) fn judge_fed(&mut self, now: f64, out: &mut Vec<Effect>) {
        let rule = self.rule.clone();
        let (Some(alarm), Some(fed)) = (&rule.code.alarm, self.fed.take()) else { return };
        let mut conditions = std::mem::take(&mut self.conditions);
        let (opinion, why) = {
            let frozen = Frozen::of(&rule.code, &fed.1);
            let env = frozen.env(&self.memory, now);
            let (opinion, _) = judge(alarm, &mut conditions, &env, now);
            (opinion, env.why.get().map(|w| w.say(&rule.code.input_names())))
        };
        self.fed = Some(fed);
        self.conditions = conditions;
        self.finish(alarm, opinion, why, now, out);
    }

    /// A step of a run ended.
    pub(super) fn step_ended(&mut self, run_id: &str, ctx: &RunContext, now: f64, out: &mut Vec<Effect>) {
        if self.rule.code.alarm.as_ref().is_none_or(|a| !a.fed_by_tasks) || !self.enabled {
            return;
        }
        self.fed = Some(Box::new((run_id.to_owned(), ctx.clone())));
        self.judge_fed(now, out);
    }

    /// An occurrence at which `when` is known to be false.
    pub(super) fn idle(&mut self, now: f64, out: &mut Vec<Effect>) {
        let clear =
            self.rule.code.alarm.as_ref().is_some_and(|a| a.fed_by_tasks && a.on_idle == OnIdle::Clear);
        if clear {
            self.well = false;
            self.conditions.fill(CondState::default());
            self.fed = None;
            self.say((Severity::None, String::new()), None, now, out);
        }
    }

    fn finish(
        &mut self,
        alarm: &AlarmCode,
        opinion: Opinion,
        why: Option<String>,
        now: f64,
        out: &mut Vec<Effect>,
    ) {
        self.well = false;
        match opinion {
            Opinion::Is(severity, partly) => {
                if partly || self.alarm_error.is_some() {
                    self.alarm_error = why.filter(|_| partly);
                    self.tell_error(out);
                }
                let severity = if alarm.from.includes(severity) { severity } else { Severity::None };
                if severity == Severity::None {
                    if self.said.as_ref().is_none_or(|(s, _)| *s != Severity::None) {
                        let run = self.fed.as_ref().map(|f| f.0.clone());
                        self.say((severity, String::new()), run, now, out);
                    }
                    return;
                }
                let reason = self.reason(alarm, severity, now);
                let run = self.fed.as_ref().filter(|_| alarm.fed_by_tasks).map(|f| f.0.clone());
                self.say((severity, reason), run, now, out);
            }
            Opinion::None => {
                if why.is_some() {
                    self.alarm_error = why;
                    self.tell_error(out);
                }
            }
        }
    }

    /// The text that goes with a severity.
    fn reason(&self, alarm: &AlarmCode, severity: Severity, now: f64) -> String {
        let counts = |s: &CondState| match alarm.join {
            Join::Worst => s.held == severity,
            Join::All => s.held > Severity::None,
        };
        let live = OnceCell::new();
        let text = |template: &Template, value| {
            let ctx = match &self.fed {
                Some(fed) if alarm.fed_by_tasks => &fed.1,
                _ => live.get_or_init(|| self.context(now, &self.rule.parameters)),
            };
            template.text(ctx, value).unwrap_or_else(|e| format!("({e})"))
        };
        if let Some(template) = &alarm.reason {
            return text(template, self.conditions.iter().find(|s| s.held == severity).map(|s| s.value));
        }
        let texts: Vec<String> = alarm
            .conditions
            .iter()
            .zip(&self.conditions)
            .filter(|(_, s)| counts(s))
            .map(|(c, s)| match &c.reason {
                Some(template) => text(template, Some(s.value)),
                None => default_reason(c, s.held, s.value),
            })
            .collect();
        texts.join(&alarm.separator)
    }

    /// Says a severity, unless the same was said last.
    pub(super) fn say(
        &mut self,
        (severity, reason): (Severity, String),
        run_id: Option<String>,
        now: f64,
        out: &mut Vec<Effect>,
    ) {
        if self.said.as_ref().is_some_and(|(s, r)| *s == severity && *r == reason) {
            return;
        }
        let live = self.rule.mode == Mode::Live && self.rule.alarm.is_some();
        let before = self.said.replace((severity, reason.clone())).map_or(Severity::None, |(s, _)| s);
        let evidence = (live && severity != before).then(|| self.witness(now));
        if live && let Some(plan) = &self.rule.alarm {
            out.push(Effect::SetSeverity {
                rule: self.rule.clone(),
                alarm: self.key.as_ref().map_or_else(|| plan.name.clone(), |key| key.alarm.clone()),
                severity,
                reason,
                run_id,
                evidence,
            });
        }
    }
}

/// The second is true if the severity of a condition, which a reason may tell, is another than before.
#[inline]
fn judge<'a>(alarm: &'a AlarmCode, states: &mut [CondState], env: &Env<'a>, now: f64) -> (Opinion, bool) {
    if let Some((gate, otherwise)) = &alarm.gate {
        match gate.get(env) {
            Some(true) => {}
            Some(false) if *otherwise == OnIdle::Clear => {
                states.fill(CondState::default());
                return (Opinion::Is(Severity::None, false), true);
            }
            _ => return (Opinion::None, false),
        }
    }
    let mut worst = Severity::None;
    let (mut known, mut moved) = (0, false);
    for (condition, state) in alarm.conditions.iter().zip(states) {
        let found = severity(condition, state.raw, env);
        known += usize::from(found.is_some());
        if let Some((raw, value)) = found {
            let before = state.held;
            state.raw = raw;
            state.value = value;
            if raw <= state.held || condition.hold == 0.0 {
                state.held = raw;
                state.since = f64::NAN;
                state.deadline = f64::INFINITY;
            } else {
                if state.since.is_nan() {
                    state.since = now;
                }
                state.deadline = state.since + condition.hold;
                if now >= state.deadline {
                    state.held = raw;
                    state.since = f64::NAN;
                    state.deadline = f64::INFINITY;
                }
            }
            moved |= state.held != before;
        }
        // What is not known stays as it is, and does not hide the others.
        worst = worst.max(state.held);
    }
    let opinion = if known == 0 { Opinion::None } else { Opinion::Is(worst, known < alarm.conditions.len()) };
    (opinion, moved)
}
