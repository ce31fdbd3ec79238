//! The SAL layer on the in-memory bus, in virtual time; `on_kafka` on a broker.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod acks;
mod commands;
mod config;
mod events;
mod exactly_once;
mod history;
mod life;
mod log;
mod on_kafka;
mod reading;
mod states;
mod support;
