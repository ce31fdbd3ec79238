//! Writes the report of a run that ended: one HTML file, kept under a name of its own.

use std::sync::Arc;

use salobj::Tai;
use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::handle::CoreHandle;
use crate::alarms::Severity;
use crate::csc::Site;
use crate::outputs::report_folder::ReportFolder;
use crate::reports::{About, Level, Report, render_html};
use crate::rules::Rule;
use crate::tasks::run::Run;

/// Reports that may wait to be written.
const QUEUE: usize = 64;

/// A run whose report is to be written.
#[derive(Debug, Clone)]
pub struct ReportJob {
    /// The run, ended.
    pub run: Run,
    /// Its rule.
    pub rule: Arc<Rule>,
    /// What the alarm says, if it does.
    pub reason: String,
    /// Now.
    pub created: Tai,
}

/// The part that writes reports.
pub struct Reporter {
    jobs: mpsc::Receiver<ReportJob>,
    folder: ReportFolder,
    core: CoreHandle,
    site: Arc<Site>,
    own_base: String,
    catcher: String,
    site_name: String,
}

/// Where reports go, and what they say about this process.
#[derive(Debug, Clone)]
pub struct ReportPlace {
    /// Folder.
    pub folder: ReportFolder,
    /// Address of the folder, if the site gives none.
    pub own_base: String,
    /// `Catcher:1`.
    pub catcher: String,
    /// `LSST_SITE`.
    pub site_name: String,
}

/// A queue for reports to be written, and the part that writes them.
pub fn reporter(
    place: ReportPlace,
    core: CoreHandle,
    site: Arc<Site>,
) -> (mpsc::Sender<ReportJob>, Reporter) {
    let (sender, jobs) = mpsc::channel(QUEUE);
    let ReportPlace { folder, own_base, catcher, site_name } = place;
    (sender, Reporter { jobs, folder, core, site, own_base, catcher, site_name })
}

impl Reporter {
    /// Writes what comes, one after the other.
    ///
    /// # Errors
    /// Never by itself: a report that cannot be written is told to the core.
    pub async fn run(mut self) -> Result<(), String> {
        while let Some(job) = self.jobs.recv().await {
            let run_id = job.run.id().to_owned();
            let base = self.site.config().map(|c| c.report_url.clone()).filter(|url| !url.is_empty());
            let base = base.unwrap_or_else(|| self.own_base.clone());
            let folder = self.folder.clone();
            let (catcher, site_name) = (self.catcher.clone(), self.site_name.clone());
            let written = tokio::task::spawn_blocking(move || write(&folder, &job, &catcher, &site_name));
            let url = match written.await {
                Ok(Ok(name)) => Ok(format!("{}/{name}", base.trim_end_matches('/'))),
                Ok(Err(error)) => Err(error),
                Err(panic) => Err(format!("rendering failed: {panic}")),
            };
            self.core.report_written(run_id, url).await;
        }
        Ok(())
    }
}

/// Writes the file; gives its name relative to the folder. A report that is there already is that of this very run (its
/// id is in the name), written before a crash: it stays.
fn write(folder: &ReportFolder, job: &ReportJob, catcher: &str, site_name: &str) -> Result<String, String> {
    let report = Report::of_run(&job.run, about(job, catcher, site_name));
    let name = report.file_name();
    folder.write(&name, render_html(&report)).map_err(|e| e.to_string())?;
    Ok(name)
}

fn about(job: &ReportJob, catcher: &str, site_name: &str) -> About {
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
        catcher: catcher.to_owned(),
        site: site_name.to_owned(),
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
