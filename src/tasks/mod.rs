//! 4. Act: workflow runs, retries, time limits; one file for each backend in `steps/`.

pub mod analysis;
pub mod steps;
