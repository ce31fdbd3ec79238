//! An explanation as a tree: ✓ true, ✗ false, ? unknown, · a value; what decided is marked, what was not looked at is dim.

use std::io::{self, Write};

use owo_colors::{OwoColorize, Style};
use serde_json::Value as Json;

use crate::rules::{Explanation, Note, Stated, Term};

/// How deep the names of operands stand to the right.
const WIDTH: usize = 56;

/// Everything, in the order in which one would ask.
pub(in crate::cli) fn explanation(e: &Explanation, colour: bool, out: &mut impl Write) -> io::Result<()> {
    let pen = Pen { colour };
    writeln!(out, "{} at {}", pen.bold(&e.rule), e.utc.replace('T', " "))?;
    writeln!(out, "  {}", e.decision)?;
    if e.shortened {
        writeln!(out, "  (the explanation was too long for an event: parts are left out)")?;
    }
    writeln!(out, "\n{}", pen.bold("inputs"))?;
    for input in &e.inputs {
        let age = input.age_s.map_or_else(|| "never seen".to_owned(), |age| format!("{} old", time(age)));
        let most = input.max_age_s.map_or(String::new(), |most| format!(" of at most {}", time(most)));
        let filter = input.filter.as_ref().map_or(String::new(), |f| format!(", only if {f}"));
        let mark = if input.state == "known" { pen.dim("·") } else { pen.yellow("?") };
        let state = if input.state == "known" { String::new() } else { format!("  ({})", input.state) };
        let value = value(&input.value);
        writeln!(
            out,
            "  {mark} {} = {value}{state}  {}",
            input.name,
            pen.dim(&format!("{}, {age}{most}{filter}", input.topic))
        )?;
    }
    if let Some(trigger) = &e.trigger {
        writeln!(out, "\n{}  {}", pen.bold("trigger"), trigger.on)?;
        writeln!(out, "  {}", trigger.decision)?;
        trigger.when.iter().try_for_each(|s| stated(s, pen, out))?;
        notes(&trigger.notes, pen, out)?;
        if trigger.running + trigger.queued > 0 {
            writeln!(out, "  runs: {} going, {} waiting", trigger.running, trigger.queued)?;
        }
        if let Some(last) = &trigger.last {
            writeln!(out, "  the last occasion, {}: {}", last.utc.replace('T', " "), last.outcome.text)?;
        }
    }
    if !e.steps.is_empty() {
        writeln!(out, "\n{}", pen.bold("steps, on the newest run"))?;
        e.steps.iter().try_for_each(|s| stated(s, pen, out))?;
    }
    if let Some(alarm) = &e.alarm {
        let severity = if alarm.severity.is_empty() { "not judged yet" } else { &alarm.severity };
        writeln!(out, "\n{}  {}", pen.bold("alarm"), pen.severity(severity))?;
        writeln!(out, "  {}", alarm.decision)?;
        alarm.gate.iter().try_for_each(|s| stated(s, pen, out))?;
        for (i, judged) in alarm.conditions.iter().enumerate() {
            if alarm.conditions.len() > 1 {
                writeln!(out, "  condition {}: {}", i + 1, pen.severity(&judged.severity))?;
            }
            judged.terms.iter().try_for_each(|s| stated(s, pen, out))?;
            notes(&judged.notes, pen, out)?;
        }
        notes(&alarm.notes, pen, out)?;
        for tree in &alarm.inhibits {
            writeln!(out, "  {}", tree.to_string().replace('\n', "\n  "))?;
        }
    }
    Ok(())
}

fn notes(notes: &[Note], pen: Pen, out: &mut impl Write) -> io::Result<()> {
    notes.iter().try_for_each(|n| writeln!(out, "  {} {}", pen.yellow("!"), n.text))
}

fn stated(stated: &Stated, pen: Pen, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "  {}", pen.dim(&format!("{}:", stated.place)))?;
    term(&stated.term, "  ", "", "", pen, out)
}

/// A term on its line, with those in it below. `branch` draws the line to it, `under` the one past it.
fn term(t: &Term, margin: &str, branch: &str, under: &str, pen: Pen, out: &mut impl Write) -> io::Result<()> {
    let (mark, said) = match (&t.unknown, &t.value) {
        (Some(why), _) => (pen.yellow("?"), format!("unknown: {why}")),
        (None, Json::Bool(true)) => (pen.green("✓"), String::new()),
        (None, Json::Bool(false)) => (pen.red("✗"), String::new()),
        (None, Json::Null) => (pen.dim("·"), String::new()),
        (None, other) => (pen.dim("·"), format!("= {}", value(other))),
    };
    let text: String = t.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let literal = t.terms.is_empty() && said == format!("= {text}");
    let mut line = format!("{margin}{branch}");
    let width = branch.chars().count() + text.chars().count() + 2;
    let pad = " ".repeat(WIDTH.saturating_sub(width).max(2));
    let mut right = if literal { String::new() } else { said };
    if let Some(note) = &t.note {
        right = if right.is_empty() { note.clone() } else { format!("{right}  ({note})") };
    }
    if let Some(age) = t.age_s {
        right = format!("{right}  {} old", time(age)).trim_start().to_owned();
    }
    if t.skipped {
        right = format!("{right}  not looked at").trim_start().to_owned();
    }
    if t.decides && t.terms.iter().all(|inner| !inner.decides) && !branch.is_empty() {
        right = format!("{right}  ◄ decides").trim_start().to_owned();
    }
    let shown = if t.skipped { pen.dim(&text) } else { text };
    line.push_str(&format!("{mark} {shown}{pad}{right}"));
    writeln!(out, "{}", line.trim_end())?;
    let inner: Vec<&Term> =
        t.terms.iter().filter(|inner| !inner.is_its_value() || inner.is_unknown()).collect();
    for (i, one) in inner.iter().enumerate() {
        let last = i + 1 == inner.len();
        let branch = format!("{under}{}", if last { "└─ " } else { "├─ " });
        let below = format!("{under}{}", if last { "   " } else { "│  " });
        term(one, margin, &branch, &below, pen, out)?;
    }
    Ok(())
}

/// A value in few characters.
fn value(value: &Json) -> String {
    let text = match value {
        Json::Number(n) if n.is_f64() => {
            let v = n.as_f64().unwrap_or(f64::NAN);
            crate::reports::number(v).replace('\u{2212}', "-")
        }
        Json::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(100) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

fn time(seconds: f64) -> String {
    if seconds.abs() < 100.0 {
        format!("{:.1} s", seconds)
    } else {
        crate::core::selftest::moment(seconds.round())
    }
}

#[derive(Clone, Copy)]
struct Pen {
    colour: bool,
}

impl Pen {
    fn with(self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }
    fn bold(self, text: &str) -> String {
        self.with(text, Style::new().bold())
    }
    fn dim(self, text: &str) -> String {
        self.with(text, Style::new().dimmed())
    }
    fn green(self, text: &str) -> String {
        self.with(text, Style::new().green())
    }
    fn red(self, text: &str) -> String {
        self.with(text, Style::new().red())
    }
    fn yellow(self, text: &str) -> String {
        self.with(text, Style::new().yellow())
    }
    fn severity(self, text: &str) -> String {
        match text {
            "NONE" => self.green(text),
            "WARNING" => self.yellow(text),
            "SERIOUS" | "CRITICAL" => self.red(text),
            other => other.to_owned(),
        }
    }
}
