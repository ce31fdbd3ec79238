//! `catcher alarms`: the alarms of a running Catcher, and muting them, by the commands and events that any client uses;
//! their history and health, from its folder.

mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use comfy_table::{Table, presets};
use futures::StreamExt;
use salobj::{Clock, Remote, Sample, Tai, Value};
use serde_json::{Map, Value as Json, json};

use super::outside::Outside;
use super::which::Which;
use crate::alarms::{AlarmSnapshot, Severity, Tree, meant};

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How long the events of `showAlarms` are waited for after its acknowledgement, and how often they are asked for.
const EVENTS: Duration = Duration::from_secs(3);
const ASKED: usize = 5;

/// Subcommands of `catcher alarms`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  catcher alarms list
  catcher alarms list 'Wind\\..*' --index 2 --json
  catcher alarms list --tree                    what is the cause of what
  catcher alarms mute 'Dome\\..*' --duration 2h --dry-run
  catcher alarms mute Wind.High --duration 30m --severity serious
  catcher alarms mute 'Dome\\..*' --at 2026-12-01T14:00:00 --duration 4h --reason service
  catcher alarms history 'Wind\\..*' --from -12h
  catcher alarms explain 1234
  catcher alarms kpi --from -7d --html alarm_health.html

list and mute go over the bus, named by LSST_KAFKA_BROKER_ADDR, LSST_SCHEMA_REGISTRY_URL and LSST_TOPIC_SUBNAME. The
others read the Catcher's data folder (--data-dir or CATCHER_DATA_DIR), while it runs or after it has ended.")]
pub(super) enum Command {
    /// Show alarms, the worst first.
    #[command(after_help = "Examples:
  catcher alarms list
  catcher alarms list 'Dome\\..*' --json")]
    List {
        /// Name of an alarm, else a regular expression that must match whole names; all if left out.
        alarms: Option<String>,
        /// Only alarms that are the cause of others, with those below them.
        #[arg(long)]
        tree: bool,
        #[command(flatten)]
        bus: Which,
    },
    /// Mute alarms, or show which ones it would mute.
    #[command(after_help = "Examples:
  catcher alarms mute 'Dome\\..*' --duration 2h --dry-run
  catcher alarms mute Wind.High --duration 30m --severity serious --by 'night crew'")]
    Mute {
        /// Name of an alarm, else a regular expression that must match whole names.
        alarms: String,
        /// For how long, e.g. 30m.
        #[arg(long, value_parser = duration)]
        duration: Duration,
        /// Up to which severity: warning, serious, critical.
        #[arg(long, value_parser = severity, default_value = "critical")]
        severity: Severity,
        /// When it begins, UTC, e.g. 2026-12-01T14:00:00; now, if left out.
        #[arg(long, value_parser = time)]
        at: Option<Tai>,
        /// With --at: why.
        #[arg(long, requires = "at", default_value = "")]
        reason: String,
        /// Who mutes; you, if left out.
        #[arg(long)]
        by: Option<String>,
        /// Change nothing: show which alarms it would touch, and which of them are active now.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        bus: Which,
    },
    /// Show what happened to alarms: every change of severity, acknowledgement, mute and escalation, the newest last.
    #[command(after_help = "Examples:
  catcher alarms history                                     the newest 50
  catcher alarms history Wind.High --from -8h
  catcher alarms history 'Dome\\..*' --from 2026-11-20T22:00 --to 2026-11-21T10:00 --limit 1000 --json")]
    History {
        /// Name of an alarm, else a regular expression that must match whole names; all if left out.
        alarms: Option<String>,
        #[command(flatten)]
        range: folder::Range,
        /// So many at most, the newest.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        folder: folder::Folder,
    },
    /// Show one transition: who or what caused it, the message that decided, values and ages of the inputs, every term.
    #[command(after_help = "Examples:
  catcher alarms explain 1234                       the number is in `catcher alarms history`
  catcher alarms explain 1234 --data-dir /var/lib/catcher --json")]
    Explain {
        /// Number of the transition.
        id: u64,
        #[command(flatten)]
        folder: folder::Folder,
    },
    /// Are the alarms of any use? The figures of ISA-18.2: alarms per ten minutes, floods, top ten, chattering, standing for
    /// more than a day, time to acknowledge.
    #[command(after_help = "Examples:
  catcher alarms kpi                                the whole history
  catcher alarms kpi --from -7d
  catcher alarms kpi --from 2026-11-20 --to 2026-11-27 --html health.html --json")]
    Kpi {
        #[command(flatten)]
        range: folder::Range,
        /// Also write a page with plots.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        #[command(flatten)]
        folder: folder::Folder,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = crate::rules::parse_duration(text).filter(|s| *s > 0.0);
    let seconds = seconds.ok_or_else(|| format!("'{text}' is not a duration such as 30m or 1h30m"))?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

fn time(text: &str) -> Result<Tai, String> {
    let time = Tai::from_utc_iso(text.trim().trim_end_matches('Z'));
    time.ok_or_else(|| format!("'{text}' is not a time such as 2026-12-01T14:00:00"))
}

fn severity(text: &str) -> Result<Severity, String> {
    match text.parse::<Severity>() {
        Ok(Severity::None) | Err(_) => Err(format!("'{text}' is not one of warning, serious, critical")),
        Ok(severity) => Ok(severity),
    }
}

pub(super) fn run(command: Command, outside: &Outside) -> anyhow::Result<ExitCode> {
    crate::telemetry::init("error", salobj::log::layer());
    let mut out = BufWriter::new(std::io::stdout().lock());
    if let Some(done) = from_folder(&command, Clock::System.now(), &mut out) {
        out.flush()?;
        return done.map(|()| ExitCode::SUCCESS);
    }
    drop(out);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(act(command, outside))
}

/// Does what needs no bus; `None` if the command is another.
fn from_folder(command: &Command, now: Tai, out: &mut impl Write) -> Option<anyhow::Result<()>> {
    Some(match command {
        Command::History { alarms, range, limit, folder } => {
            folder::history(folder, range, alarms.as_deref(), *limit, now, out)
        }
        Command::Explain { id, folder } => folder::explain(folder, *id, out),
        Command::Kpi { range, html, folder } => folder::kpi(folder, range, html.as_deref(), now, out),
        Command::List { .. } | Command::Mute { .. } => return None,
    })
}

async fn act(command: Command, outside: &Outside) -> anyhow::Result<ExitCode> {
    let (Command::List { bus, .. } | Command::Mute { bus, .. }) = &command else {
        bail!("this command does not go over the bus")
    };
    let (domain, remote) = bus.remote(outside, "alarm").await?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = carry_out(&command, &remote, domain.clock(), &mut out).await;
    remote.close().await;
    out.flush()?;
    done.map(|()| ExitCode::SUCCESS)
}

/// Does what the command says through a remote.
pub(super) async fn carry_out(
    command: &Command,
    remote: &Remote,
    clock: &Clock,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match command {
        Command::List { alarms, tree, bus } => {
            let shown = chosen(show(remote, clock).await?, alarms.as_deref())?;
            if *tree {
                return trees(&shown, bus.json, out);
            }
            print(&shown, bus.json, out)
        }
        Command::Mute { alarms, dry_run: true, bus, .. } => {
            let touched = chosen(show(remote, clock).await?, Some(alarms))?;
            if bus.json {
                return print(&touched, true, out);
            }
            let active = touched.iter().filter(|a| a.severity > Severity::None).count();
            writeln!(out, "{} alarms would be muted, {active} of them active now:", touched.len())?;
            print(&touched, false, out)
        }
        Command::Mute { alarms, duration, severity, at, reason, by, bus, .. } => {
            let by = by.clone().unwrap_or_else(salobj::user_at_host);
            let mut fields: Vec<(&str, Value)> = vec![
                ("alarmName", alarms.as_str().into()),
                ("severity", i64::from(*severity).into()),
                ("mutedBy", by.as_str().into()),
            ];
            let command = match at {
                None => {
                    fields.push(("muteDuration", duration.as_secs_f64().into()));
                    "mute"
                }
                Some(at) => {
                    fields.push(("timestampStart", at.0.into()));
                    fields.push(("timestampEnd", (*at + *duration).0.into()));
                    fields.push(("reason", reason.as_str().into()));
                    "muteWindow"
                }
            };
            let ack = remote.command(command)?.start(&fields, LIMIT, true).await?;
            if bus.json {
                writeln!(out, "{}", json!({"result": ack.result}))?;
            } else {
                writeln!(out, "{}", ack.result)?;
            }
            Ok(())
        }
        Command::History { .. } | Command::Explain { .. } | Command::Kpi { .. } => {
            from_folder(command, clock.now(), out).unwrap_or(Ok(()))
        }
    }
}

/// An alarm as the bus showed it.
struct Shown {
    name: String,
    severity: Severity,
    max_severity: Severity,
    sample: Sample,
}

/// Asks for all alarms. A reader drops samples when very many come at once, so it is asked for again until as many are
/// there as the answer says, of after it was asked for: what is still on its way from before may be old. If our clock is
/// ahead of the Catcher's, nothing seems to be of after; then what has come until the end of the wait counts.
async fn show(remote: &Remote, clock: &Clock) -> anyhow::Result<BTreeMap<String, Shown>> {
    let mut stream = std::pin::pin!(remote.event("alarm")?.stream());
    let mut all = BTreeMap::new();
    let mut wanted = 0;
    let since = clock.now();
    let mut fresh = BTreeSet::new();
    let mut take = |sample: Sample| {
        if sample.sent() >= since {
            fresh.insert(sample.str("alarmName").to_owned());
        }
        take(sample, &mut all);
        fresh.len()
    };
    let mut count = 0;
    for _ in 0..ASKED {
        let mut asked = std::pin::pin!(remote.command("showAlarms")?.start(&[], LIMIT, true));
        let ack = loop {
            tokio::select! {
                ack = &mut asked => break ack.context("the Catcher does not show its alarms")?,
                Some(sample) = stream.next() => count = take(sample),
            }
        };
        wanted = ack.result.split_whitespace().next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        let rest = async {
            while count < wanted
                && let Some(sample) = stream.next().await
            {
                count = take(sample);
            }
        };
        // Whether they came or not is seen by their number.
        drop(tokio::time::timeout(EVENTS, rest).await);
        if count >= wanted {
            break;
        }
    }
    if all.len() < wanted {
        bail!("only {} of {wanted} alarms were received", all.len())
    }
    Ok(all)
}

fn take(sample: Sample, all: &mut BTreeMap<String, Shown>) {
    let severity = |field| Severity::try_from(sample.i64(field)).unwrap_or_default();
    let shown = Shown {
        name: sample.str("alarmName").to_owned(),
        severity: severity("severity"),
        max_severity: severity("maxSeverity"),
        sample: sample.clone(),
    };
    all.insert(shown.name.clone(), shown);
}

/// Those that a command with this text would mean, the worst first.
fn chosen(all: BTreeMap<String, Shown>, pattern: Option<&str>) -> anyhow::Result<Vec<Shown>> {
    let names: Option<Vec<String>> = match pattern {
        None => None,
        Some(pattern) => {
            Some(meant(pattern, all.keys().map(String::as_str))?.into_iter().map(str::to_owned).collect())
        }
    };
    let mut shown: Vec<Shown> =
        all.into_values().filter(|a| names.as_ref().is_none_or(|names| names.contains(&a.name))).collect();
    shown.sort_by(|a, b| {
        (b.severity, b.max_severity).cmp(&(a.severity, a.max_severity)).then(a.name.cmp(&b.name))
    });
    Ok(shown)
}

fn print(shown: &[Shown], as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if as_json {
        let all: Vec<Json> = shown.iter().map(|a| fields(&a.sample)).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.force_no_tty();
    table.set_header(["alarm", "severity", "worst", "acknowledged", "muted", "since", "reason"]);
    for alarm in shown {
        let s = &alarm.sample;
        let acknowledged = if s.bool("acknowledged") { s.str("acknowledgedBy") } else { "" };
        let muted = match Severity::try_from(s.i64("mutedSeverity")).unwrap_or_default() {
            Severity::None => String::new(),
            severity => format!("{severity} by {} until {}", s.str("mutedBy"), utc(s.f64("timestampUnmute"))),
        };
        table.add_row([
            &alarm.name,
            alarm.severity.name(),
            alarm.max_severity.name(),
            acknowledged,
            &muted,
            &utc(s.f64("timestampSeverityOldest")),
            s.str("reason"),
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// What is the cause of what, among these.
fn trees(shown: &[Shown], as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let alarms = shown.iter().map(|alarm| {
        (alarm.name.as_str(), alarm.severity, AlarmSnapshot::cause_of(alarm.sample.str("reason")))
    });
    let trees = Tree::all(alarms, usize::MAX);
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&trees)?)?;
    } else if trees.is_empty() {
        writeln!(out, "no alarm is the cause of another one now")?;
    }
    for tree in trees.iter().filter(|_| !as_json) {
        writeln!(out, "{tree}")?;
    }
    Ok(())
}

fn utc(tai: f64) -> String {
    if tai == 0.0 { String::new() } else { Tai(tai).utc_iso().chars().take(19).collect() }
}

fn fields(sample: &Sample) -> Json {
    let field = |value: &Value| match value {
        Value::Bool(b) => json!(b),
        Value::Int(i) => json!(i),
        Value::Double(d) => json!(d),
        Value::Text(t) => json!(&**t),
        other => json!(format!("{other:?}")),
    };
    sample.public_fields().map(|(name, value)| (name.to_owned(), field(value))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests;
