//! Where a file lies in the LFA: bucket, key and address, as the observatory's other components have it.

use salobj::Tai;

/// The longest name that S3 takes for a bucket.
const MAX_BUCKET: usize = 63;

/// Half a day: an observing day changes at noon.
const HALF_DAY_S: f64 = 43_200.0;

/// The LFA of a site (`LSST_SITE`), if it has one of its own.
pub fn instance_of(site: &str) -> Option<&'static str> {
    match site {
        "summit" => Some("cp"),
        "base" => Some("ls"),
        "tucson" => Some("tuc"),
        _ => None,
    }
}

/// The bucket `rubinobs-<category>-<instance>`, in lower case.
///
/// # Errors
/// Everything that is wrong with the two parts: key (`category`, `instance`, or both) and what.
pub fn bucket(category: &str, instance: &str) -> Result<String, Vec<(&'static str, String)>> {
    let mut problems = Vec::new();
    for (key, part) in [("category", category), ("instance", instance)] {
        let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        let ends = part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !(plain && ends) {
            let advice = "letters, digits and dots, a letter or digit at both ends";
            problems.push((key, format!("{part:?} cannot be part of the name of a bucket: {advice}")));
        }
    }
    let name = format!("rubinobs-{category}-{instance}").to_lowercase();
    if problems.is_empty() && name.len() > MAX_BUCKET {
        let long =
            format!("the bucket {name} would have {} characters, {MAX_BUCKET} are possible", name.len());
        problems.push(("instance", long));
    }
    if problems.is_empty() { Ok(name) } else { Err(problems) }
}

/// The key of a file: `<full>/<generator>/<yyyy>/<mm>/<dd>/<full>_<generator>_<other><suffix>`.
///
/// `full` is the component's name with its index (`Catcher:3`), `at` the time of the file, whose observing day (TAI less twelve
/// hours) is in the key; `other` is that time to the millisecond if nothing is given. `suffix` begins with its dot.
pub fn key(full: &str, generator: &str, at: Tai, other: Option<&str>, suffix: &str) -> String {
    let at = to_ms(at);
    let day = Tai(at.0 - HALF_DAY_S).tai_iso();
    let day = day.get(..10).unwrap_or("invalid").replace('-', "/");
    let time = at.tai_iso();
    let other = other.unwrap_or(&time);
    format!("{full}/{generator}/{day}/{full}_{generator}_{other}{suffix}")
}

/// As keys have it: rounded to the millisecond before anything else, so that day and time are of one instant.
pub fn to_ms(at: Tai) -> Tai {
    Tai((at.0 * 1000.0).round() / 1000.0)
}

/// The address of an object. A key has colons, which do not belong into an address as they are.
pub fn url(endpoint: &str, bucket: &str, key: &str) -> String {
    let mut url = format!("{}/{bucket}/", endpoint.trim_end_matches('/'));
    for byte in key.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A date and time in TAI.
    fn tai(text: &str) -> Tai {
        let utc = Tai::from_utc_iso(text).unwrap();
        Tai(utc.utc_unix())
    }

    #[test]
    fn keys_are_those_of_the_other_components() {
        let noon = tai("2024-03-05T11:59:59.9996");
        assert_eq!(
            key("OCPS:2", "gen", noon, None, ".dat"),
            "OCPS:2/gen/2024/03/05/OCPS:2_gen_2024-03-05T12:00:00.000.dat",
            "rounded first: it is noon, and the next day"
        );
        let utc = Tai::from_utc_iso("2024-03-05T12:00:00.5").unwrap();
        assert_eq!(
            key("Watcher", "snap", utc, None, ".json"),
            "Watcher/snap/2024/03/05/Watcher_snap_2024-03-05T12:00:37.500.json"
        );
        assert_eq!(key("X:AT", "g", noon, Some("abc"), ".fits"), "X:AT/g/2024/03/05/X:AT_g_abc.fits");
        assert_eq!(
            key("Catcher:3", "wind_shake_report", tai("2026-11-21T11:53:23.319"), None, ".html"),
            "Catcher:3/wind_shake_report/2026/11/20/Catcher:3_wind_shake_report_2026-11-21T11:53:23.319.html",
            "a night has one day: until noon it is the day before"
        );
    }

    #[test]
    fn buckets_are_of_two_plain_parts() {
        assert_eq!(bucket("LFA", "cp").unwrap(), "rubinobs-lfa-cp");
        assert_eq!(bucket("Auto.Ingest", "tuc").unwrap(), "rubinobs-auto.ingest-tuc");
        let problems = |category, instance| bucket(category, instance).unwrap_err();
        assert_eq!(problems("LFA", "a-b")[0].0, "instance");
        assert_eq!(problems("", ".x").iter().map(|p| p.0).collect::<Vec<_>>(), ["category", "instance"]);
        assert!(problems("LFA", &"x".repeat(60))[0].1.contains("63 are possible"));
        assert_eq!(["summit", "base", "tucson"].map(|s| instance_of(s).unwrap()), ["cp", "ls", "tuc"]);
        assert_eq!(instance_of("demo"), None);
    }

    #[test]
    fn addresses_have_no_colon_in_the_key() {
        assert_eq!(
            url("https://s3.example.org/", "rubinobs-lfa-cp", "Catcher:3/a b/x_1-2.~html"),
            "https://s3.example.org/rubinobs-lfa-cp/Catcher%3A3/a%20b/x_1-2.~html"
        );
    }
}
