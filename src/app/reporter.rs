//! Writes the report of a run that ended: one HTML file, kept under a name of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::handle::CoreHandle;
use crate::csc::Site;
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
}

/// The part that writes reports.
pub struct Reporter {
    jobs: mpsc::Receiver<ReportJob>,
    folder: PathBuf,
    core: CoreHandle,
    site: Arc<Site>,
    own_base: String,
}

/// A queue for reports to be written below `folder`, and the part that writes them. `own_base` is the address of the
/// folder if the site gives none.
pub fn reporter(folder: PathBuf, core: CoreHandle, site: Arc<Site>, own_base: String) -> (mpsc::Sender<ReportJob>, Reporter) {
    let (sender, jobs) = mpsc::channel(QUEUE);
    (sender, Reporter { jobs, folder, core, site, own_base })
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
            let written = tokio::task::spawn_blocking(move || write(&folder, &job));
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
fn write(folder: &Path, job: &ReportJob) -> Result<String, String> {
    let report = crate::reports::of_run(&job.run, &job.rule);
    let name = report.file_name();
    let path = folder.join(&name);
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if path.exists() {
        return Ok(name);
    }
    let parent = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(failed)?;
    let mut file = tempfile_in(parent).map_err(failed)?;
    file.1.write_all(crate::reports::render_html(&report).as_bytes()).map_err(failed)?;
    file.1.sync_all().map_err(failed)?;
    std::fs::rename(&file.0, &path).map_err(failed)?;
    Ok(name)
}

/// A new file beside the report: a crash leaves no half of a report under its name.
fn tempfile_in(folder: &Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    let path = folder.join(format!(".writing-{}", std::process::id()));
    let file = std::fs::File::create(&path)?;
    Ok((path, file))
}
