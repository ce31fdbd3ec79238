//! Runs as the bus tells of them, and how they are shown.

use std::io::Write;

use comfy_table::{Table, presets};
use salobj::{Sample, Tai};
use serde_json::{Value as Json, json};

use crate::alarms::Severity;
use crate::tasks::state::TaskState;

/// One `task` event: of a run (`step` empty) or of one of its steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) task_id: String,
    pub(super) rule: String,
    pub(super) step: String,
    state: i64,
    attempt: i64,
    backend: String,
    backend_id: String,
    parent: String,
    started: f64,
    finished: f64,
    severity: i64,
    result: String,
    report_url: String,
    pub(super) error: String,
}

impl Told {
    pub(super) fn of(sample: &Sample) -> Told {
        let text = |field: &str| sample.str(field).to_owned();
        Told {
            task_id: text("taskId"),
            rule: text("ruleName"),
            step: text("step"),
            state: sample.i64("state"),
            attempt: sample.i64("attempt"),
            backend: text("backend"),
            backend_id: text("backendId"),
            parent: text("parentTaskId"),
            started: sample.f64("timestampStarted"),
            finished: sample.f64("timestampFinished"),
            severity: sample.i64("severity"),
            result: text("result"),
            report_url: text("reportUrl"),
            error: text("error"),
        }
    }

    fn task_state(&self) -> Option<TaskState> {
        TaskState::ALL.into_iter().find(|s| s.value() == self.state)
    }

    pub(super) fn state_word(&self) -> &'static str {
        self.task_state().map_or("unknown", TaskState::word)
    }

    /// The address of a file that the step left behind.
    pub(super) fn file(&self, name: &str) -> Option<String> {
        let result: Json = serde_json::from_str(&self.result).ok()?;
        let files = result.get("files").or_else(|| result.get("summary")?.get("files"))?;
        Some(files.get(name)?.as_str()?.to_owned())
    }

    /// True for the step of an item of a `foreach`.
    fn is_item(&self) -> bool {
        self.step.ends_with(']')
    }

    fn json(&self) -> Json {
        let result = serde_json::from_str(&self.result).unwrap_or_else(|_| json!(self.result));
        let time = |t: f64| if t == 0.0 { Json::Null } else { json!(t) };
        json!({
            "taskId": self.task_id, "ruleName": self.rule, "step": self.step, "state": self.state_word(),
            "attempt": self.attempt, "backend": self.backend, "backendId": self.backend_id,
            "parentTaskId": self.parent, "timestampStarted": time(self.started),
            "timestampFinished": time(self.finished), "severity": self.severity,
            "result": if self.result.is_empty() { Json::Null } else { result },
            "reportUrl": self.report_url, "error": self.error,
        })
    }
}

/// A run and its steps, as far as they were told.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    head: Option<Told>,
    /// In the order in which they were first told.
    steps: Vec<Told>,
}

impl Run {
    /// True if it is news.
    pub(super) fn take(&mut self, told: Told) -> bool {
        let place = match told.step.as_str() {
            "" => match &mut self.head {
                Some(head) => head,
                None => {
                    self.head = Some(told);
                    return true;
                }
            },
            step => match self.steps.iter_mut().find(|s| s.step == step) {
                Some(known) => known,
                None => {
                    self.steps.push(told);
                    return true;
                }
            },
        };
        let news = *place != told;
        *place = told;
        news
    }

    /// True if the run itself was told, not only a step of it.
    pub(super) fn is_whole(&self) -> bool {
        self.head.is_some()
    }

    fn state(&self) -> Option<TaskState> {
        self.head.as_ref()?.task_state()
    }

    pub(super) fn rule(&self) -> &str {
        self.head.as_ref().or(self.steps.first()).map_or("", |told| told.rule.as_str())
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().is_some_and(TaskState::is_final)
    }

    pub(super) fn succeeded(&self) -> bool {
        self.state() == Some(TaskState::Succeeded)
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state(), Some(TaskState::Failed | TaskState::TimedOut))
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = &Told> {
        self.steps.iter()
    }

    pub(super) fn step(&self, name: &str) -> Option<&Told> {
        self.steps.iter().find(|s| s.step == name)
    }

    /// "3/5": steps that have ended, of all.
    fn progress(&self) -> String {
        let ended = |s: &&Told| s.task_state().is_some_and(TaskState::is_final);
        format!("{}/{}", self.steps.iter().filter(ended).count(), self.steps.len())
    }

    fn json(&self) -> Json {
        let mut told = self.head.as_ref().map_or_else(|| json!({}), Told::json);
        told["steps"] = self.steps.iter().map(Told::json).collect();
        told
    }
}

/// A table of runs, the newest first, or a JSON list.
pub(super) fn list<'a>(
    runs: impl Iterator<Item = &'a Run>,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut runs: Vec<&Run> = runs.collect();
    let begun = |run: &Run| run.head.as_ref().map_or(0.0, |head| head.started);
    runs.sort_by(|a, b| (a.is_over()).cmp(&b.is_over()).then(begun(b).total_cmp(&begun(a))));
    if as_json {
        let all: Vec<Json> = runs.iter().map(|run| run.json()).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    let mut table = table(&["run", "rule", "state", "steps", "severity", "started (UTC)", "took", "error"]);
    for head in runs.iter().filter_map(|run| Some((*run, run.head.as_ref()?))) {
        let (run, head) = head;
        table.add_row([
            head.task_id.as_str(),
            &head.rule,
            head.state_word(),
            &run.progress(),
            Severity::try_from(head.severity).map_or("", Severity::name),
            &utc(head.started),
            &took(head),
            first_line(&head.error),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// One run with its steps.
pub(super) fn one(run: &Run, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&run.json())?)?;
        return Ok(());
    }
    let Some(head) = &run.head else { return Ok(()) };
    writeln!(out, "run {} of rule {}: {}", head.task_id, head.rule, head.state_word())?;
    let severity = Severity::try_from(head.severity).map_or("", Severity::name);
    for (what, text) in [
        ("repeats", &head.parent),
        ("started", &utc(head.started)),
        ("took", &took(head)),
        ("severity", &severity.to_owned()),
        ("report", &head.report_url),
        ("error", &head.error),
    ] {
        if !text.is_empty() {
            writeln!(out, "  {what:<9} {text}")?;
        }
    }
    let mut table = table(&["step", "state", "attempt", "backend", "id", "took", "result or error"]);
    for step in &run.steps {
        let told = if step.error.is_empty() { &step.result } else { &step.error };
        table.add_row([
            step.step.as_str(),
            step.state_word(),
            &step.attempt.to_string(),
            &step.backend,
            &step.backend_id,
            &took(step),
            &short(told),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// What changed, as it comes. Of the items of a `foreach` the count is told, and each that fails.
pub(super) fn change(run: &Run, told: &Told, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if as_json {
        writeln!(out, "{}", told.json())?;
        return Ok(());
    }
    let ended = told.task_state().is_some_and(TaskState::is_final);
    if told.is_item() && !ended {
        return Ok(());
    }
    let what = if told.step.is_empty() { "run" } else { &told.step };
    let at = utc(if ended { told.finished } else { told.started });
    let error = if told.error.is_empty() { String::new() } else { format!(": {}", first_line(&told.error)) };
    let progress = if told.is_item() { format!(" ({})", items(run, &told.step)) } else { String::new() };
    writeln!(out, "{at:<19}  {} {} {what} {}{progress}{error}", told.task_id, told.rule, told.state_word())?;
    Ok(())
}

/// "120/189": the items of the same step that have ended.
fn items(run: &Run, step: &str) -> String {
    let base = step.split('[').next().unwrap_or_default();
    let own = || run.steps.iter().filter(|s| s.is_item() && s.step.split('[').next() == Some(base));
    let ended = own().filter(|s| s.task_state().is_some_and(TaskState::is_final)).count();
    format!("{ended}/{}", own().count())
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.force_no_tty();
    table.set_header(head);
    table
}

fn utc(tai: f64) -> String {
    if tai == 0.0 { String::new() } else { Tai(tai).utc_iso().chars().take(19).collect() }
}

fn took(told: &Told) -> String {
    let whole = told.started > 0.0 && told.finished >= told.started;
    if whole { format!("{:.1} s", told.finished - told.started) } else { String::new() }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// At most so many characters of a line.
fn short(text: &str) -> String {
    const MOST: usize = 80;
    let line = first_line(text);
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line.to_owned(),
    }
}
