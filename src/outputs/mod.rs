//! 5. Tell: the EFD, the folder of reports.

pub mod efd;
pub mod report_folder;
