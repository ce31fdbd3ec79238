//! A report from a run that has ended.

use salobj::Tai;
use serde_json::Value as Json;

use super::ending::ending;
use super::model::{About, FanOut, FileLink, ItemRow, Report, StepSection, Units};
use crate::tasks::analysis::plot::thinned;
use crate::tasks::analysis::{Line, LineKind, Panel, Plot};
use crate::tasks::plan::OnFailure;
use crate::tasks::run::{Run, StepRun};

/// Columns of a table over time that are drawn.
const MOST_PANELS: usize = 4;

impl Report {
    /// The report of a run that has ended.
    pub fn of_run(run: &Run, about: About) -> Report {
        let header = &run.header;
        let steps = run.steps.iter().filter(|s| s.item.is_none());
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
            ending: ending(run),
            inputs: run.context.inputs.clone(),
            stamps: run.context.stamps.clone(),
            parameters: run.context.parameters.clone(),
            steps: steps.map(|step| StepSection::of(run, step)).collect(),
            about,
        }
    }
}

/// A result without what the page shows apart from it.
struct Parts {
    result: Json,
    units: Units,
    source: Option<String>,
    complete: Option<bool>,
    files: Vec<FileLink>,
}

fn parts(step: &StepRun) -> Parts {
    let mut result = step.result.clone();
    let mut take = |key: &str| result.as_object_mut().and_then(|object| object.shift_remove(key));
    let units = take("units").and_then(|units| serde_json::from_value(units).ok()).unwrap_or_default();
    let source = take("source").and_then(|source| source.as_str().map(str::to_owned));
    let complete = take("complete").and_then(|complete| complete.as_bool());
    // A step that failed has its files in its result only.
    let told = take("files");
    let told = told.iter().filter_map(Json::as_object).flatten();
    let told = told.filter_map(|(name, url)| {
        Some(FileLink { name: name.clone(), url: url.as_str()?.to_owned(), bytes: None })
    });
    let mut files: Vec<FileLink> = step
        .files
        .iter()
        .map(|f| FileLink { name: f.name.clone(), url: f.url.clone(), bytes: Some(f.bytes) })
        .collect();
    for file in told {
        if files.iter().all(|f| f.url != file.url) {
            files.push(file);
        }
    }
    Parts { result, units, source, complete, files }
}

impl StepSection {
    fn of(run: &Run, step: &StepRun) -> StepSection {
        let Parts { mut result, units, source, complete, files } = parts(step);
        let fan = step.plan.foreach.as_ref().map(|foreach| {
            let items: Vec<ItemRow> =
                run.steps.iter().filter_map(|s| ItemRow::of(&step.plan.name, s)).collect();
            FanOut {
                max_parallel: foreach.max_parallel,
                may_fail: foreach.allow_failures.of(items.len()),
                items,
            }
        });
        if fan.is_some()
            && let Some(result) = result.as_object_mut()
        {
            // All of this the items tell themselves.
            result
                .retain(|key, _| !["n", "succeeded", "failed", "results", "errors"].contains(&key.as_str()));
        }
        let plots = step.plot.clone().or_else(|| over_time(&step.plan.name, &result)).into_iter().collect();
        StepSection {
            name: step.plan.name.clone(),
            backend: format!("{} {}", step.plan.backend, step.plan.operation).trim_end().to_owned(),
            state: step.state.to_string(),
            notes: notes(step),
            attempts: step.attempt,
            backend_id: step.backend_id.clone(),
            started: step.started,
            finished: step.finished,
            params: step.params.clone(),
            result,
            units,
            source,
            complete,
            plots,
            files,
            error: step.error.clone(),
            fan,
        }
    }
}

impl ItemRow {
    /// If the step is that of an item of `group`.
    fn of(group: &str, step: &StepRun) -> Option<ItemRow> {
        let item = step.item.as_ref().filter(|item| item.of == group)?;
        let Parts { result, units, files, .. } = parts(step);
        Some(ItemRow {
            index: item.index,
            value: item.value.clone(),
            state: step.state.to_string(),
            attempts: step.attempt,
            backend_id: step.backend_id.clone(),
            started: step.started,
            finished: step.finished,
            result,
            units,
            plot: step.plot.clone(),
            files,
            error: step.error.clone(),
        })
    }
}

fn notes(step: &StepRun) -> Vec<String> {
    let mut notes = Vec::new();
    if step.plan.for_failure {
        notes.push("is run only after a failure, once all other steps have ended".to_owned());
    }
    match step.plan.on_failure {
        OnFailure::Fail => {}
        OnFailure::Continue => {
            notes.push("its failure does not make the run fail (on_failure: continue)".to_owned())
        }
        OnFailure::Stop => notes.push("its failure stops all other steps (on_failure: stop)".to_owned()),
    }
    notes
}

/// A plot of a result that is a table over time: `{time: [...], columns: {name: [...]}}`.
fn over_time(step: &str, result: &Json) -> Option<Plot> {
    let numbers = |list: &Json| -> Option<Vec<f64>> {
        list.as_array()?.iter().map(|v| if v.is_null() { Some(f64::NAN) } else { v.as_f64() }).collect()
    };
    let times = numbers(result.get("time")?)?;
    let panel = |(name, list): (&String, &Json)| {
        let values = numbers(list).filter(|values| values.len() == times.len())?;
        if values.iter().filter(|v| v.is_finite()).count() < 2 {
            return None;
        }
        let (times, values) = thinned(&times, &values);
        let line = Line { label: name.clone(), kind: LineKind::Data, times, values };
        Some(Panel { label: name.clone(), lines: vec![line], ..Panel::default() })
    };
    let panels: Vec<Panel> =
        result.get("columns")?.as_object()?.iter().filter_map(panel).take(MOST_PANELS).collect();
    let title = format!("What step {step} read");
    (!panels.is_empty()).then(|| Plot { title, panels, ..Plot::default() })
}

/// From the begin of one moment to another, s.
pub(super) fn took(started: Option<Tai>, finished: Option<Tai>) -> Option<f64> {
    Some((finished? - started?).max(0.0))
}
