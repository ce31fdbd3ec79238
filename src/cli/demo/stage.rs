//! Everything that the demo needs, started and wired.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use sal_idl::Library;
use salobj::csc::CscOptions;
use salobj::transport::Transport;
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::{Clock, Domain, Env, Remote, RemoteOptions, SummaryState, Tai};
use salobj_testbed::Testbed;

use super::Args;
use crate::app;
use crate::app::recorder::RecordTo;
use crate::outputs::efd::{Efd, EfdConfig};
use crate::sim::influx::SimInflux;
use crate::sim::observatory::Observatory;
use crate::sim::ocps::{self, OcpsControl};
use crate::sim::scenario::Scenario;

/// SAL index of the Catcher in the demo.
const INDEX: i32 = 1;

/// The shipped rules, byte for byte.
const RULES: [(&str, &str); 2] = [
    ("wind_forecast.yaml", include_str!("../../../config_schema/examples/wind_forecast.yaml")),
    ("jitter_auxtel.yaml", include_str!("../../../config_schema/examples/jitter_auxtel.yaml")),
];

/// No recording of a demo is longer, bytes.
const RECORD_LIMIT: u64 = 1 << 30;

/// How long the demo listens for a component that it would play before it begins (real time).
const LISTEN: Duration = Duration::from_millis(1500);

/// The running demo.
pub(super) struct Stage {
    pub(super) clock: Clock,
    pub(super) start: Tai,
    pub(super) index: i32,
    pub(super) broker: String,
    pub(super) registry: String,
    pub(super) web: std::net::SocketAddr,
    pub(super) remote: Remote,
    pub(super) observatory: Observatory,
    pub(super) efd: Arc<dyn Efd>,
    running: app::Running,
    ocps: OcpsControl,
    data: PathBuf,
    domains: Vec<Domain>,
    begun: tokio::time::Instant,
    _embedded: Embedded,
    _folder: Option<tempfile::TempDir>,
}

/// What runs in this process in place of servers; stops when dropped.
#[derive(Default)]
struct Embedded {
    _testbed: Option<Testbed>,
    _efd: Option<SimInflux>,
}

impl Stage {
    /// Starts everything, in the order in which it is needed.
    pub(super) async fn set(args: &Args) -> anyhow::Result<Self> {
        let begun = tokio::time::Instant::now();
        let scenario = if args.calm { Scenario::calm() } else { Scenario::eventful() };
        // Far enough in the past that no stamp lies in the future, whatever the speed.
        let start = Tai(Clock::System.now().0 - scenario.length_s - 7200.0);
        let clock = Clock::scaled(start, args.speed);
        let folder = tempfile::tempdir().context("a folder for the demo")?;
        let data = args.data_dir.clone().unwrap_or_else(|| folder.path().join("data"));
        let mut embedded = Embedded::default();

        let (transport, env): (Arc<dyn Transport>, Env) = match (&args.broker, &args.registry) {
            (Some(broker), Some(registry)) => real_bus(broker, registry, &clock)?,
            _ => {
                let testbed = Testbed::start_with(clock.clone()).await?;
                let env = Env { site: Some("demo".to_owned()), ..testbed.env().clone() };
                let bus = (testbed.transport() as Arc<dyn Transport>, env);
                embedded._testbed = Some(testbed);
                bus
            }
        };
        let efd_config = match &args.efd {
            Some(which) => real_efd(which)?,
            None => {
                let sim = SimInflux::start().await?;
                let config = sim.config2();
                embedded._efd = Some(sim);
                config
            }
        };
        let secrets: app::Secrets =
            Arc::new(|name: &str| SimInflux::env(name).or_else(|| std::env::var(name).ok()));
        let efd =
            efd_config.client(|name| secrets(name)).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;

        let library = Library::embedded();
        let domain = || Domain::new(Arc::clone(&transport), clock.clone(), env.clone());
        if args.broker.is_some() {
            refuse_if_played(&domain(), &library).await?;
        }
        let (world, ocps_domain, catcher, audience) = (domain(), domain(), domain(), domain());
        let ocps_component = library.component("OCPS")?;
        let script = ocps::OcpsScript { run_time: Duration::from_secs(20), ..ocps::OcpsScript::default() };
        let ocps = ocps::start(&ocps_domain, ocps_component, 1, SummaryState::Enabled, script).await?;
        let config_dir = write_config(folder.path(), &efd_config)?;
        let mut csc = CscOptions::new(INDEX);
        csc.initial_state = Some(SummaryState::Enabled);
        csc.config_dir = Some(config_dir);
        let record = args.record.clone().map(|path| RecordTo { path, limit_bytes: RECORD_LIMIT });
        let options =
            app::Options { csc, data_dir: data.clone(), http: ([127, 0, 0, 1], 0).into(), secrets, record };
        let running = app::start(&catcher, Library::embedded(), options).await?;
        if running.csc.context().state() != SummaryState::Enabled {
            bail!("the Catcher did not reach ENABLED; its log says why");
        }
        let remote = Remote::open(
            &audience,
            library.component("Catcher")?,
            INDEX,
            RemoteOptions::include(super::TOPICS),
        )
        .await?;
        let observatory = Observatory::open(&world, &library, scenario, clock.now()).await?;
        Ok(Self {
            start,
            index: INDEX,
            broker: env.broker_addr.clone(),
            registry: args.registry.clone().unwrap_or_else(|| "embedded".to_owned()),
            web: running.web,
            remote,
            observatory,
            efd,
            running,
            ocps,
            data,
            domains: vec![world, ocps_domain, audience],
            begun,
            clock,
            _embedded: embedded,
            _folder: Some(folder),
        })
    }

    /// Real time since the demo began.
    pub(super) fn real_elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// True if the file behind a report's address exists.
    pub(super) fn report_exists(&self, url: &str) -> bool {
        let relative = url.split_once("/reports/").map(|(_, path)| path);
        relative.is_some_and(|path| self.data.join("reports").join(path).is_file())
    }

    /// Jobs that the simulated OCPS was commanded.
    pub(super) fn jobs_commanded(&self) -> usize {
        self.ocps.executed().len()
    }

    /// Ends everything, the Catcher first.
    pub(super) async fn close(self) {
        self.running.close().await;
        self.observatory.close().await;
        for domain in &self.domains {
            domain.close().await;
        }
    }
}

/// A transport to real servers, under a subname of our own.
fn real_bus(broker: &str, registry: &str, clock: &Clock) -> anyhow::Result<(Arc<dyn Transport>, Env)> {
    let subname =
        std::env::var("LSST_TOPIC_SUBNAME").unwrap_or_else(|_| format!("demo_{}", std::process::id()));
    if subname == "sal" {
        bail!(
            "the demo plays components and refuses subname 'sal'; unset LSST_TOPIC_SUBNAME or name another"
        );
    }
    let mut vars: Vec<(String, String)> =
        std::env::vars().filter(|(name, _)| name.starts_with("LSST_")).collect();
    vars.retain(|(name, _)| {
        !["LSST_TOPIC_SUBNAME", "LSST_KAFKA_BROKER_ADDR", "LSST_SCHEMA_REGISTRY_URL", "LSST_SITE"]
            .contains(&name.as_str())
    });
    let own = [
        ("LSST_TOPIC_SUBNAME", subname.as_str()),
        ("LSST_KAFKA_BROKER_ADDR", broker),
        ("LSST_SCHEMA_REGISTRY_URL", registry),
        ("LSST_SITE", "demo"),
    ];
    vars.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let env = Env::from_vars(vars)?;
    let options = KafkaOptions { clock: clock.clone(), ..KafkaOptions::default() };
    Ok((Arc::new(KafkaTransport::new(&env, options)?), env))
}

/// Playing a component that is there would mix two of them.
async fn refuse_if_played(domain: &Domain, library: &Library) -> anyhow::Result<()> {
    for (name, index) in [("ESS", 301), ("ATCamera", 0), ("ATMCS", 0), ("OCPS", 1), ("Catcher", INDEX)] {
        let options = RemoteOptions { event_history: 0, ..RemoteOptions::include(["heartbeat"]).readonly() };
        let remote = Remote::open(domain, library.component(name)?, index, options).await?;
        let limit = LISTEN.mul_f64(domain.clock().speed());
        let heard = remote.event("heartbeat")?.next(true, Some(limit)).await.is_ok();
        remote.close().await;
        if heard {
            bail!(
                "there is a heartbeat of {name}:{index} on this bus: the demo does not play a component that is there"
            );
        }
    }
    Ok(())
}

fn real_efd(which: &str) -> anyhow::Result<EfdConfig> {
    if which.starts_with("http://") || which.starts_with("https://") {
        let var =
            |name: &str| std::env::var(name).with_context(|| format!("--efd with an address needs ${name}"));
        return Ok(EfdConfig::influxdb2(which, &var("INFLUX_ORG")?, &var("INFLUX_BUCKET")?, "INFLUX_TOKEN"));
    }
    let text = std::fs::read_to_string(which).with_context(|| which.to_owned())?;
    serde_saphyr::from_str(&text).map_err(|e| anyhow::anyhow!("{which}: {e}"))
}

/// The configuration of the demo, as a site would have it.
fn write_config(folder: &Path, efd: &EfdConfig) -> anyhow::Result<PathBuf> {
    let dir = folder.join("config");
    std::fs::create_dir_all(dir.join("rules"))?;
    for (name, text) in RULES {
        std::fs::write(dir.join("rules").join(name), text)?;
    }
    let init = serde_json::json!({
        "auto_acknowledge_delay_s": 0.0,
        "auto_unacknowledge_delay_s": 0.0,
        "allowed_commands": [{"component": "OCPS", "indices": [1], "commands": ["execute", "abort_job"]}],
        "instances": [{"sal_index": INDEX, "rules": ["*.yaml"]}],
        "efd": efd,
    });
    std::fs::write(dir.join("_init.yaml"), serde_saphyr::to_string(&init)?)?;
    Ok(dir)
}
