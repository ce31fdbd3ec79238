//! Detectors by name (`R22_S11`) and by number.
//!
//! LSSTCam has 21 rafts of 9 science detectors, numbered raft by raft, 0 to 188, then in each of the four corners two guiders
//! (SG) and two halves of a wavefront sensor (SW), 189 to 204. The commissioning camera is one such raft, LATISS one detector.

use super::Camera;

/// Rafts of science detectors, in the order of their numbers.
const RAFTS: [&str; 21] = [
    "R01", "R02", "R03", "R10", "R11", "R12", "R13", "R14", "R20", "R21", "R22", "R23", "R24", "R30", "R31",
    "R32", "R33", "R34", "R41", "R42", "R43",
];
const SENSORS: [&str; 9] = ["S00", "S01", "S02", "S10", "S11", "S12", "S20", "S21", "S22"];
const CORNERS: [&str; 4] = ["R00", "R04", "R40", "R44"];
const OF_CORNER: [&str; 4] = ["SG0", "SG1", "SW0", "SW1"];
/// Science detectors of LSSTCam.
const SCIENCE: i64 = 189;

/// How many detectors a camera has.
pub(super) fn count(camera: Camera) -> i64 {
    match camera {
        Camera::Latiss => 1,
        Camera::ComCam => 9,
        Camera::LsstCam => SCIENCE + 16,
    }
}

fn place(of: &[&str], name: &str) -> Option<i64> {
    of.iter().position(|known| *known == name).and_then(|n| i64::try_from(n).ok())
}

/// The number of a detector.
///
/// # Errors
/// The camera has no such detector.
pub(crate) fn detector_number(camera: Camera, name: &str) -> Result<i64, String> {
    let wrong = || format!("\"{name}\" is no detector (R22_S11)");
    let (raft, sensor) = name.split_once('_').ok_or_else(wrong)?;
    let found = match camera {
        Camera::Latiss => (matches!(raft, "RXX" | "R00") && sensor == "S00").then_some(0),
        Camera::ComCam => (raft == "R22").then(|| place(&SENSORS, sensor)).flatten(),
        Camera::LsstCam => match (place(&RAFTS, raft), place(&CORNERS, raft)) {
            (Some(raft), _) => place(&SENSORS, sensor).map(|sensor| raft * 9 + sensor),
            (_, Some(corner)) => place(&OF_CORNER, sensor).map(|sensor| SCIENCE + corner * 4 + sensor),
            (None, None) => None,
        },
    };
    found.ok_or_else(|| format!("{} of this camera", wrong()))
}

/// The name of a detector.
///
/// # Errors
/// The camera has none of that number.
pub(crate) fn detector_name(camera: Camera, number: i64) -> Result<String, String> {
    let n = usize::try_from(number)
        .ok()
        .filter(|_| number < count(camera))
        .ok_or_else(|| format!("{number} is no detector of this camera (0 to {})", count(camera) - 1))?;
    Ok(match camera {
        Camera::Latiss => "RXX_S00".to_owned(),
        Camera::ComCam => format!("R22_{}", SENSORS[n]),
        Camera::LsstCam if number < SCIENCE => format!("{}_{}", RAFTS[n / 9], SENSORS[n % 9]),
        Camera::LsstCam => {
            let n = n - RAFTS.len() * SENSORS.len();
            format!("{}_{}", CORNERS[n / 4], OF_CORNER[n % 4])
        }
    })
}

/// The numbers of some detectors: `science`, `guiders`, `wavefront`, `all`, or those of a raft (`R22`).
///
/// # Errors
/// The camera has no such ones.
pub(crate) fn detectors(camera: Camera, which: &str) -> Result<Vec<i64>, String> {
    let keep = |of: &dyn Fn(&str) -> bool| -> Vec<i64> {
        (0..count(camera)).filter(|n| detector_name(camera, *n).is_ok_and(|name| of(&name))).collect()
    };
    let all = match which {
        "all" => keep(&|_| true),
        "science" => keep(&|name| !name.contains("_SG") && !name.contains("_SW")),
        "guiders" => keep(&|name| name.contains("_SG")),
        "wavefront" => keep(&|name| name.contains("_SW")),
        raft => keep(&|name| name.split('_').next() == Some(raft)),
    };
    if all.is_empty() {
        let text = format!(
            "this camera has no detectors \"{which}\" (science, guiders, wavefront, all, or a raft such as R22)"
        );
        return Err(text);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for camera in [Camera::Latiss, Camera::ComCam, Camera::LsstCam] {
            for n in 0..count(camera) {
                assert_eq!(detector_number(camera, &detector_name(camera, n).unwrap()), Ok(n));
            }
            assert!(detector_name(camera, -1).is_err() && detector_name(camera, count(camera)).is_err());
        }
    }

    /// Numbers that other programs of the observatory have in their texts.
    #[test]
    fn known_numbers() {
        for (name, number) in [
            ("R01_S00", 0),
            ("R02_S11", 13),
            ("R22_S11", 94),
            ("R43_S22", 188),
            ("R00_SG0", 189),
            ("R00_SW0", 191),
            ("R04_SW1", 196),
            ("R40_SW0", 199),
            ("R44_SW1", 204),
        ] {
            assert_eq!(detector_number(Camera::LsstCam, name), Ok(number), "{name}");
        }
        assert_eq!(detector_number(Camera::ComCam, "R22_S11"), Ok(4));
        for bad in ["", "R22", "R22_", "R22_S33", "R00_S00", "R22_SG0", "R22_S11_C00"] {
            assert!(detector_number(Camera::LsstCam, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn groups() {
        let of = |which: &str| detectors(Camera::LsstCam, which).unwrap();
        assert_eq!((of("science").len(), of("all").len()), (189, 205));
        assert_eq!(of("guiders"), [189, 190, 193, 194, 197, 198, 201, 202]);
        assert_eq!(of("wavefront"), [191, 192, 195, 196, 199, 200, 203, 204]);
        assert_eq!(of("R22"), (90..99).collect::<Vec<_>>());
        assert_eq!(of("R44"), [201, 202, 203, 204]);
        assert_eq!(detectors(Camera::ComCam, "science").unwrap().len(), 9);
        assert_eq!(detectors(Camera::Latiss, "all").unwrap(), [0]);
        assert!(detectors(Camera::Latiss, "guiders").is_err());
        assert!(detectors(Camera::LsstCam, "R99").unwrap_err().contains("R99"));
    }
}
