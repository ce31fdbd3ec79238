//! A page about the alarms of a stretch of time: the figures of ISA-18.2, beside what the standard recommends, how many
//! alarms there were when, and when those that came most often stood.

use salobj::Tai;

use super::text::number;
use super::timeline::{Bar, Columns, PageTable, Row, Timeline, page};
use crate::alarms::health::{FLOOD, TEN_MINUTES_S};
use crate::alarms::{Health, Severity};

/// Rows of a list at most.
const MOST_ROWS: usize = 50;

/// One figure: name, value, what ISA-18.2 recommends (empty if it says nothing).
pub type Figure = (String, String, &'static str);

/// The figures in words, for the page and for a table on the terminal.
pub fn figures(health: &Health) -> Vec<Figure> {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let time = |s: Option<f64>| s.map_or("none".to_owned(), duration);
    let [warning, serious, critical] = health.by_severity;
    let acknowledged = &health.acknowledged;
    let figure = |name: &str, value: String, isa| (name.to_owned(), value, isa);
    vec![
        figure("range", duration(health.to - health.from), ""),
        figure("annunciated alarms", health.annunciated.to_string(), ""),
        figure(
            "of these warning / serious / critical",
            format!("{warning} / {serious} / {critical}"),
            "80 / 15 / 5 %",
        ),
        figure("rises that were muted or had a cause", health.hidden.to_string(), ""),
        figure(
            "alarms per ten minutes, mean",
            format!("{:.2}", health.per_ten_minutes_mean),
            "about 1, at most 2",
        ),
        figure("alarms per ten minutes, most", health.per_ten_minutes_max.to_string(), "at most 10"),
        figure(
            "time in flood (more than 10 in ten minutes)",
            format!("{} ({})", duration(health.flood_s), percent(health.flood_share)),
            "below 1 %",
        ),
        figure("floods", health.floods.len().to_string(), ""),
        figure("share of the top ten", percent(health.top_share), "1 to 5 %"),
        figure("chattering alarms (three in a minute)", health.chattering.len().to_string(), "none"),
        figure("standing for more than a day", health.standing.len().to_string(), "fewer than 5"),
        figure("acknowledged by people", acknowledged.count.to_string(), ""),
        figure("time to acknowledge, median", time(acknowledged.median_s), ""),
        figure("time to acknowledge, of 95 %", time(acknowledged.p95_s), ""),
        figure("acknowledged by time alone", acknowledged.automatic.to_string(), ""),
        figure("not acknowledged at the end", acknowledged.waiting.to_string(), ""),
    ]
}

/// The lists behind the figures: (figure, alarm, value), the worst of each first.
pub fn lists(health: &Health) -> Vec<[String; 3]> {
    let row = |what: &str, alarm: &str, value: String| [what.to_owned(), alarm.to_owned(), value];
    let top = health.top.iter();
    let top = top.map(|o| row("top ten", &o.alarm, format!("{} ({:.1} %)", o.count, 100.0 * o.share)));
    let chattering = health
        .chattering
        .iter()
        .map(|c| row("chattering", &c.alarm, format!("{}, up to {} in a minute", c.raises, c.most_a_minute)));
    let standing = health.standing.iter().map(|s| {
        let until = s.until.map_or("and still stands".to_owned(), |t| format!("until {}", utc(t)));
        row("standing", &s.alarm, format!("{} since {}, {until}", duration(s.length_s), utc(s.since)))
    });
    top.chain(chattering.take(MOST_ROWS)).chain(standing.take(MOST_ROWS)).collect()
}

/// The page.
pub fn health_page(health: &Health, of: &str) -> String {
    let lines = [
        format!("{of}, {} to {} UTC", utc(health.from), utc(health.to)),
        format!(
            "An alarm is annunciated when its severity rises, unless it is muted up to there or has another alarm as its \
             cause. A flood is any instant with more than {FLOOD} of them within the {} minutes before.",
            TEN_MINUTES_S / 60.0
        ),
    ];
    let columns = Columns {
        title: format!("Annunciated alarms in each {} minutes (UTC)", number(health.bin_s / 60.0)),
        values: health.bins.iter().map(|(begin, count)| (hour(*begin), *count as f64)).collect(),
    };
    let mut rows: Vec<Vec<String>> =
        figures(health).into_iter().map(|(name, value, isa)| vec![name, value, isa.to_owned()]).collect();
    rows.extend(
        lists(health)
            .into_iter()
            .map(|[what, alarm, value]| vec![format!("{what}: {alarm}"), value, String::new()]),
    );
    let head = ["", "here", "ISA-18.2 recommends"].map(str::to_owned).to_vec();
    let table: PageTable = (head, rows);
    page("Alarm health", &lines, &[timeline(health)], &[columns], &table)
}

/// Floods above, then a row for each of the top ten.
fn timeline(health: &Health) -> Timeline {
    let floods = health.floods.iter().map(|(from, to)| Bar {
        from: *from,
        to: *to,
        class: "critical".to_owned(),
        text: format!("flood of {} from {}", duration(*to - *from), utc(*from)),
    });
    let mut rows = vec![Row { label: "flood".to_owned(), bars: floods.collect(), ticks: Vec::new() }];
    for often in &health.top {
        let own = health.periods.iter().filter(|p| p.alarm == often.alarm);
        let bars = own.map(|p| Bar {
            from: p.from,
            to: p.to,
            class: class(p.severity).to_owned(),
            text: format!("{} from {} for {}", p.severity, utc(p.from), duration(p.to - p.from)),
        });
        rows.push(Row { label: often.alarm.clone(), bars: bars.collect(), ticks: Vec::new() });
    }
    let title = "Floods, and the alarms that came most often".to_owned();
    Timeline { title, from: health.from, to: health.to, rows }
}

fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::None => "skipped",
        Severity::Warning => "warning",
        Severity::Serious => "serious",
        Severity::Critical => "critical",
    }
}

fn utc(time: Tai) -> String {
    time.utc_iso().chars().take(19).collect()
}

/// `11-26 14:50`.
fn hour(time: Tai) -> String {
    Tai(time.0 + 1e-4).utc_iso().chars().skip(5).take(11).collect::<String>().replace('T', " ")
}

/// Seconds as people say them: `1d 2h`, `3h 20m`, `5m 2s`, `7.5 s`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        86_400.. => format!("{days}d {hours}h"),
        3600.. => format!("{hours}h {minutes}m"),
        100.. => format!("{minutes}m {}s", whole % 60),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarms::{AlarmTransition, Cause, Move, Standing, Tally};

    #[test]
    fn the_page_shows_the_figures_the_floods_and_the_worst() {
        let start = Tai::from_utc_iso("2026-11-26T10:00:00").unwrap();
        let mut tally = Tally::new(Some(start), Tai(start.0 + 3600.0));
        let mut id = 0;
        let mut step = |alarm: &str, at: f64, old: Severity, new: Severity| {
            id += 1;
            let side = |severity| Standing { severity, max_severity: severity, ..Standing::default() };
            let (before, after) = (side(old), side(new));
            let moves = Move::between(&before, &after);
            let (rule, revision, reason) = ("R".to_owned(), "r".to_owned(), String::new());
            let cause = Cause::Finding { run_id: String::new() };
            let (alarm, at) = (alarm.to_owned(), Tai(start.0 + at));
            tally.add(&AlarmTransition {
                id,
                at,
                alarm,
                rule,
                revision,
                moves,
                reason,
                before,
                after,
                cause,
                evidence: None,
            });
        };
        for i in 0..12 {
            step(&format!("<A{i}>"), 10.0 * f64::from(i), Severity::None, Severity::Serious);
        }
        let health = tally.finish();
        let page = health_page(&health, "Catcher");
        for text in [
            "flood of 8m 30s from 2026-11-26T10:01:40",
            "&lt;A0&gt;",
            "SERIOUS from 2026-11-26T10:00:00 for 1h 0m",
            "<td>12</td>",
            "<td>8m 30s (14.17 %)</td><td>below 1 %</td>",
            "11-26 10:00: 12",
            "11-26 10:10: 0",
        ] {
            assert!(page.contains(text), "{text} is missing in {page}");
        }
        assert!(!page.contains("<A0>") && !page.contains("<script"));
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let said = [0.04, 7.5, 99.0, 100.0, 3599.0, 3600.0, 90_000.0].map(duration);
        assert_eq!(said, ["0.0 s", "7.5 s", "99.0 s", "1m 40s", "59m 59s", "1h 0m", "1d 1h"]);
    }
}
