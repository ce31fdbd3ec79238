//! From the YAML tree to the specification types: every key is asked for by name, every mistake is noted.

use serde::de::DeserializeOwned;

use super::expr::prepass::parse_duration;
use super::model::Budget;
use super::spec::*;
use super::spec_alarm::{EscalateSpec, InhibitSpec};
use super::yaml::{Fields, Node, Problems, Span, Yaml};
use crate::alarms::Severity;
use task::task;

mod task;

impl Fields<'_, '_> {
    fn text(&mut self, key: &'static str) -> Option<At<String>> {
        let node = self.get(key)?;
        text(node, key, self.problems)
    }

    fn needed_text(&mut self, key: &'static str) -> Option<At<String>> {
        if self.get(key).is_none() {
            self.problems.add(self.span(), format!("`{key}` is missing"));
            return None;
        }
        self.text(key)
    }

    fn cel(&mut self, key: &'static str) -> Option<At<Cel>> {
        let at = self.text(key)?;
        Some(At { value: Cel(at.value), span: at.span })
    }

    fn seconds(&mut self, key: &'static str) -> Option<At<Seconds>> {
        let node = self.get(key)?;
        seconds(node, key, self.problems)
    }

    fn count(&mut self, key: &'static str) -> Option<At<u64>> {
        let node = self.get(key)?;
        match node.value {
            Yaml::Int(v) if v >= 0 => Some(At { value: v as u64, span: node.span }),
            _ => {
                self.problems.add(node.span, format!("`{key}` must be a whole number, not negative"));
                None
            }
        }
    }

    fn number(&mut self, key: &'static str) -> Option<At<f64>> {
        let node = self.get(key)?;
        let value = match node.value {
            Yaml::Int(v) => v as f64,
            Yaml::Float(v) => v,
            _ => {
                self.problems.add(node.span, format!("`{key}` must be a number, this is {}", node.kind()));
                return None;
            }
        };
        Some(At { value, span: node.span })
    }

    fn flag(&mut self, key: &'static str) -> Option<At<bool>> {
        let node = self.get(key)?;
        match node.value {
            Yaml::Bool(value) => Some(At { value, span: node.span }),
            _ => {
                self.problems.add(node.span, format!("`{key}` must be true or false"));
                None
            }
        }
    }

    /// One of a few words.
    fn word<T: DeserializeOwned>(&mut self, key: &'static str, words: &str) -> Option<At<T>> {
        let node = self.get(key)?;
        match serde_json::from_value(node.json()) {
            Ok(value) => Some(At { value, span: node.span }),
            Err(_) => {
                self.problems.add_help(
                    node.span,
                    format!("`{key}` cannot be this"),
                    Some(format!("one of: {words}")),
                );
                None
            }
        }
    }

    fn table<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        read: impl Fn(&Node, &Problems<'_>) -> Option<T>,
    ) -> Table<T> {
        let Some(node) = self.get(key) else { return Table::default() };
        let Yaml::Map(entries) = &node.value else {
            self.problems
                .add(node.span, format!("`{key}` must be a mapping of {what}, this is {}", node.kind()));
            return Table::default();
        };
        Table(entries.iter().filter_map(|(k, n)| Some((k.clone(), read(n, self.problems)?))).collect())
    }

    fn list<T>(&mut self, key: &'static str, read: impl Fn(&Node, &Problems<'_>) -> Option<T>) -> Vec<T> {
        let Some(node) = self.get(key) else { return Vec::new() };
        match &node.value {
            Yaml::List(all) => all.iter().filter_map(|n| read(n, self.problems)).collect(),
            _ => {
                self.problems.add(node.span, format!("`{key}` must be a list, this is {}", node.kind()));
                Vec::new()
            }
        }
    }

    /// A text, or a list of texts.
    fn texts(&mut self, key: &'static str) -> Vec<At<String>> {
        match self.get(key).map(|n| &n.value) {
            Some(Yaml::List(_)) => self.list(key, |n, p| text(n, key, p)),
            Some(_) => self.text(key).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

fn text(node: &Node, key: &str, problems: &Problems<'_>) -> Option<At<String>> {
    match node.scalar_text(&problems.source) {
        Some(value) => Some(At { value, span: node.span }),
        None => {
            problems.add(node.span, format!("`{key}` must be text, this is {}", node.kind()));
            None
        }
    }
}

fn seconds(node: &Node, key: &str, problems: &Problems<'_>) -> Option<At<Seconds>> {
    let parsed = match &node.value {
        Yaml::Text(text) => parse_duration(text.trim()),
        Yaml::Int(0) => Some(0.0),
        _ => None,
    };
    match parsed {
        Some(value) => Some(At { value: Seconds(value), span: node.span }),
        None => {
            let help = "write it with its unit: 30s, 10m, 1h30m, 500ms".to_owned();
            problems.add_help(node.span, format!("`{key}` must be a duration"), help);
            None
        }
    }
}

const FROM: &str = "none, warning, serious, critical, always, never";

/// Reads one rule. `None` only if it is no mapping or has no name.
pub(crate) fn rule(node: &Node, problems: &Problems<'_>) -> Option<RuleSpec> {
    let mut f = Fields::of(node, "a rule", problems)?;
    f.refuse(&["inhibit_by"]);
    let name = f.needed_text("name");
    problems.enter(name.as_ref().map(|n| n.value.as_str()));
    let parameters = match f.get("parameters").map(Node::json) {
        Some(serde_json::Value::Object(map)) => map,
        Some(_) => {
            problems.add(f.span(), "`parameters` must be a mapping");
            serde_json::Map::new()
        }
        None => serde_json::Map::new(),
    };
    let spec = RuleSpec {
        name: name.clone().unwrap_or(At { value: String::new(), span: node.span }),
        description: f.text("description"),
        mode: f.word("mode", "live, shadow").map(|m| m.value),
        template: None,
        instances: None,
        parameters,
        by: f.texts("by").into_iter().map(|at| At { value: Cel(at.value), span: at.span }).collect(),
        retire: f.seconds("retire"),
        inputs: f.table("inputs", "inputs by name", input),
        trigger: f.get("trigger").and_then(|n| trigger(n, problems)),
        tasks: f.table("tasks", "steps by name", task),
        run_timeout: f.seconds("run_timeout"),
        alarm: f.get("alarm").and_then(|n| alarm(n, problems)),
        report: f.get("report").and_then(|n| report(n, problems)),
        priority: f.word("priority", "low, normal, high, urgent").map(|w| w.value),
        on_disable: f.word("on_disable", "finish, cancel").map(|w| w.value),
        budget: f.get("budget").and_then(|n| budget(n, problems)),
        tests: f.list("tests", test),
        span: f.span(),
    };
    f.finish();
    name.map(|_| spec)
}

fn input(node: &Node, problems: &Problems<'_>) -> Option<InputSpec> {
    let mut f = Fields::of(node, "an input", problems)?;
    let sources = ["topic", "efd", "task", "alarm", "kafka"].map(|k| usize::from(node.get(k).is_some()));
    if sources.iter().sum::<usize>() > 1 {
        problems.add(node.span, "an input has one of `topic`, `kafka`, `efd`, `task` and `alarm`");
    }
    let elsewhere = sources[1..].iter().any(|n| *n > 0);
    let topic = if elsewhere { f.text("topic") } else { f.needed_text("topic") };
    let window = f.get("window").and_then(|n| match &n.value {
        Yaml::Int(v) if *v > 0 => Some(At { value: WindowSpec::Count(*v as u64), span: n.span }),
        _ => {
            seconds(n, "window", problems).map(|s| At { value: WindowSpec::Seconds(s.value.0), span: n.span })
        }
    });
    let fields = f.get("fields").is_some().then(|| f.texts("fields"));
    let spec = InputSpec {
        topic: topic.unwrap_or(At { value: String::new(), span: node.span }),
        kafka: f.text("kafka"),
        stamp: f.text("stamp"),
        efd: f.get("efd").cloned().map(Free),
        every: f.seconds("every"),
        task: f.text("task"),
        alarm: f.text("alarm"),
        field: f.text("field"),
        fields,
        filter: f.cel("filter"),
        by: f.cel("by"),
        initial: f.get("initial").cloned().map(Free),
        max_age: f.seconds("max_age"),
        window,
        reduce: f.text("reduce"),
        min_count: f.count("min_count"),
    };
    f.finish();
    // Without a topic it is told already; it is kept, so that its name is known.
    Some(spec)
}

fn trigger(node: &Node, problems: &Problems<'_>) -> Option<TriggerSpec> {
    let mut f = Fields::of(node, "a trigger", problems)?;
    let each = f.get("each").is_some().then(|| f.texts("each"));
    let written = ["each", "every", "manual", "when", "cron"].iter().any(|k| node.get(k).is_some());
    let spec = TriggerSpec {
        written,
        each,
        every: f.seconds("every"),
        cron: f.text("cron"),
        timezone: f.text("timezone"),
        offset: f.seconds("offset"),
        catch_up: f.word("catch_up", "skip, once, all"),
        manual: f.flag("manual"),
        when: f.cel("when"),
        cooldown: f.seconds("cooldown"),
        max_event_age: f.seconds("max_event_age"),
        max_concurrent: f.count("max_concurrent"),
        overlap: f.word("overlap", "queue, skip, cancel_previous").map(|w| w.value),
        span: f.span(),
    };
    f.finish();
    Some(spec)
}

fn levels(node: &Node, problems: &Problems<'_>) -> Option<LevelsSpec> {
    let mut f = Fields::of(node, "`levels`", problems)?;
    let entries =
        [("warning", Severity::Warning), ("serious", Severity::Serious), ("critical", Severity::Critical)]
            .into_iter()
            .filter_map(|(key, severity)| Some((severity, f.get(key)?.clone())))
            .collect();
    f.finish();
    Some(LevelsSpec { entries, span: node.span })
}

fn alarm(node: &Node, problems: &Problems<'_>) -> Option<AlarmSpec> {
    let mut f = Fields::of(node, "an alarm", problems)?;
    let gate = f.get("gate").and_then(|n| {
        let mut g = Fields::of(n, "`gate`", problems)?;
        let spec =
            GateSpec { when: g.cel("when"), otherwise: g.word("otherwise", "clear, hold").map(|w| w.value) };
        if spec.when.is_none() {
            problems.add(n.span, "`gate` needs `when`");
        }
        g.finish();
        Some(spec)
    });
    let escalate = f.get("escalate").and_then(|n| {
        let mut e = Fields::of(n, "`escalate`", problems)?;
        let spec = EscalateSpec { responder: e.text("responder"), delay: e.seconds("delay"), span: n.span };
        e.finish();
        Some(spec)
    });
    let spec = AlarmSpec {
        value: f.cel("value"),
        levels: f.get("levels").and_then(|n| levels(n, problems)),
        direction: f.word("direction", "above, below").map(|w| w.value),
        hysteresis: f.number("hysteresis"),
        severity: f.cel("severity"),
        conditions: f.list("conditions", condition),
        join: f.word("join", "worst, all").map(|w| w.value),
        separator: f.text("separator"),
        gate,
        on_idle: f.word("on_idle", "clear, hold"),
        reason: f.text("reason"),
        from: f.word("from", FROM).map(|w| w.value),
        escalate,
        auto_acknowledge: f.seconds("auto_acknowledge"),
        auto_unacknowledge: f.seconds("auto_unacknowledge"),
        lift_mute: f.flag("lift_mute"),
        rearm_escalation: f.flag("rearm_escalation"),
        latch: f.word("latch", "level, one_shot"),
        inhibit_by: inhibit_by(f.get("inhibit_by"), problems),
        notices_per_minute: f.count("notices_per_minute"),
        span: f.span(),
    };
    f.finish();
    Some(spec)
}

/// One cause, or a list of them; each is a name or pattern, or a mapping.
fn inhibit_by(node: Option<&Node>, problems: &Problems<'_>) -> Vec<InhibitSpec> {
    let Some(node) = node else { return Vec::new() };
    let one = |node: &Node| -> Option<InhibitSpec> {
        let Yaml::Map(_) = &node.value else {
            return Some(InhibitSpec { alarm: text(node, "inhibit_by", problems)?, from: None });
        };
        let mut f = Fields::of(node, "a cause in `inhibit_by`", problems)?;
        let alarm = f.needed_text("alarm");
        let from = f.word("from", "warning, serious, critical");
        f.finish();
        Some(InhibitSpec { alarm: alarm?, from })
    };
    match &node.value {
        Yaml::List(all) => all.iter().filter_map(one).collect(),
        _ => one(node).into_iter().collect(),
    }
}

fn condition(node: &Node, problems: &Problems<'_>) -> Option<ConditionSpec> {
    let mut f = Fields::of(node, "a condition", problems)?;
    let spec = ConditionSpec {
        value: f.cel("value"),
        levels: f.get("levels").and_then(|n| levels(n, problems)),
        direction: f.word("direction", "above, below").map(|w| w.value),
        hysteresis: f.number("hysteresis"),
        severity: f.cel("severity"),
        hold: f.seconds("hold"),
        reason: f.text("reason"),
        span: f.span(),
    };
    f.finish();
    Some(spec)
}

fn report(node: &Node, problems: &Problems<'_>) -> Option<ReportSpec> {
    let mut f = Fields::of(node, "`report`", problems)?;
    let spec = ReportSpec { from: f.word("from", FROM).map(|w| w.value) };
    f.finish();
    Some(spec)
}

fn budget(node: &Node, problems: &Problems<'_>) -> Option<Budget> {
    let mut f = Fields::of(node, "`budget`", problems)?;
    let mut budget = Budget::default();
    let limit = |at: At<u64>| u32::try_from(at.value).unwrap_or(u32::MAX);
    if let Some(n) = f.count("runs_per_hour") {
        budget.runs_per_hour = limit(n);
    }
    if let Some(n) = f.count("commands_per_minute") {
        budget.commands_per_minute = limit(n);
    }
    if let Some(n) = f.count("evaluations_per_second") {
        budget.evaluations_per_second = limit(n);
    }
    if let Some(time) = f.seconds("evaluation_time") {
        budget.evaluation_time = std::time::Duration::from_secs_f64(time.value.0);
    }
    f.finish();
    Some(budget)
}

fn test(node: &Node, problems: &Problems<'_>) -> Option<TestSpec> {
    let mut f = Fields::of(node, "a test", problems)?;
    let name = f.needed_text("name");
    let spec = TestSpec {
        name: name.clone().unwrap_or(At { value: String::new(), span: node.span }),
        series: f.table("series", "series by input", |n, _| Some(Free(n.clone()))),
        results: f.table("results", "results by step", |n, _| Some(Free(n.clone()))),
        actions: f.list("actions", action),
        expect: f.list("expect", expect),
    };
    if spec.expect.is_empty() {
        problems.add(f.span(), "a test needs `expect`: what must be so, and when");
    }
    f.finish();
    name.map(|_| spec)
}

const SEVERITIES: &str = "none, warning, serious, critical";

fn action(node: &Node, problems: &Problems<'_>) -> Option<ActionSpec> {
    let mut f = Fields::of(node, "an action", problems)?;
    let span = f.span();
    if f.get("at").is_none() {
        problems.add(span, "`at` is missing");
    }
    let at = f.seconds("at");
    // A bare `trigger:` has no parameters.
    let trigger = f.entry("trigger").map(|(_, n)| Free(n.clone()));
    let acknowledge = f.word("acknowledge", SEVERITIES).map(|w| w.value);
    let (key, cancel, refused) = (f.text("key"), f.text("cancel"), f.text("refused"));
    if usize::from(trigger.is_some()) + usize::from(acknowledge.is_some()) + usize::from(cancel.is_some())
        != 1
    {
        problems.add(span, "an action is one of `trigger`, `acknowledge` and `cancel`");
    }
    if let Some(Free(node)) = &trigger
        && !matches!(node.value, Yaml::Null | Yaml::Map(_))
    {
        problems.add(node.span, "`trigger` has parameters, or nothing: {pipeline: x.yaml}");
    }
    f.finish();
    at.map(|at| ActionSpec { at, key, trigger, acknowledge, cancel, refused, span })
}

fn expect(node: &Node, problems: &Problems<'_>) -> Option<ExpectSpec> {
    let mut f = Fields::of(node, "an expectation", problems)?;
    if f.get("at").is_none() {
        problems.add(f.span(), "`at` is missing");
    }
    let spec = f.seconds("at").map(|at| ExpectSpec {
        at,
        key: f.text("key"),
        keys: f.count("keys"),
        severity: f.word("severity", SEVERITIES).map(|w| w.value),
        max_severity: f.word("max_severity", SEVERITIES).map(|w| w.value),
        acknowledged: f.flag("acknowledged"),
        reason: f.text("reason"),
        runs: f.count("runs"),
        skipped: f.count("skipped"),
        tasks: f.table("tasks", "states by step", |n, p| text(n, "a task's state", p)),
        error: f.text("error"),
        span: f.span(),
    });
    if spec.is_some() {
        f.finish();
    }
    spec
}

/// The byte range in the file of a byte range of a scalar's text. Where the text is not in the file as it is (escapes,
/// folded lines) it is the whole scalar.
pub(crate) fn inside(source: &str, scalar: Span, text: &str, part: (usize, usize)) -> Span {
    let written = source.get(scalar.0..scalar.0 + scalar.1).unwrap_or("");
    match written.find(text) {
        Some(at) if !text.is_empty() => (scalar.0 + at + part.0, part.1),
        _ => scalar,
    }
}
