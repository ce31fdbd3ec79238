//! Tests of rule files as wholes.

mod bad;
mod bench;
mod files;
mod scenarios;
mod stateful;
