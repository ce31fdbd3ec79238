//! Tests of rule files as wholes.

mod files;
