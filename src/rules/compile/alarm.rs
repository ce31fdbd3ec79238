//! The alarm: what sets the severity, gate, reason, what goes with it.

use std::time::Duration;

use super::names::{MayUse, template};
use super::{Checked, Work};
use crate::alarms::{AlarmConfig, Escalate, Glob, Inhibit, Levels, Severity};
use crate::rules::code::{AlarmCode, Condition, Place, Verdict};
use crate::rules::expr::scope::Allowed;
use crate::rules::expr::tree::{BoolE, Expr, NumE};
use crate::rules::model::{AlarmPlan, FromLevel, Occasion};
use crate::rules::spec::{AlarmSpec, At, Cel, ConditionSpec, LevelsSpec, OnIdle};
use crate::rules::spec_alarm::InhibitSpec;
use crate::rules::template::Template;
use crate::rules::yaml::{Span, Yaml};

/// What the expressions of an alarm read, all together.
#[derive(Default)]
struct Reads {
    inputs: u64,
    tasks: bool,
}

impl Reads {
    fn add(&mut self, checked: &Checked) {
        self.inputs |= checked.reads;
        self.tasks |= checked.reads_tasks;
    }
}

/// Compiles the alarm.
pub(super) fn alarm(work: &Work<'_>, on: &Occasion) -> Option<(AlarmPlan, AlarmCode)> {
    let spec = work.spec.alarm.as_ref()?;
    let problems = work.problems;
    let mut reads = Reads::default();
    let own = ConditionSpec {
        value: spec.value.clone(),
        levels: spec.levels.clone(),
        direction: spec.direction,
        hysteresis: spec.hysteresis.clone(),
        severity: spec.severity.clone(),
        hold: None,
        reason: None,
        span: spec.span,
    };
    let has_own = own.value.is_some() || own.levels.is_some() || own.severity.is_some();
    let mut conditions = Vec::new();
    if has_own && !spec.conditions.is_empty() {
        problems.add(
            spec.span,
            "an alarm has `conditions`, or its own `value`, `levels` or `severity`, not both",
        );
    } else if has_own {
        conditions.extend(condition(work, 0, &own, &mut reads));
    } else if spec.conditions.is_empty() {
        let help = "give it `value` and `levels`, a condition for each level, `severity`, or `conditions`"
            .to_owned();
        problems.add_help(spec.span, "nothing sets the alarm's severity", help);
    } else {
        let all = spec.conditions.iter().enumerate();
        conditions.extend(all.filter_map(|(i, c)| condition(work, i, c, &mut reads)));
    }
    let allowed = Allowed { state: true, tasks: true, ..Allowed::default() };
    let gate = spec.gate.as_ref().and_then(|g| {
        let (when, checked) = work.condition(g.when.as_ref()?, allowed, "gate")?;
        work.keep(Place::Gate, &checked);
        reads.add(&checked);
        Some((when, g.otherwise.unwrap_or(OnIdle::Clear)))
    });
    let judged = spec.value.is_some() || spec.conditions.iter().any(|c| c.value.is_some());
    let reason = spec.reason.as_ref().and_then(|r| reason(work, r, judged));
    let fed_by_tasks = reads.tasks;
    if fed_by_tasks {
        work.tell(reads.inputs);
    }
    if let Some(at) = &spec.on_idle
        && !fed_by_tasks
    {
        let help = "it is judged on its inputs all the time; use `gate` to restrict it".to_owned();
        problems.add_help(at.span, "`on_idle` is for alarms fed by tasks", help);
    }
    let on_idle = spec.on_idle.as_ref().map_or_else(
        || if matches!(on, Occasion::Every(_) | Occasion::Cron(_)) { OnIdle::Clear } else { OnIdle::Hold },
        |at| at.value,
    );
    let from = spec.from.unwrap_or(FromLevel::Always);
    let plan = AlarmPlan {
        name: work.spec.name.value.trim().to_owned(),
        config: config(work, spec),
        fed_by_tasks,
        from,
    };
    let fixed_reason = match &reason {
        Some(template) => !template.varies(),
        None => conditions.iter().all(|c| match &c.reason {
            Some(template) => !template.varies(),
            None => !matches!(c.verdict, Verdict::Levels { .. }),
        }),
    };
    let code = AlarmCode {
        conditions,
        gate,
        join: spec.join.unwrap_or_default(),
        separator: spec.separator.as_ref().map_or_else(|| "; ".to_owned(), |s| s.value.clone()),
        on_idle,
        from,
        reason,
        fixed_reason,
        reads: reads.inputs,
        fed_by_tasks,
    };
    Some((plan, code))
}

fn config(work: &Work<'_>, spec: &AlarmSpec) -> AlarmConfig {
    let duration = |at: &Option<At<crate::rules::spec::Seconds>>| {
        Duration::from_secs_f64(at.as_ref().map_or(0.0, |s| s.value.0))
    };
    let escalate = spec.escalate.as_ref().and_then(|e| {
        let responder = e.responder.as_ref().map(|r| r.value.clone()).unwrap_or_default();
        match Escalate::new(responder, duration(&e.delay)) {
            Ok(escalate) => Some(escalate),
            Err(error) => {
                work.problems.add(e.span, error.to_string());
                None
            }
        }
    });
    if let Some(at) = spec.rearm_escalation.as_ref().filter(|at| at.value && spec.escalate.is_none()) {
        work.problems.add(at.span, "`rearm_escalation` needs `escalate`");
    }
    AlarmConfig {
        auto_acknowledge: duration(&spec.auto_acknowledge),
        auto_unacknowledge: duration(&spec.auto_unacknowledge),
        escalate,
        lift_mute: spec.lift_mute.as_ref().is_some_and(|at| at.value),
        rearm_escalation: spec.rearm_escalation.as_ref().is_some_and(|at| at.value),
        latch: spec.latch.as_ref().map(|at| at.value).unwrap_or_default(),
        inhibit_by: spec.inhibit_by.iter().map(|cause| inhibit(work, cause)).collect(),
        notices_per_minute: spec.notices_per_minute.as_ref().map(|n| n.value.try_into().unwrap_or(u32::MAX)),
    }
}

/// Whether there are such alarms is seen when all rules are there (`links`).
fn inhibit(work: &Work<'_>, spec: &InhibitSpec) -> Inhibit {
    let name = spec.alarm.value.trim();
    if name.is_empty() {
        work.problems
            .add(spec.alarm.span, "a cause in `inhibit_by` is the name of an alarm, or a pattern of names");
    }
    let from = spec.from.as_ref().map_or(Severity::Warning, |from| from.value);
    if let Some(at) = spec.from.as_ref().filter(|_| from == Severity::None) {
        let help = "one of: warning, serious, critical".to_owned();
        work.problems.add_help(at.span, "an alarm at none is no cause", help);
    }
    Inhibit { alarms: Glob::new(name), from }
}

fn reason(work: &Work<'_>, at: &At<String>, judged: bool) -> Option<Template> {
    let may = MayUse { tasks: true, value: judged, item: false };
    template(work, at.span, &at.value, may).map(|(t, _)| t)
}

fn condition(work: &Work<'_>, at: usize, spec: &ConditionSpec, reads: &mut Reads) -> Option<Condition> {
    let reason = spec.reason.as_ref().and_then(|r| reason(work, r, spec.value.is_some()));
    let verdict = verdict(work, at, spec, reads)?;
    Some(Condition { verdict, hold: spec.hold.as_ref().map_or(0.0, |h| h.value.0), reason })
}

const ALLOWED: Allowed = Allowed { state: true, tasks: true, trigger: false, fields: false };

fn verdict(work: &Work<'_>, at: usize, spec: &ConditionSpec, reads: &mut Reads) -> Option<Verdict> {
    let problems = work.problems;
    if let Some(cel) = &spec.severity {
        if let Some(levels) = &spec.levels {
            problems.add(levels.span, "an alarm has `severity` or `levels`, not both");
        }
        if let Some(value) = &spec.value {
            problems.add(value.span, "`value` goes with `levels`");
        }
        return severity(work, at, cel, reads);
    }
    if spec.value.is_none() {
        for (key, span) in [
            ("hysteresis", spec.hysteresis.as_ref().map(|h| h.span)),
            ("direction", spec.direction.map(|_| spec.span)),
        ] {
            if let Some(span) = span {
                problems.add(span, format!("`{key}` needs `value`"));
            }
        }
    }
    let Some(levels) = &spec.levels else {
        problems.add_help(
            spec.span,
            "`levels` is missing",
            "e.g. levels: {warning: 15.0, serious: 20.0}".to_owned(),
        );
        if let Some(value) = &spec.value {
            work.check(value, ALLOWED);
        }
        return None;
    };
    if levels.entries.is_empty() {
        problems.add(levels.span, "`levels` needs at least one of warning, serious, critical");
        return None;
    }
    match &spec.value {
        Some(value) => limits(work, at, spec, value, levels, reads),
        None => each(work, at, levels, reads),
    }
}

fn severity(work: &Work<'_>, at: usize, cel: &At<Cel>, reads: &mut Reads) -> Option<Verdict> {
    let checked = work.check(cel, ALLOWED)?;
    work.keep(Place::Severity(at), &checked);
    reads.add(&checked);
    match checked.typed.expr {
        expr @ (Expr::Int(_) | Expr::Dyn(_) | Expr::Text(_)) => {
            Some(Verdict::Number(expr, cel.value.0.trim().to_owned()))
        }
        other => {
            let help = "1 to 4, AlarmSeverity.SERIOUS, or a name such as 'SERIOUS'".to_owned();
            let message = format!("`severity` must be an integer or a name, this is {}", other.type_name());
            work.problems.add_help(cel.span, message, help);
            None
        }
    }
}

fn limits(
    work: &Work<'_>,
    at: usize,
    spec: &ConditionSpec,
    value: &At<Cel>,
    levels: &LevelsSpec,
    reads: &mut Reads,
) -> Option<Verdict> {
    let problems = work.problems;
    let mut numbers: Vec<(Severity, f64)> = Vec::new();
    let mut places: Vec<Span> = Vec::new();
    for (severity, node) in &levels.entries {
        match node.value {
            Yaml::Int(v) => numbers.push((*severity, v as f64)),
            Yaml::Float(v) => numbers.push((*severity, v)),
            _ => {
                let help =
                    "with `value` a level is a number; leave `value` out to give a condition".to_owned();
                problems.add_help(
                    node.span,
                    format!("a level must be a number, this is {}", node.kind()),
                    help,
                );
                continue;
            }
        }
        places.push(node.span);
    }
    let direction = spec.direction.unwrap_or_default();
    let hysteresis = spec.hysteresis.as_ref().map_or(0.0, |h| h.value);
    let checked = work.check(value, ALLOWED);
    let levels_ok = if numbers.len() == levels.entries.len() {
        match Levels::new(&numbers, direction, hysteresis) {
            Ok(levels) => Some(levels),
            Err(errors) => {
                for error in errors {
                    problems.add(levels.span, error.to_string());
                }
                None
            }
        }
    } else {
        None
    };
    let checked = checked?;
    work.keep(Place::Value(at), &checked);
    reads.add(&checked);
    let value_expr: NumE = match checked.typed.expr.clone() {
        Expr::Num(x) => x,
        Expr::Int(x) => NumE::FromInt(Box::new(x)),
        Expr::Dyn(x) => NumE::FromDyn(Box::new(x)),
        other => {
            problems.add(value.span, format!("`value` must be a number, this is {}", other.type_name()));
            return None;
        }
    };
    let unit = checked.typed.unit.as_deref().unwrap_or("").to_owned();
    Some(Verdict::Levels {
        value: value_expr,
        levels: levels_ok?,
        direction,
        text: value.value.0.trim().to_owned(),
        unit,
    })
}

fn each(work: &Work<'_>, at: usize, levels: &LevelsSpec, reads: &mut Reads) -> Option<Verdict> {
    let mut all: Vec<(Severity, BoolE, String)> = Vec::new();
    for (severity, node) in levels.entries.iter().rev() {
        let Some(text) = node
            .scalar_text(&work.problems.source)
            .filter(|_| !matches!(node.value, Yaml::Int(_) | Yaml::Float(_)))
        else {
            let help = "give the alarm a `value`, or write a condition here".to_owned();
            work.problems.add_help(node.span, "a number is a limit for `value`, and there is none", help);
            continue;
        };
        let cel = At { value: Cel(text.clone()), span: node.span };
        if let Some((condition, checked)) = work.condition(&cel, ALLOWED, severity_key(*severity)) {
            work.keep(Place::Level(at, *severity), &checked);
            reads.add(&checked);
            all.push((*severity, condition, text.trim().to_owned()));
        }
    }
    (all.len() == levels.entries.len()).then_some(Verdict::Each(all))
}

fn severity_key(severity: Severity) -> &'static str {
    match severity {
        Severity::None => "none",
        Severity::Warning => "warning",
        Severity::Serious => "serious",
        Severity::Critical => "critical",
    }
}
