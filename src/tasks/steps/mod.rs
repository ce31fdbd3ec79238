//! One file for each backend.
