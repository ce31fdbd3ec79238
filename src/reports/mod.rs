//! Reports: one self-contained HTML file for each run, with the plot of the data that fired the rule; and pages about a
//! stretch of time ([`timeline`], [`health`]).
//!
//! ```text
//! tasks::run::Run ─┐
//! About (the site) ┴► Report ─► render_html ─► String ─► outputs::report_folder (a name of its own, never overwritten)
//! ```
//!
//! Pure: no clock, no files. The page needs nothing from elsewhere and runs no script; what the rule, the bus or a backend
//! wrote is escaped, and the page forbids the browser everything but its own style.

pub mod health;
mod html;
mod scale;
mod svg;
mod graph;
mod text;
pub mod timeline;

use std::collections::BTreeMap;

use salobj::Tai;
use serde_json::{Map, Value as Json};

use crate::tasks::analysis::Plot;
use crate::tasks::run::{Run, StepRun};

pub use graph::{Graph, GraphBox};
pub use html::render_html;
pub use text::{escape, escape_line, number};

/// What a report shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Id of the run.
    pub run_id: String,
    /// Name of the rule.
    pub rule: String,
    /// Revision of the rule.
    pub revision: String,
    /// The rule's YAML.
    pub definition: String,
    /// Key, for a rule with `by`.
    pub key: Option<String>,
    /// The run that this one repeats.
    pub parent: Option<String>,
    /// What triggered it, as it entered the id.
    pub occurrence: String,
    /// When that was.
    pub triggered: Tai,
    /// First step begun.
    pub started: Option<Tai>,
    /// Last step ended.
    pub finished: Option<Tai>,
    /// Final state in words: `succeeded`.
    pub state: String,
    /// Why it did not succeed; empty if it did.
    pub error: String,
    /// The values of the rule's inputs when it fired.
    pub inputs: Map<String, Json>,
    /// When each input was sent, TAI s.
    pub stamps: BTreeMap<String, f64>,
    /// The parameters it ran with.
    pub parameters: Map<String, Json>,
    /// The steps in the order of the rule.
    pub steps: Vec<StepSection>,
    /// What the run itself does not know.
    pub about: About,
}

/// What the run itself does not know.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct About {
    /// The rule's description.
    pub description: String,
    /// Severity in words (`none`, `warning`, `serious`, `critical`); empty if the rule has no alarm.
    pub severity: String,
    /// The alarm's reason; empty if there is none.
    pub reason: String,
    /// The alarm's levels; a plot of what they judge shows them as lines.
    pub levels: Vec<Level>,
    /// (text, address) of what belongs to it: LFA, pipeline outputs, dashboard.
    pub links: Vec<(String, String)>,
    /// (name, version) of the software: the Catcher, its SAL interface, the site's configuration.
    pub versions: Vec<(String, String)>,
    /// Component and index, e.g. `Catcher:1`.
    pub catcher: String,
    /// `LSST_SITE`.
    pub site: String,
    /// When the report was made.
    pub created: Tai,
}

/// A level of the alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// `warning`, `serious` or `critical`.
    pub severity: String,
    /// Limit, in the unit of the value.
    pub value: f64,
    /// The expression that is judged, e.g. `tasks.forecast.result.predicted`.
    pub of: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSection {
    /// Name.
    pub name: String,
    /// Backend and what it did: `analysis trend`, `ocps`.
    pub backend: String,
    /// State in words.
    pub state: String,
    /// Attempts.
    pub attempts: u32,
    /// Id that the other side gave the work.
    pub backend_id: String,
    /// When the first attempt began.
    pub started: Option<Tai>,
    /// When it ended.
    pub finished: Option<Tai>,
    /// Its result; null if there is none.
    pub result: Json,
    /// Units of the result's keys.
    pub units: BTreeMap<String, String>,
    /// Where its data came from (`memory`, `kafka`, `efd`), if it read any.
    pub source: Option<String>,
    /// Whether its data were complete, if it read any.
    pub complete: Option<bool>,
    /// What it drew.
    pub plot: Option<Plot>,
    /// (name, address) of files that it left behind.
    pub files: Vec<(String, String)>,
    /// Why it did not succeed.
    pub error: String,
}

impl Report {
    /// The report of a run that has ended.
    pub fn of_run(run: &Run, about: About) -> Report {
        let header = &run.header;
        Report {
            run_id: header.id.clone(),
            rule: header.rule.clone(),
            revision: header.revision.clone(),
            definition: header.definition.clone(),
            key: header.key.clone(),
            parent: header.parent.clone(),
            occurrence: header.occurrence.clone(),
            triggered: header.at,
            started: run.started,
            finished: run.finished,
            state: run.state.to_string(),
            error: run.error.clone(),
            inputs: run.context.inputs.clone(),
            stamps: run.context.stamps.clone(),
            parameters: run.context.parameters.clone(),
            steps: run.steps.iter().filter(|s| s.item.is_none()).map(StepSection::of).collect(),
            about,
        }
    }

    /// Name of its file below the folder of all reports: `<day_obs>/<rule>_<run id>.html`. Different runs have different
    /// names; characters that a file system or a URL may not like become underscores.
    pub fn file_name(&self) -> String {
        let plain = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
                .collect()
        };
        // The id is unique; the rule is there for people.
        let rule: String = plain(&self.rule).chars().take(100).collect();
        format!("{}/{}_{}.html", self.triggered.day_obs(), rule.trim_start_matches('.'), plain(&self.run_id))
    }
}

impl StepSection {
    fn of(step: &StepRun) -> StepSection {
        let mut result = step.result.clone();
        // The analysis backend adds these three to the analysis' own numbers.
        let mut take = |key: &str| result.as_object_mut().and_then(|object| object.shift_remove(key));
        // Those of single items are too many for a page.
        if step.plan.foreach.is_some() {
            take("results");
        }
        // Of files there is a list of its own.
        if !step.files.is_empty() {
            take("files");
        }
        let units = take("units").and_then(|units| serde_json::from_value(units).ok()).unwrap_or_default();
        let source = take("source").and_then(|source| source.as_str().map(str::to_owned));
        let complete = take("complete").and_then(|complete| complete.as_bool());
        StepSection {
            name: step.plan.name.clone(),
            backend: format!("{} {}", step.plan.backend, step.plan.operation).trim_end().to_owned(),
            state: step.state.to_string(),
            attempts: step.attempt,
            backend_id: step.backend_id.clone(),
            started: step.started,
            finished: step.finished,
            result,
            units,
            source,
            complete,
            plot: step.plot.clone(),
            files: step.files.iter().map(|f| (f.name.clone(), f.url.clone())).collect(),
            error: step.error.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
