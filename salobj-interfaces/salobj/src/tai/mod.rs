//! TAI seconds and the clock. This module is the only reader of the wall clock.
//!
//! SAL stamps are seconds since 1970-01-01T00:00:00 on the TAI scale; the EFD, Kafka and people use UTC. The
//! difference is a whole number of leap seconds, from a table that is built in and may be replaced by a file
//! ([`LeapSeconds`]). The table never expires here: beyond its end the last difference holds.

mod clock;
mod iso;
mod leap;

pub use clock::{Clock, Elapsed};
pub use leap::{LEAP_SECONDS_FILE, LeapError, LeapSeconds};

use std::time::Duration;

/// A time as SAL writes it: seconds since 1970-01-01T00:00:00 on the TAI scale.
///
/// ```
/// use salobj::Tai;
/// let t = Tai::from_utc_unix(1_483_228_800.0); // 2017-01-01T00:00:00 UTC, the last leap second so far
/// assert_eq!(t.0, 1_483_228_837.0);
/// assert_eq!(t.utc_iso(), "2017-01-01T00:00:00.000");
/// assert_eq!(t.tai_iso(), "2017-01-01T00:00:37.000");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Tai(pub f64);

impl Tai {
    /// The TAI time of a UTC unix time in seconds, by the table in force. On the day before a leap second the
    /// difference grows linearly over that day, as upstream's conversion does.
    pub fn from_utc_unix(utc_s: f64) -> Tai {
        Tai(LeapSeconds::current().tai_from_utc(utc_s))
    }

    /// The TAI time of a UTC unix time in milliseconds (Kafka's record timestamp).
    pub fn from_utc_ms(utc_ms: i64) -> Tai {
        Tai::from_utc_unix(utc_ms as f64 / 1000.0)
    }

    /// UTC unix time in seconds: always a whole number of seconds less (`private_efdStamp`).
    pub fn utc_unix(self) -> f64 {
        LeapSeconds::current().utc_from_tai(self.0)
    }

    /// UTC unix time in whole milliseconds (Kafka's record timestamp).
    pub fn utc_ms(self) -> i64 {
        (self.utc_unix() * 1000.0).round() as i64
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmm` on the TAI scale.
    pub fn tai_iso(self) -> String {
        iso::format(self.0)
    }

    /// `YYYY-MM-DDTHH:MM:SS.mmm` in UTC, without a zone mark.
    pub fn utc_iso(self) -> String {
        iso::format(self.utc_unix())
    }

    /// The time of a UTC date and time in ISO form: `YYYY-MM-DD`, or with `THH:MM[:SS[.fff]]`, an optional `Z`.
    pub fn from_utc_iso(text: &str) -> Option<Tai> {
        iso::parse(text).map(Tai::from_utc_unix)
    }

    /// The observing day as `YYYYMMDD`: the date in the time zone UTC-12, so that a night has one number.
    pub fn day_obs(self) -> i32 {
        let (year, month, day) = iso::date_of(self.utc_unix() - 43_200.0);
        (year * 10_000 + i64::from(month) * 100 + i64::from(day)) as i32
    }

    /// Hours since midnight UTC, 0 to 24 exclusive.
    pub fn utc_hour(self) -> f64 {
        self.utc_unix().rem_euclid(86_400.0) / 3600.0
    }

    /// Seconds from `earlier` to this time, as a duration; zero if `earlier` is later.
    pub fn since(self, earlier: Tai) -> Duration {
        Duration::try_from_secs_f64(self.0 - earlier.0).unwrap_or(Duration::ZERO)
    }
}

impl std::ops::Add<Duration> for Tai {
    type Output = Tai;
    fn add(self, d: Duration) -> Tai {
        Tai(self.0 + d.as_secs_f64())
    }
}

impl std::ops::Sub<Duration> for Tai {
    type Output = Tai;
    fn sub(self, d: Duration) -> Tai {
        Tai(self.0 - d.as_secs_f64())
    }
}

impl std::ops::Sub for Tai {
    type Output = f64;
    fn sub(self, other: Tai) -> f64 {
        self.0 - other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_example_of_the_wire_format() {
        // A record of a real system: sndStamp, and efdStamp 37 s less.
        assert_eq!(Tai(1_795_217_944.452_012_5).utc_unix(), 1_795_217_907.452_012_5);
    }

    #[test]
    fn day_obs_changes_at_noon_utc() {
        let noon = Tai::from_utc_iso("2026-11-21T12:00:00").unwrap();
        assert_eq!(noon.day_obs(), 20_261_121);
        assert_eq!((noon - Duration::from_secs(1)).day_obs(), 20_261_120);
        assert_eq!((noon + Duration::from_secs(43_200)).day_obs(), 20_261_121);
    }

    #[test]
    fn utc_hour_wraps() {
        assert_eq!(Tai::from_utc_iso("2026-11-21T18:30:00").unwrap().utc_hour(), 18.5);
    }

    #[test]
    fn iso_round_trip_and_since() {
        let t = Tai::from_utc_iso("2026-11-21T09:40:59.250Z").unwrap();
        assert_eq!(t.utc_iso(), "2026-11-21T09:40:59.250");
        assert_eq!(t.tai_iso(), "2026-11-21T09:41:36.250");
        assert_eq!((t + Duration::from_secs(3)).since(t), Duration::from_secs(3));
        assert_eq!(t.since(t + Duration::from_secs(3)), Duration::ZERO);
        assert_eq!(Tai::from_utc_ms(t.utc_ms()), t);
    }
}
