//! The Catcher's own SAL face: commands in, events out.
