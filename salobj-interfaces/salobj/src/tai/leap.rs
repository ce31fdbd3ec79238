//! The leap second table: built in, or from a file in the form of the IETF `leap-seconds.list`.

use std::path::Path;
use std::sync::OnceLock;

/// Environment variable with the path of a table that replaces the built-in one (`leap-seconds.list` form: lines of
/// NTP seconds and TAI-UTC, `#` begins a comment).
pub const LEAP_SECONDS_FILE: &str = "LSST_LEAP_SECONDS_FILE";

/// Seconds from 1900-01-01 (NTP) to 1970-01-01.
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// UTC unix second from which a difference TAI-UTC in seconds holds.
const BUILT_IN: [(i64, i64); 28] = [
    (63_072_000, 10),
    (78_796_800, 11),
    (94_694_400, 12),
    (126_230_400, 13),
    (157_766_400, 14),
    (189_302_400, 15),
    (220_924_800, 16),
    (252_460_800, 17),
    (283_996_800, 18),
    (315_532_800, 19),
    (362_793_600, 20),
    (394_329_600, 21),
    (425_865_600, 22),
    (489_024_000, 23),
    (567_993_600, 24),
    (631_152_000, 25),
    (662_688_000, 26),
    (709_948_800, 27),
    (741_484_800, 28),
    (773_020_800, 29),
    (820_454_400, 30),
    (867_715_200, 31),
    (915_148_800, 32),
    (1_136_073_600, 33),
    (1_230_768_000, 34),
    (1_341_100_800, 35),
    (1_435_708_800, 36),
    (1_483_228_800, 37),
];

static CURRENT: OnceLock<LeapSeconds> = OnceLock::new();

/// Why a table was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeapError {
    /// The file could not be read.
    #[error("leap second table {path}: {reason}; the built-in table is used")]
    Unreadable {
        /// Path as given.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A line is not `seconds difference`, or the table is not ascending.
    #[error("leap second table line {line}: {reason}; the built-in table is used")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// A table of TAI-UTC, in ascending order. It never expires: after its last line the last difference holds, before
/// its first line the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeapSeconds {
    steps: Vec<(i64, i64)>,
}

impl LeapSeconds {
    /// The built-in table, up to 2017-01-01 (37 s).
    pub fn built_in() -> LeapSeconds {
        LeapSeconds { steps: BUILT_IN.to_vec() }
    }

    /// A table in the form of `leap-seconds.list`.
    pub fn parse(text: &str) -> Result<LeapSeconds, LeapError> {
        let mut steps: Vec<(i64, i64)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let bad = |reason: &str| LeapError::Line { line: number + 1, reason: reason.to_owned() };
            let data = line.split('#').next().unwrap_or_default().trim();
            if data.is_empty() {
                continue;
            }
            let mut words = data.split_whitespace();
            let mut number = || words.next().and_then(|w| w.parse::<i64>().ok());
            let (Some(ntp), Some(offset)) = (number(), number()) else {
                return Err(bad("expected NTP seconds and TAI-UTC"));
            };
            let from = ntp - NTP_TO_UNIX;
            if steps.last().is_some_and(|last| last.0 >= from) {
                return Err(bad("not later than the line before"));
            }
            steps.push((from, offset));
        }
        if steps.is_empty() {
            return Err(LeapError::Line { line: 1, reason: "no entry".to_owned() });
        }
        Ok(LeapSeconds { steps })
    }

    /// Reads a table from a file.
    pub fn read(path: &Path) -> Result<LeapSeconds, LeapError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| LeapError::Unreadable { path: path.display().to_string(), reason: e.to_string() })?;
        LeapSeconds::parse(&text)
    }

    /// Puts this table in force for the whole process. Only the first call counts, and only before the first
    /// conversion; the answer says whether it did.
    pub fn install(self) -> bool {
        CURRENT.set(self).is_ok()
    }

    /// The table in force. At first use it is read from the file that [`LEAP_SECONDS_FILE`] names; if that cannot be
    /// used, a warning says why and the built-in table holds.
    pub fn current() -> &'static LeapSeconds {
        CURRENT.get_or_init(|| match std::env::var_os(LEAP_SECONDS_FILE) {
            None => LeapSeconds::built_in(),
            Some(path) => LeapSeconds::read(Path::new(&path)).unwrap_or_else(|error| {
                tracing::warn!(%error, "leap second table refused");
                LeapSeconds::built_in()
            }),
        })
    }

    /// TAI seconds of a UTC unix time; smeared over the day before a step.
    pub fn tai_from_utc(&self, utc: f64) -> f64 {
        let next = self.steps.partition_point(|s| s.0 as f64 <= utc);
        let offset = self.offset_before(next);
        let smear = match self.steps.get(next) {
            Some((from, new)) if next > 0 && utc >= (*from - 86_400) as f64 => {
                (*new as f64 - offset) * (utc - (*from - 86_400) as f64) / 86_400.0
            }
            _ => 0.0,
        };
        utc + offset + smear
    }

    /// UTC unix seconds of a TAI time: a whole number of seconds less.
    pub fn utc_from_tai(&self, tai: f64) -> f64 {
        let next = self.steps.partition_point(|s| (s.0 + s.1) as f64 <= tai);
        tai - self.offset_before(next)
    }

    fn offset_before(&self, next: usize) -> f64 {
        self.steps[next.saturating_sub(1)].1 as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_table_is_ascending_by_one_second() {
        for pair in BUILT_IN.windows(2) {
            assert!(pair[0].0 < pair[1].0);
            assert_eq!(pair[0].1 + 1, pair[1].1);
            assert_eq!(pair[1].0 % 86_400, 0);
        }
    }

    #[test]
    fn built_in_table_has_the_dates_of_the_announcements() {
        let dates = [
            "1972-01", "1972-07", "1973-01", "1974-01", "1975-01", "1976-01", "1977-01", "1978-01",
            "1979-01", "1980-01", "1981-07", "1982-07", "1983-07", "1985-07", "1988-01", "1990-01",
            "1991-01", "1992-07", "1993-07", "1994-07", "1996-01", "1997-07", "1999-01", "2006-01",
            "2009-01", "2012-07", "2015-07", "2017-01",
        ];
        assert_eq!(dates.len(), BUILT_IN.len());
        for ((date, step), offset) in dates.iter().zip(BUILT_IN).zip(10..) {
            let from = super::super::iso::parse(&format!("{date}-01")).unwrap();
            assert_eq!((from as i64, offset), step, "{date}");
        }
    }

    #[test]
    fn around_the_last_leap_second() {
        let table = LeapSeconds::built_in();
        let leap = 1_483_228_800.0;
        assert_eq!(table.tai_from_utc(leap - 86_400.0), leap - 86_400.0 + 36.0);
        assert_eq!(table.tai_from_utc(leap - 43_200.0), leap - 43_200.0 + 36.5);
        assert_eq!(table.tai_from_utc(leap), leap + 37.0);
        assert_eq!(table.utc_from_tai(leap + 37.0), leap);
        assert_eq!(table.utc_from_tai(leap + 36.0), leap);
        assert_eq!(table.utc_from_tai(leap + 35.5), leap - 0.5);
    }

    #[test]
    fn far_future_and_far_past_never_fail() {
        let table = LeapSeconds::built_in();
        assert_eq!(table.tai_from_utc(4.0e9), 4.0e9 + 37.0);
        assert_eq!(table.tai_from_utc(0.0), 10.0);
    }

    #[test]
    fn table_from_a_file() {
        let text = "#$ 3676924800\n2272060800  10 # 1 Jan 1972\n2287785600\t11\n";
        let table = LeapSeconds::parse(text).unwrap();
        assert_eq!(table.steps, vec![(63_072_000, 10), (78_796_800, 11)]);
        assert_eq!(table.tai_from_utc(2.0e9), 2.0e9 + 11.0);
    }

    #[test]
    fn bad_tables_name_the_line() {
        let err = LeapSeconds::parse("2272060800 10\nfoo").unwrap_err();
        assert!(matches!(err, LeapError::Line { line: 2, .. }), "{err}");
        let err = LeapSeconds::parse("2287785600 11\n2272060800 10").unwrap_err();
        assert!(matches!(err, LeapError::Line { line: 2, .. }), "{err}");
        assert!(LeapSeconds::parse("# nothing").is_err());
        assert!(matches!(LeapSeconds::read(Path::new("/nonexistent/x")), Err(LeapError::Unreadable { .. })));
    }
}
