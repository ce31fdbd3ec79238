//! Images: which instrument took them, what they are called, their numbers, and how the Butler is asked for them.
//!
//! ```text
//!  MC_O_20261120_000123 ─► instrument LSSTCam, day_obs 20261120, seq_num 123, exposure 2026112000123
//!  │  │  │        └ sequence number of the day
//!  │  │  └ observing day: the date of TAI minus 12 h
//!  │  └ who took it: O observatory, C camera team, H, P, Q, S simulated
//!  └ which camera: AT, CC, MC
//! ```
//! The exposure's number is day and sequence number written one after the other; the day of other controllers than O is
//! that of a later millennium (C 3026, H 4026, ...).

mod detectors;
mod query;

use std::fmt;

use salobj::Tai;

pub(crate) use detectors::{detector_name, detector_number, detectors};
pub(crate) use query::{KEYS, Query, Value, Values, fits};

/// Controllers, in the order in which they change the number of an exposure.
const CONTROLLERS: &str = "OCHPQS";
/// Sequence numbers that have a place in the number of an exposure.
const SEQ_NUMS: i64 = 100_000;
/// What a controller adds to the day in the number of an exposure.
const OF_CONTROLLER: i64 = 10_000_000;

/// A camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Camera {
    /// LATISS, on the Auxiliary Telescope.
    Latiss,
    /// The commissioning camera.
    ComCam,
    /// The camera of the Simonyi Survey Telescope.
    LsstCam,
}

impl Camera {
    /// First part of its images' names.
    fn source(self) -> &'static str {
        match self {
            Camera::Latiss => "AT",
            Camera::ComCam => "CC",
            Camera::LsstCam => "MC",
        }
    }

    fn of_source(source: &str) -> Option<Camera> {
        [Camera::Latiss, Camera::ComCam, Camera::LsstCam].into_iter().find(|c| c.source() == source)
    }
}

/// What the Butler calls an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instrument {
    /// Its camera.
    pub(crate) camera: Camera,
    /// It is a simulation of that camera, whose images are kept apart.
    simulated: bool,
}

impl Instrument {
    /// The instrument that a text means: its own name, the first part of its images' names, the name of an image, or of a
    /// component that has to do with its images.
    ///
    /// # Errors
    /// It means none.
    pub(crate) fn of(text: &str) -> Result<Instrument, String> {
        let real = |camera| Ok(Instrument { camera, simulated: false });
        match text {
            "LATISS" | "AT" | "ATCamera" | "ATOODS" | "ATHeaderService" => real(Camera::Latiss),
            "LSSTComCam" | "CC" | "CCCamera" | "CCOODS" | "CCHeaderService" => real(Camera::ComCam),
            "LSSTCam" | "MC" | "MTCamera" | "MTOODS" | "WFOODS" | "MTHeaderService" => real(Camera::LsstCam),
            "LSSTComCamSim" => Ok(Instrument { camera: Camera::ComCam, simulated: true }),
            "LSSTCamSim" => Ok(Instrument { camera: Camera::LsstCam, simulated: true }),
            "" => Err("the name of the instrument is empty".to_owned()),
            _ => text.parse::<ImageName>().map(|image| image.instrument()).map_err(|_| {
                format!(
                    "\"{text}\" is no instrument (LATISS, LSSTComCam, LSSTCam), component (ATCamera, CCCamera, MTCamera) or image \
                     (MC_O_20261120_000123)"
                )
            }),
        }
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.camera, self.simulated) {
            (Camera::Latiss, _) => "LATISS",
            (Camera::ComCam, false) => "LSSTComCam",
            (Camera::ComCam, true) => "LSSTComCamSim",
            (Camera::LsstCam, false) => "LSSTCam",
            (Camera::LsstCam, true) => "LSSTCamSim",
        })
    }
}

/// The name of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageName {
    camera: Camera,
    controller: char,
    /// Observing day, YYYYMMDD.
    pub(crate) day_obs: i64,
    /// Number of the day.
    pub(crate) seq_num: i64,
}

impl ImageName {
    /// The image with these parts.
    ///
    /// # Errors
    /// What is wrong with a part.
    pub(crate) fn new(
        camera: Camera,
        controller: char,
        day_obs: i64,
        seq_num: i64,
    ) -> Result<ImageName, String> {
        if !CONTROLLERS.contains(controller) {
            return Err(format!("'{controller}' is no controller of a camera (one of {CONTROLLERS})"));
        }
        if !is_day(day_obs) {
            return Err(format!("{day_obs} is no observing day (YYYYMMDD)"));
        }
        if !(0..1_000_000).contains(&seq_num) {
            return Err(format!("{seq_num} is no sequence number (0 to 999999)"));
        }
        Ok(ImageName { camera, controller, day_obs, seq_num })
    }

    /// The image of that number.
    ///
    /// # Errors
    /// It is no number of an exposure.
    pub(crate) fn of_exposure(camera: Camera, id: i64) -> Result<ImageName, String> {
        let wrong =
            || format!("{id} is no number of an exposure (YYYYMMDD and 5 digits, e.g. 2026112000123)");
        let (day, seq_num) = (id.div_euclid(SEQ_NUMS), id.rem_euclid(SEQ_NUMS));
        let place = day / OF_CONTROLLER - 2;
        let controller =
            usize::try_from(place).ok().and_then(|n| CONTROLLERS.chars().nth(n)).ok_or_else(wrong)?;
        ImageName::new(camera, controller, day - place * OF_CONTROLLER, seq_num).map_err(|_| wrong())
    }

    /// Its instrument.
    pub(crate) fn instrument(self) -> Instrument {
        Instrument { camera: self.camera, simulated: self.controller == 'S' && self.camera != Camera::Latiss }
    }

    /// Its number in the Butler.
    ///
    /// # Errors
    /// Its sequence number has no place in it.
    pub(crate) fn exposure(self) -> Result<i64, String> {
        if self.seq_num >= SEQ_NUMS {
            return Err(format!("{self} has no exposure number: its sequence number has more than 5 digits"));
        }
        let place = CONTROLLERS.find(self.controller).unwrap_or_default();
        let day = self.day_obs + i64::try_from(place).unwrap_or_default() * OF_CONTROLLER;
        Ok(day * SEQ_NUMS + self.seq_num)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}_{:06}", self.camera.source(), self.controller, self.day_obs, self.seq_num)
    }
}

impl std::str::FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> Result<ImageName, String> {
        if text.is_empty() {
            return Err("the name of the image is empty".to_owned());
        }
        let wrong = || format!("\"{text}\" is no name of an image (MC_O_20261120_000123)");
        let digits = |part: &str, n: usize| {
            (part.len() == n && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse::<i64>().ok())
                .flatten()
        };
        let [source, controller, day, seq_num] = text.split('_').collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        let (mut letters, camera) = (controller.chars(), Camera::of_source(source));
        match (camera, letters.next(), letters.next(), digits(day, 8), digits(seq_num, 6)) {
            (Some(camera), Some(controller), None, Some(day), Some(seq_num)) => {
                ImageName::new(camera, controller, day, seq_num).map_err(|e| format!("{}: {e}", wrong()))
            }
            _ => Err(wrong()),
        }
    }
}

/// The observing day of a time, as cameras count it: the date of TAI minus 12 h, YYYYMMDD.
///
/// # Errors
/// It is no time.
pub(crate) fn day_obs_of(tai: f64) -> Result<i64, String> {
    // From 1970 to 9999.
    if !(43_200.0..=2.5e11).contains(&tai) {
        return Err(format!("{tai} is no time in TAI seconds"));
    }
    let date: String = Tai(tai - 43_200.0).tai_iso().chars().take(10).filter(char::is_ascii_digit).collect();
    date.parse().map_err(|_| format!("{tai} is no time in TAI seconds"))
}

/// True for a date of 2000 to 2999, YYYYMMDD.
fn is_day(day: i64) -> bool {
    let (year, month, date) = (day / 10_000, day / 100 % 100, day % 100);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (2000..3000).contains(&year) && (1..=days).contains(&date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for (name, instrument, exposure) in [
            ("MC_O_20261120_000123", "LSSTCam", 2_026_112_000_123),
            ("CC_O_20241101_000001", "LSSTComCam", 2_024_110_100_001),
            ("AT_C_20261120_099999", "LATISS", 3_026_112_099_999),
            ("CC_S_20240626_000075", "LSSTComCamSim", 7_024_062_600_075),
            ("MC_S_20240626_000000", "LSSTCamSim", 7_024_062_600_000),
        ] {
            let image: ImageName = name.parse().unwrap();
            assert_eq!(image.to_string(), name);
            assert_eq!(image.instrument().to_string(), instrument);
            assert_eq!(image.exposure(), Ok(exposure));
            assert_eq!(ImageName::of_exposure(image.camera, exposure), Ok(image));
            assert_eq!(Instrument::of(name).map(|i| i.to_string()).as_deref(), Ok(instrument));
            assert_eq!(Instrument::of(instrument).map(|i| i.to_string()).as_deref(), Ok(instrument));
        }
        let many: ImageName = "MC_O_20261120_100000".parse().unwrap();
        assert!(many.exposure().unwrap_err().contains("5 digits"));
        for id in [0, -1, 20_261_120, 2_026_113_100_001, 1_026_112_000_123, 8_026_112_000_123, i64::MAX] {
            assert!(ImageName::of_exposure(Camera::LsstCam, id).is_err(), "{id}");
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        for name in [
            "",
            "MC",
            "MC_O_20261120",
            "MC_O_20261120_123",
            "MC_O_20261120_000123_1",
            "XX_O_20261120_000123",
            "MC_X_20261120_000123",
            "MC_O_20261320_000123",
            "MC_O_20260229_000123",
            "MC_O_20261120_00012a",
            "MC_O_20261120_+00123",
            "MC_O_20261120_000123' OR 1=1",
            "mc_o_20261120_000123",
        ] {
            assert!(name.parse::<ImageName>().is_err(), "{name}");
            assert!(Instrument::of(name).is_err() == (name != "MC"), "{name}");
        }
        assert!("MC_O_20240229_000123".parse::<ImageName>().is_ok());
        assert!(Instrument::of("GenericCamera").unwrap_err().contains("is no instrument"));
    }

    #[test]
    fn the_day_begins_at_noon_of_tai() {
        // 2026-11-21T12:00:00 TAI.
        let noon = 1_795_262_400.0;
        assert_eq!(Tai(noon).tai_iso(), "2026-11-21T12:00:00.000");
        assert_eq!(day_obs_of(noon), Ok(20_261_121));
        assert_eq!(day_obs_of(noon - 0.01), Ok(20_261_120));
        assert_eq!(Tai(noon).day_obs(), 20_261_120, "in UTC it is not noon yet");
        for bad in [f64::NAN, -1.0, 0.0, f64::INFINITY, 1e20] {
            assert!(day_obs_of(bad).is_err(), "{bad}");
        }
    }
}
