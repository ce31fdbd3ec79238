//! The Rust `TestCsc` as a program: `test_csc INDEX [--state enabled] [--override FILE] [--configdir DIR] ...` with the usual
//! SAL environment variables. With `TS_XML_DIR` the interface is ts_xml's, else ours.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use sal_idl::Library;
use salobj::csc::cli;
use salobj_testbed::TestCsc;

fn main() -> ExitCode {
    let spec = match std::env::var_os("TS_XML_DIR") {
        Some(dir) => Library::from_dir(Path::new(&dir)).and_then(|library| TestCsc::spec_of(&library)),
        None => TestCsc::spec(),
    };
    match spec {
        Ok(spec) => cli::main(spec, |_| Arc::new(TestCsc::default())),
        Err(e) => cli::failed(&e),
    }
}
