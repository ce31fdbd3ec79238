//! 5. Tell: EFD.

pub mod efd;
