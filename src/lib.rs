//! The Catcher: notices what a user described, runs the analysis, keeps the result, tells the operators.

pub mod intake;
pub mod rules;
pub mod alarms;
pub mod tasks;
pub mod outputs;
pub mod reports;
pub mod journal;
pub mod core;
pub mod replay;
pub mod app;
pub mod config;
pub mod cli;
pub mod csc;
pub mod telemetry;
pub mod sim;
