//! `cron`: from the text of a schedule to its times. Pure: it is asked about given times.
//!
//! The pattern is read on the clock of a time zone. Where that clock goes forward, a time that does not exist is moved to
//! the end of the gap; where it goes back, a fixed time occurs once, and `*` in hours or minutes goes on through both.

use chrono::{DateTime, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::Cron as Pattern;
use croner::parser::{CronParser, Seconds, Year};
use salobj::Tai;

/// When a rule is to run, by the clock of a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    text: String,
    pattern: Pattern,
    zone: Tz,
}

impl Cron {
    /// Reads a pattern of five fields (minute, hour, day of month, month, day of week) or six (second first).
    ///
    /// # Errors
    /// What is wrong with the pattern, in a sentence.
    pub fn new(text: &str, zone: Tz) -> Result<Cron, String> {
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let pattern = parser.parse(text.trim()).map_err(|e| e.to_string())?;
        Ok(Cron { text: text.trim().to_owned(), pattern, zone })
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time zone's name, as in the IANA database.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first time after `time` (both TAI); `None` if there is none within the years that can be looked over.
    pub fn after(&self, time: f64) -> Option<f64> {
        let found = self.pattern.find_next_occurrence(&self.local(time)?, false).ok()?;
        Some(tai(&found)).filter(|t| *t > time)
    }

    /// The last time that is not after `time`.
    pub fn at(&self, time: f64) -> Option<f64> {
        let found = self.pattern.find_previous_occurrence(&self.local(time)?, true).ok()?;
        Some(tai(&found)).filter(|t| *t <= time + ROUNDING_S)
    }

    /// The last time before `time`.
    pub fn before(&self, time: f64) -> Option<f64> {
        let found = self.pattern.find_previous_occurrence(&self.local(time)?, false).ok()?;
        Some(tai(&found)).filter(|t| *t < time)
    }

    fn local(&self, time: f64) -> Option<DateTime<Tz>> {
        // Whole seconds, as patterns are; a time that differs from one by rounding is that one.
        let utc = (Tai(time).utc_unix() + ROUNDING_S).floor();
        self.zone.timestamp_opt(utc as i64, 0).single()
    }
}

/// Times this close are the same.
const ROUNDING_S: f64 = 1e-6;

fn tai(time: &DateTime<Tz>) -> f64 {
    Tai::from_utc_unix(time.timestamp() as f64).0
}

/// The time zone of that name.
pub(crate) fn zone(name: &str) -> Option<Tz> {
    name.trim().parse().ok()
}

/// The names of all time zones, for "did you mean".
pub(crate) fn zones() -> impl Iterator<Item = &'static str> {
    TZ_VARIANTS.iter().map(|zone| zone.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> f64 {
        Tai::from_utc_iso(text).unwrap().0
    }

    fn times(pattern: &str, zone_name: &str, from: &str, count: usize) -> Vec<String> {
        let cron = Cron::new(pattern, zone(zone_name).unwrap()).unwrap();
        let mut time = utc(from);
        let mut all = Vec::new();
        for _ in 0..count {
            time = cron.after(time).unwrap();
            all.push(Tai(time).utc_iso().replace(":00.000", ""));
        }
        all
    }

    #[test]
    fn the_second_comes_first_and_may_be_left_out() {
        let half = ["2026-01-01T00:30", "2026-01-01T01:30"];
        assert_eq!(times("0 30 * * * *", "UTC", "2026-01-01T00:00:00", 2), half);
        assert_eq!(times("30 * * * *", "UTC", "2026-01-01T00:00:00", 2), half);
        assert_eq!(
            times("30 * * * *", "UTC", "2026-01-01T00:30:00", 1),
            ["2026-01-01T01:30"],
            "after, not at"
        );
    }

    #[test]
    fn the_pattern_is_read_on_the_clock_of_its_zone() {
        let chile = times("0 0 21 * * *", "America/Santiago", "2026-01-01T12:00:00", 1);
        assert_eq!(chile, ["2026-01-02T00:00"], "UTC-3 in summer");
        let winter = times("0 0 21 * * *", "America/Santiago", "2026-07-01T12:00:00", 1);
        assert_eq!(winter, ["2026-07-02T01:00"], "UTC-4 in winter");
    }

    /// Chile goes forward at midnight of 2026-09-06 (00:00 becomes 01:00) and back at midnight of 2026-04-05.
    #[test]
    fn a_time_in_the_gap_is_moved_to_its_end_and_no_day_is_left_out() {
        let daily = times("0 30 0 * * *", "America/Santiago", "2026-09-05T00:00:00", 3);
        assert_eq!(daily, ["2026-09-05T04:30", "2026-09-06T04:00", "2026-09-07T03:30"]);
        let hourly = times("0 0 * * * *", "America/Santiago", "2026-09-06T02:30:00", 3);
        assert_eq!(hourly, ["2026-09-06T03:00", "2026-09-06T04:00", "2026-09-06T05:00"]);
    }

    #[test]
    fn where_the_clock_goes_back_a_fixed_time_occurs_once_and_each_hour_twice() {
        let daily = times("0 30 23 * * *", "America/Santiago", "2026-04-04T00:00:00", 3);
        assert_eq!(daily, ["2026-04-04T02:30", "2026-04-05T02:30", "2026-04-06T03:30"]);
        let hourly = times("0 0 * * * *", "America/Santiago", "2026-04-05T01:30:00", 4);
        assert_eq!(hourly, ["2026-04-05T02:00", "2026-04-05T03:00", "2026-04-05T04:00", "2026-04-05T05:00"]);
    }

    #[test]
    fn backwards_meets_the_same_times() {
        for (pattern, zone_name) in [
            ("0 30 * * * *", "UTC"),
            ("0 */7 * * * *", "America/Santiago"),
            ("0 0 12 * * MON", "Europe/Paris"),
        ] {
            let cron = Cron::new(pattern, zone(zone_name).unwrap()).unwrap();
            let mut time = utc("2026-04-04T20:00:00");
            for _ in 0..200 {
                let next = cron.after(time).unwrap();
                assert_eq!(cron.at(next), Some(next), "{pattern}");
                assert_eq!(cron.before(next), cron.at(next - 1.0), "{pattern}");
                assert!(
                    cron.before(next).is_some_and(|b| b < next && cron.after(b) == Some(next)),
                    "{pattern}"
                );
                time = next;
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "hourly please", "61 * * * *", "* * *", "0 0 0 1 1 * 2030"] {
            assert!(Cron::new(bad, Tz::UTC).is_err(), "{bad}");
        }
        let never = Cron::new("0 0 0 30 2 *", Tz::UTC).unwrap();
        assert_eq!(never.after(utc("2026-01-01T00:00:00")), None);
        assert!(zone("Amerika/Santiago").is_none());
    }
}
