//! Built-in analyses: pure functions of a series.
