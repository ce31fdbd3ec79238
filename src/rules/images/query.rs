//! A Butler data query: `instrument='LSSTCam' AND exposure=2026112000123 AND detector IN (93, 94)`.
//!
//! Texts stand in single quotes and have only letters that mean nothing to the Butler, to a shell or to the OCPS, so nothing
//! can break out of its quotes. A query names its instrument, and selects something of it.

use super::detectors::count;
use super::{Camera, ImageName, Instrument, detector_number};

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// A number, or the name of an image.
    Exposure,
    /// A number, or a name.
    Detector,
    Instrument,
}

/// Keys of a query, what they are to the Butler, and what they take; in the order in which they stand in the query.
const TABLE: [(&str, &str, Kind); 13] = [
    ("instrument", "instrument", Kind::Instrument),
    ("exposure", "exposure", Kind::Exposure),
    ("visit", "visit", Kind::Exposure),
    ("day_obs", "day_obs", Kind::Number),
    ("seq_num", "exposure.seq_num", Kind::Number),
    ("obs_id", "exposure.obs_id", Kind::Text),
    ("group", "group", Kind::Text),
    ("detector", "detector", Kind::Detector),
    ("physical_filter", "physical_filter", Kind::Text),
    ("band", "band", Kind::Text),
    ("skymap", "skymap", Kind::Text),
    ("tract", "tract", Kind::Number),
    ("patch", "patch", Kind::Number),
];

/// Keys of a query.
pub(crate) const KEYS: [&str; 13] = {
    let mut keys = [""; 13];
    let mut n = 0;
    while n < TABLE.len() {
        keys[n] = TABLE[n].0;
        n += 1;
    }
    keys
};

/// Most values of a key.
const MOST_VALUES: usize = 1000;
/// Longest text.
const MOST_LETTERS: usize = 128;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(i64),
    Text(String),
}

/// The values of a key: one, or those of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    pub(crate) all: Vec<Value>,
    pub(crate) list: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Query {
    parts: Vec<(usize, Values)>,
}

impl Query {
    /// Adds values of a key.
    ///
    /// # Errors
    /// There is no such key, it stands twice, or it cannot have these values.
    pub(crate) fn add(&mut self, key: &str, values: Values) -> Result<(), String> {
        let at = TABLE
            .iter()
            .position(|row| row.0 == key)
            .ok_or_else(|| format!("there is no key \"{key}\" ({})", KEYS.join(", ")))?;
        if self.parts.iter().any(|(other, _)| *other == at) {
            return Err(format!("{key} is given twice"));
        }
        match values.all.len() {
            0 => return Err(format!("{key} is an empty list")),
            n if n > MOST_VALUES => return Err(format!("{key} has {n} values, at most {MOST_VALUES}")),
            _ => {}
        }
        if values.list && TABLE[at].2 == Kind::Instrument {
            return Err(format!("{key} is one, not a list"));
        }
        for value in &values.all {
            fits(key, value)?;
        }
        self.parts.push((at, values));
        Ok(())
    }

    /// The query.
    ///
    /// # Errors
    /// It names no instrument, or all of it; a detector that the instrument does not have.
    pub(crate) fn text(mut self) -> Result<String, String> {
        self.parts.sort_by_key(|(at, _)| *at);
        let of_sky = |at: usize| TABLE[at].0 == "skymap";
        let instrument = match self.parts.first() {
            Some((0, Values { all, .. })) => match &all[0] {
                Value::Text(name) => Some(Instrument::of(name)?),
                Value::Number(_) => None,
            },
            _ => None,
        };
        if instrument.is_none() && !self.parts.iter().any(|(at, _)| of_sky(*at)) {
            return Err("the query names no instrument: give the name of an image, or instrument=".to_owned());
        }
        if self.parts.len() < 2 {
            return Err("the query would select everything: give an image, exposure=, day_obs= or the like"
                .to_owned());
        }
        let mut text = String::new();
        for (at, values) in &self.parts {
            let (key, column, kind) = TABLE[*at];
            let all: Vec<String> = (values.all.iter())
                .map(|value| written(kind, value, instrument).map_err(|e| format!("{key}: {e}")))
                .collect::<Result<_, _>>()?;
            if !text.is_empty() {
                text.push_str(" AND ");
            }
            text.push_str(column);
            match values.list {
                true => text.push_str(&format!(" IN ({})", all.join(", "))),
                false => {
                    text.push('=');
                    text.push_str(&all[0]);
                }
            }
        }
        Ok(text)
    }
}

/// Whether a key takes this value, as far as that can be said without the instrument.
///
/// # Errors
/// There is no such key, or what is wrong with the value.
pub(crate) fn fits(key: &str, value: &Value) -> Result<(), String> {
    match TABLE.iter().find(|row| row.0 == key) {
        Some((_, _, kind)) => check(*kind, value).map_err(|e| format!("{key}: {e}")),
        None => Err(format!("there is no key \"{key}\" ({})", KEYS.join(", "))),
    }
}

fn check(kind: Kind, value: &Value) -> Result<(), String> {
    match (kind, value) {
        (Kind::Text, Value::Text(text)) => plain(text),
        (Kind::Instrument, Value::Text(text)) => Instrument::of(text).map(drop),
        (Kind::Exposure, Value::Text(text)) => text.parse::<ImageName>()?.exposure().map(drop),
        (Kind::Detector, Value::Text(text)) => {
            let any = [Camera::LsstCam, Camera::ComCam, Camera::Latiss];
            any.iter()
                .find_map(|camera| detector_number(*camera, text).ok())
                .map(drop)
                .ok_or_else(|| format!("{text:?} is no detector (R22_S11, or a number)"))
        }
        (Kind::Exposure | Kind::Number, Value::Number(n)) if *n >= 0 => Ok(()),
        (Kind::Detector, Value::Number(n)) if (0..count(Camera::LsstCam)).contains(n) => Ok(()),
        (Kind::Text | Kind::Instrument, Value::Number(n)) => Err(format!("{n} is a number, not a text")),
        (Kind::Number, Value::Text(text)) => Err(format!("{text:?} is a text, not a number")),
        (_, Value::Number(n)) => Err(format!("{n} is not possible")),
    }
}

/// Nothing but letters that are the same to everybody.
fn plain(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the text is empty".to_owned());
    }
    if text.len() > MOST_LETTERS {
        return Err(format!("the text has more than {MOST_LETTERS} letters"));
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !"_-.:+~/@, ".contains(*c)) {
        Some(bad) => Err(format!("{text:?} contains {bad:?}, which a data query cannot have")),
        None => Ok(()),
    }
}

fn written(kind: Kind, value: &Value, instrument: Option<Instrument>) -> Result<String, String> {
    Ok(match (kind, value) {
        (Kind::Instrument, Value::Text(name)) => format!("'{}'", Instrument::of(name)?),
        (Kind::Exposure, Value::Text(name)) => {
            let image: ImageName = name.parse()?;
            if let Some(other) = instrument.filter(|other| *other != image.instrument()) {
                return Err(format!("{name} is no image of {other}"));
            }
            image.exposure()?.to_string()
        }
        (Kind::Detector, value) => {
            let camera = instrument.map_or(Camera::LsstCam, |i| i.camera);
            let number = match value {
                Value::Number(n) => *n,
                Value::Text(name) => detector_number(camera, name)?,
            };
            super::detector_name(camera, number)?;
            number.to_string()
        }
        (_, Value::Number(n)) => n.to_string(),
        (_, Value::Text(text)) => format!("'{text}'"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(value: Value) -> Values {
        Values { all: vec![value], list: false }
    }

    fn text(value: &str) -> Values {
        one(Value::Text(value.to_owned()))
    }

    fn of(parts: &[(&str, Values)]) -> Result<String, String> {
        let mut query = Query::default();
        for (key, values) in parts {
            query.add(key, values.clone())?;
        }
        query.text()
    }

    #[test]
    fn a_query_has_its_parts_in_their_order() {
        let exposure = one(Value::Number(2_026_112_000_123));
        let detectors = Values { all: vec![Value::Number(94), Value::Text("R22_S12".into())], list: true };
        assert_eq!(
            of(&[
                ("detector", one(Value::Number(94))),
                ("exposure", exposure),
                ("instrument", text("MTCamera"))
            ]),
            Ok("instrument='LSSTCam' AND exposure=2026112000123 AND detector=94".to_owned())
        );
        let parts = [
            ("instrument", text("LSSTCam")),
            ("detector", detectors),
            ("exposure", text("MC_O_20261120_000123")),
        ];
        assert_eq!(
            of(&parts),
            Ok("instrument='LSSTCam' AND exposure=2026112000123 AND detector IN (94, 95)".to_owned())
        );
        assert_eq!(
            of(&[("instrument", text("LATISS")), ("physical_filter", text("SDSSr_65mm~empty"))]),
            Ok("instrument='LATISS' AND physical_filter='SDSSr_65mm~empty'".to_owned())
        );
        let sky = [("skymap", text("lsst_cells_v1")), ("tract", one(Value::Number(10)))];
        assert_eq!(of(&sky), Ok("skymap='lsst_cells_v1' AND tract=10".to_owned()));
    }

    #[test]
    fn what_cannot_be_asked_is_told_with_its_key() {
        let camera = ("instrument", text("LSSTCam"));
        for (parts, told) in [
            (vec![camera.clone()], "everything"),
            (vec![("exposure", one(Value::Number(1)))], "no instrument"),
            (vec![camera.clone(), ("detektor", one(Value::Number(1)))], "no key \"detektor\""),
            (vec![camera.clone(), ("detector", one(Value::Number(205)))], "detector: 205"),
            (vec![camera.clone(), ("detector", text("R99_S00"))], "detector: \"R99_S00\""),
            (vec![camera.clone(), ("band", text("r' OR '1'='1"))], "band: \"r' OR"),
            (vec![camera.clone(), ("band", text(""))], "band: the text is empty"),
            (vec![camera.clone(), ("band", one(Value::Number(3)))], "band: 3 is a number"),
            (vec![camera.clone(), ("day_obs", text("today"))], "day_obs: \"today\""),
            (vec![camera.clone(), ("exposure", text("AT_O_20261120_000001"))], "no image of LSSTCam"),
            (
                vec![camera.clone(), ("exposure", Values { all: vec![], list: true })],
                "exposure is an empty list",
            ),
            (vec![camera.clone(), camera.clone()], "instrument is given twice"),
            (
                vec![("instrument", text("LATISS")), ("detector", one(Value::Number(1)))],
                "detector: 1 is no detector",
            ),
            (
                vec![("instrument", text("Guider")), ("visit", one(Value::Number(1)))],
                "instrument: \"Guider\"",
            ),
        ] {
            let error = of(&parts).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    proptest! {
        /// Whatever a text is: it is refused, or stands as it is between two quotes, which are the only ones.
        #[test]
        fn nothing_breaks_out_of_its_quotes(band in "\\PC{0,20}|.*['\"\\\\$`\n].*") {
            if let Ok(query) = of(&[("instrument", text("LATISS")), ("band", text(&band))]) {
                prop_assert_eq!(&query, &format!("instrument='LATISS' AND band='{band}'"));
                prop_assert_eq!(query.matches('\'').count(), 4);
                prop_assert!(!query.contains(['"', '\\', '$', '`', '\n', ';']), "{}", query);
            }
        }
    }
}
