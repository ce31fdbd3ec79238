//! The supervised parts and what passes between them; nothing else spawns.
//!
//! In start order, with what each needs of those before it:
//!
//! | part | does |
//! |---|---|
//! | journal | opened and read first: what it holds decides how everything else begins |
//! | web | serves reports, their lists and `/healthz` |
//! | EFD inputs | asks the EFD what rules want to know |
//! | EFD outbox | sends spooled results |
//! | LFA | stores and announces reports and files of steps |
//! | driver | carries out steps |
//! | leftovers | lets backends remove what they keep outside for rules that are gone |
//! | recorder | writes a recording, if one is asked for: a thread, since it waits for the disk |
//! | reporter | writes reports and their lists |
//! | notifier | tells receivers and the escalation service |
//! | LOVE | sends alarms to the operators' display |
//! | core loop | owns rules, alarms and runs |
//! | CSC | takes commands; comes last, so that everything is there when the first command arrives |

pub mod backends;
pub mod core_loop;
pub mod efd_inputs;
pub mod efd_outbox;
pub mod fault;
pub mod handle;
pub mod leftovers;
pub mod lfa;
pub mod love;
pub mod notifier;
pub mod parts;
pub mod recorder;
pub mod report_index;
pub mod reporter;
pub mod results;
pub mod store;
pub mod web;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sal_idl::Library;
use salobj::csc::state::SummaryState;
use salobj::csc::{CscOptions, RunningCsc};
use salobj::{Domain, Tai};
use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};

use crate::core::{Core, Output, Recovery};
use crate::csc::site::SiteEfd;
use crate::csc::{CatcherCsc, Publisher, Site, StateRecord};
use crate::intake::{BusSchemas, Intake, Positions};
use crate::outputs::efd::Efd;
use crate::outputs::lfa::Place;
use crate::outputs::report_folder::ReportFolder;
use crate::replay::Control;
use crate::rules::{Rule, SchemaSource};
use crate::tasks::driver::driver;
use crate::tasks::series::{KafkaSeries, SeriesReader};
use crate::tasks::shelf::Shelf;
use crate::telemetry::Meter;
use backends::Backends;
use core_loop::{CoreLoop, Publish, REQUEST_QUEUE};
use handle::CoreHandle;
use parts::Parts;
use store::Store;

/// What a process is told when it starts.
#[derive(Clone)]
pub struct Options {
    /// What salobj needs to know.
    pub csc: CscOptions,
    /// Folder of journal, spool, reports and files for the LFA; one process at a time may use it.
    pub data_dir: PathBuf,
    /// Where the web server listens; port 0 takes any free one.
    pub http: SocketAddr,
    /// Where secrets named by the configuration are looked up.
    pub secrets: Secrets,
    /// Record everything that the core is told; nothing if absent.
    pub record: Option<recorder::RecordTo>,
}

/// The value of an environment variable that holds a secret.
pub type Secrets = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Why the Catcher could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder, the journal, the spool or the web server's address cannot be used.
    #[error("{0}")]
    Local(String),
    /// The CSC could not start on the bus.
    #[error(transparent)]
    Csc(#[from] salobj::csc::StartError),
}

/// A Catcher that runs.
pub struct Running {
    /// The CSC.
    pub csc: RunningCsc,
    /// A way to the core, for the command line and tests.
    pub core: CoreHandle,
    /// Where the web server listens.
    pub web: SocketAddr,
    publisher: Arc<Publisher>,
    parts: Parts,
    recorder: Option<recorder::Recorder>,
}

/// Starts everything; returns when the CSC has reported its state.
///
/// # Errors
/// See [`StartError`]; everything that was started has been stopped.
pub async fn start(domain: &Domain, library: Library, options: Options) -> Result<Running, StartError> {
    let local = |what: &str, e: &dyn std::fmt::Display| StartError::Local(format!("{what}: {e}"));
    let data = &options.data_dir;
    std::fs::create_dir_all(data).map_err(|e| local(&format!("data folder {}", data.display()), &e))?;
    let (store, mut recovered) = Store::open(&data.join("journal")).map_err(StartError::Local)?;
    if options.csc.initial_state.is_some_and(|state| state != SummaryState::Enabled) {
        // Somebody wants it in another state: what was missed until it is ENABLED is not made up for.
        recovered.entries.remove("csc");
    }
    if recovered.torn_bytes > 0 {
        tracing::warn!(
            "the journal ended with {} bytes of an append that a crash cut short",
            recovered.torn_bytes
        );
    }
    let clock = domain.clock().clone();
    let meter = Arc::new(Meter::default());
    let site = Arc::new(Site::default());
    let publisher = Arc::new(Publisher::default());
    let component = library.component("Catcher").map_err(|e| StartError::Local(e.to_string()))?;
    let library = Arc::new(library);
    let bus = (Arc::clone(domain.transport()), &domain.env().topic_subname);
    let schemas = Arc::new(BusSchemas::new(Arc::clone(&library), bus.0, bus.1));
    for (_, rule) in recovered.entries.iter().filter(|(key, _)| key.starts_with("rule/")) {
        schemas.learn(&rule.to_string()).await;
    }
    let mut parts = Parts::default();

    let reports = ReportFolder::new(data.join("reports"));
    let web = web::Web::bind(options.http, reports.clone()).await.map_err(StartError::Local)?;
    let web_address = web.address();
    let report_base = format!("http://{web_address}/reports");
    parts.add("web server", web.run());

    let outbox =
        efd_outbox::open(&data.join("spool"), Arc::clone(&site), component.clone(), options.csc.index)
            .map_err(|e| local("spool", &e))?;
    let (results, outbox) = outbox;
    parts.add("EFD outbox", outbox.run(clock.clone()));

    let (requests_in, requests) = mpsc::channel(REQUEST_QUEUE);
    let core_handle = CoreHandle::new(requests_in);
    let (reports_in, step_reports) = mpsc::channel(crate::tasks::driver::ORDER_QUEUE);
    let group = format!("{}-intake-{}", component.name, domain.origin());
    let group = format!("{group}-{}", options.csc.index);
    let mut intake = Intake::new(
        Arc::clone(domain.transport()),
        clock.clone(),
        domain.env().topic_subname.clone(),
        group,
        Arc::clone(&meter),
    );
    let kafka = KafkaSeries::new(Arc::clone(domain.transport()), &domain.env().topic_subname);
    let efd: Arc<dyn Efd> = Arc::new(SiteEfd(Arc::clone(&site)));
    let series = SeriesReader::new(clock.clone(), Some(intake.recent()), Some(kafka), Some(efd));
    let (of_site, own_base) = (Arc::clone(&site), report_base.clone());
    let base = move || {
        let configured = of_site.config().map(|c| c.report_url.clone()).filter(|url| !url.is_empty());
        configured.unwrap_or_else(|| own_base.clone())
    };
    let catcher = sal_idl::names::name_index(&component.name, Some(options.csc.index));
    let bus = Arc::clone(&publisher);
    let lfa = lfa::open(&data.join("lfa"), reports.clone(), Box::new(base), &catcher, clock.clone())
        .map_err(|e| local("files for the LFA", &e))?;
    parts.add("LFA", lfa::run(Arc::clone(&lfa), bus, core_handle.clone()));
    let shelf: Arc<dyn Shelf> = Arc::clone(&lfa) as _;
    let means = backends::Means {
        domain: domain.clone(),
        peers: Arc::new(crate::tasks::peers::Peers::new(domain.clone())),
        library: Arc::clone(&library),
        schemas: Arc::clone(&schemas) as Arc<dyn SchemaSource>,
        site: Arc::clone(&site),
        series: Arc::new(series),
        secrets: Arc::clone(&options.secrets),
        work: data.join("work"),
        shelf: Arc::clone(&shelf),
        catcher: sal_idl::names::name_index(&component.name, Some(options.csc.index)),
    };
    let backends = Arc::new(Backends::new(means, options.csc.simulation_mode != 0)?);
    let step_log = Arc::new(core_handle.clone());
    let (driver, driver_task) =
        driver(backends.now().to_vec(), &backends.later(), step_log, Some(shelf), clock.clone(), reports_in);
    let driver_handle = driver.clone();
    parts.add("task driver", async {
        driver_task.run().await;
        Ok(())
    });

    let (rules_now, rules) = watch::channel(None);
    parts.add("leftovers", leftovers::run(rules, Arc::clone(&backends), clock.clone()));

    let (wanted_in, wanted) = watch::channel(std::collections::BTreeSet::new());
    let efd_inputs = efd_inputs::EfdInputs {
        wanted,
        core: core_handle.clone(),
        efd: Arc::new(SiteEfd(Arc::clone(&site))),
        clock: clock.clone(),
    };
    parts.add("EFD inputs", efd_inputs.run());

    let place = reporter::ReportPlace {
        folder: reports,
        lfa: Arc::clone(&lfa),
        catcher: catcher.clone(),
        site_name: domain.env().site.clone().unwrap_or_default(),
        bus: domain.env().topic_subname.clone(),
    };
    let (reporter_in, reporter) = reporter::reporter(place, core_handle.clone());
    parts.add("reporter", reporter.run());

    let (teller, notifier) = notifier::notifier(Arc::clone(&site), core_handle.clone(), catcher);
    parts.add("notifier", notifier.run());

    let bus = Arc::clone(&publisher) as Arc<dyn Publish>;
    let index = options.csc.index;
    let (publish, love) =
        love::love(&site, core_handle.clone(), &component, index, domain, bus).map_err(StartError::Local)?;
    parts.add("LOVE", love.run());

    let began = clock.now();
    let (mut core, first) = recover(&recovered.entries, schemas.as_ref(), began);
    core.lend_stopwatch(stopwatch);
    let mut recorder = None;
    let mut record = None;
    if let Some(to) = &options.record {
        let session = recorder::session("live", began, domain.env());
        let (thread, mut tap, intake_tap) =
            recorder::Recorder::start(to, &session).map_err(|e| StartError::Local(e.to_string()))?;
        intake.listen(intake_tap);
        tap.control(Control::Begin { entries: recovered.entries.clone() }, began);
        tap.outputs(&first, &core, began);
        (recorder, record) = (Some(thread), Some(tap));
    }
    let core_loop = CoreLoop {
        core,
        store: Some(store),
        intake,
        noted: entry::<Positions>(&recovered.entries, "positions").unwrap_or_default(),
        memos: recovered
            .entries
            .iter()
            .filter(|(key, _)| key.starts_with("command/"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        publish,
        driver,
        reporter: reporter_in,
        results: Some(results),
        teller: Some(teller),
        clock,
        meter,
        requests,
        efd_inputs: wanted_in,
        rules_now,
        reports: step_reports,
        first,
        record,
    };
    parts.add("core", core_loop.run());

    let csc = CatcherCsc {
        core: core_handle.clone(),
        publisher: Arc::clone(&publisher),
        schemas,
        site,
        driver: driver_handle,
        backends,
        lfa,
        lfa_place: Place {
            site: domain.env().site.clone().unwrap_or_default(),
            endpoint: domain.env().s3_endpoint_url.clone(),
        },
        secrets: options.secrets,
        report_base,
        last_override: arc_swap::ArcSwap::from_pointee(String::new()),
    };
    let options = resumed(options.csc, &recovered.entries);
    let running = salobj::csc::start(domain, crate::csc::spec(component), options, Arc::new(csc)).await?;
    Ok(Running { csc: running, core: core_handle, web: web_address, publisher, parts, recorder })
}

impl Running {
    /// Waits until the CSC has closed. A part that dies meanwhile puts it in FAULT, with the part's name.
    pub async fn wait_done(&mut self) {
        loop {
            tokio::select! {
                () = self.csc.wait_done() => return,
                ended = self.parts.next_end() => {
                    self.publisher.fault(fault::PART, format!("the part '{}' ended: {}", ended.name, ended.reason));
                }
            }
        }
    }

    /// Closes the CSC as SIGTERM does, then everything else.
    pub async fn close(self) {
        self.csc.close().await;
        self.parts.stop().await;
        if let Some(recorder) = self.recorder {
            recorder.close().await;
        }
    }
}

/// Real time, whatever the clock says: it measures how long evaluations take.
fn stopwatch() -> u64 {
    static BEGAN: std::sync::LazyLock<tokio::time::Instant> =
        std::sync::LazyLock::new(tokio::time::Instant::now);
    u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn recover(entries: &BTreeMap<String, Json>, schemas: &dyn SchemaSource, now: Tai) -> (Core, Vec<Output>) {
    let mut core = Core::new(now);
    let compile = |name: &str, definition: &str| -> Result<Arc<Rule>, String> {
        let rules = crate::csc::compile_text(name, definition, schemas)?;
        rules
            .into_iter()
            .find(|rule| rule.name == name)
            .ok_or_else(|| format!("the definition has no rule {name}"))
    };
    let mut first = Vec::new();
    let problems = core.recover(&Recovery { entries, compile: &compile }, now, &mut first);
    for problem in problems {
        tracing::warn!("{problem}");
    }
    (core, first)
}

/// A process that did not end by `exitControl` goes back to the state that it was in.
fn resumed(mut options: CscOptions, entries: &BTreeMap<String, Json>) -> CscOptions {
    let Some(record) = entry::<StateRecord>(entries, "csc") else { return options };
    if options.initial_state.is_none() {
        options.initial_state = match record.state.as_str() {
            "DISABLED" => Some(SummaryState::Disabled),
            "ENABLED" => Some(SummaryState::Enabled),
            _ => None,
        };
        if options.initial_state.is_some() {
            tracing::info!("the last process was {}; going back to it", record.state);
            options.configuration_override = record.configuration_override;
        }
    }
    options
}

fn entry<T: serde::de::DeserializeOwned>(entries: &BTreeMap<String, Json>, key: &str) -> Option<T> {
    let value = entries.get(key)?;
    serde_json::from_value(value.clone()).map_err(|e| tracing::warn!("journal entry {key}: {e}")).ok()
}
