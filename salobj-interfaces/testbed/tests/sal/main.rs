//! The SAL layer on the in-memory bus, in virtual time.

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
