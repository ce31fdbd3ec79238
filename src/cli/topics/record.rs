//! `catcher topics record`: what comes on the bus, into a recording.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use super::which::{self, Named};
use crate::app::recorder;
use crate::cli::data::{Needs, Wanted, record_live, span};
use crate::cli::outside::Outside;
use crate::cli::rules::files;
use crate::cli::schemas::Interfaces;
use crate::rules::{History, KAFKA};

/// Arguments of `catcher topics record`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Topics, as rules name them: ESS.tel_airFlow, ATCamera.evt_endReadout, 'MTMount.*', or names on the bus. All instances
    /// are recorded.
    #[arg(long, value_name = "TOPIC", num_args = 1.., required_unless_present = "rules")]
    topics: Vec<String>,
    /// Rule files or folders: everything that their rules read on the bus.
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
    interfaces: Interfaces,
}

pub(super) fn limit(text: &str) -> Result<Duration, String> {
    span(text).filter(|d| !d.is_zero()).ok_or_else(|| format!("'{text}' is no duration: write 90s, 10m, 8h"))
}

/// Records until the time is over or `stop` comes; the number of records.
pub(in crate::cli) async fn run(
    args: &Args,
    outside: &Outside,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<u64> {
    let bus = outside.bus()?;
    let mut wanted = Vec::new();
    if !args.topics.is_empty() {
        let library = args.interfaces.library()?;
        let named: Vec<Named> = args.topics.iter().map(|t| Named::read(t)).collect::<Result<_, _>>()?;
        let known = bus.transport.list_topics().await?;
        for topic in which::chosen(&named, &known, &bus.env.topic_subname, &library)? {
            let (component, sal_name) = match topic.sal {
                Some(sal) => sal,
                None => (KAFKA.to_owned(), topic.kafka),
            };
            wanted.push(Wanted { component, sal_name, history: History::default() });
        }
    }
    if !args.rules.is_empty() {
        let sources = files::read(&args.rules)?;
        let schemas = args.interfaces.source_on(&bus, &sources).await?;
        let checked = files::compiled(sources, schemas.as_ref());
        if !checked.mistakes.is_empty() {
            let told: Vec<String> = checked.mistakes.iter().map(|m| m.render(false)).collect();
            bail!("{}", told.join("\n"));
        }
        let rules: Vec<_> = checked.files.iter().flat_map(|f| f.rules.iter().cloned()).collect();
        wanted.extend(Wanted::of(&Needs::of(&rules)));
    }
    let mut seen = BTreeSet::new();
    wanted.retain(|one| seen.insert((one.component.clone(), one.sal_name.clone())));
    let open =
        |env: &salobj::Env, began| Ok(recorder::open(&args.out, &recorder::session("bus", began, env))?);
    let (records, notes) = record_live(&bus, &wanted, open, args.limit, stop, args.quiet).await?;
    if !args.quiet {
        crate::cli::tell(&notes);
        let out = args.out.display();
        crate::cli::tell(&[format!("{records} records of {} topics in {out}", wanted.len())]);
    }
    Ok(records)
}
