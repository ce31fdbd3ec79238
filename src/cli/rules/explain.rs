//! `catcher rules explain`: why a rule does what it does, on the series of its own tests or as a running Catcher sees it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::{Clock, Domain, Env, Remote, RemoteOptions, Value};

use super::files::{compiled, read};
use super::{colour, explain_show, show};
use crate::cli::topics::XmlDir;
use crate::core::selftest::core_at;
use crate::rules::{Explanation, parse_duration};

/// How long a running Catcher is given to answer.
const LIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `catcher rules explain`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The rule file; with --live, the name of the rule.
    #[arg(value_name = "FILE")]
    first: String,
    /// Name of the rule; may be left out if the file has one rule only.
    #[arg(value_name = "RULE")]
    second: Option<String>,
    /// Time since the start of the test, e.g. 28m; without it, the test's last expectation.
    #[arg(long, value_name = "TIME", value_parser = seconds, conflicts_with = "live")]
    at: Option<f64>,
    /// Which test of the rule; without it, the first.
    #[arg(long, value_name = "NAME", conflicts_with = "live")]
    test: Option<String>,
    /// Ask the running Catcher of this index.
    #[arg(long, value_name = "INDEX", conflicts_with = "second")]
    live: Option<i32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    xml: XmlDir,
}

fn seconds(text: &str) -> Result<f64, String> {
    parse_duration(text).ok_or_else(|| format!("'{text}' is not a time: write it with its unit, e.g. 28m"))
}

/// True if there was something to explain.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<bool> {
    let explanation = match args.live {
        Some(index) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(live(args, index))?
        }
        None => match offline(args, out)? {
            Some(explanation) => explanation,
            None => return Ok(false),
        },
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&explanation)?)?;
    } else {
        explain_show::explanation(&explanation, colour(), out)?;
    }
    Ok(true)
}

/// On the series of a test of the rule; none if the file has mistakes, which are told.
fn offline(args: &Args, out: &mut impl Write) -> anyhow::Result<Option<Explanation>> {
    let sources = read(&[PathBuf::from(&args.first)])?;
    let library = args.xml.library()?;
    let checked = compiled(sources, &library);
    if !checked.mistakes.is_empty() {
        show::mistakes(&checked.mistakes, colour(), out)?;
        return Ok(None);
    }
    let all: Vec<_> = checked.files.iter().flat_map(|f| f.rules.iter().map(move |r| (f, r))).collect();
    let found = match &args.second {
        Some(name) => all.iter().find(|(_, rule)| rule.name == *name),
        None if all.len() == 1 => all.first(),
        None => None,
    };
    let Some((file, rule)) = found else {
        let names: Vec<&str> = all.iter().map(|(_, r)| r.name.as_str()).collect();
        bail!("name one rule of {}: {}", args.first, names.join(", "));
    };
    let (core, now) =
        core_at(file, rule, args.test.as_deref(), args.at, &library).map_err(anyhow::Error::msg)?;
    core.explain(&rule.name, now).map(Some).map_err(anyhow::Error::msg)
}

/// As a running Catcher sees it: the command `explain`, and the event that answers.
async fn live(args: &Args, index: i32) -> anyhow::Result<Explanation> {
    let env = Env::from_process()?;
    let transport = KafkaTransport::new(&env, KafkaOptions::default())?;
    let domain = Domain::new(Arc::new(transport), Clock::System, env);
    let component = args.xml.library()?.with_compiled_in("Catcher")?.component("Catcher")?;
    let asked = ask(&domain, component, index, &args.first).await;
    domain.close().await;
    asked
}

async fn ask(
    domain: &Domain,
    component: Arc<sal_idl::Component>,
    index: i32,
    rule: &str,
) -> anyhow::Result<Explanation> {
    let remote = Remote::open(domain, component, index, RemoteOptions::include(["explanation"])).await?;
    let event = remote.event("explanation")?;
    event.flush()?;
    let fields = [("ruleName", Value::Text(rule.into()))];
    remote
        .command("explain")?
        .start(&fields, LIVE_TIMEOUT, true)
        .await
        .with_context(|| format!("Catcher:{index} does not explain {rule}"))?;
    loop {
        let sample = event.next(false, Some(LIVE_TIMEOUT)).await?;
        // Somebody else may have asked about another rule.
        if sample.str("ruleName") == rule {
            return serde_json::from_str(sample.str("explanation")).context("the answer is no explanation");
        }
    }
}
