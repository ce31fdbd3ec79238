//! `catcher run INDEX` (and `run_catcher INDEX`): the CSC on a real bus. The arguments are those of every CSC, and what
//! this process needs of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgMatches, Args as _, FromArgMatches};
use salobj::csc::CscSpec;
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::{Clock, Domain, Env};

use super::topics::XmlDir;
use crate::app;
use crate::app::recorder::RecordTo;

/// What this process needs of its own.
#[derive(Debug, clap::Args)]
struct Own {
    /// Folder of journal, spool and reports. One process at a time may use it.
    #[arg(long, env = "CATCHER_DATA_DIR", default_value = "catcher-data")]
    data_dir: PathBuf,
    /// Address of the web server (reports, /healthz); port 0 takes any free one.
    #[arg(long, env = "CATCHER_HTTP", default_value = "127.0.0.1:8091")]
    http: SocketAddr,
    /// Record everything that the rules are told into this file (see `catcher replay --exact`). It is continued if it is
    /// a recording already.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The recording is closed when it has grown by this many gigabytes.
    #[arg(long, value_name = "GB", default_value_t = 20, requires = "record")]
    record_limit: u64,
    #[command(flatten)]
    xml: XmlDir,
}

const EXAMPLES: &str = "Examples:
  run_catcher 1
  run_catcher 1 --state enabled --override night.yaml --data-dir /var/lib/catcher

The bus is named by LSST_KAFKA_BROKER_ADDR, LSST_SCHEMA_REGISTRY_URL and LSST_TOPIC_SUBNAME; the configuration by
TS_CONFIG_OCS_DIR and LSST_SITE.";

/// The subcommand, for a program of that name.
pub(super) fn command(name: &'static str) -> clap::Command {
    let standard = salobj::csc::cli::command(name, &spec_of_built_in());
    Own::augment_args(standard).about("Run the CSC (also as `run_catcher`)").after_help(EXAMPLES)
}

/// The arguments do not depend on which interfaces are used.
fn spec_of_built_in() -> CscSpec {
    let component = sal_idl::Library::embedded().component("Catcher").expect("our own interface is valid");
    crate::csc::spec(component)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let own = Own::from_arg_matches(matches)?;
    let csc = salobj::csc::cli::options(&spec_of_built_in(), matches);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(own, csc))
}

async fn serve(own: Own, csc: salobj::csc::CscOptions) -> anyhow::Result<ExitCode> {
    crate::telemetry::init("info", salobj::log::layer());
    let library = own.xml.library()?.with_compiled_in("Catcher")?;
    let env = Env::from_process()?;
    let transport = KafkaTransport::new(&env, KafkaOptions::default())?;
    let domain = Domain::new(Arc::new(transport), Clock::System, env);
    let secrets = Arc::new(|name: &str| std::env::var(name).ok());
    let record = own.record.map(|path| RecordTo { path, limit_bytes: own.record_limit << 30 });
    let options = app::Options { csc, data_dir: own.data_dir, http: own.http, secrets, record };
    let mut signal = std::pin::pin!(salobj::csc::cli::terminated());
    let mut running = tokio::select! {
        running = app::start(&domain, library, options) => running?,
        () = &mut signal => {
            domain.close().await;
            return Ok(ExitCode::SUCCESS);
        }
    };
    tracing::info!("reports are served at http://{}/reports", running.web);
    tokio::select! {
        () = running.wait_done() => {}
        () = &mut signal => tracing::info!("signal_handler"),
    }
    running.close().await;
    Ok(ExitCode::SUCCESS)
}
