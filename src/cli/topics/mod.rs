//! `catcher topics`: what the SAL interfaces say, and what comes on the bus.

pub(in crate::cli) mod record;
pub(in crate::cli) mod schemas;
pub(in crate::cli) mod tail;
mod which;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use sal_idl::Library;

use super::outside::Outside;

/// Subcommands of `catcher topics`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  catcher topics list ESS
  catcher topics tail ESS:301.tel_airFlow --fields speed,direction
  catcher topics record --rules my_rules.yaml --out night.catcher --for 10h
  catcher topics record --topics ESS.tel_airFlow ATCamera.evt_endReadout --out night.catcher
  catcher topics revcodes --xml-dir ~/ts_xml/python/lsst/ts/xml/data")]
pub(in crate::cli) enum Command {
    /// Topics and fields of a component, or all components.
    #[command(after_help = "Examples:
  catcher topics list
  catcher topics list ESS
  catcher topics list MTMount --xml-dir ~/ts_xml/python/lsst/ts/xml/data")]
    List {
        /// Component, e.g. `ESS`; all if left out.
        component: Option<String>,
        #[command(flatten)]
        xml: XmlDir,
    },
    /// Save the schemas of components, or of the topics that rule files name, for `catcher rules check --schemas`.
    #[command(after_help = "Examples:
  catcher topics schemas ESS ATCamera --out schemas.json
  catcher topics schemas my_rules.yaml --out schemas.json
  catcher topics schemas my_rules.yaml --registry http://registry:8081 --out schemas.json")]
    Schemas(schemas::Args),
    /// Record what comes on the bus, for `catcher replay`: whole records, so that any rule can be checked on them later.
    #[command(
        after_help = "Everything that comes is kept as it is: the recording can be replayed with any rule, also one that reads other fields.

Examples:
  catcher topics record --rules my_rules.yaml --out night.catcher --for 10h
  catcher topics record --topics ESS.tel_airFlow 'ATCamera.evt_*' lsst.square.metric --out night.catcher

The bus is named by LSST_KAFKA_BROKER_ADDR, LSST_SCHEMA_REGISTRY_URL and LSST_TOPIC_SUBNAME."
    )]
    Record(record::Args),
    /// Show messages as they come, decoded: SAL topics and any other with a registered Avro schema.
    #[command(
        after_help = "What has changed since the last message of an instance is bold. Times are when a message was sent.

Examples:
  catcher topics tail ESS:301.tel_airFlow
  catcher topics tail ESS:301.tel_airFlow --fields speed,direction --since -10m
  catcher topics tail '*.evt_summaryState' --last 1
  catcher topics tail 'MTMount.*' lsst.square.metric --json --for 1m
  catcher topics tail ESS.tel_temperature --fields 'temperatureItem[0],sensorName' --count 20

The bus is named by LSST_KAFKA_BROKER_ADDR, LSST_SCHEMA_REGISTRY_URL and LSST_TOPIC_SUBNAME."
    )]
    Tail(tail::Args),
    /// Revision code of every topic of every component: `Component topic revcode` a line.
    #[command(after_help = "Examples:
  catcher topics revcodes
  catcher topics revcodes --xml-dir ~/ts_xml/python/lsst/ts/xml/data | grep '^ESS '")]
    Revcodes {
        #[command(flatten)]
        xml: XmlDir,
    },
}

/// Where interfaces are read from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(in crate::cli) struct XmlDir {
    /// The `data` folder of a ts_xml checkout; without it, the interfaces that are built in.
    #[arg(long, env = "TS_XML_DIR")]
    pub(in crate::cli) xml_dir: Option<PathBuf>,
}

impl XmlDir {
    /// Opens that library.
    pub(in crate::cli) fn library(&self) -> anyhow::Result<Library> {
        Ok(match &self.xml_dir {
            Some(dir) => Library::from_dir(dir)?,
            None => Library::embedded(),
        })
    }
}

pub(in crate::cli) fn run(command: Command, outside: &Outside) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match command {
        Command::Revcodes { xml } => {
            for one in sal_idl::revcodes(&xml.library()?)? {
                writeln!(out, "{one}")?;
            }
        }
        Command::Schemas(args) => schemas::save(&args, &mut out)?,
        Command::List { component, xml } => list(&xml.library()?, component.as_deref(), &mut out)?,
        Command::Record(args) => {
            runtime()?.block_on(record::run(&args, outside, salobj::csc::cli::terminated()))?;
        }
        Command::Tail(args) => {
            let colour = super::rules::colour();
            let stop = salobj::csc::cli::terminated();
            runtime()?.block_on(tail::run(&args, outside, stop, colour, &mut out))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    crate::telemetry::init("warn", salobj::log::layer());
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn list(library: &Library, component: Option<&str>, out: &mut impl Write) -> anyhow::Result<()> {
    let Some(name) = component else {
        for component in library.components()? {
            let kind = if component.indexed { "indexed" } else { "" };
            writeln!(out, "{:<20} {:>4} topics  {kind}", component.name, component.topics.len())?;
        }
        return Ok(());
    };
    for topic in &library.component(name)?.topics {
        writeln!(out, "{}  {}", topic.attr_name(), topic.rev_code)?;
        for field in topic.fields.iter().filter(|f| !f.name.starts_with("private_")) {
            let count = if field.count > 1 { format!("[{}]", field.count) } else { String::new() };
            writeln!(out, "    {:<32} {:?}{count}  {}", field.name, field.sal_type, field.units)?;
        }
    }
    Ok(())
}
