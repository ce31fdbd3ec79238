//! The standard command line.
