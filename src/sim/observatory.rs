//! The simulated observatory: a weather tower (`ESS:301`), AuxTel's camera (`ATCamera`) and its mount (`ATMCS`) publish
//! what the scenario says, as telemetry and events on the bus. Nothing else goes in.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Library;
use salobj::{
    Clock, CommandError, CommandHandler, CommandRequest, CommandResult, Controller, Domain, SalError, Tai,
    TelemetryWriter, Value,
};

use super::scenario::{Exposure, Scenario};

/// Time between two samples of the weather tower.
const WEATHER_PERIOD: Duration = Duration::from_secs(20);

/// Time between two packets of mount encoders; each has [`PACKED`] positions.
const MOUNT_PERIOD: Duration = Duration::from_secs(1);

/// Positions in one packet.
const PACKED: usize = 100;

/// Mount packets are published only this long before and after an exposure, to keep the simulated load small.
const MOUNT_MARGIN_S: f64 = 5.0;

/// Time from the end of an exposure to its `endReadout`.
const READOUT_S: f64 = 2.5;

/// A running observatory.
pub struct Observatory {
    clock: Clock,
    scenario: Scenario,
    start: Tai,
    ess: Controller,
    camera: Controller,
    mount: Controller,
}

/// The simulated components publish only; no command reaches them.
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

impl Observatory {
    /// Opens the three components (for writing only) in this domain. The scenario begins at `start`.
    ///
    /// # Errors
    /// A topic could not be made.
    pub async fn open(
        domain: &Domain,
        library: &Library,
        scenario: Scenario,
        start: Tai,
    ) -> anyhow::Result<Self> {
        let open = async |name: &str, index: i32| -> anyhow::Result<Controller> {
            let component = library.component(name)?;
            let controller = Controller::write_only(domain, component, index)?;
            controller.start(Arc::new(NoCommands)).await?;
            Ok(controller)
        };
        let ess = open("ESS", 301).await?;
        let camera = open("ATCamera", 0).await?;
        let mount = open("ATMCS", 0).await?;
        Ok(Self { clock: domain.clock().clone(), scenario, start, ess, camera, mount })
    }

    /// Plays the scenario from its start to its end.
    ///
    /// # Errors
    /// A sample could not be written.
    pub async fn play(&self) -> Result<(), SalError> {
        tokio::try_join!(self.weather(), self.encoders(), self.exposures())?;
        Ok(())
    }

    fn at(&self, t_s: f64) -> Tai {
        Tai(self.start.0 + t_s)
    }

    async fn weather(&self) -> Result<(), SalError> {
        let air_flow = self.ess.telemetry("airFlow")?;
        let mut t_s = 0.0;
        while t_s < self.scenario.length_s {
            self.clock.sleep_until(self.at(t_s)).await;
            let speed = self.scenario.wind_speed(t_s);
            air_flow.set_write(&[
                ("sensorName", Value::Text("simulated tower".into())),
                ("timestamp", Value::Double(self.at(t_s).0)),
                ("direction", Value::Double(300.0)),
                ("speed", Value::Double(speed)),
                ("maxSpeed", Value::Double(speed + 0.5)),
            ])?;
            t_s += WEATHER_PERIOD.as_secs_f64();
        }
        Ok(())
    }

    async fn encoders(&self) -> Result<(), SalError> {
        let encoders = self.mount.telemetry("mount_AzEl_Encoders")?;
        for exposure in &self.scenario.exposures {
            let mut t_s = (exposure.start_s - MOUNT_MARGIN_S).max(0.0);
            while t_s < exposure.start_s + exposure.exposure_time_s + MOUNT_MARGIN_S {
                self.clock.sleep_until(self.at(t_s + MOUNT_PERIOD.as_secs_f64())).await;
                self.packet(&encoders, t_s)?;
                t_s += MOUNT_PERIOD.as_secs_f64();
            }
        }
        Ok(())
    }

    /// One packet: the stamp is that of the first position.
    fn packet(&self, encoders: &TelemetryWriter, t_s: f64) -> Result<(), SalError> {
        let step_s = MOUNT_PERIOD.as_secs_f64() / PACKED as f64;
        let positions: Vec<(f64, f64)> =
            (0..PACKED).map(|n| self.scenario.mount(t_s + n as f64 * step_s)).collect();
        let column = |pick: fn(&(f64, f64)) -> f64| Value::Doubles(positions.iter().map(pick).collect());
        encoders.set_write(&[
            ("cRIO_timestamp", Value::Double(self.at(t_s).0)),
            ("azimuthCalculatedAngle", column(|p| p.0)),
            ("elevationCalculatedAngle", column(|p| p.1)),
        ])?;
        Ok(())
    }

    async fn exposures(&self) -> Result<(), SalError> {
        for exposure in &self.scenario.exposures {
            let end_s = exposure.start_s + exposure.exposure_time_s + READOUT_S;
            self.clock.sleep_until(self.at(end_s)).await;
            self.end_readout(exposure)?;
        }
        Ok(())
    }

    fn end_readout(&self, exposure: &Exposure) -> Result<(), SalError> {
        let start = self.at(exposure.start_s);
        let name = format!("AT_O_{}_{:06}", start.day_obs(), exposure.seq_num);
        self.camera.event("endReadout")?.set_write_if(
            &[
                ("imageName", Value::Text(name.as_str().into())),
                ("imageNumber", Value::Int(exposure.seq_num.into())),
                ("timestampAcquisitionStart", Value::Double(start.0)),
                ("requestedExposureTime", Value::Double(exposure.exposure_time_s)),
            ],
            true,
        )?;
        Ok(())
    }

    /// Closes the three components.
    pub async fn close(&self) {
        for controller in [&self.ess, &self.camera, &self.mount] {
            controller.close().await;
        }
    }
}
