//! Tests of rule files as wholes.

mod bad;
mod bench;
mod calm;
mod files;
mod keyed_inputs;
mod keyed_rules;
mod import_watcher;
mod links;
mod scenarios;
mod schedule;
mod silence;
mod stateful;
