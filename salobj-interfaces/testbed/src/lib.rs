//! What tests of CSCs need: a bench, and the CSC that SAL tests itself with.

pub mod bench;
pub mod test_csc;

pub use bench::{Bus, CscBench};
pub use test_csc::TestCsc;
