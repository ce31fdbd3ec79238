//! The standard command line of a CSC, as a [`clap::Command`] that fits into another binary, and the main loop with
//! signals and exit codes.
//!
//! | argument | present when |
//! |---|---|
//! | `INDEX` | the component is indexed; restricted to the enumeration's values if there is one |
//! | `--loglevel N` | always (Python's numbers: 10 debug, 20 info, 30 warning, 40 error) |
//! | `--state`, `--override` | the CSC offers them; the override for a configurable CSC only |
//! | `--configdir DIR` | configurable |
//! | `--simulate` | more than one simulation mode: a flag for 0 and one other, else with a value |
//! | `--version`, `--help` | always |
//!
//! Exit status: 0 after `exitControl`, SIGINT or SIGTERM; 1 if the start failed; 2 for bad arguments.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::state::SummaryState;
use super::{Csc, CscOptions, CscSpec, RunningCsc, StartError, start};
use crate::domain::Domain;
use crate::env::Env;
use crate::error::SalError;
use crate::tai::Clock;
use crate::transport::kafka::{KafkaOptions, KafkaTransport};

/// The arguments of a CSC, for a program called `name`.
pub fn command(name: impl Into<clap::builder::Str>, spec: &CscSpec) -> Command {
    let component = &spec.component;
    let mut command =
        Command::new(name).version(spec.version).about(format!("Run the {} CSC", component.name));
    if component.indexed {
        command = command.arg(index_arg(&component.index_enumeration));
    }
    command = command.arg(
        Arg::new("loglevel")
            .long("loglevel")
            .value_name("N")
            .value_parser(value_parser!(i64))
            .help("Log level: DEBUG=10, INFO=20, WARNING=30, ERROR=40"),
    );
    if spec.offers_state {
        command = command.arg(
            Arg::new("state")
                .long("state")
                .value_parser(PossibleValuesParser::new(["offline", "standby", "disabled", "enabled"]))
                .help("Initial summary state"),
        );
        if spec.config.is_some() {
            command = command.arg(
                Arg::new("override")
                    .long("override")
                    .value_name("FILE")
                    .default_value("")
                    .help("Configuration override file, used if --state is disabled or enabled"),
            );
        }
    }
    if spec.config.is_some() {
        command = command.arg(
            Arg::new("configdir")
                .long("configdir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Directory with configuration files, instead of the standard one"),
        );
    }
    match simulate_arg(&spec.simulation_modes) {
        Some(arg) => command.arg(arg),
        None => command,
    }
}

fn index_arg(enumeration: &str) -> Arg {
    let named = index_values(enumeration);
    let help = if named.is_empty() {
        "SAL index, a positive integer".to_owned()
    } else {
        let list: Vec<String> = named.iter().map(|(value, name)| format!("{value}: {name}")).collect();
        format!("SAL index, one of: {}", list.join(", "))
    };
    Arg::new("index").required(true).value_name("INDEX").help(help).value_parser(
        move |text: &str| -> Result<i32, String> {
            let index: i32 = text.parse().map_err(|_| "not an integer".to_owned())?;
            if named.is_empty() && index > 0 || named.iter().any(|(value, _)| *value == i64::from(index)) {
                return Ok(index);
            }
            Err(if named.is_empty() {
                "must be positive".to_owned()
            } else {
                let values: Vec<String> = named.iter().map(|(value, _)| value.to_string()).collect();
                format!("must be one of {}", values.join(", "))
            })
        },
    )
}

/// Values and names of an `IndexEnumeration` (`a=1,b=2`, or names counted from 1); nothing for `any` and `no`.
fn index_values(enumeration: &str) -> Vec<(i64, String)> {
    let trimmed = enumeration.trim();
    if trimmed.is_empty() || trimmed == "any" || trimmed == "no" {
        return Vec::new();
    }
    trimmed
        .split(',')
        .zip(1..)
        .filter_map(|(item, i)| match item.split_once('=') {
            Some((name, value)) => Some((value.trim().parse().ok()?, name.trim().to_owned())),
            None => Some((i, item.trim().to_owned())),
        })
        .collect()
}

fn simulate_arg(modes: &[i64]) -> Option<Arg> {
    if modes.len() < 2 {
        return None;
    }
    let arg = Arg::new("simulate").long("simulate").help("Simulate the hardware or the peers");
    if modes.len() == 2 && modes.contains(&0) {
        return Some(arg.action(ArgAction::SetTrue));
    }
    let modes = modes.to_vec();
    let arg = arg.value_name("MODE").value_parser(move |text: &str| -> Result<i64, String> {
        let mode = text.parse().map_err(|_| "not an integer".to_owned())?;
        if modes.contains(&mode) { Ok(mode) } else { Err(format!("must be one of {modes:?}")) }
    });
    Some(arg.allow_negative_numbers(true))
}

/// The mode without `--simulate`: 0, or the first one if there is no 0.
fn default_mode(modes: &[i64]) -> i64 {
    if modes.contains(&0) { 0 } else { modes.first().copied().unwrap_or(0) }
}

/// What was asked for on a command line that [`command`] describes. Duplicates are looked for, and all log records of the
/// process are published.
pub fn options(spec: &CscSpec, matches: &ArgMatches) -> CscOptions {
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let index = matches.try_get_one::<i32>("index").ok().flatten().copied().unwrap_or(0);
    let simulation_mode = match spec.simulation_modes.as_slice() {
        [only] => *only,
        modes if modes.len() == 2 && modes.contains(&0) => {
            let simulated = matches.try_get_one::<bool>("simulate").ok().flatten().copied().unwrap_or(false);
            if simulated { modes.iter().copied().find(|m| *m != 0).unwrap_or(0) } else { 0 }
        }
        modes => {
            let asked = matches.try_get_one::<i64>("simulate").ok().flatten().copied();
            asked.unwrap_or_else(|| default_mode(modes))
        }
    };
    let initial_state = text("state").map(|state| match state.as_str() {
        "offline" => SummaryState::Offline,
        "disabled" => SummaryState::Disabled,
        "enabled" => SummaryState::Enabled,
        _ => SummaryState::Standby,
    });
    CscOptions {
        initial_state,
        configuration_override: text("override").unwrap_or_default(),
        config_dir: matches.try_get_one::<PathBuf>("configdir").ok().flatten().cloned(),
        simulation_mode,
        log_level: matches.try_get_one::<i64>("loglevel").ok().flatten().copied(),
        check_duplicate: true,
        take_all_log_records: true,
        ..CscOptions::new(index)
    }
}

/// Starts a CSC and runs it until `exitControl`, SIGINT or SIGTERM. Signals count from the beginning of the start.
pub async fn run(
    domain: &Domain,
    spec: CscSpec,
    options: CscOptions,
    csc: Arc<dyn Csc>,
) -> Result<(), StartError> {
    let mut signal = Box::pin(terminated());
    let running: RunningCsc = tokio::select! {
        running = start(domain, spec, options, csc) => running?,
        () = &mut signal => {
            domain.close().await;
            return Ok(());
        }
    };
    tokio::select! {
        () = running.wait_done() => {}
        () = &mut signal => {
            tracing::info!("signal_handler");
            running.close().await;
        }
    }
    Ok(())
}

/// A whole program: arguments, environment, log to stderr and to SAL, Kafka, and the CSC that `make` makes of the
/// options. To be called from `fn main() -> ExitCode`.
pub fn main(spec: CscSpec, make: impl FnOnce(&CscOptions) -> Arc<dyn Csc>) -> ExitCode {
    let name = format!("run_{}", spec.component.name.to_lowercase());
    let options = options(&spec, &command("run_csc", &spec).bin_name(name).get_matches());
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let subscriber =
        tracing_subscriber::registry().with(stderr.with_filter(filter)).with(crate::log::layer());
    // An error means that the caller has installed a subscriber of its own: that one counts.
    tracing::subscriber::set_global_default(subscriber).unwrap_or_default();
    exit_code(&on_kafka(spec, options, make))
}

fn on_kafka(
    spec: CscSpec,
    options: CscOptions,
    make: impl FnOnce(&CscOptions) -> Arc<dyn Csc>,
) -> Result<(), StartError> {
    let env = Env::from_process().map_err(|e| StartError::Options(e.to_string()))?;
    let transport = KafkaTransport::new(&env, KafkaOptions::default()).map_err(SalError::from)?;
    let domain = Domain::new(Arc::new(transport), Clock::System, env);
    let csc = make(&options);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| StartError::Options(format!("no runtime: {e}")))?;
    runtime.block_on(run(&domain, spec, options, csc))
}

/// The exit status of [`run`], with the reason on stderr.
pub fn exit_code(outcome: &Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failed(e),
    }
}

/// Tells why the program cannot run, on stderr; exit status 1.
#[expect(clippy::print_stderr, reason = "the program's last words")]
pub fn failed(reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}

/// Waits for SIGINT or SIGTERM.
pub async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let (int, term) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut int), Ok(mut term)) = (int, term) else {
        tracing::error!("signals cannot be handled: the CSC ends by exitControl only");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> CscSpec {
        let component = sal_idl::Library::embedded().component(name).unwrap();
        CscSpec::new(component, "1.2.3")
    }

    fn parse(spec: &CscSpec, args: &[&str]) -> Result<CscOptions, clap::Error> {
        let command = command("run_test", spec);
        let matches = command.try_get_matches_from([&["run_test"], args].concat())?;
        Ok(options(spec, &matches))
    }

    #[test]
    fn the_standard_arguments() {
        let spec = spec("Test").configurable("TS_CONFIG_OCS", "title: Test v2");
        command("run_test", &spec).debug_assert();
        let o = parse(&spec, &["3"]).unwrap();
        assert_eq!((o.index, o.initial_state, o.check_duplicate), (3, None, true));
        let args =
            ["3", "--state", "enabled", "--override", "a.yaml", "--configdir", "/tmp", "--loglevel", "10"];
        let o = parse(&spec, &args).unwrap();
        assert_eq!(o.initial_state, Some(SummaryState::Enabled));
        assert_eq!((o.configuration_override.as_str(), o.log_level), ("a.yaml", Some(10)));
        assert_eq!(o.config_dir, Some(PathBuf::from("/tmp")));
        for bad in
            [&[][..], &["x"], &["0"], &["-1"], &["3", "--state", "fault"], &["3", "--simulate"], &["3", "4"]]
        {
            let e = parse(&spec, bad).unwrap_err();
            assert_eq!(e.exit_code(), 2, "{bad:?}");
        }
        let version = parse(&spec, &["--version"]).unwrap_err();
        assert_eq!(version.exit_code(), 0);
        assert!(version.to_string().contains("1.2.3"));
    }

    #[test]
    fn simulation_is_a_flag_or_a_value() {
        let flag = spec("Test").simulation_modes(&[0, 1]);
        assert_eq!(parse(&flag, &["1"]).unwrap().simulation_mode, 0);
        assert_eq!(parse(&flag, &["1", "--simulate"]).unwrap().simulation_mode, 1);
        let value = spec("Test").simulation_modes(&[1, 2, 3]);
        command("run_test", &value).debug_assert();
        assert_eq!(parse(&value, &["1"]).unwrap().simulation_mode, 1);
        assert_eq!(parse(&value, &["1", "--simulate", "3"]).unwrap().simulation_mode, 3);
        assert!(parse(&value, &["1", "--simulate", "0"]).is_err());
    }

    #[test]
    fn an_index_enumeration_restricts_the_index() {
        let spec = spec("ScriptQueue");
        let names = index_values(&spec.component.index_enumeration);
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(parse(&spec, &["2"]).is_ok());
        assert_eq!(parse(&spec, &["9"]).unwrap_err().exit_code(), 2);
        assert_eq!(index_values("any"), []);
        assert_eq!(index_values("A, B"), [(1, "A".to_owned()), (2, "B".to_owned())]);
    }
}
