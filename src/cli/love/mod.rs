//! `catcher love`: what a site's LOVE needs to show the Catcher's alarms.

mod relay;
#[cfg(test)]
mod tests;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use crate::cli::rules::files::Unreadable;

/// Subcommands of `catcher love`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// For a LOVE that knows the Watcher only: make entries of the Watcher's configuration that show the Catcher's alarms.
    #[command(
        after_help = "The entries need the rule class CatcherAlarm, which --module prints: a Python file that is started in the
place of run_watcher. ts_watcher 1.24 has no class of its own that could do it.

Exit code: 0 done, 1 mistakes were found, 2 a file cannot be read.

Examples:
  catcher love watcher-relay rules/*.yaml -o relay.yaml
  catcher love watcher-relay --watcher Watcher/v6/_summit.yaml rules | less
  catcher love watcher-relay --module > catcher_relay.py"
    )]
    WatcherRelay(relay::Args),
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let Command::WatcherRelay(args) = command;
    let done = relay::run(&args, &mut out);
    out.flush()?;
    match done {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) if error.is::<Unreadable>() => {
            super::complain(&error);
            Ok(ExitCode::from(crate::cli::rules::USAGE))
        }
        Err(error) => Err(error),
    }
}
