//! 5. Tell: the EFD, the folder of reports, people, LOVE.

pub mod breaker;
pub mod efd;
pub mod love;
pub mod notify;
pub mod report_folder;
pub mod secret;
