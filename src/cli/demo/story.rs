//! What happened, as the Catcher's own events tell it: lines to look at, and a summary to check. Fed by a `Remote`, so
//! that every number was read back from the bus.

use std::collections::BTreeMap;

use salobj::{Sample, Tai};
use serde::Serialize;

/// Names of the `TaskState` values.
const STATES: [&str; 9] =
    ["", "pending", "running", "retrying", "succeeded", "failed", "aborted", "timed out", "skipped"];

/// Names of the `AlarmSeverity` values.
const SEVERITIES: [&str; 5] = ["", "none", "warning", "serious", "critical"];

/// One line of the story.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Time on the demo clock.
    pub(super) at: Tai,
    /// How it is to look.
    pub(super) mood: Mood,
    /// What it is about, e.g. `alarm`.
    pub(super) what: &'static str,
    /// A sentence.
    pub(super) text: String,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Nothing special.
    Plain,
    /// Good news.
    Good,
    /// Look here.
    Warning,
    /// Bad news.
    Bad,
}

/// What is known of one alarm.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct AlarmStory {
    /// When its severity first rose, TAI s.
    pub(super) raised_at: Option<f64>,
    /// Worst severity seen.
    pub(super) max_severity: i64,
    /// When it went back to none after that.
    pub(super) cleared_at: Option<f64>,
    /// Present severity.
    pub(super) severity: i64,
    /// Last reason.
    pub(super) reason: String,
    /// Report that the alarm linked to last.
    pub(super) report_url: String,
}

/// What is known of one run.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct RunStory {
    /// Rule.
    pub(super) rule: String,
    /// State of the run.
    pub(super) state: String,
    /// State of each step.
    pub(super) steps: BTreeMap<String, String>,
    /// Id that the other side gave the work, by step.
    pub(super) backend_ids: BTreeMap<String, String>,
    /// Value that was judged.
    pub(super) value: Option<f64>,
    /// Results of the steps.
    pub(super) result: serde_json::Value,
    /// Where the report is.
    pub(super) report_url: String,
    /// Severity that it was judged.
    pub(super) severity: i64,
}

/// See the module's documentation.
#[derive(Debug, Default, Serialize)]
pub(super) struct Story {
    /// Alarms by name.
    pub(super) alarms: BTreeMap<String, AlarmStory>,
    /// Runs by id.
    pub(super) runs: BTreeMap<String, RunStory>,
    /// Events seen, by topic.
    pub(super) events: BTreeMap<String, u64>,
}

impl Story {
    /// Takes one event of the Catcher; a line if it is worth one.
    pub(super) fn event(&mut self, topic: &str, sample: &Sample) -> Option<Line> {
        *self.events.entry(topic.to_owned()).or_default() += 1;
        let at = sample.sent();
        match topic {
            "alarm" => self.alarm(at, sample),
            "task" => self.task(at, sample),
            "result" => self.result(at, sample),
            "summaryState" => {
                let state = ["", "DISABLED", "ENABLED", "FAULT", "OFFLINE", "STANDBY"]
                    .get(index(sample, "summaryState"))?;
                let mood = if *state == "FAULT" { Mood::Bad } else { Mood::Plain };
                Some(Line { at, mood, what: "state", text: format!("the Catcher is {state}") })
            }
            "rule" => {
                let state = ["", "loaded", "enabled", "disabled", "shadow", "failed", "removed"]
                    .get(index(sample, "state"))?;
                let error = sample.str("error");
                if !error.is_empty() {
                    return None;
                }
                Some(Line {
                    at,
                    mood: Mood::Plain,
                    what: "rule",
                    text: format!("{} is {state}", sample.str("ruleName")),
                })
            }
            _ => None,
        }
    }

    fn alarm(&mut self, at: Tai, sample: &Sample) -> Option<Line> {
        let name = sample.str("alarmName").to_owned();
        let severity = sample.i64("severity");
        let alarm = self.alarms.entry(name.clone()).or_insert_with(|| AlarmStory {
            severity: 1,
            max_severity: 1,
            ..AlarmStory::default()
        });
        let before = std::mem::replace(&mut alarm.severity, severity);
        alarm.max_severity = alarm.max_severity.max(severity);
        alarm.reason = sample.str("reason").to_owned();
        if !sample.str("reportUrl").is_empty() {
            alarm.report_url = sample.str("reportUrl").to_owned();
        }
        if severity > 1 && alarm.raised_at.is_none() {
            alarm.raised_at = Some(at.0);
        }
        if severity == 1 && before > 1 {
            alarm.cleared_at = Some(at.0);
            return Some(Line { at, mood: Mood::Good, what: "alarm", text: format!("{name} has cleared") });
        }
        if severity == before {
            return None;
        }
        let mood = if severity >= 4 { Mood::Bad } else { Mood::Warning };
        let word = SEVERITIES.get(usize::try_from(severity).unwrap_or(0)).copied().unwrap_or("unknown");
        Some(Line {
            at,
            mood,
            what: "alarm",
            text: format!("{name} {}: {}", word.to_uppercase(), sample.str("reason")),
        })
    }

    fn task(&mut self, at: Tai, sample: &Sample) -> Option<Line> {
        let id = sample.str("taskId").to_owned();
        let state = STATES.get(index(sample, "state")).copied().unwrap_or("unknown").to_owned();
        let step = sample.str("step").to_owned();
        let rule = sample.str("ruleName").to_owned();
        let run = self.runs.entry(id.clone()).or_default();
        run.rule.clone_from(&rule);
        run.severity = sample.i64("severity");
        if step.is_empty() {
            let news =
                run.state != state || (run.report_url.is_empty() && !sample.str("reportUrl").is_empty());
            run.state.clone_from(&state);
            run.report_url = sample.str("reportUrl").to_owned();
            return news.then(|| run_line(at, &rule, &id, &state, sample));
        }
        let id_before = run.backend_ids.get(&step).cloned().unwrap_or_default();
        let backend_id = sample.str("backendId").to_owned();
        let named = backend_id != id_before && !backend_id.is_empty();
        if named {
            run.backend_ids.insert(step.clone(), backend_id.clone());
        }
        let changed = run.steps.insert(step.clone(), state.clone()).as_ref() != Some(&state);
        if !changed && !named {
            return None;
        }
        let mood = match state.as_str() {
            "failed" | "timed out" | "aborted" => Mood::Bad,
            _ => Mood::Plain,
        };
        let job = if named { format!(", job {backend_id}") } else { String::new() };
        let error = sample.str("error");
        let error = if error.is_empty() { String::new() } else { format!(": {error}") };
        let text = format!("{rule} step {step} ({}) {state}{job}{error}", sample.str("backend"));
        Some(Line { at, mood, what: "task", text })
    }

    fn result(&mut self, at: Tai, sample: &Sample) -> Option<Line> {
        let run = self.runs.entry(sample.str("taskId").to_owned()).or_default();
        let value = sample.f64("value");
        run.value = value.is_finite().then_some(value);
        run.result = serde_json::from_str(sample.str("result")).unwrap_or_default();
        let value = run.value.map_or_else(|| "no value".to_owned(), |v| format!("{v:.3}"));
        let severity = SEVERITIES.get(index(sample, "severity")).copied().unwrap_or("unknown");
        let text = format!("{}: {value}, severity {severity}", sample.str("ruleName"));
        Some(Line { at, mood: Mood::Plain, what: "result", text })
    }

    /// Runs of a rule that have ended well.
    pub(super) fn succeeded<'a>(&'a self, rule: &'a str) -> impl Iterator<Item = (&'a String, &'a RunStory)> {
        self.runs.iter().filter(move |(_, run)| run.rule == rule && run.state == "succeeded")
    }

    /// True if no run is under way.
    pub(super) fn idle(&self) -> bool {
        self.runs.values().all(|run| !matches!(run.state.as_str(), "" | "pending" | "running" | "retrying"))
    }
}

fn run_line(at: Tai, rule: &str, id: &str, state: &str, sample: &Sample) -> Line {
    let report = sample.str("reportUrl");
    if !report.is_empty() {
        return Line { at, mood: Mood::Good, what: "report", text: report.to_owned() };
    }
    let mood = match state {
        "succeeded" => Mood::Good,
        "failed" | "timed out" | "aborted" => Mood::Bad,
        _ => Mood::Plain,
    };
    Line { at, mood, what: "run", text: format!("{rule} run {id} {state}") }
}

fn index(sample: &Sample, field: &str) -> usize {
    usize::try_from(sample.i64(field)).unwrap_or(0)
}
