//! The command line, one file for each subcommand.
//!
//! `run_catcher INDEX [options]` is the same program by its second name: it is `catcher run INDEX [options]`.

mod alarms;
mod data;
mod demo;
mod love;
mod outside;
mod progress;
mod replay;
mod rules;
mod run;
mod schema;
mod schemas;
mod tasks;
mod topics;
mod which;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use outside::Outside;

/// Watches the observatory, starts the analysis that a rule asks for, keeps the result, tells the operators.
#[derive(Debug, Parser)]
#[command(name = "catcher", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  catcher demo                          everything simulated in this process, to look at
  catcher demo --once --json            the same, both scenarios once, one JSON summary
  catcher rules check my_rules.yaml     is the file right? every mistake at once
  catcher rules test my_rules.yaml      run the tests that the file holds
  catcher replay my_rules.yaml --from-kafka -8h   what they would have done in the last eight hours
  catcher topics tail ESS:301.tel_airFlow         what comes on the bus, decoded
  run_catcher 1 --state enabled         the CSC on the bus that LSST_KAFKA_BROKER_ADDR names")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a simulated night, to look at or to test.
    Demo(demo::Args),
    /// Check rule files, run their tests, explain, draw, format, compare and tune them.
    #[command(subcommand)]
    Rules(rules::Command),
    /// What would these rules have done? Plays them on past data, faster than it happened; nothing is sent to anybody.
    Replay(replay::Args),
    /// Look at SAL interfaces and at what comes on the bus, record topics.
    #[command(subcommand)]
    Topics(topics::Command),
    /// Look at the alarms of a running Catcher, and mute them.
    #[command(subcommand)]
    Alarms(alarms::Command),
    /// Show the Catcher's alarms in LOVE, the operators' display.
    #[command(subcommand)]
    Love(love::Command),
    /// Look at the runs of a running Catcher, follow them, end them, run them again.
    #[command(subcommand)]
    Tasks(tasks::Command),
    /// Print the generated schemas.
    Schema(schema::Args),
    /// Print shell completions.
    #[command(after_help = "Examples:
  catcher completions bash > ~/.local/share/bash-completion/completions/catcher
  catcher completions zsh > ~/.zfunc/_catcher
  source <(catcher completions bash)")]
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
        // Whoever read what is printed has seen enough: `catcher topics list | head`.
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        complain(&error);
        ExitCode::FAILURE
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.into_iter().any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// All subcommands; the arguments of `run` are salobj's.
fn whole() -> clap::Command {
    Cli::command().subcommand(run::command("run"))
}

fn act(command: Command) -> anyhow::Result<ExitCode> {
    let outside = Outside::real();
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Rules(command) => rules::run(command, &outside),
        Command::Alarms(command) => alarms::run(command, &outside),
        Command::Tasks(command) => tasks::run(command, &outside),
        Command::Love(command) => love::run(command),
        Command::Replay(args) => replay::run(&args, &outside),
        Command::Topics(command) => topics::run(command, &outside),
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
mod tests;
