//! Simulated peers with control handles; reached only by name (`catcher demo`), by SAL simulation mode, or by tests.

pub mod backends;
pub mod camera;
pub mod csc;
pub mod cut;
pub mod influx;
pub mod influx_tasks;
pub mod noteburst;
pub mod observatory;
pub mod ocps;
pub mod peer;
pub mod scenario;
pub mod s3;
pub mod script_queue;
pub mod times_square;
pub mod uws;
