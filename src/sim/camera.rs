//! A simulated main camera with its OODS: it plays exposures, detector by detector.
//!
//! ```text
//!  MTCamera: startIntegration ── exposure ──► endReadout
//!                                                 └─ MTOODS: imageInOODS R01_S00, R01_S01, ... each after its own delay, some never
//! ```
//! A [`Shot`] says what happens; what was published, and when, is in the [`Played`] that comes out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Library;
use salobj::{
    Clock, CommandError, CommandHandler, CommandRequest, CommandResult, Controller, Domain, SalError, Tai,
    Value,
};

/// The two components.
pub struct CameraSim {
    clock: Clock,
    camera: Controller,
    oods: Controller,
}

/// They publish only.
struct NoCommands;

#[async_trait]
impl CommandHandler for NoCommands {
    async fn handle(&self, request: CommandRequest) -> CommandResult {
        Err(CommandError::expected(format!(
            "the simulated component does not have the command {}",
            request.name
        )))
    }
}

/// A detector's way into the OODS.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Raft, `R22`.
    pub raft: String,
    /// Sensor, `S11`.
    pub sensor: String,
    /// From the end of the readout to the event.
    pub after: Duration,
    /// 0 if it is in.
    pub status: i64,
}

/// One exposure.
#[derive(Debug, Clone, PartialEq)]
pub struct Shot {
    /// Name of the image.
    pub image: String,
    /// Shutter and readout together.
    pub exposure: Duration,
    /// `normal` or `calibration`.
    pub mode: String,
    /// The detectors, in any order.
    pub arrivals: Vec<Arrival>,
}

impl Shot {
    /// All 189 science detectors arrive, spread evenly over this time, the rafts mixed as in life.
    pub fn whole(image: &str, exposure: Duration, spread: Duration) -> Shot {
        let mut arrivals = Vec::new();
        for (raft, sensor) in science() {
            // Any order will do that is not that of the detectors; 189 and 80 have no common divisor.
            let turn = (arrivals.len() * 80) % 189;
            let after = spread.mul_f64(turn as f64 / 188.0);
            arrivals.push(Arrival { raft, sensor, after, status: 0 });
        }
        Shot { image: image.to_owned(), exposure, mode: "normal".to_owned(), arrivals }
    }

    /// Without these detectors (`R22_S11`).
    pub fn without(mut self, detectors: &[&str]) -> Shot {
        self.arrivals.retain(|a| !detectors.contains(&format!("{}_{}", a.raft, a.sensor).as_str()));
        self
    }

    /// With an error for these detectors.
    pub fn with_errors(mut self, detectors: &[&str]) -> Shot {
        for arrival in &mut self.arrivals {
            if detectors.contains(&format!("{}_{}", arrival.raft, arrival.sensor).as_str()) {
                arrival.status = 1;
            }
        }
        self
    }
}

/// The science detectors: rafts of a square of five without its corners, each with three by three.
fn science() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (row, column) in (0..25).map(|n| (n / 5, n % 5)) {
        if matches!(row, 0 | 4) && matches!(column, 0 | 4) {
            continue;
        }
        let sensors = (0..9).map(|n| (format!("R{row}{column}"), format!("S{}{}", n / 3, n % 3)));
        all.extend(sensors);
    }
    all
}

/// When things were published.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// `startIntegration`.
    pub began: Tai,
    /// `endReadout`.
    pub read_out: Tai,
    /// The last `imageInOODS`; that of the readout if there was none.
    pub last_stored: Tai,
}

impl CameraSim {
    /// Opens both components, for writing only, in this domain.
    ///
    /// # Errors
    /// A topic could not be made.
    pub async fn open(domain: &Domain, library: &Library) -> anyhow::Result<CameraSim> {
        let open = async |name: &str| -> anyhow::Result<Controller> {
            let controller = Controller::write_only(domain, library.component(name)?, 0)?;
            controller.start(Arc::new(NoCommands)).await?;
            Ok(controller)
        };
        Ok(CameraSim {
            clock: domain.clock().clone(),
            camera: open("MTCamera").await?,
            oods: open("MTOODS").await?,
        })
    }

    /// Plays one exposure, from the opening of the shutter to the last detector that arrives.
    ///
    /// # Errors
    /// An event could not be written.
    pub async fn play(&self, shot: &Shot) -> Result<Played, SalError> {
        let text = |text: &str| Value::Text(text.into());
        let exposure_s = shot.exposure.as_secs_f64();
        let number = shot.image.rsplit('_').next().and_then(|n| n.parse().ok()).unwrap_or_default();
        let began = self.clock.now();
        self.camera.event("startIntegration")?.set_write_if(
            &[
                ("imageName", text(&shot.image)),
                ("imageNumber", Value::Int(number)),
                ("mode", text(&shot.mode)),
                ("exposureTime", Value::Double(exposure_s)),
                ("timestampAcquisitionStart", Value::Double(began.0)),
            ],
            true,
        )?;
        self.clock.sleep(shot.exposure).await;
        let read_out = self.clock.now();
        self.camera.event("endReadout")?.set_write_if(
            &[
                ("imageName", text(&shot.image)),
                ("imageNumber", Value::Int(number)),
                ("requestedExposureTime", Value::Double(exposure_s)),
                ("timestampAcquisitionStart", Value::Double(began.0)),
                ("timestampEndOfReadout", Value::Double(read_out.0)),
            ],
            true,
        )?;
        let mut arrivals: Vec<&Arrival> = shot.arrivals.iter().collect();
        arrivals.sort_by_key(|a| a.after);
        let stored = self.oods.event("imageInOODS")?;
        let mut last_stored = read_out;
        for arrival in arrivals {
            self.clock.sleep_until(read_out + arrival.after).await;
            last_stored = self.clock.now();
            stored.set_write_if(
                &[
                    ("camera", text("LSSTCam")),
                    ("obsid", text(&shot.image)),
                    ("raft", text(&arrival.raft)),
                    ("sensor", text(&arrival.sensor)),
                    ("statusCode", Value::Int(arrival.status)),
                    (
                        "description",
                        text(if arrival.status == 0 { "file ingested" } else { "ingest failed" }),
                    ),
                ],
                true,
            )?;
        }
        Ok(Played { began, read_out, last_stored })
    }

    /// Closes both components.
    pub async fn close(&self) {
        self.camera.close().await;
        self.oods.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_whole_shot_has_every_detector_once() {
        let shot = Shot::whole("MC_O_20261120_000001", Duration::ZERO, Duration::from_secs(2));
        let names: BTreeSet<String> =
            shot.arrivals.iter().map(|a| format!("{}_{}", a.raft, a.sensor)).collect();
        let delays: BTreeSet<Duration> = shot.arrivals.iter().map(|a| a.after).collect();
        assert_eq!((names.len(), delays.len()), (189, 189));
        assert_eq!((delays.first(), delays.last()), (Some(&Duration::ZERO), Some(&Duration::from_secs(2))));
        assert!(names.contains("R22_S11") && !names.contains("R00_S00") && !names.contains("R44_S22"));
        let some = shot.without(&["R22_S11", "R01_S00"]).with_errors(&["R22_S12"]);
        assert_eq!(some.arrivals.len(), 187);
        assert_eq!(some.arrivals.iter().filter(|a| a.status != 0).count(), 1);
    }
}
