//! Tests of rule files as wholes.

mod bench;
mod files;
mod scenarios;
