//! What follows from the decisions of the engine and of the runs.
//!
//! Effects lead to run actions and run actions to further engine inputs; both are worked off here until nothing is left,
//! so that one input of the core is one consistent step.

use std::sync::Arc;

use salobj::Tai;
use serde_json::{Value as Json, json};

use super::history::EVIDENCE_BYTES;
use super::{Core, Event, Output, ResultEvent, TaskEvent};
use crate::alarms::{Finding, Severity};
use crate::journal::Record;
use crate::rules::{Effect, Input as RuleInput, Mode, Rule, RunRequest};
use crate::tasks::call::StepReport;
use crate::tasks::large;
use crate::tasks::run::{Run, RunAction, RunHeader, StepRun};
use crate::tasks::runs::SharedPlan;
use crate::tasks::state::TaskState;

impl Core {
    /// Feeds the engine and works off everything that follows; false if nothing did.
    pub(super) fn engine_step(&mut self, input: RuleInput<'_>, now: Tai, out: &mut Vec<Output>) -> bool {
        let mut effects = std::mem::take(&mut self.effects);
        self.engine.step(input, now, &mut effects);
        let any = !effects.is_empty();
        if any {
            self.work_off(&mut effects, now, out);
        }
        self.effects = effects;
        any
    }

    /// Works off effects, and whatever they cause, until nothing is left.
    pub(super) fn work_off(&mut self, effects: &mut Vec<Effect>, now: Tai, out: &mut Vec<Output>) {
        let mut actions = Vec::new();
        loop {
            for effect in std::mem::take(effects) {
                self.effect(effect, now, &mut actions, effects, out);
            }
            if actions.is_empty() {
                return;
            }
            for action in std::mem::take(&mut actions) {
                self.action(action, now, &mut actions, effects, out);
            }
        }
    }

    fn effect(
        &mut self,
        effect: Effect,
        now: Tai,
        actions: &mut Vec<RunAction>,
        more: &mut Vec<Effect>,
        out: &mut Vec<Output>,
    ) {
        self.checkpoint_due = true;
        match effect {
            Effect::StartRun(request) => {
                self.start_run(request, now, actions, more);
            }
            Effect::QueueRun(request) => {
                let (header, plan) = header(&request);
                self.rule_of_run.insert(header.id.clone(), request.rule.clone());
                self.runs.queue(header, request.context, plan, actions);
            }
            Effect::SkipRun { run_id, rule, key, occurrence, at, reason } => {
                let header = header_of(&run_id, &rule, key, &occurrence, at);
                self.rule_of_run.remove(&run_id);
                self.runs.skip(header, Default::default(), plan_of(&rule), reason.to_string(), now, actions);
            }
            Effect::CancelRun { run_id, rule } => {
                let reason = format!("a newer occurrence of rule {} takes its place", rule.name);
                if let Err(refused) = self.runs.cancel(&run_id, &reason, now, actions) {
                    out.push(Output::Warn(format!("run {run_id} is to make way: {refused}")));
                }
            }
            Effect::SetSeverity { rule, alarm, severity, reason, run_id, evidence } => {
                self.set_severity(&rule, &alarm, severity, reason, run_id, now, actions);
                if let Some(evidence) = evidence {
                    self.book.testify(&alarm, || evidence.json(EVIDENCE_BYTES));
                }
            }
            Effect::KeySeen { rule, alarm } => self.ensure_alarm(&rule, &alarm),
            Effect::KeyGone { rule, alarm } => {
                // Of that name there may be the alarm of another rule meanwhile.
                if self.book.owner(&alarm) == Some(rule.name.as_str()) {
                    self.remove_alarm(&alarm, out);
                }
            }
            Effect::RuleError { rule, error } => {
                if self.rules.set_error(&rule.name, error) {
                    self.changed_rules.insert(rule.name.clone());
                }
            }
            Effect::Quarantine { rule, reason } => {
                out.push(Output::Warn(format!("rule {} is quarantined: {reason}", rule.name)));
                self.rules.quarantine(&rule.name, Some(reason));
                self.changed_rules.insert(rule.name.clone());
            }
        }
    }

    fn start_run(
        &mut self,
        request: RunRequest,
        now: Tai,
        actions: &mut Vec<RunAction>,
        more: &mut Vec<Effect>,
    ) {
        let (header, plan) = header(&request);
        let id = header.id.clone();
        if !self.enabled && !self.runs.knows(&id) {
            self.runs.queue(header, request.context, plan, actions);
            self.rule_of_run.insert(id, request.rule);
        } else if !self.enabled && self.runs.active().any(|run| run.id() == id) {
            // The next of a queue: nothing begins outside ENABLED. See `begin_waiting`.
        } else if self.runs.start(header, request.context, plan, now, actions) {
            self.triggered(&request.rule.name, request.at);
            self.rule_of_run.insert(id, request.rule);
        } else if self.runs.active().all(|run| run.id() != id) {
            // Seen before (records read again after a restart) and over: the engine must not wait for its end.
            self.engine.step(RuleInput::RunEnded { rule: &request.rule.name, run_id: &id }, now, more);
        }
    }

    fn triggered(&mut self, rule: &str, at: Tai) {
        self.rules.set_triggered(rule, at);
        self.unsaved_rules.insert(rule.to_owned());
        self.changed_rules.insert(rule.to_owned());
    }

    /// Entering ENABLED: the runs whose turn came while nothing was to begin.
    pub(super) fn begin_waiting(&mut self, now: Tai, out: &mut Vec<Output>) {
        let waiting: Vec<String> =
            self.runs.active().filter(|r| r.state == TaskState::Pending).map(|r| r.id().to_owned()).collect();
        let mut actions = Vec::new();
        for id in waiting {
            let (Some(run), Some(rule)) = (self.runs.get(&id), self.rule_of_run.get(&id).cloned()) else {
                continue;
            };
            if !self.engine_lists(&rule.name, "running").contains(&id) {
                continue;
            }
            let (header, context) = (run.header.clone(), run.context.clone());
            if header.start_before.0 < now.0 {
                let reason = "its trigger is older than max_event_age";
                drop(self.runs.cancel(&id, reason, now, &mut actions));
                continue;
            }
            let at = header.at;
            self.runs.start(header, context, plan_of(&rule), now, &mut actions);
            self.triggered(&rule.name, at);
        }
        self.work_off_actions(actions, now, out);
    }

    /// The runs that the engine counts as `running`, or has in its `queue`.
    pub(super) fn engine_lists(&self, rule: &str, list: &str) -> Vec<String> {
        let state = self.engine.checkpoint(rule).unwrap_or_default();
        let all = state.get(list).and_then(Json::as_array).cloned().unwrap_or_default();
        let id = |entry: &Json| entry.as_str().or_else(|| entry.get("run_id")?.as_str()).map(str::to_owned);
        all.iter().filter_map(id).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one effect")]
    fn set_severity(
        &mut self,
        rule: &Arc<Rule>,
        alarm: &str,
        severity: Severity,
        reason: String,
        run_id: Option<String>,
        now: Tai,
        actions: &mut Vec<RunAction>,
    ) {
        if let Some(id) = &run_id {
            self.runs.judged(id, severity.into(), now, actions);
        }
        if rule.mode == Mode::Shadow {
            return;
        }
        let report_url = run_id.as_ref().and_then(|id| self.runs.get(id)).map(|run| run.report_url.clone());
        let finding =
            Finding { severity, reason, task_id: run_id, report_url: report_url.filter(|u| !u.is_empty()) };
        if self.book.set_severity(alarm, finding.clone(), now).is_err() {
            self.ensure_alarm(rule, alarm);
            self.book.set_severity(alarm, finding, now).expect("the alarm has just been made");
        }
    }

    fn action(
        &mut self,
        action: RunAction,
        now: Tai,
        actions: &mut Vec<RunAction>,
        effects: &mut Vec<Effect>,
        out: &mut Vec<Output>,
    ) {
        match action {
            RunAction::RunChanged { run_id } => self.changed_task(run_id, String::new()),
            RunAction::StepChanged { run_id, step } => self.changed_task(run_id, step),
            RunAction::Dispatch(call) => out.push(Output::Dispatch(call)),
            RunAction::Resume(call) => out.push(Output::Resume(call)),
            RunAction::Abort { id, stop } => out.push(Output::Abort { id, stop }),
            // `Runs` gives the deletion with its records.
            RunAction::Forget(_) => {}
            RunAction::StepEnded { run_id, step, .. } => {
                self.step_result(&run_id, &step, now, effects, out);
                if let Some(run) = self.runs.get(&run_id) {
                    let input =
                        RuleInput::StepEnded { rule: &run.header.rule, run_id: &run_id, ctx: &run.context };
                    self.engine.step(input, now, effects);
                }
            }
            RunAction::RunEnded { run_id } => {
                // Severities that the last step caused come first: they belong to this run's result.
                for effect in std::mem::take(effects) {
                    self.effect(effect, now, actions, effects, out);
                }
                self.run_ended(&run_id, now, effects, out);
            }
        }
    }

    fn run_ended(&mut self, run_id: &str, now: Tai, effects: &mut Vec<Effect>, out: &mut Vec<Output>) {
        let rule = self.rule_of_run.get(run_id).cloned();
        let Some(run) = self.runs.get(run_id) else { return };
        self.engine.step(RuleInput::RunEnded { rule: &run.header.rule, run_id }, now, effects);
        if run.state == TaskState::Skipped || run.started.is_none() {
            self.rule_of_run.remove(run_id);
            return;
        }
        out.push(Output::Publish(Event::Result(result_event(run, rule.as_deref()))));
        let severity = Severity::try_from(run.severity).unwrap_or_default();
        if rule.is_some_and(|rule| rule.report.includes(severity)) {
            out.push(Output::WriteReport { run_id: run_id.to_owned() });
        } else {
            self.rule_of_run.remove(run_id);
        }
    }

    pub(super) fn report(&mut self, report: StepReport, now: Tai, out: &mut Vec<Output>) {
        let mut actions = Vec::new();
        self.runs.report(report, now, &mut actions);
        self.work_off_actions(actions, now, out);
    }

    pub(super) fn report_written(
        &mut self,
        run_id: &str,
        url: Result<String, String>,
        now: Tai,
        out: &mut Vec<Output>,
    ) {
        let rule = self.rule_of_run.remove(run_id);
        match url {
            Ok(url) => {
                let mut actions = Vec::new();
                self.runs.reported(run_id, &url, now, &mut actions);
                self.work_off_actions(actions, now, out);
                let key = self.runs.get(run_id).and_then(|run| run.header.key.clone());
                if let Some(rule) = rule.filter(|rule| rule.alarm.is_some())
                    && let Err(unknown) = self.book.set_report(&rule.alarm_name(key.as_deref()), run_id, &url)
                {
                    out.push(Output::Warn(format!("report of run {run_id}: {unknown}")));
                }
            }
            Err(reason) => {
                out.push(Output::Warn(format!("the report of run {run_id} could not be written: {reason}")))
            }
        }
    }

    /// False if nothing came of it.
    pub(super) fn tick_runs(&mut self, now: Tai, out: &mut Vec<Output>) -> bool {
        if self.runs.next_deadline().is_none_or(|at| at.0 > now.0) {
            return false;
        }
        let mut actions = Vec::new();
        self.runs.tick(now, &mut actions);
        self.work_off_actions(actions, now, out);
        true
    }

    pub(super) fn work_off_actions(&mut self, actions: Vec<RunAction>, now: Tai, out: &mut Vec<Output>) {
        let mut effects = Vec::new();
        let mut actions = actions;
        while !actions.is_empty() {
            for action in std::mem::take(&mut actions) {
                self.action(action, now, &mut actions, &mut effects, out);
            }
        }
        if !effects.is_empty() {
            self.work_off(&mut effects, now, out);
        }
    }

    fn changed_task(&mut self, run_id: String, step: String) {
        let key = (run_id, step);
        if !self.changed_tasks.contains(&key) {
            self.changed_tasks.push(key);
        }
    }

    /// After every input: records of everything that changed, then the events.
    pub(super) fn settle(&mut self, now: Tai, out: &mut Vec<Output>) {
        let alarms = self.changed_alarms(now, out);
        for (key, value) in self.runs.take_records() {
            out.push(Output::Record(Record { key, value }));
        }
        for (name, record) in self.book.take_unsaved() {
            let value = record.map(|r| serde_json::to_value(r).expect("an alarm record is plain data"));
            out.push(Output::Record(Record { key: format!("alarm/{name}"), value }));
        }
        for name in std::mem::take(&mut self.unsaved_rules) {
            let memory = self.rules.get(&name).map(|e| e.memory()).filter(|m| **m != Default::default());
            let value = memory.map(|m| serde_json::to_value(m).expect("plain data"));
            out.push(Output::Record(Record { key: format!("rule/{name}"), value }));
        }
        for (run_id, step) in std::mem::take(&mut self.changed_tasks) {
            if let Some(run) = self.runs.get(&run_id) {
                out.push(Output::Publish(Event::Task(task_event(run, &step))));
            }
        }
        for snapshot in alarms {
            out.push(Output::Publish(Event::Alarm(snapshot)));
        }
        self.tell(out);
        self.chronicle(now, out);
        for name in std::mem::take(&mut self.changed_rules) {
            self.publish_rule(&name, out);
        }
        self.publish_summary(now, out);
    }

    /// Records of every rule whose state differs from what the journal has; only those that had to do with anything since
    /// the last time are looked at.
    pub(super) fn checkpoint(&mut self, out: &mut Vec<Output>) {
        self.checkpoint_due = false;
        let Self { rules, engine, saved_states, .. } = self;
        for (name, _) in rules.iter() {
            if !engine.take_touched(name) {
                continue;
            }
            let state = engine.checkpoint(name);
            if state.as_ref() != saved_states.get(name) {
                out.push(Output::Record(Record { key: format!("engine/{name}"), value: state.clone() }));
                match state {
                    Some(state) => saved_states.insert(name.to_owned(), state),
                    None => saved_states.remove(name),
                };
            }
        }
    }
}

/// The `task` event of a run, or of one of its steps.
pub(super) fn task_event(run: &Run, step: &str) -> TaskEvent {
    let common = TaskEvent {
        task_id: run.id().to_owned(),
        rule_name: run.header.rule.clone(),
        parent_task_id: run.header.parent.clone().unwrap_or_default(),
        severity: run.severity.max(i64::from(Severity::None)),
        report_url: run.report_url.clone(),
        ..TaskEvent::default()
    };
    let seconds = |t: Option<Tai>| t.map_or(0.0, |t| t.0);
    let Some(step) = run.step_named(step) else {
        return TaskEvent {
            state: run.state.value(),
            timestamp_started: seconds(run.started),
            timestamp_finished: seconds(run.finished),
            error: run.error.clone(),
            ..common
        };
    };
    TaskEvent {
        step: step.name().to_owned(),
        state: step.state.value(),
        attempt: i64::from(step.attempt),
        backend: step.plan.backend.clone(),
        backend_id: step.backend_id.clone(),
        timestamp_started: seconds(step.started),
        timestamp_finished: seconds(step.finished),
        result: large::of_step(step),
        error: step.error.clone(),
        ..common
    }
}

/// The `result` event of a run that ended.
pub(super) fn result_event(run: &Run, rule: Option<&Rule>) -> ResultEvent {
    ResultEvent {
        task_id: run.id().to_owned(),
        rule_name: run.header.rule.clone(),
        severity: run.severity.max(i64::from(Severity::None)),
        value: rule.and_then(|rule| rule.judged_value(&run.context)).unwrap_or(f64::NAN),
        result: results(run),
        finished: run.finished.unwrap_or_default(),
    }
}

fn results(run: &Run) -> Json {
    let all = |large: bool| -> Json {
        let own = run.steps.iter().filter(|s| s.item.is_none());
        let result = |s: &StepRun| if large { large::summary(s) } else { s.result.clone() };
        own.map(|s| (s.name().to_owned(), json!({"state": s.state.word(), "result": result(s)}))).collect()
    };
    let whole = all(false);
    if whole.to_string().len() <= large::MOST_BYTES { whole } else { all(true) }
}

fn header(request: &RunRequest) -> (RunHeader, SharedPlan) {
    let header =
        header_of(&request.run_id, &request.rule, request.key.clone(), &request.occurrence, request.at);
    (header, plan_of(&request.rule))
}

pub(super) fn header_of(
    id: &str,
    rule: &Arc<Rule>,
    key: Option<String>,
    occurrence: &str,
    at: Tai,
) -> RunHeader {
    RunHeader {
        id: id.to_owned(),
        rule: rule.name.clone(),
        revision: rule.revision.clone(),
        definition: rule.definition.clone(),
        key,
        occurrence: occurrence.to_owned(),
        at,
        start_before: at + rule.trigger.max_event_age,
        parent: None,
    }
}

pub(super) fn plan_of(rule: &Arc<Rule>) -> SharedPlan {
    rule.clone()
}
