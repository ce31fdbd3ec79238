//! What is checked at the end, from the events that a `Remote` read back, the EFD that a client asks, and the files.

use std::collections::BTreeMap;

use salobj::{Tai, Value};
use serde::Serialize;

use super::stage::Stage;
use super::story::{AlarmStory, RunStory, Story};
use crate::outputs::efd::SeriesQuery;

/// Rule and alarm of the first scenario.
const WIND: &str = "Wind.Forecast";

/// Rule and alarm of the second.
const JITTER: &str = "Jitter.AuxTel";

/// One thing that is to be so.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    /// What.
    pub(super) what: &'static str,
    /// Whether.
    pub(super) ok: bool,
    /// What was seen.
    pub(super) seen: String,
}

/// The summary of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// True if every check is.
    pub(super) ok: bool,
    /// Real time from start to end, s.
    pub(super) duration_s: f64,
    /// Seconds of the demo clock for one real one.
    pub(super) speed: f64,
    /// The checks.
    pub(super) checks: Vec<Check>,
    /// Alarms by name.
    pub(super) alarms: BTreeMap<String, AlarmStory>,
    /// Runs by id.
    pub(super) runs: BTreeMap<String, RunStory>,
    /// Results found in the EFD: run id to value.
    pub(super) efd_results: BTreeMap<String, f64>,
    /// Events seen, by topic.
    pub(super) events: BTreeMap<String, u64>,
}

/// True once everything that is waited for has been told.
pub(super) fn told(story: &Story, calm: bool) -> bool {
    calm || (wind_came_and_went(story)
        && ocps_job(story).is_some()
        && reports(story, WIND) > 0
        && reports(story, JITTER) > 0)
}

pub(super) async fn of(stage: &Stage, story: &Story, calm: bool) -> Summary {
    let expected = story.runs.values().filter(|run| !run.result.is_null()).count();
    let (efd_results, efd_error) = match efd_results(stage, expected).await {
        Ok(results) => (results, None),
        Err(error) => (BTreeMap::new(), Some(error)),
    };
    let mut checks = if calm { calm_checks(story) } else { eventful_checks(stage, story) };
    if !calm {
        let missing: Vec<&String> = story
            .runs
            .iter()
            .filter(|(id, run)| run.value.is_some() && !efd_results.contains_key(*id))
            .map(|(id, _)| id)
            .collect();
        let seen = match efd_error {
            Some(error) => error,
            None => format!("{} results, {} missing", efd_results.len(), missing.len()),
        };
        checks.push(Check {
            what: "the results are in the EFD",
            ok: missing.is_empty() && !efd_results.is_empty(),
            seen,
        });
    }
    Summary {
        ok: checks.iter().all(|check| check.ok),
        duration_s: stage.real_elapsed().as_secs_f64(),
        speed: stage.clock.speed(),
        checks,
        alarms: story.alarms.clone(),
        runs: story.runs.clone(),
        efd_results,
        events: story.events.clone(),
    }
}

fn calm_checks(story: &Story) -> Vec<Check> {
    let raised = story.alarms.values().filter(|a| a.raised_at.is_some()).count();
    let started = story.runs.len();
    let reports = story.runs.values().filter(|run| !run.report_url.is_empty()).count();
    let none = |what, count: usize| Check { what, ok: count == 0, seen: count.to_string() };
    vec![none("alarms raised", raised), none("runs started", started), none("reports written", reports)]
}

fn eventful_checks(stage: &Stage, story: &Story) -> Vec<Check> {
    let wind = story.alarms.get(WIND);
    let seen = wind.map_or_else(
        || "no alarm event".to_owned(),
        |a| {
            format!(
                "severity up to {}, raised {}, cleared {}",
                a.max_severity,
                time(a.raised_at),
                time(a.cleared_at)
            )
        },
    );
    let job = ocps_job(story);
    let files =
        |rule| story.runs.values().filter(|r| r.rule == rule && stage.report_exists(&r.report_url)).count();
    let (wind_reports, jitter_reports) = (files(WIND), files(JITTER));
    vec![
        Check { what: "the wind alarm rose and cleared", ok: wind_came_and_went(story), seen },
        Check {
            what: "the jitter run commanded OCPS and got its result",
            ok: job.is_some(),
            seen: job.unwrap_or_else(|| "no job".to_owned()),
        },
        Check {
            what: "OCPS was commanded once",
            ok: stage.jobs_commanded() == 1,
            seen: format!("{} commands reached it", stage.jobs_commanded()),
        },
        Check { what: "the wind report exists", ok: wind_reports > 0, seen: format!("{wind_reports} files") },
        Check {
            what: "the jitter report exists",
            ok: jitter_reports > 0,
            seen: format!("{jitter_reports} files"),
        },
    ]
}

fn wind_came_and_went(story: &Story) -> bool {
    story.alarms.get(WIND).is_some_and(|a| a.max_severity > 1 && a.cleared_at.is_some() && a.severity == 1)
}

/// The OCPS job of a jitter run that ended well.
fn ocps_job(story: &Story) -> Option<String> {
    story.succeeded(JITTER).find_map(|(id, run)| {
        let result = run.result.get("isr")?.get("result")?;
        let code = result.get("exit_code")?.as_i64()?;
        let job = run.backend_ids.get("isr")?;
        Some(format!("run {id}, rms {:.3} arcsec, job {job}, exit code {code}", run.value?))
    })
}

fn reports(story: &Story, rule: &str) -> usize {
    story.runs.values().filter(|run| run.rule == rule && !run.report_url.is_empty()).count()
}

fn time(at: Option<f64>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| Tai(at).utc_iso())
}

async fn efd_results(stage: &Stage, expected: usize) -> Result<BTreeMap<String, f64>, String> {
    let fields = vec!["taskId".to_owned(), "value".to_owned()];
    let range = (stage.start, stage.clock.now());
    let query = SeriesQuery::sal("Catcher", "logevent_result", Some(i64::from(stage.index)), fields, range);
    let mut table = stage.efd.query(&query).await;
    // The outbox sends a moment after the result was published.
    for _ in 0..20 {
        if table.as_ref().is_ok_and(|t| t.times.len() >= expected) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        table = stage.efd.query(&query).await;
    }
    let table = table.map_err(|e| e.to_string())?;
    let column = |name: &str| table.column(name).map(|c| c.cells.clone()).unwrap_or_default();
    let (ids, values) = (column("taskId"), column("value"));
    let mut results = BTreeMap::new();
    for (id, value) in ids.iter().zip(values) {
        if let Value::Text(id) = id {
            results.insert(id.to_string(), if let Value::Double(v) = value { v } else { f64::NAN });
        }
    }
    Ok(results)
}
