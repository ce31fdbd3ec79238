//! `catcher schema`: the generated schemas on standard output.

use std::io::Write;
use std::process::ExitCode;

/// Arguments of `catcher schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  catcher schema rules > rules.yaml
  catcher schema config > Catcher.yaml")]
pub(super) struct Args {
    /// Which schema.
    #[arg(value_enum)]
    which: Which,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Which {
    /// Of the CSC's configuration.
    Config,
    /// Of rule files.
    Rules,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = match args.which {
        Which::Config => crate::config::SCHEMA,
        Which::Rules => crate::rules::SCHEMA,
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
