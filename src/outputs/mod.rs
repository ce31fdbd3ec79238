//! 5. Tell: the EFD, the LFA, the folder of reports, people, LOVE.

pub mod breaker;
pub mod efd;
pub mod lfa;
pub mod love;
pub mod notify;
pub mod report_folder;
pub mod secret;
