//! `catcher rules`: work on rule files, one file of code for each subcommand. Nothing is sent to anybody.

mod check;
mod explain;
mod explain_show;
mod files;
mod fmt;
mod graph;
mod junit;
mod show;
mod test;

use std::io::{BufWriter, IsTerminal, Write};
use std::process::ExitCode;

/// Wrong usage, as clap has it.
const USAGE: u8 = 2;

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
  catcher rules check --schemas schemas.json my_rules.yaml         (see `catcher topics schemas`)")]
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
        after_help = "Offline, the past is that of a test of the rule: its series up to the time asked for.

Exit code: 0 explained, 1 no such rule or test, 2 a file cannot be read.

Examples:
  catcher rules explain wind.yaml Wind.Forecast                  at the end of its first test
  catcher rules explain wind.yaml Wind.Forecast --at 28m --test 'a rising wind warns, and clears when it is calm'
  catcher rules explain wind.yaml Wind.Forecast --at 28m --json
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
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = match command {
        Command::Check(args) => check::run(&args, &mut out),
        Command::Test(args) => test::run(&args, &mut out),
        Command::Explain(args) => explain::run(&args, &mut out),
        Command::Graph(args) => graph::run(&args, &mut out),
        Command::Fmt(args) => fmt::run(&args, &mut out),
    };
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

/// Colour on a terminal, unless the user does not want it.
pub(super) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
