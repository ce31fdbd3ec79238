//! Runs as the bus tells of them.

use std::fmt;

use salobj::Sample;
use serde_json::{Value as Json, json};

use crate::tasks::state::TaskState;

/// One `task` event: of a run (`step` empty) or of one of its steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) task_id: String,
    pub(super) rule: String,
    pub(super) step: String,
    pub(super) state: i64,
    pub(super) attempt: i64,
    pub(super) backend: String,
    pub(super) backend_id: String,
    pub(super) parent: String,
    pub(super) started: f64,
    pub(super) finished: f64,
    pub(super) severity: i64,
    pub(super) result: String,
    pub(super) report_url: String,
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

    pub(super) fn task_state(&self) -> Option<TaskState> {
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
    pub(super) fn is_item(&self) -> bool {
        self.step.ends_with(']')
    }

    /// The step of the rule: `isr` for the item `isr[3]`.
    pub(super) fn base(&self) -> &str {
        self.step.split('[').next().unwrap_or_default()
    }

    /// True if the name is that of the step, or of the step whose item it is.
    pub(super) fn is(&self, name: &str) -> bool {
        self.step == name || (self.is_item() && self.base() == name)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.task_state().is_some_and(TaskState::is_final)
    }

    /// It ended otherwise than well, and not because it was not begun.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.task_state(), Some(TaskState::Failed | TaskState::TimedOut | TaskState::Aborted))
    }

    pub(super) fn json(&self) -> Json {
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
    pub(super) head: Option<Told>,
    /// In the order in which they were first told.
    pub(super) steps: Vec<Told>,
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

    /// How many of the steps that are wanted stand how.
    pub(super) fn counts(&self, wanted: impl Fn(&Told) -> bool) -> Counts {
        let mut counts = Counts::default();
        for step in self.steps.iter().filter(|s| wanted(s)) {
            counts.all += 1;
            counts.ended += usize::from(step.has_ended());
            counts.failed += usize::from(step.has_failed());
            let under_way = matches!(step.task_state(), Some(TaskState::Running | TaskState::Retrying));
            counts.running += usize::from(under_way);
        }
        counts
    }

    /// Those of the items of a step.
    pub(super) fn items(&self, of: &str) -> Counts {
        self.counts(|s| s.is_item() && s.base() == of)
    }

    /// "3/5": steps of the rule that have ended, of all; and of the items that are under way.
    pub(super) fn progress(&self) -> String {
        let own = self.counts(|s| !s.is_item());
        let mut text = format!("{}/{}", own.ended, own.all);
        for group in self.steps.iter().filter(|s| !s.is_item() && !s.has_ended()) {
            let items = self.items(&group.step);
            if items.all > 0 {
                text.push_str(&format!(", {} {}/{}", group.step, items.ended, items.all));
            }
        }
        text
    }

    pub(super) fn json(&self) -> Json {
        let mut told = self.head.as_ref().map_or_else(|| json!({}), Told::json);
        told["steps"] = self.steps.iter().map(Told::json).collect();
        told
    }
}

/// How many steps stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) all: usize,
    pub(super) ended: usize,
    pub(super) failed: usize,
    pub(super) running: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} done", self.ended, self.all)?;
        for (n, word) in [(self.failed, "failed"), (self.running, "running")] {
            if n > 0 {
                write!(f, ", {n} {word}")?;
            }
        }
        Ok(())
    }
}
