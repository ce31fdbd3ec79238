//! `catcher topics`: what the SAL interfaces say, and what comes on the bus.

mod record;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use sal_idl::Library;

/// Subcommands of `catcher topics`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  catcher topics list ESS
  catcher topics record --rules my_rules.yaml --out night.catcher --for 10h
  catcher topics record --topics ESS.tel_airFlow ATCamera.evt_endReadout --out night.catcher
  catcher topics revcodes --xml-dir ~/ts_xml/python/lsst/ts/xml/data")]
pub(super) enum Command {
    /// Topics and fields of a component, or all components.
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
    Schemas(super::schemas::Args),
    /// Record what comes on the bus, for `catcher replay`: whole records, so that any rule can be checked on them later.
    Record(record::Args),
    /// Revision code of every topic of every component: `Component topic revcode` a line.
    Revcodes {
        #[command(flatten)]
        xml: XmlDir,
    },
}

/// Where interfaces are read from.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct XmlDir {
    /// The `data` folder of a ts_xml checkout; without it, the interfaces that are built in.
    #[arg(long, env = "TS_XML_DIR")]
    pub(super) xml_dir: Option<PathBuf>,
}

impl XmlDir {
    /// Opens that library.
    pub(super) fn library(&self) -> anyhow::Result<Library> {
        Ok(match &self.xml_dir {
            Some(dir) => Library::from_dir(dir)?,
            None => Library::embedded(),
        })
    }
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    if let Command::Record(args) = &command {
        return record::run(args);
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    match command {
        Command::Revcodes { xml } => {
            for one in sal_idl::revcodes(&xml.library()?)? {
                writeln!(out, "{one}")?;
            }
        }
        Command::Schemas(args) => super::schemas::save(&args, &mut out)?,
        Command::Record(_) => {}
        Command::List { component, xml } => list(&xml.library()?, component.as_deref(), &mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
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
