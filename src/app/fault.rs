//! Values of `errorCode` of this CSC.

/// The journal could not be written for 30 s.
pub const JOURNAL: i64 = 1;
/// A part of the process ended.
pub const PART: i64 = 2;
/// The connection that alarms depend on could not be set up.
pub const SETUP: i64 = 3;
