//! The runs as the journal of the Catcher has them, read beside the running process or after its death.

use std::collections::BTreeMap;
use std::path::Path;

use catcher::journal::frame;
use serde_json::Value;

/// What is known of all runs so far.
#[derive(Default)]
pub(crate) struct Runs {
    all: BTreeMap<String, Run>,
}

/// One run of a rule with one step.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: String,
    /// Its backend, by the name of its rule.
    pub(crate) kind: String,
    /// Number of the message that triggered it.
    pub(crate) n: i64,
    /// `running`, `succeeded`, ...
    pub(crate) state: String,
    pub(crate) error: String,
    pub(crate) stopping: bool,
    pub(crate) step: Step,
}

/// Its step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) state: String,
    pub(crate) attempt: u64,
    pub(crate) dispatched: bool,
    /// What its backend recorded of the attempt under way.
    pub(crate) memo: Option<Value>,
}

impl Run {
    pub(crate) fn is_over(&self) -> bool {
        ["succeeded", "failed", "aborted", "timed_out", "skipped"].contains(&self.state.as_str())
    }
}

impl Runs {
    /// Reads what the journal below that folder has now.
    pub(crate) fn read(&mut self, folder: &Path) {
        let records = newest(&folder.join("data/journal"));
        let mut memos: BTreeMap<String, Value> = BTreeMap::new();
        for (key, value) in records {
            if let Some(id) = key.strip_prefix("run/") {
                self.note(id, value);
            } else if let Some(key) = key.strip_prefix("command/") {
                match value {
                    Some(memo) => drop(memos.insert(key.to_owned(), memo)),
                    None => drop(memos.remove(key)),
                }
            }
        }
        for run in self.all.values_mut() {
            run.step.memo = memos.get(&format!("{}/a/{}", run.id, run.step.attempt)).cloned();
        }
    }

    fn note(&mut self, id: &str, value: Option<Value>) {
        let Some(value) = value else { return };
        if let Some(ended) = value["ended"].as_str() {
            // Long over: of these the journal keeps no more than that.
            if let Some(run) = self.all.get_mut(id) {
                ended.clone_into(&mut run.state);
            }
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let step = &value["steps"][0];
        let run = Run {
            id: id.to_owned(),
            kind: text(&value["header"]["rule"]).trim_start_matches("Kill.").to_owned(),
            n: whole(&value["context"]["inputs"]["go"]).expect("every rule is triggered by a number"),
            state: text(&value["state"]),
            error: text(&value["error"]) + &text(&step["error"]),
            stopping: !value["stopping"].is_null(),
            step: Step {
                state: text(&step["state"]),
                attempt: step["attempt"].as_u64().unwrap_or_default(),
                dispatched: step["dispatched"] == true,
                memo: None,
            },
        };
        self.all.insert(id.to_owned(), run);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Run> {
        self.all.values()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Run> {
        self.all.get(id)
    }
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|n| n as i64))
}

/// All changes that the newest segment holds, in order.
fn newest(folder: &Path) -> Vec<(String, Option<Value>)> {
    loop {
        let files = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let own =
            |path: &std::path::PathBuf| name(path).starts_with("journal-") && name(path).ends_with(".log");
        let Some(path) = files.map(|file| file.path()).filter(own).max() else { return Vec::new() };
        // It may have been replaced by a newer one just now.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let scan = frame::scan(&bytes).expect("the journal is whole, but for the append that was cut short");
        let records = scan.frames.into_iter().flat_map(|frame| frame.records);
        return records.map(|record| (record.key, record.value)).collect();
    }
}
