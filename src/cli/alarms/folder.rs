//! `catcher alarms history | explain | kpi`: from the journal's folder, of a Catcher that runs or of one that is gone.
//! Nothing is locked or changed.

use std::collections::VecDeque;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use comfy_table::{Table, presets};
use salobj::Tai;

use super::utc;
use crate::alarms::{AlarmTransition, Cause, Matcher, Severity, Standing, Tally};
use crate::cli::data::time;
use crate::cli::rules::explain_show;
use crate::journal::{HistoryRead, read_history};
use crate::reports::health::{figures, health_page, lists};
use crate::rules::Evidence;

/// Which history.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Folder {
    /// Data folder of the Catcher (`run_catcher --data-dir`), or its sub-folder `journal`.
    #[arg(long, env = "CATCHER_DATA_DIR", default_value = "catcher-data")]
    data_dir: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// A range of time.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Range {
    /// Begin: UTC (`2026-11-21T03:00`), or so long ago (`-8h`).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End, as --from; now, if left out.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

impl Range {
    fn times(&self, now: Tai) -> anyhow::Result<(Option<Tai>, Tai)> {
        let at = |text: &Option<String>| text.as_deref().map(|text| time(text, now)).transpose();
        let (from, to) = (at(&self.from)?, at(&self.to)?.unwrap_or(now));
        if let Some(from) = from.filter(|from| from.0 > to.0) {
            bail!("the range ends before it begins: {} to {}", from.utc_iso(), to.utc_iso());
        }
        Ok((from, to))
    }
}

impl Folder {
    fn journal(&self) -> anyhow::Result<PathBuf> {
        let within = self.data_dir.join("journal");
        let dir = if within.is_dir() { within } else { self.data_dir.clone() };
        if !dir.is_dir() {
            bail!(
                "there is no folder {}; name the Catcher's data folder by --data-dir",
                self.data_dir.display()
            );
        }
        Ok(dir)
    }

    /// Every transition from a time on, until it is told to stop. What cannot be read is told.
    fn each(
        &self,
        from: Option<Tai>,
        mut f: impl FnMut(AlarmTransition) -> ControlFlow<()>,
    ) -> anyhow::Result<HistoryRead> {
        let dir = self.journal()?;
        let mut strange = 0;
        let read =
            read_history(
                &dir,
                from.map_or(f64::NEG_INFINITY, |t| t.0),
                |entry| match serde_json::from_value(entry.value) {
                    Ok(transition) => f(transition),
                    Err(_) => {
                        strange += 1;
                        ControlFlow::Continue(())
                    }
                },
            );
        let read = read.with_context(|| format!("cannot read the history in {}", dir.display()))?;
        let mut notes = Vec::new();
        if read.segments == 0 {
            notes.push(format!("there is no history in {}", dir.display()));
        }
        if read.damaged_bytes > 0 {
            notes.push(format!(
                "{} bytes of the history are damaged and were passed over",
                read.damaged_bytes
            ));
        }
        if strange > 0 {
            notes.push(format!("{strange} transitions are of another version and were passed over"));
        }
        crate::cli::tell(&notes);
        Ok(read)
    }
}

/// The newest transitions, the newest last.
pub(super) fn history(
    folder: &Folder,
    range: &Range,
    alarms: Option<&str>,
    limit: usize,
    now: Tai,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (from, to) = range.times(now)?;
    let matcher = alarms.map(Matcher::new);
    let named = |name: &str| match (alarms, &matcher) {
        (Some(exact), _) if exact == name => true,
        (_, Some(Ok(matcher))) => matcher.matches(name),
        (_, Some(Err(_))) => false,
        (_, None) => true,
    };
    let mut newest: VecDeque<AlarmTransition> = VecDeque::new();
    let mut more = 0u64;
    folder.each(from, |transition| {
        if transition.at.0 <= to.0 && named(&transition.alarm) {
            newest.push_back(transition);
            if newest.len() > limit {
                newest.pop_front();
                more += 1;
            }
        }
        ControlFlow::Continue(())
    })?;
    if let (true, Some(Err(refused))) = (newest.is_empty(), matcher) {
        return Err(refused.into());
    }
    if folder.json {
        for transition in &newest {
            writeln!(out, "{}", serde_json::to_string(transition)?)?;
        }
        return Ok(());
    }
    if newest.is_empty() {
        return Ok(writeln!(out, "no transitions")?);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.force_no_tty();
    table.set_header(["id", "UTC", "alarm", "what", "severity", "by", "reason"]);
    for t in &newest {
        let (old, new) = (t.before.severity, t.after.severity);
        let severity = if old == new { new.name().to_owned() } else { format!("{old} to {new}") };
        table.add_row([
            t.id.to_string(),
            utc(t.at.0),
            t.alarm.clone(),
            words(t),
            severity,
            t.cause.who(),
            t.reason.clone(),
        ]);
    }
    writeln!(out, "{table}")?;
    if more > 0 {
        writeln!(out, "{more} older ones are not shown (--limit)")?;
    }
    Ok(())
}

fn words(t: &AlarmTransition) -> String {
    t.moves.iter().map(|m| m.word()).collect::<Vec<_>>().join(", ")
}

/// One transition with all that is known of it.
pub(super) fn explain(folder: &Folder, id: u64, out: &mut impl Write) -> anyhow::Result<()> {
    let mut found = None;
    let mut ends: Option<(u64, u64)> = None;
    folder.each(None, |t| {
        ends = Some((ends.map_or(t.id, |(first, _)| first), t.id));
        if t.id == id {
            found = Some(t);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    let Some(t) = found else {
        let known = ends.map_or("none".to_owned(), |(first, last)| format!("{first} to {last}"));
        bail!("there is no transition {id}; the history has {known}")
    };
    if folder.json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&t)?)?);
    }
    writeln!(
        out,
        "transition {id}: {} {} at {} UTC, by {}",
        t.alarm,
        words(&t),
        t.at.utc_iso(),
        t.cause.who()
    )?;
    if let Cause::Command { command, identity, .. } = &t.cause {
        let from = if identity.is_empty() { String::new() } else { format!(", sent by {identity}") };
        writeln!(out, "  command {command}{from}")?;
    }
    writeln!(out, "  was  {}", standing(&t.before))?;
    writeln!(out, "  is   {}", standing(&t.after))?;
    if !t.reason.is_empty() {
        writeln!(out, "  reason: {}", t.reason)?;
    }
    writeln!(out, "  rule {}, revision {}", t.rule, t.revision)?;
    let Some(evidence) = t.evidence else { return Ok(()) };
    let evidence: Evidence =
        serde_json::from_value(evidence).context("the evidence is of another version")?;
    match &evidence.message {
        Some(m) => writeln!(
            out,
            "  decided by a message of {}{}: partition {}, offset {}, sent {} UTC, {:.3} s on its way",
            m.topic,
            if m.sal_index == 0 { String::new() } else { format!(", index {}", m.sal_index) },
            m.partition,
            m.offset,
            Tai(m.sent).utc_iso(),
            m.received - m.sent
        )?,
        None => writeln!(out, "  decided by time or by a run, not by a message")?,
    }
    writeln!(out)?;
    explain_show::explanation(&evidence.explanation, crate::cli::rules::colour(), out)?;
    Ok(())
}

fn standing(s: &Standing) -> String {
    let mut text = s.severity.name().to_owned();
    if s.max_severity != s.severity {
        text.push_str(&format!(", worst {}", s.max_severity));
    }
    if s.acknowledged {
        text.push_str(&format!(", acknowledged by {}", s.acknowledged_by));
    }
    if s.muted_severity > Severity::None {
        let until = s.muted_until.map_or(String::new(), |t| format!(" until {}", utc(t.0)));
        text.push_str(&format!(", muted up to {} by {}{until}", s.muted_severity, s.muted_by));
    }
    if !s.inhibited_by.is_empty() {
        text.push_str(&format!(", inhibited by {}", s.inhibited_by));
    }
    if s.flapping {
        text.push_str(", flapping");
    }
    if let Some(why) = s.kept_back {
        text.push_str(&format!(", not told: {}", why.text()));
    }
    if s.escalating {
        text.push_str(", escalated");
    }
    if !s.escalated_id.is_empty() {
        text.push_str(&format!(", incident {}", s.escalated_id));
    }
    text
}

/// The figures of ISA-18.2.
pub(super) fn kpi(
    folder: &Folder,
    range: &Range,
    html: Option<&Path>,
    now: Tai,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (from, to) = range.times(now)?;
    let mut tally = Tally::new(from, to);
    // All of it: how the alarms stood at the begin is known from what was before.
    folder.each(None, |transition| {
        tally.add(&transition);
        ControlFlow::Continue(())
    })?;
    let health = tally.finish();
    if folder.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&health)?)?;
    } else {
        writeln!(out, "{} to {} UTC", utc(health.from.0), utc(health.to.0))?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.force_no_tty();
        table.set_header(["", "here", "ISA-18.2 recommends"]);
        for (name, value, isa) in figures(&health) {
            table.add_row([name, value, isa.to_owned()]);
        }
        writeln!(out, "{table}")?;
        let rows = lists(&health);
        if !rows.is_empty() {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            table.force_no_tty();
            table.set_header(["", "alarm", ""]);
            for row in rows {
                table.add_row(row);
            }
            writeln!(out, "\n{table}")?;
        }
    }
    if let Some(path) = html {
        let page = health_page(&health, &folder.data_dir.display().to_string());
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
