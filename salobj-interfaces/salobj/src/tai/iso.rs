//! Calendar dates from seconds since 1970 and back (proleptic Gregorian calendar, days of 86 400 s).

/// Year, month and day of a count of seconds since 1970-01-01.
pub(super) fn date_of(seconds: f64) -> (i64, u32, u32) {
    civil(seconds.div_euclid(86_400.0) as i64)
}

/// `YYYY-MM-DDTHH:MM:SS.mmm`, rounded to the millisecond. Not a number gives `invalid`.
pub(super) fn format(seconds: f64) -> String {
    if !seconds.is_finite() || seconds.abs() > 1.0e14 {
        return "invalid".to_owned();
    }
    let ms = (seconds * 1000.0).round() as i64;
    let (year, month, day) = civil(ms.div_euclid(86_400_000));
    let ms = ms.rem_euclid(86_400_000);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}", ms % 1000)
}

/// Seconds since 1970 of `YYYY-MM-DD[(T| )HH:MM[:SS[.f]]][Z]`.
pub(super) fn parse(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches('Z');
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year: i64 = digits(parts.next()?, 4)?;
    let month: i64 = digits(parts.next()?, 2)?;
    let day: i64 = digits(parts.next()?, 2)?;
    if parts.next().is_some() || !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let mut seconds = days(year, month, day) as f64 * 86_400.0;
    if let Some(time) = time {
        let mut parts = time.split(':');
        let hour: i64 = digits(parts.next()?, 2)?;
        let minute: i64 = digits(parts.next()?, 2)?;
        let second = match parts.next() {
            Some(s) if s.len() >= 2 && s.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
                s.parse().ok()?
            }
            Some(_) => return None,
            None => 0.0,
        };
        if parts.next().is_some() || hour > 23 || minute > 59 || second >= 61.0 {
            return None;
        }
        seconds += (hour * 3600 + minute * 60) as f64 + second;
    }
    Some(seconds)
}

fn digits(text: &str, width: usize) -> Option<i64> {
    (text.len() == width && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date; the year is counted from March so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a count of days since 1970-01-01.
fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * mp + 2) / 5 + 1) as u32;
    let month = (if mp < 10 { mp + 3 } else { mp - 9 }) as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_six_centuries_round_trips() {
        let mut last = civil(-100_001);
        for day in -100_000..120_000 {
            let date = civil(day);
            assert!(date > last, "{date:?} after {last:?}");
            assert_eq!(days(date.0, i64::from(date.1), i64::from(date.2)), day);
            last = date;
        }
    }

    #[test]
    fn known_dates() {
        assert_eq!(format(0.0), "1970-01-01T00:00:00.000");
        assert_eq!(format(951_782_400.0), "2000-02-29T00:00:00.000");
        assert_eq!(format(-0.001), "1969-12-31T23:59:59.999");
        assert_eq!(parse("2017-01-01"), Some(1_483_228_800.0));
        assert_eq!(format(f64::NAN), "invalid");
    }

    #[test]
    fn bad_texts_are_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2025-02-29",
            "2026-01-01T24:00",
            "2026-01-01T1:00",
            "x026-01-01",
            "2026-01-01T00:00:0x",
            "2026-01-01T00:00:00:00",
            "+026-01-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
