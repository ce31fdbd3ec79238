//! `catcher topics record`: what comes on the bus, into a recording.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use super::XmlDir;
use crate::app::recorder;
use crate::cli::data::{Needs, Wanted, record_live, span};
use crate::cli::rules::files;
use crate::tasks::series::split_topic;

/// Arguments of `catcher topics record`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Topics, as rules name them: ESS.tel_airFlow, ATCamera.evt_endReadout. All instances are recorded.
    #[arg(long, value_name = "TOPIC", num_args = 1.., required_unless_present = "rules")]
    topics: Vec<String>,
    /// Rule files or folders: everything that their rules read.
    #[arg(long, value_name = "FILES", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// The recording; if it is one already, it is continued.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How long: 10m, 8h. Until Ctrl-C without it.
    #[arg(long = "for", value_name = "TIME", value_parser = limit)]
    limit: Option<Duration>,
    /// Say nothing but errors.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    xml: XmlDir,
}

fn limit(text: &str) -> Result<Duration, String> {
    span(text).filter(|d| !d.is_zero()).ok_or_else(|| format!("'{text}' is no duration: write 90s, 10m, 8h"))
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut wanted = named(&args.topics)?;
    if !args.rules.is_empty() {
        let library = args.xml.library()?;
        let checked = files::compiled(files::read(&args.rules)?, &library);
        if !checked.mistakes.is_empty() {
            let told: Vec<String> = checked.mistakes.iter().map(|m| m.render(false)).collect();
            bail!("{}", told.join("\n"));
        }
        let rules: Vec<_> = checked.files.iter().flat_map(|f| f.rules.iter().cloned()).collect();
        wanted.extend(Wanted::of(&Needs::of(&rules)));
    }
    let mut seen = BTreeSet::new();
    wanted.retain(|one| seen.insert((one.component.clone(), one.sal_name.clone())));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let open =
        |env: &salobj::Env, began| Ok(recorder::open(&args.out, &recorder::session("bus", began, env))?);
    let (records, notes) = runtime.block_on(record_live(&wanted, open, args.limit, args.quiet))?;
    if !args.quiet {
        super::super::tell(&notes);
        super::super::tell(&[format!(
            "{records} records of {} topics in {}",
            wanted.len(),
            args.out.display()
        )]);
    }
    Ok(ExitCode::SUCCESS)
}

fn named(topics: &[String]) -> anyhow::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for topic in topics {
        let (component, _, sal_name) = split_topic(topic).map_err(|e| anyhow::anyhow!("{e}"))?;
        wanted.push(Wanted { component, sal_name, span: Duration::ZERO });
    }
    Ok(wanted)
}
