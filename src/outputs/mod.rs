//! 5. Tell: the EFD, the folder of reports, people.

pub mod efd;
pub mod notify;
pub mod report_folder;
pub mod secret;
