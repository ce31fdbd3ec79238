//! The command line, one file for each subcommand.
//!
//! `run_catcher INDEX [options]` is the same program by its second name: it is `catcher run INDEX [options]`.

mod alarms;
mod data;
mod demo;
mod love;
mod progress;
mod replay;
mod rules;
mod run;
mod schema;
mod schemas;
mod topics;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Watches the observatory, starts the analysis that a rule asks for, keeps the result, tells the operators.
#[derive(Debug, Parser)]
#[command(name = "catcher", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  catcher demo                          everything simulated in this process, to look at
  catcher demo --once --json            the same, both scenarios once, one JSON summary
  catcher rules check my_rules.yaml     is the file right? every mistake at once
  catcher rules test my_rules.yaml      run the tests that the file holds
  catcher replay my_rules.yaml --from-kafka -8h   what they would have done in the last eight hours
  run_catcher 1 --state enabled         the CSC on the bus that LSST_KAFKA_BROKER_ADDR names")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a simulated night, to look at or to test.
    Demo(demo::Args),
    /// Check rule files, and run the tests that they hold.
    #[command(subcommand)]
    Rules(rules::Command),
    /// What would these rules have done? Plays them on past data, faster than it happened; nothing is sent to anybody.
    Replay(replay::Args),
    /// Look at SAL interfaces, record topics.
    #[command(subcommand)]
    Topics(topics::Command),
    /// Look at the alarms of a running Catcher, and mute them.
    #[command(subcommand)]
    Alarms(alarms::Command),
    /// Show the Catcher's alarms in LOVE, the operators' display.
    #[command(subcommand)]
    Love(love::Command),
    /// Print the generated schemas.
    Schema(schema::Args),
    /// Print shell completions.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the program: parses the arguments, does the work, returns the exit code (0 good, 1 failed, 2 wrong usage).
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let result = if called_as(&args, "run_catcher") {
        run::run(&run::command("run_catcher").get_matches_from(args))
    } else {
        let matches = whole().get_matches_from(args);
        match matches.subcommand() {
            Some(("run", matches)) => run::run(matches),
            _ => {
                Cli::from_arg_matches(&matches).map_err(anyhow::Error::from).and_then(|cli| act(cli.command))
            }
        }
    };
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// All subcommands; the arguments of `run` are salobj's.
fn whole() -> clap::Command {
    Cli::command().subcommand(run::command("run"))
}

fn act(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Rules(command) => rules::run(command),
        Command::Alarms(command) => alarms::run(command),
        Command::Love(command) => love::run(command),
        Command::Replay(args) => replay::run(&args),
        Command::Topics(command) => topics::run(command),
        Command::Schema(args) => schema::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut whole(), "catcher", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Was the program called by this name?
fn called_as(args: &[OsString], name: &str) -> bool {
    args.first().and_then(|a| Path::new(a).file_stem()).is_some_and(|stem| stem == name)
}

#[expect(clippy::print_stderr, reason = "the one place where the command line tells its error")]
fn complain(error: &anyhow::Error) {
    eprintln!("catcher: {error:#}");
}

/// Notes on what was done, apart from its results.
#[expect(clippy::print_stderr, reason = "what is told besides the results goes to the terminal")]
fn tell(notes: &[String]) {
    for note in notes {
        eprintln!("{note}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_arguments_is_sound() {
        whole().debug_assert();
    }

    #[test]
    fn the_second_name_takes_the_standard_arguments() {
        assert!(called_as(&["/usr/bin/run_catcher".into()], "run_catcher"));
        assert!(!called_as(&["catcher".into(), "run_catcher".into()], "run_catcher"));
        let matches =
            run::command("run_catcher").try_get_matches_from(["run_catcher", "3", "--state", "enabled"]);
        assert!(matches.is_ok(), "{matches:?}");
    }
}
