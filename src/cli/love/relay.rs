//! `catcher love watcher-relay`: the alarms of rule files as entries of the Watcher's configuration.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use crate::cli::rules::files::{compiled, read};
use crate::cli::rules::{colour, show};
use crate::cli::topics::XmlDir;
use crate::rules::{Mode, Rule, WatcherAlarm, watcher_alarms};

/// The rule class that the entries name.
const MODULE: &str = include_str!("catcher_relay.py");

/// Name of the entry for what no other one shows: alarms of rules that were added while the Catcher runs.
const OTHERS: &str = "others";

/// Arguments of `catcher love watcher-relay`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Rule files of the Catcher, or folders with such.
    #[arg(required_unless_present = "module", value_name = "FILES")]
    files: Vec<PathBuf>,
    /// SAL index of the Catcher.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    index: i32,
    /// What comes before the name of an alarm, so that operators know whose it is.
    #[arg(long, default_value = "Catcher.")]
    prefix: String,
    /// Refuse names that the Watcher has already; its configuration files, a later one over an earlier one.
    #[arg(long, value_name = "FILE")]
    watcher: Vec<PathBuf>,
    /// Write to this file.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the rule class, a Python file, instead.
    #[arg(long)]
    module: bool,
    #[command(flatten)]
    xml: XmlDir,
}

/// An entry of the Watcher's configuration.
struct Entry {
    /// Name of the Watcher's alarm.
    name: String,
    /// Which alarms of the Catcher it shows.
    glob: String,
}

/// True if the rule files are right, and no name is taken.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<bool> {
    if args.module {
        write(args, MODULE, out)?;
        return Ok(true);
    }
    let library = args.xml.library()?;
    let checked = compiled(read(&args.files)?, &library);
    let watcher = match args.watcher.is_empty() {
        true => Default::default(),
        false => watcher_alarms(&read(&args.watcher)?, &library),
    };
    let mut mistakes = checked.mistakes;
    mistakes.extend(watcher.mistakes);
    show::mistakes(&mistakes, colour(), out)?;
    let rules = checked.files.iter().flat_map(|file| &file.rules);
    let entries = entries(rules.map(AsRef::as_ref), &args.prefix);
    let taken = taken(&entries, args, &watcher.alarms);
    for line in &taken {
        writeln!(out, "{line}")?;
    }
    if !mistakes.is_empty() || !taken.is_empty() {
        return Ok(false);
    }
    write(args, &text(&entries, args), out)?;
    if let Some(path) = &args.output {
        writeln!(out, "{} alarms: {}", entries.len() + 1, path.display())?;
    }
    Ok(true)
}

fn write(args: &Args, text: &str, out: &mut impl Write) -> anyhow::Result<()> {
    match &args.output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display())),
        None => Ok(out.write_all(text.as_bytes())?),
    }
}

/// One for each rule that has an alarm and acts.
fn entries<'r>(rules: impl Iterator<Item = &'r Rule>, prefix: &str) -> Vec<Entry> {
    let shown: Vec<&Rule> = rules.filter(|rule| rule.alarm.is_some() && rule.mode == Mode::Live).collect();
    let glob = |rule: &Rule| match rule.is_keyed() {
        true => format!("{}*", literal(&rule.alarm_name(Some("")))),
        false => literal(&rule.name),
    };
    shown.iter().map(|rule| Entry { name: format!("{prefix}{}", rule.name), glob: glob(rule) }).collect()
}

/// A name as a glob that means only it.
fn literal(name: &str) -> String {
    name.chars().fold(String::new(), |mut glob, c| {
        match c {
            '*' | '?' | '[' => glob.extend(['[', c, ']']),
            c => glob.push(c),
        }
        glob
    })
}

/// Names that are used twice: by the Watcher, or by the entry for all others.
fn taken(entries: &[Entry], args: &Args, watcher: &[WatcherAlarm]) -> Vec<String> {
    let others = format!("{}{OTHERS}", args.prefix);
    let own = entries.iter().filter(|entry| entry.name == others).map(|entry| {
        format!(
            "\"{}\" is the name of the alarm for all others: rename the rule, or give another --prefix",
            entry.name
        )
    });
    let names = entries.iter().map(|entry| entry.name.as_str()).chain([others.as_str()]);
    let theirs = names.filter_map(|name| {
        let alarm = watcher.iter().find(|alarm| alarm.name == name)?;
        Some(format!(
            "{}:{}: the Watcher has an alarm \"{name}\" already: give another --prefix",
            alarm.file, alarm.line
        ))
    });
    own.chain(theirs).collect()
}

fn text(entries: &[Entry], args: &Args) -> String {
    let index = args.index;
    let mut text = format!(
        "# Alarms of Catcher:{index} in the Watcher: `catcher love watcher-relay` of Catcher {}.
#
# Add these entries to `rules` of the Watcher's configuration, and start the Watcher by the Python file that
# `catcher love watcher-relay --module` prints: it has the rule class CatcherAlarm. Make them anew when rule files change.
# * An alarm that no entry names is shown by \"{}{OTHERS}\": of rules that were added while the Catcher runs.
# * Whoever enables the Watcher sends `showAlarms` to Catcher:{index} then: until an alarm changes the Watcher has not heard of it.
# * Acknowledge and mute in the Watcher; alarms that are muted in the Catcher are none here. Let only one of both escalate.
",
        env!("CARGO_PKG_VERSION"),
        args.prefix,
    );
    for (shorter, longer) in begins(entries) {
        text.push_str(&format!(
            "# * The Watcher matches names from their beginning: to acknowledge \"{shorter}\" acknowledges \"{longer}\" as well.\n"
        ));
    }
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    text.push_str("rules:\n- classname: Enabled\n");
    text.push_str(&format!("  configs: [{{name: \"Catcher:{index}\"}}]\n- classname: Heartbeat\n"));
    text.push_str(&format!(
        "  configs: [{{name: \"Catcher:{index}\"}}]\n- classname: CatcherAlarm\n  configs:\n"
    ));
    for entry in entries {
        let (name, glob) = (quoted(&entry.name), quoted(&entry.glob));
        text.push_str(&format!("  - {{name: {name}, index: {index}, alarms: [{glob}]}}\n"));
    }
    let name = quoted(&format!("{}{OTHERS}", args.prefix));
    text.push_str(&format!("  - name: {name}\n    index: {index}\n    alarms: [\"*\"]\n    but_not:\n"));
    for entry in entries {
        text.push_str(&format!("    - {}\n", quoted(&entry.glob)));
    }
    if entries.is_empty() {
        text = text.replace("    but_not:\n", "");
    }
    text
}

/// Names that are the beginning of another one.
fn begins(entries: &[Entry]) -> Vec<(&str, &str)> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let longer = |shorter: &str| {
        names.iter().copied().find(|longer| longer.len() > shorter.len() && longer.starts_with(shorter))
    };
    names.iter().filter_map(|shorter| Some((*shorter, longer(shorter)?))).collect()
}
