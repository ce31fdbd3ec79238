//! The backends of steps, made in one place: those that are always there, and those that the site's configuration makes.
//!
//! A new backend is one line in [`FIXED`] or one entry in [`CONFIGURED`]. In SAL simulation mode 1 all but `analysis` are those
//! of [`crate::sim::backends`]: nothing is sent to another component and nothing outside this process is touched.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sal_idl::Library;
use salobj::{Clock, Domain};

use super::{Secrets, StartError};
use crate::config::{CatcherConfig, allows};
use crate::csc::Site;
use crate::csc::site::SiteEfd;
use crate::outputs::notify::Notify;
use crate::rules::{Rule, SchemaSource};
use crate::sim;
use crate::tasks::peers::Peers;
use crate::tasks::series::SeriesSource;
use crate::tasks::shelf::Shelf;
use crate::tasks::steps::analysis::AnalysisBackend;
use crate::tasks::steps::batch::BatchBackend;
use crate::tasks::steps::command::CommandBackend;
use crate::tasks::steps::efd_query::EfdQueryBackend;
use crate::tasks::steps::http::HttpBackend;
use crate::tasks::steps::influx_task::InfluxTaskBackend;
use crate::tasks::steps::notebook::NotebookBackend;
use crate::tasks::steps::noteburst::NoteburstBackend;
use crate::tasks::steps::ocps::OcpsBackend;
use crate::tasks::steps::sal::SalBackend;
use crate::tasks::steps::script_queue::ScriptQueueBackend;
use crate::tasks::steps::slack::SlackBackend;
use crate::tasks::steps::times_square::TimesSquareBackend;
use crate::tasks::steps::uws::{OcpsJobs, UwsBackend};
use crate::tasks::steps::{Backend, Intent};

/// What backends are made of.
pub struct Means {
    /// The bus, in our name; also the clock.
    pub domain: Domain,
    /// Other components, as steps command and hear them; on the bus, in our name.
    pub peers: Arc<Peers>,
    /// Interfaces of other components.
    pub library: Arc<Library>,
    /// Interfaces of the topics that rules read.
    pub schemas: Arc<dyn SchemaSource>,
    /// The applied configuration, looked up when it is needed.
    pub site: Arc<Site>,
    /// Series for analyses.
    pub series: Arc<dyn SeriesSource>,
    /// Where secrets named by the configuration are looked up.
    pub secrets: Secrets,
    /// Folder for what backends need while a step is under way, a sub-folder for each.
    pub work: PathBuf,
    /// Where files of steps are kept.
    pub shelf: Arc<dyn Shelf>,
    /// What others know this Catcher by: `Catcher:1`.
    pub catcher: String,
}

type Shared = Arc<dyn Backend>;

/// Makes a backend that needs nothing of the configuration.
type Make = fn(&Means) -> Result<Shared, String>;

/// Makes a backend from its section, or from another part of the configuration; `None` without that.
type MakeFrom = fn(&Means, &CatcherConfig) -> Option<Result<Shared, Vec<String>>>;

/// Backends that are there whatever the site configures.
const FIXED: &[(&str, Make)] = &[("analysis", analysis)];

/// Backends that the configuration makes, most of them from a section in [`crate::config::BackendsConfig`].
const CONFIGURED: &[(&str, MakeFrom)] = &[
    ("batch", batch),
    ("command", command),
    ("efd_query", efd_query),
    ("http", http),
    ("influx_task", influx_task),
    ("notebook", notebook),
    ("noteburst", |means, c| web(means, c.backends.noteburst.as_ref(), NoteburstBackend::new)),
    ("ocps", ocps),
    ("sal", sal),
    ("script_queue", script_queue),
    ("slack", slack),
    ("times_square", |means, c| web(means, c.backends.times_square.as_ref(), TimesSquareBackend::new)),
    ("uws", |means, c| web(means, c.backends.uws.as_ref(), UwsBackend::new)),
];

fn analysis(means: &Means) -> Result<Shared, String> {
    let clock = means.domain.clock().clone();
    Ok(Arc::new(AnalysisBackend::new(Arc::clone(&means.series), Arc::clone(&means.schemas), clock)))
}

/// Made of `allowed_commands`: its steps wait for the configuration after a restart, too.
fn ocps(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    let list = config.allowed_commands.clone();
    let allowed = move |intent: &Intent<'_>| allows(&list, intent);
    let component = means.library.component("OCPS").map_err(|e| vec![e.to_string()]);
    // What is wrong with that section is told by the backend `uws`, which is made of it, too.
    let uws = config.backends.uws.as_ref().filter(|uws| !uws.ocps.is_empty());
    let jobs = uws.and_then(|uws| OcpsJobs::new(uws, &|name| (means.secrets)(name)).ok());
    let made = |component| {
        let backend = OcpsBackend::new(Arc::clone(&means.peers), component, Arc::new(allowed));
        match jobs {
            Some(jobs) => backend.asking(Arc::new(jobs)),
            None => backend,
        }
    };
    Some(component.map(|component| Arc::new(made(component)) as Shared))
}

/// Made of `allowed_commands`, so that rules are checked against the list that comes with them.
fn sal(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    let list = config.allowed_commands.clone();
    let allowed = move |intent: &Intent<'_>| allows(&list, intent);
    let (peers, library) = (Arc::clone(&means.peers), Arc::clone(&means.library));
    Some(Ok(Arc::new(SalBackend::new(peers, library, Arc::new(allowed)))))
}

fn script_queue(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    let config = config.backends.script_queue.clone()?;
    let component = |name: &str| means.library.component(name).map_err(|e| vec![e.to_string()]);
    let made = component("ScriptQueue").and_then(|queue| {
        let backend = ScriptQueueBackend::new(Arc::clone(&means.peers), queue, component("Script")?, config);
        Ok(Arc::new(backend) as Shared)
    });
    Some(made)
}

fn batch(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    let config = config.backends.batch.as_ref()?;
    let (work, clock) = (means.work.join("batch"), means.domain.clock().clone());
    let made = BatchBackend::new(config, work, &|name| (means.secrets)(name), clock);
    Some(made.map(|backend| Arc::new(backend) as Shared))
}

fn command(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    let config = config.backends.command.as_ref()?;
    let (work, shelf, clock) =
        (means.work.join("command"), Arc::clone(&means.shelf), means.domain.clock().clone());
    let made = CommandBackend::new(config, work, shelf, &|name| (means.secrets)(name), clock);
    Some(made.map(|backend| Arc::new(backend) as Shared))
}

fn notebook(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    let config = config.backends.notebook.as_ref()?;
    let (work, shelf, clock) =
        (means.work.join("notebook"), Arc::clone(&means.shelf), means.domain.clock().clone());
    let made = NotebookBackend::new(config, work, shelf, &|name| (means.secrets)(name), clock);
    Some(made.map(|backend| Arc::new(backend) as Shared))
}

/// It asks the site's EFD.
fn efd_query(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    config.efd.as_ref()?;
    let (efd, schemas) = (Arc::new(SiteEfd(Arc::clone(&means.site))), Arc::clone(&means.schemas));
    let (shelf, clock) = (Arc::clone(&means.shelf), means.domain.clock().clone());
    Some(Ok(Arc::new(EfdQueryBackend::new(efd, schemas, shelf, clock)) as Shared))
}

fn http(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    let config = config.backends.http.as_ref()?;
    let made = HttpBackend::new(config, &|name| (means.secrets)(name), means.domain.clock().clone());
    Some(made.map(|backend| Arc::new(backend) as Shared))
}

/// Makes the backend of a web service.
type NewWeb<C, B> = fn(&C, Arc<dyn Shelf>, &dyn Fn(&str) -> Option<String>, Clock) -> Result<B, Vec<String>>;

/// A web service is made of its section, and keeps files.
fn web<C, B: Backend + 'static>(
    means: &Means,
    section: Option<&C>,
    new: NewWeb<C, B>,
) -> Option<Result<Shared, Vec<String>>> {
    let (shelf, clock) = (Arc::clone(&means.shelf), means.domain.clock().clone());
    let made = new(section?, shelf, &|name| (means.secrets)(name), clock);
    Some(made.map(|backend| Arc::new(backend) as Shared))
}

/// Its tasks are called after us.
fn influx_task(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    let config = config.backends.influx_task.as_ref()?;
    let (owner, clock) = (means.catcher.clone(), means.domain.clock().clone());
    let made = InfluxTaskBackend::new(config, owner, &|name| (means.secrets)(name), clock);
    Some(made.map(|backend| Arc::new(backend) as Shared))
}

/// Its receivers are those that are told of alarms.
fn slack(means: &Means, config: &CatcherConfig) -> Option<Result<Shared, Vec<String>>> {
    config.receivers.iter().find(|receiver| receiver.slack.is_some())?;
    let notify = Notify::new(&config.notify(), &|name| (means.secrets)(name));
    Some(notify.map(|notify| Arc::new(SlackBackend::new(&notify, means.domain.clock().clone())) as Shared))
}

/// All backends of the process.
pub struct Backends {
    means: Means,
    simulated: bool,
    /// Those that are there now.
    now: ArcSwap<Vec<Shared>>,
}

impl Backends {
    /// Makes those that are always there. `simulated`: SAL simulation mode 1.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub fn new(means: Means, simulated: bool) -> Result<Backends, StartError> {
        let mut fixed = Vec::new();
        for (name, make) in FIXED {
            if !simulated || *name == "analysis" {
                fixed.push(make(&means).map_err(|e| StartError::Local(format!("backend {name}: {e}")))?);
            }
        }
        if simulated {
            fixed.extend(sim::backends::all(means.domain.clock()));
        }
        Ok(Backends { means, simulated, now: ArcSwap::from_pointee(fixed) })
    }

    /// Whether this is SAL simulation mode 1.
    pub fn simulated(&self) -> bool {
        self.simulated
    }

    /// Those that are there now.
    pub fn now(&self) -> Arc<Vec<Shared>> {
        self.now.load_full()
    }

    /// The names of those that only a configuration makes.
    pub fn later(&self) -> Vec<&'static str> {
        if self.simulated { Vec::new() } else { CONFIGURED.iter().map(|(name, _)| *name).collect() }
    }

    /// Makes those that the site configured.
    ///
    /// # Errors
    /// Everything that is wrong with any of their sections.
    pub fn make(&self, config: &CatcherConfig) -> Result<Vec<Shared>, Vec<String>> {
        if self.simulated {
            return Ok(Vec::new());
        }
        let (mut made, mut problems) = (Vec::new(), Vec::new());
        for (name, make) in CONFIGURED {
            match make(&self.means, config) {
                Some(Ok(backend)) => made.push(backend),
                Some(Err(wrong)) => {
                    problems.extend(wrong.into_iter().map(|p| format!("at backends.{name}: {p}")));
                }
                None => {}
            }
        }
        if problems.is_empty() { Ok(made) } else { Err(problems) }
    }

    /// These are there from now on, besides the fixed ones.
    pub fn set(&self, made: &[Shared]) {
        let later = self.later();
        let fixed = self.now();
        let fixed = fixed.iter().filter(|b| !later.contains(&b.name()));
        self.now.store(Arc::new(fixed.chain(made).cloned().collect()));
    }

    /// Whether this site can carry out all steps of these rules, with the configured backends `made`.
    ///
    /// # Errors
    /// One line for each step that it cannot, with advice.
    pub fn refuse(&self, rules: &[Arc<Rule>], made: &[Shared]) -> Result<(), String> {
        let now = self.now();
        let mut problems = Vec::new();
        for rule in rules {
            for step in rule.workflow.iter().flat_map(|w| &w.steps) {
                let name = step.backend.as_str();
                let found = made.iter().chain(now.iter()).find(|b| b.name() == name);
                let wrong = match found {
                    Some(backend) => backend.check(&step.params).err(),
                    None => {
                        Some(format!("backend `{name}` is not configured at this site; {}", advice(name)))
                    }
                };
                problems.extend(wrong.map(|w| format!("rule {}, task {}: {w}", rule.name, step.name)));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }
}

fn advice(backend: &str) -> String {
    match backend {
        "efd_query" => "add efd to the configuration".to_owned(),
        "slack" => "add a receiver with `slack` to receivers".to_owned(),
        name => format!("add backends.{name} to the configuration"),
    }
}
