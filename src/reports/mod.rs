//! HTML reports with plots.
