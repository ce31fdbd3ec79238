//! `catcher rules explain`: why a rule does what it does: on the series of its own tests, on past data, or as a running Catcher
//! sees it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use salobj::{Clock, Domain, Remote, RemoteOptions, Tai, Value};

use super::files::{Checked, compiled, read};
use super::{colour, explain_show, show};
use crate::cli::data::{Data, Needs, Opened, time};
use crate::cli::outside::{Bus, Outside};
use crate::cli::progress::Progress;
use crate::cli::replay::answers;
use crate::cli::schemas::Interfaces;
use crate::core::Settings;
use crate::core::selftest::{TestFile, core_at};
use crate::replay::{Exact, Replay};
use crate::rules::{Explanation, Rule, SchemaSource, parse_duration};

/// How long a running Catcher is given to answer.
const LIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `catcher rules explain`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The rule file, or a folder with such; with --live and --exact, the name of the rule.
    #[arg(value_name = "FILE")]
    first: String,
    /// Name of the rule, of one of its keys as RULE.KEY; may be left out if there is one rule only.
    #[arg(value_name = "RULE")]
    second: Option<String>,
    /// Of a rule with `by`: the key to explain; the same as RULE.KEY.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// When. Of a test: the time since its start, e.g. 28m (without it, its last expectation). Of data: UTC, or so long ago,
    /// e.g. 2026-11-21T03:12 or -1h (without it, the end).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "live")]
    at: Option<String>,
    /// Which test of the rule; without it, the first.
    #[arg(long, value_name = "NAME", conflicts_with = "live")]
    test: Option<String>,
    /// Ask the running Catcher of this index.
    #[arg(long, value_name = "INDEX", conflicts_with = "second")]
    live: Option<i32>,
    /// The rules of a recorded live run (`run_catcher --record`), with everything that they were told then.
    #[arg(long, conflicts_with_all = ["second", "live", "test", "results", "from_kafka", "efd"])]
    exact: bool,
    #[command(flatten)]
    data: Data,
    /// What steps of runs answer on past data: a YAML file, `Rule: {step: {exit_code: 0}}`.
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    results: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    interfaces: Interfaces,
}

impl Args {
    /// What is asked about.
    fn with_key(&self, rule: &str) -> String {
        self.key.as_ref().map_or_else(|| rule.to_owned(), |key| format!("{rule}.{key}"))
    }
}

/// True if there was something to explain.
pub(in crate::cli) fn run(args: &Args, outside: &Outside, out: &mut impl Write) -> anyhow::Result<bool> {
    let (explanation, notes) = if let Some(index) = args.live {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        (Some(runtime.block_on(live(args, index, outside))?), Vec::new())
    } else if args.exact {
        exactly(args, outside)?
    } else if args.data.is_named() {
        on_data(args, outside, out)?
    } else {
        (on_test(args, out)?, Vec::new())
    };
    let Some(explanation) = explanation else { return Ok(false) };
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&explanation)?)?;
    } else {
        explain_show::explanation(&explanation, colour(), out)?;
    }
    crate::cli::tell(&notes);
    Ok(true)
}

/// On the series of a test of the rule; none if the file has mistakes, which are told.
fn on_test(args: &Args, out: &mut impl Write) -> anyhow::Result<Option<Explanation>> {
    let sources = read(&[PathBuf::from(&args.first)])?;
    let schemas = args.interfaces.source(&sources)?;
    let checked = compiled(sources, schemas.as_ref());
    let Some((file, rule, name)) = found(args, &checked, out)? else { return Ok(None) };
    let at = args.at.as_deref().map(|text| {
        parse_duration(text).with_context(|| {
            format!("'{text}' is no time of a test: write it with its unit, e.g. 28m (for a time of day name the data)")
        })
    });
    let (core, now) = core_at(file, rule, args.test.as_deref(), at.transpose()?, schemas.as_ref())
        .map_err(anyhow::Error::msg)?;
    core.explain(&name, now).map(Some).map_err(|reason| match core.key_names(&rule.name).as_slice() {
        [] => anyhow::Error::msg(reason),
        keys => anyhow::anyhow!("{reason}; its keys: {}", keys.join(", ")),
    })
}

/// The rule that is meant, its file, and the name by which it is explained; none if the files have mistakes, which are told.
fn found<'a>(
    args: &Args,
    checked: &'a Checked,
    out: &mut impl Write,
) -> anyhow::Result<Option<(&'a TestFile, &'a Arc<Rule>, String)>> {
    if !checked.mistakes.is_empty() {
        show::mistakes(&checked.mistakes, colour(), out)?;
        return Ok(None);
    }
    let all: Vec<_> = checked.files.iter().flat_map(|f| f.rules.iter().map(move |r| (f, r))).collect();
    let is_key_of = |rule: &Rule, name: &str| {
        name.strip_prefix(rule.name.as_str()).is_some_and(|rest| rest.starts_with('.'))
    };
    let found = match &args.second {
        Some(name) => all
            .iter()
            .find(|(_, rule)| rule.name == *name)
            .or_else(|| all.iter().find(|(_, rule)| is_key_of(rule, name))),
        None if all.len() == 1 => all.first(),
        None => None,
    };
    let Some((file, rule)) = found else {
        let names: Vec<&str> = all.iter().map(|(_, r)| r.name.as_str()).collect();
        bail!("name one rule of {}: {}", args.first, names.join(", "));
    };
    let name = args.second.clone().unwrap_or_else(|| rule.name.clone());
    Ok(Some((file, rule, args.with_key(&name))))
}

/// What is explained, if the files have no mistakes, and what should be known about the data.
type Explained = (Option<Explanation>, Vec<String>);

/// On past data: the rule, and the rules that it reads, replayed up to the time.
fn on_data(args: &Args, outside: &Outside, out: &mut impl Write) -> anyhow::Result<Explained> {
    if args.test.is_some() {
        bail!("--test names a series of the rule's own; leave it out, or the data");
    }
    let data = args.data.until(args.at.as_deref());
    let sources = read(&[PathBuf::from(&args.first)])?;
    let schemas = data.schemas(&args.interfaces, &sources, outside)?;
    let checked = compiled(sources, schemas.as_ref());
    let Some((_, rule, name)) = found(args, &checked, out)? else { return Ok((None, Vec::new())) };
    let all: Vec<Arc<Rule>> = checked.files.iter().flat_map(|f| f.rules.iter().cloned()).collect();
    let rules = with_what_it_reads(rule, &all);
    let told = answers(args.results.as_deref(), &all)?;
    let opened = data.open(&Needs::of(&rules), schemas.as_ref(), outside, args.json)?;
    let at = end(args, &opened)?;
    let mut replays = [Replay::new(rules, Settings::default(), told, schemas.as_ref(), opened.span)];
    let mut progress = Progress::new("replay", opened.bytes(), args.json);
    opened.play(&mut replays, &mut progress)?;
    drop(progress);
    let [replay] = &replays;
    let mut notes = opened.notes.clone();
    notes.extend(late(at, &opened));
    notes.extend(replay.warnings().iter().cloned());
    let explanation = replay.core().explain(&name, at).map_err(anyhow::Error::msg)?;
    Ok((Some(explanation), notes))
}

/// The rules of a recorded live run as they were then.
fn exactly(args: &Args, outside: &Outside) -> anyhow::Result<Explained> {
    let data = args.data.until(args.at.as_deref());
    let path = data.recording().context("--exact needs a recording: --data FILE")?;
    let schemas: Box<dyn SchemaSource> = data.schemas(&args.interfaces, &[], outside)?;
    let opened = data.open(&Needs::default(), schemas.as_ref(), outside, args.json)?;
    if !opened.summary.sessions.iter().any(|session| session.source == "live") {
        bail!("{} has records only: name a rule file, and leave out --exact", path.display());
    }
    let at = end(args, &opened)?;
    let mut exact = Exact::new(schemas.as_ref());
    let mut progress = Progress::new("replay", opened.bytes(), args.json);
    opened.each(&mut progress, |item| {
        if item.at().is_some_and(|then| then > at.0) {
            return Ok(false);
        }
        exact.item(item).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
        Ok(true)
    })?;
    drop(progress);
    let mut notes = opened.notes.clone();
    notes.extend(late(at, &opened));
    if exact.lost() > 0 {
        notes.push(format!(
            "{} items were lost while it was recorded: this need not be how it was",
            exact.lost()
        ));
    }
    let explanation = exact.core().explain(&args.with_key(&args.first), at).map_err(anyhow::Error::msg)?;
    Ok((Some(explanation), notes))
}

/// The time that is explained: the one that is asked for, or the end of the data.
fn end(args: &Args, opened: &Opened) -> anyhow::Result<Tai> {
    let asked = args.at.as_deref().map(|text| time(text, Clock::System.now())).transpose()?;
    Ok(if opened.span.to.0.is_finite() { opened.span.to } else { asked.unwrap_or(opened.range().1) })
}

/// A note if the data end before the time.
fn late(at: Tai, opened: &Opened) -> Option<String> {
    let (_, last) = opened.summary.span?;
    let text = format!("the data end at {}: nothing was heard after that", last.utc_iso());
    (at - last > 1.0).then_some(text)
}

/// A rule, the rules that it reads, what these read; all of them where alarms inhibit each other.
fn with_what_it_reads(rule: &Arc<Rule>, all: &[Arc<Rule>]) -> Vec<Arc<Rule>> {
    if all.iter().filter_map(|r| r.alarm.as_ref()).any(|alarm| !alarm.config.inhibit_by.is_empty()) {
        return all.to_vec();
    }
    let mut taken = vec![Arc::clone(rule)];
    let mut at = 0;
    while at < taken.len() {
        let reader = Arc::clone(&taken[at]);
        for (name, _) in reader.reads_rules() {
            let is = |r: &&Arc<Rule>| {
                r.name == name || name.strip_prefix(r.name.as_str()).is_some_and(|k| k.starts_with('.'))
            };
            if let Some(read) = all.iter().find(is)
                && taken.iter().all(|t| t.name != read.name)
            {
                taken.push(Arc::clone(read));
            }
        }
        at += 1;
    }
    taken
}

/// As a running Catcher sees it: the command `explain`, and the event that answers.
async fn live(args: &Args, index: i32, outside: &Outside) -> anyhow::Result<Explanation> {
    let Bus { transport, env } = outside.bus()?;
    let domain = Domain::new(transport, Clock::System, env);
    let component = args.interfaces.library()?.with_compiled_in("Catcher")?.component("Catcher")?;
    let asked = ask(&domain, component, index, &args.with_key(&args.first)).await;
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
