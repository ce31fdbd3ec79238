//! What lies outside of this process, as commands find it: the bus and the environment. Tests put servers of their own in its place.

use std::sync::Arc;

use anyhow::Context;
use salobj::Env;
use salobj::transport::Transport;
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};

use crate::outputs::efd::{Efd, EfdConfig};

/// A way to the bus.
pub(super) struct Bus {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) env: Env,
}

type Connect = dyn Fn() -> anyhow::Result<Bus> + Send + Sync;
type Variable = dyn Fn(&str) -> Option<String> + Send + Sync;

/// See the module's documentation.
pub(super) struct Outside {
    connect: Box<Connect>,
    variable: Box<Variable>,
}

impl Outside {
    /// What the environment of the process names.
    pub(super) fn real() -> Outside {
        let connect = || {
            let env = Env::from_process()?;
            Ok(Bus { transport: Arc::new(KafkaTransport::new(&env, KafkaOptions::default())?), env })
        };
        Outside { connect: Box::new(connect), variable: Box::new(|name| std::env::var(name).ok()) }
    }

    /// Something else in its place.
    #[cfg(test)]
    pub(super) fn other(
        connect: impl Fn() -> anyhow::Result<Bus> + Send + Sync + 'static,
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Outside {
        Outside { connect: Box::new(connect), variable: Box::new(variable) }
    }

    /// A connection to the bus, new with each call.
    pub(super) fn bus(&self) -> anyhow::Result<Bus> {
        (self.connect)()
    }

    /// The EFD that an argument names: a YAML file with an `efd` configuration, or the address of an InfluxDB 2, of which
    /// the environment says the rest.
    pub(super) fn efd(&self, which: &str) -> anyhow::Result<Arc<dyn Efd>> {
        let config = if which.starts_with("http://") || which.starts_with("https://") {
            let var = |name: &str| {
                (self.variable)(name).with_context(|| format!("--efd with an address needs ${name}"))
            };
            EfdConfig::influxdb2(which, &var("INFLUX_ORG")?, &var("INFLUX_BUCKET")?, "INFLUX_TOKEN")
        } else {
            let text = std::fs::read_to_string(which).with_context(|| format!("cannot read {which}"))?;
            serde_saphyr::from_str(&text).map_err(|e| anyhow::anyhow!("{which}: {e}"))?
        };
        config.client(|name| (self.variable)(name)).map_err(|problems| {
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{which}: {}", told.join("; "))
        })
    }
}
