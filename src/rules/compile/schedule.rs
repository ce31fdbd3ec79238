//! `every` and `cron`: periods and patterns are read, and what goes with them.

use std::time::Duration;

use chrono_tz::Tz;
use salobj::Tai;

use super::Work;
use crate::rules::cron::{self, Cron};
use crate::rules::diagnose::suggest;
use crate::rules::model::{CatchUp, Occasion};
use crate::rules::spec::TriggerSpec;

/// Shortest period.
const SHORTEST_S: f64 = 0.1;
/// Longest delay after a time of `cron`.
const LONGEST_OFFSET_S: f64 = 86_400.0;
/// `max_event_age` where what was missed is to be made up and nothing else is said: a year.
const MADE_UP_AGE: Duration = Duration::from_secs(366 * 86_400);
/// `max_event_age` where nothing is said.
const EVENT_AGE: Duration = Duration::from_secs(600);

/// The occasion, if the trigger is one of `every` and `cron`.
pub(super) fn occasion(work: &Work<'_>, spec: &TriggerSpec) -> Option<Occasion> {
    let problems = work.problems;
    let scheduled = spec.every.is_some() || spec.cron.is_some();
    for (key, span) in [
        ("catch_up", spec.catch_up.as_ref().map(|c| c.span)),
        ("offset", spec.offset.as_ref().map(|o| o.span)),
    ] {
        if let Some(span) = span.filter(|_| !scheduled) {
            problems.add(span, format!("`{key}` goes with `every` or `cron`"));
        }
    }
    if let Some(zone) = spec.timezone.as_ref().filter(|_| spec.cron.is_none()) {
        problems.add(zone.span, "`timezone` goes with `cron`; `every` counts in UTC");
    }
    let offset = spec.offset.as_ref().map_or(0.0, |o| o.value.0);
    if let Some(every) = &spec.every {
        if every.value.0 < SHORTEST_S {
            problems.add(every.span, "`every` must be at least 100ms");
        }
        if let Some(at) = spec.offset.as_ref().filter(|_| offset >= every.value.0) {
            problems.add(at.span, "`offset` must be less than the period");
        }
        return Some(Occasion::Every(Duration::from_secs_f64(every.value.0)));
    }
    let text = spec.cron.as_ref()?;
    if let Some(at) = spec.offset.as_ref().filter(|_| offset > LONGEST_OFFSET_S) {
        problems.add(at.span, "`offset` is at most 24h");
    }
    let zone = match &spec.timezone {
        None => Tz::UTC,
        Some(name) => cron::zone(&name.value).unwrap_or_else(|| {
            let help = suggest(name.value.trim(), cron::zones().chain(["UTC"]), "time zones");
            let help =
                help.filter(|h| h.len() < 200).or_else(|| Some("e.g. UTC, America/Santiago".to_owned()));
            problems.add_help(name.span, format!("there is no time zone \"{}\"", name.value), help);
            Tz::UTC
        }),
    };
    const FORM: &str = "second minute hour day month weekday: \"0 30 * * * *\" is half past every hour";
    match Cron::new(&text.value, zone) {
        Ok(cron) if cron.after(Tai::from_utc_unix(0.0).0).is_none() => {
            problems.add_help(text.span, "this time never comes", FORM.to_owned());
            None
        }
        Ok(cron) => Some(Occasion::Cron(Box::new(cron))),
        Err(reason) => {
            problems.add_help(text.span, format!("`cron` cannot be this: {reason}"), FORM.to_owned());
            None
        }
    }
}

/// `max_event_age`: as written; without, what is to be made up is never too old.
pub(super) fn max_event_age(spec: &TriggerSpec) -> Duration {
    match (&spec.max_event_age, catch_up(spec)) {
        (Some(age), _) => Duration::from_secs_f64(age.value.0),
        (None, CatchUp::Once | CatchUp::All) => MADE_UP_AGE,
        (None, CatchUp::Skip) => EVENT_AGE,
    }
}

/// What happens to the times that were missed.
pub(super) fn catch_up(spec: &TriggerSpec) -> CatchUp {
    spec.catch_up.as_ref().map(|c| c.value).unwrap_or_default()
}
