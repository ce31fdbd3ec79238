//! `catcher`, and by its second name `run_catcher`.

use std::process::ExitCode;

fn main() -> ExitCode {
    catcher::cli::main()
}
