//! Simulated peers with control handles; reached only by name (`catcher demo`, `catcher sim`) or by tests.

pub mod cut;
pub mod influx;
pub mod ocps;
pub mod scenario;
