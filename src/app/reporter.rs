//! Writes the report of a run that ended: one HTML file, kept under a name of its own; and keeps the lists of all reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use salobj::Tai;
use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::handle::CoreHandle;
use super::report_index::ReportIndex;
use crate::alarms::Severity;
use crate::outputs::lfa::{Lfa, ReportUrl, path_of};
use crate::outputs::report_folder::ReportFolder;
use crate::reports::index::Entry;
use crate::reports::{About, Image, Level, Report, render_html};
use crate::rules::Rule;
use crate::tasks::call::StepId;
use crate::tasks::run::Run;
use crate::tasks::state::TaskState;

/// Reports that may wait to be written.
const QUEUE: usize = 64;
/// Lists are written when nothing else is to be done, or after so many reports.
const LISTED_AFTER: usize = 32;
/// Pictures that go into a report: so many, so large each, so large in all. Others are linked.
const PICTURES: usize = 24;
const PICTURE_BYTES: u64 = 1 << 20;
const PICTURES_BYTES: u64 = 6 << 20;

/// A run whose report is to be written.
#[derive(Debug, Clone)]
pub struct ReportJob {
    /// The run, ended.
    pub run: Run,
    /// Its rule.
    pub rule: Arc<Rule>,
    /// What the alarm says, if it does.
    pub reason: String,
    /// Where the report of the run is that it repeats, if that is known.
    pub parent_url: String,
    /// Now.
    pub created: Tai,
}

/// The part that writes reports.
pub struct Reporter {
    jobs: mpsc::Receiver<ReportJob>,
    folder: ReportFolder,
    core: CoreHandle,
    lfa: Arc<Lfa>,
    of: Of,
}

/// What reports say about this process.
#[derive(Debug, Clone)]
struct Of {
    catcher: String,
    site_name: String,
    bus: String,
}

/// Where reports go, and what they say about this process.
#[derive(Debug, Clone)]
pub struct ReportPlace {
    /// Folder.
    pub folder: ReportFolder,
    /// Who looks after it once it is written.
    pub lfa: Arc<Lfa>,
    /// `Catcher:1`.
    pub catcher: String,
    /// `LSST_SITE`.
    pub site_name: String,
    /// `LSST_TOPIC_SUBNAME`.
    pub bus: String,
}

/// A queue for reports to be written, and the part that writes them.
pub fn reporter(place: ReportPlace, core: CoreHandle) -> (mpsc::Sender<ReportJob>, Reporter) {
    let (sender, jobs) = mpsc::channel(QUEUE);
    let ReportPlace { folder, lfa, catcher, site_name, bus } = place;
    (sender, Reporter { jobs, folder, core, lfa, of: Of { catcher, site_name, bus } })
}

impl Reporter {
    /// Writes what comes, one after the other.
    ///
    /// # Errors
    /// Never by itself: a report that cannot be written is told to the core.
    pub async fn run(mut self) -> Result<(), String> {
        let mut lists =
            Some(ReportIndex::new(&self.folder, format!("{} at {}", self.of.catcher, self.of.site_name)));
        list(&mut lists, ReportIndex::catch_up).await;
        let mut unlisted = 0;
        while let Some(job) = self.jobs.recv().await {
            let run_id = job.run.id().to_owned();
            let (rule, at) = (job.run.header.rule.clone(), job.run.header.at);
            let (folder, of, base) = (self.folder.clone(), self.of.clone(), self.lfa.own_base());
            let written = tokio::task::spawn_blocking(move || write(&folder, &job, &of, base));
            let url = match written.await {
                Ok(Ok(entry)) => {
                    let name = format!("{}/{}", entry.night, entry.file);
                    if let Some(lists) = &mut lists {
                        lists.added(entry);
                    }
                    Ok(self.lfa.report(&name, &run_id, &rule, at).await)
                }
                Ok(Err(error)) => Err(error),
                Err(panic) => Err(format!("rendering failed: {panic}")),
            };
            match url {
                Ok(ReportUrl::Now(url)) => self.core.report_written(run_id, Ok(url)).await,
                Ok(ReportUrl::Later) => {}
                Err(error) => self.core.report_written(run_id, Err(error)).await,
            }
            unlisted += 1;
            if self.jobs.is_empty() || unlisted >= LISTED_AFTER {
                unlisted = 0;
                list(&mut lists, ReportIndex::write).await;
            }
        }
        Ok(())
    }
}

/// Brings the lists up to date. A list that cannot be written is no reason to do without reports.
async fn list(
    lists: &mut Option<ReportIndex>,
    work: impl FnOnce(&mut ReportIndex) -> std::io::Result<()> + Send + 'static,
) {
    let Some(mut index) = lists.take() else { return };
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&mut index);
        (index, done)
    });
    match done.await {
        Ok((index, done)) => {
            if let Err(error) = done {
                tracing::warn!("lists of reports: {error}");
            }
            *lists = Some(index);
        }
        Err(panic) => tracing::error!("lists of reports are no longer written: {panic}"),
    }
}

/// Writes the file; gives what the lists say of it. A report that is there already is that of this very run (its id is in the
/// name), written before a crash: it stays.
fn write(folder: &ReportFolder, job: &ReportJob, of: &Of, base: String) -> Result<Entry, String> {
    let mut report = Report::of_run(&job.run, about(job, of, base));
    report.about.images = pictures(folder, &job.run);
    folder.write(&report.file_name(), render_html(&report)).map_err(|e| e.to_string())?;
    Ok(Entry::of(&report))
}

/// The pictures that steps left behind in our folder, those of steps that did not succeed first.
fn pictures(folder: &ReportFolder, run: &Run) -> BTreeMap<String, Image> {
    let (good, bad): (Vec<_>, Vec<_>) = run.steps.iter().partition(|s| s.state == TaskState::Succeeded);
    let mut images = BTreeMap::new();
    let mut left = PICTURES_BYTES;
    for step in bad.into_iter().chain(good) {
        // A step that failed has its files in its result only.
        let told = step.result.get("files").and_then(Json::as_object).into_iter().flatten();
        let told = told.filter_map(|(name, url)| Some((name, url.as_str()?)));
        for (name, url) in step.files.iter().map(|f| (&f.name, f.url.as_str())).chain(told) {
            let Some(kind) = Image::kind_of(name).filter(|_| !images.contains_key(url)) else { continue };
            let id =
                StepId { run_id: run.id().to_owned(), step: step.plan.name.clone(), attempt: step.attempt };
            let Some(path) = folder.file(&path_of(&id, name)) else { continue };
            let size = std::fs::metadata(&path).map_or(u64::MAX, |m| m.len());
            if images.len() >= PICTURES || size > PICTURE_BYTES.min(left) {
                continue;
            }
            if let Ok(bytes) = std::fs::read(path) {
                left = left.saturating_sub(bytes.len() as u64);
                images.insert(url.to_owned(), Image { kind, bytes });
            }
        }
    }
    images
}

fn about(job: &ReportJob, of: &Of, base: String) -> About {
    let severity = Severity::try_from(job.run.severity).map(|s| s.name().to_lowercase());
    About {
        description: job.rule.description.clone(),
        severity: if job.rule.alarm.is_some() {
            severity.unwrap_or_else(|_| "none".to_owned())
        } else {
            String::new()
        },
        reason: job.reason.clone(),
        levels: levels(&job.rule),
        links: Vec::new(),
        versions: vec![("Catcher".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
        parent_url: job.parent_url.clone(),
        catcher: of.catcher.clone(),
        site: of.site_name.clone(),
        bus: of.bus.clone(),
        base,
        images: BTreeMap::new(),
        created: job.created,
    }
}

/// The levels as the definition has them: numbers only, a condition has no place on an axis.
fn levels(rule: &Rule) -> Vec<Level> {
    let Ok(definition) = serde_saphyr::from_str::<Json>(&rule.definition) else { return Vec::new() };
    let alarm = &definition["rules"][0]["alarm"];
    let of = alarm["value"].as_str().unwrap_or_default();
    let levels = alarm["levels"].as_object().into_iter().flatten();
    levels
        .filter_map(|(severity, value)| {
            Some(Level { severity: severity.clone(), value: value.as_f64()?, of: of.to_owned() })
        })
        .collect()
}
