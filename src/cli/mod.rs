//! The command line, one file for each subcommand.
//!
//! `run_catcher INDEX [options]` is the same program by its second name: it is `catcher run INDEX [options]`.



mod schema;
mod topics;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Watches the observatory, starts the analysis that a rule asks for, keeps the result, tells the operators.
#[derive(Debug, Parser)]
#[command(name = "catcher", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Examples:
  catcher demo                          everything simulated in this process, to look at
  catcher demo --once --json            the same, both scenarios once, one JSON summary
  catcher rules check my_rules.yaml     is the file right? every mistake at once
  catcher rules test my_rules.yaml      run the tests that the file holds
  run_catcher 1 --state enabled         the CSC on the bus that LSST_KAFKA_BROKER_ADDR names")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at SAL interfaces.
    #[command(subcommand)]
    Topics(topics::Command),
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
    let cli = Cli::parse_from(by_second_name(args));
    let result = match cli.command {
        Command::Topics(command) => topics::run(command),
        Command::Schema(args) => schema::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "catcher", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// `run_catcher 1 --state enabled` means `catcher run 1 --state enabled`.
fn by_second_name(mut args: Vec<OsString>) -> Vec<OsString> {
    let name = args.first().and_then(|a| Path::new(a).file_stem()).and_then(|s| s.to_str()).unwrap_or_default();
    if name == "run_catcher" {
        args.insert(1, "run".into());
    }
    args
}

#[expect(clippy::print_stderr, reason = "the one place where the command line tells its error")]
fn complain(error: &anyhow::Error) {
    eprintln!("catcher: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_arguments_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_second_name_is_the_run_subcommand() {
        let args = by_second_name(vec!["/usr/bin/run_catcher".into(), "3".into()]);
        assert_eq!(args, ["/usr/bin/run_catcher", "run", "3"].map(OsString::from));
        assert_eq!(by_second_name(vec!["catcher".into(), "demo".into()]).len(), 2);
    }
}
