//! `catcher rules`: work on rule files, one file of code for each subcommand. Nothing is sent to anybody.

mod check;
mod diff;
mod explain;
pub(in crate::cli) mod explain_show;
pub(in crate::cli) mod files;
mod fmt;
mod graph;
mod import_watcher;
mod junit;
pub(in crate::cli) mod show;
mod test;
mod tune;

use std::io::{BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use super::outside::Outside;

/// Wrong usage, as clap has it.
pub(in crate::cli) const USAGE: u8 = 2;

/// Subcommands of `catcher rules`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Are these rule files right? Tells every mistake at once, with its place.
    #[command(after_help = "Exit code: 0 all is right, 1 mistakes were found, 2 a file cannot be read.

Examples:
  catcher rules check my_rules.yaml
  catcher rules check --json config_schema/examples
  catcher rules check --xml-dir ~/ts_xml/python/lsst/ts/xml/data rules/*.yaml
  catcher rules check --registry http://registry:8081 my_rules.yaml
  catcher rules check --schemas schemas.json my_rules.yaml         (see `catcher topics schemas`)
  catcher rules check --watcher Watcher/v6/_init.yaml --watcher Watcher/v6/_summit.yaml my_rules.yaml")]
    Check(check::Args),
    /// Run the tests that these rule files hold, in virtual time.
    #[command(
        after_help = "Exit code: 0 all tests passed, 1 one failed or a file has mistakes, 2 a file cannot be read.

Examples:
  catcher rules test my_rules.yaml
  catcher rules test config_schema/examples --junit results.xml
  catcher rules test --json my_rules.yaml"
    )]
    Test(test::Args),
    /// Why does a rule fire, or why does it not? Every condition term by term, and the term that decided.
    #[command(
        after_help = "Without data the past is that of a test of the rule: its series up to the time asked for. With data (a
recording, Kafka, the EFD) the rule, and the rules that it reads, are replayed up to that time. --exact explains the rules of a
recorded live run as they were then, with everything that operators did.

Exit code: 0 explained, 1 no such rule or test, 2 a file cannot be read.

Examples:
  catcher rules explain wind.yaml Wind.Forecast                  at the end of its first test
  catcher rules explain wind.yaml Wind.Forecast --at 28m --test 'a rising wind warns, and clears when it is calm'
  catcher rules explain wind.yaml Wind.Forecast --at 28m --json
  catcher rules explain wind.yaml Wind.Forecast --data night.catcher --at 2026-11-21T03:12
  catcher rules explain wind.yaml Wind.Forecast --from-kafka -4h --at -1h
  catcher rules explain wind.yaml Wind.Forecast --efd efd.yaml --from 2026-11-20T22:00 --at 2026-11-21T03:12
  catcher rules explain Wind.Forecast --exact --data live.catcher --at 2026-11-21T03:12
  catcher rules explain Wind.Forecast --live 1                   as the running Catcher:1 sees it

The bus of a running Catcher is named by LSST_KAFKA_BROKER_ADDR, LSST_SCHEMA_REGISTRY_URL and LSST_TOPIC_SUBNAME."
    )]
    Explain(explain::Args),
    /// Which topics feed which rules, which steps and which alarms come of them.
    #[command(after_help = "Rules of one template are drawn as one.

Examples:
  catcher rules graph config_schema/examples
  catcher rules graph --svg rules.svg my_rules/
  catcher rules graph --json my_rules.yaml")]
    Graph(graph::Args),
    /// Write rule files in their canonical form; comments and meaning stay.
    #[command(
        after_help = "Exit code: 0 done, 1 (with --check) a file is not canonical, or one is no YAML, 2 a file cannot be read.

Examples:
  catcher rules fmt my_rules.yaml
  catcher rules fmt --check config_schema/examples"
    )]
    Fmt(fmt::Args),
    /// What would another version of these rules have done? Plays both on the same past data.
    #[command(
        after_help = "Exit code: 0 nothing would change, 1 something would, or a file has mistakes, 2 a file cannot be read.

Examples:
  catcher rules diff wind.yaml wind_new.yaml --data night.catcher
  catcher rules diff old_rules new_rules --from-kafka -12h --json
  catcher rules diff wind.yaml wind_new.yaml --efd efd.yaml --from 2026-11-20 --to 2026-11-22 --plot diff.html"
    )]
    Diff(diff::Args),
    /// What would other settings of a rule have done? Plays each on the same past data.
    #[command(
        after_help = "A setting is a parameter of the rule's template, one of its `parameters`, or the path of a value in
the rule: alarm.levels.warning, alarm.conditions[0].hold, inputs.wind.window. Several --vary are combined.

Examples:
  catcher rules tune wind.yaml Wind.Speed --vary threshold=10..20/1 --data night.catcher
  catcher rules tune wind.yaml Wind.Speed --vary alarm.levels.warning=8..14/0.5 --vary alarm.hysteresis=0,1,2 --data night.catcher --plot tune.html
  catcher rules tune wind.yaml Wind.Speed --vary alarm.conditions[0].hold=10s..1m/10s --from-kafka -12h --json"
    )]
    Tune(tune::Args),
    /// Make a rule file of a configuration of the Watcher.
    #[command(after_help = "Exit code: 0 done, 1 mistakes were found, 2 a file cannot be read.

Examples:
  catcher rules import-watcher Watcher/v6/_init.yaml Watcher/v6/_summit.yaml -o watcher.yaml
  catcher rules import-watcher _base.yaml | less")]
    ImportWatcher(import_watcher::Args),
}

pub(super) fn run(command: Command, outside: &Outside) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = act(command, outside, &mut out);
    out.flush()?;
    match done {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) if error.is::<files::Unreadable>() => {
            super::complain(&error);
            Ok(ExitCode::from(USAGE))
        }
        Err(error) => Err(error),
    }
}

/// True if it was as it should be.
pub(super) fn act(command: Command, outside: &Outside, out: &mut impl Write) -> anyhow::Result<bool> {
    match command {
        Command::Check(args) => check::run(&args, out),
        Command::Test(args) => test::run(&args, out),
        Command::Explain(args) => explain::run(&args, outside, out),
        Command::Graph(args) => graph::run(&args, out),
        Command::Fmt(args) => fmt::run(&args, out),
        Command::Diff(args) => diff::run(&args, outside, out),
        Command::Tune(args) => tune::run(&args, outside, out),
        Command::ImportWatcher(args) => import_watcher::run(&args, out),
    }
}

/// Colour on a terminal, unless the user does not want it.
pub(in crate::cli) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
