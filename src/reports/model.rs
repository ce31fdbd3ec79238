//! What a report shows, as plain data.

use std::collections::BTreeMap;

use salobj::Tai;
use serde_json::{Map, Value as Json};

use crate::tasks::analysis::Plot;

/// Units by key of a result.
pub type Units = BTreeMap<String, String>;

/// What a report shows.
#[derive(Debug, Clone, PartialEq, Default)]
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
    /// How it came to that end, in sentences; empty if all its steps succeeded.
    pub ending: String,
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
    /// Where the report of the run is that this one repeats; empty if there is none.
    pub parent_url: String,
    /// (text, address) of what belongs to it: LFA, pipeline outputs, dashboard.
    pub links: Vec<(String, String)>,
    /// (name, version) of the software: the Catcher, its SAL interface, the site's configuration.
    pub versions: Vec<(String, String)>,
    /// Component and index, e.g. `Catcher:1`.
    pub catcher: String,
    /// `LSST_SITE`.
    pub site: String,
    /// `LSST_TOPIC_SUBNAME`: which bus it ran on.
    pub bus: String,
    /// Address of the folder of all reports, without a slash at the end; empty if it is not known.
    pub base: String,
    /// Pictures among the files of steps, by their address: they are shown in the page.
    pub images: BTreeMap<String, Image>,
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

/// A picture that goes into the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// `image/png`, `image/jpeg` or `image/svg+xml`.
    pub kind: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Image {
    /// The kind of picture that a name stands for, if a page can show it.
    pub fn kind_of(name: &str) -> Option<&'static str> {
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "png" => Some("image/png"),
            "jpg" | "jpeg" => Some("image/jpeg"),
            "svg" => Some("image/svg+xml"),
            _ => None,
        }
    }
}

/// A file that a step left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLink {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Its size, if it is known.
    pub bytes: Option<u64>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepSection {
    /// Name.
    pub name: String,
    /// Backend and what it did: `analysis trend`, `ocps`.
    pub backend: String,
    /// State in words.
    pub state: String,
    /// What the rule says about it beyond what it does: that it is there for failures, that its failure does not count.
    pub notes: Vec<String>,
    /// Attempts.
    pub attempts: u32,
    /// Id that the other side gave the work.
    pub backend_id: String,
    /// When the first attempt began.
    pub started: Option<Tai>,
    /// When it ended.
    pub finished: Option<Tai>,
    /// What it was asked to do, templates filled in; null if it was not begun.
    pub params: Json,
    /// Its result; null if there is none.
    pub result: Json,
    /// Units of the result's keys.
    pub units: Units,
    /// Where its data came from (`memory`, `kafka`, `efd`), if it read any.
    pub source: Option<String>,
    /// Whether its data were complete, if it read any.
    pub complete: Option<bool>,
    /// What it drew.
    pub plots: Vec<Plot>,
    /// Files that it left behind.
    pub files: Vec<FileLink>,
    /// Why it did not succeed.
    pub error: String,
    /// For a step with `foreach`: its items.
    pub fan: Option<FanOut>,
}

/// The items of a step with `foreach`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FanOut {
    /// So many were under way at a time at most.
    pub max_parallel: usize,
    /// So many might fail.
    pub may_fail: usize,
    /// In the order of the list.
    pub items: Vec<ItemRow>,
}

/// One item of a `foreach`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ItemRow {
    /// Its place in the list, from 0.
    pub index: usize,
    /// What it is.
    pub value: Json,
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
    pub units: Units,
    /// What it drew.
    pub plot: Option<Plot>,
    /// Files that it left behind.
    pub files: Vec<FileLink>,
    /// Why it did not succeed.
    pub error: String,
}

impl Report {
    /// Name of its file below the folder of all reports: `<day_obs>/<rule>_<run id>.html`. Different runs have different
    /// names; characters that a file system or a URL may not like become underscores.
    pub fn file_name(&self) -> String {
        // The id is unique; the rule is there for people.
        format!("{}/{}_{}.html", self.triggered.day_obs(), plain_rule(&self.rule), plain(&self.run_id))
    }
}

/// The name of a rule as it stands in names of files.
pub(super) fn plain_rule(rule: &str) -> String {
    let rule: String = plain(rule).chars().take(100).collect();
    rule.trim_start_matches('.').to_owned()
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}
