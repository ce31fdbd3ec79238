//! The folder of reports: files that are written once and never changed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

/// A report could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ReportFolderError {
    /// The name would lead out of the folder.
    #[error("{name:?} is not a name for a report: a folder and a file of plain characters are wanted")]
    BadName {
        /// The name.
        name: String,
    },
    /// The disk failed.
    #[error("report {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is on disk now.
    New,
    /// There was one of that name already: it stays as it was (a run that was followed to its end twice, over a crash).
    Earlier,
}

/// A folder that the Catcher owns.
#[derive(Debug, Clone)]
pub struct ReportFolder {
    dir: PathBuf,
}

impl ReportFolder {
    /// The folder is made with the first report.
    pub fn new(dir: impl Into<PathBuf>) -> ReportFolder {
        ReportFolder { dir: dir.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Keeps a report under `name` (`Report::file_name`). It appears whole or not at all, and is synced on return.
    /// Blocks on the disk.
    pub fn write(&self, name: &str, html: &str) -> Result<Kept, ReportFolderError> {
        let path = self.file(name).ok_or_else(|| ReportFolderError::BadName { name: name.to_owned() })?;
        write_once(&path, html).map_err(|source| ReportFolderError::Io { path, source })
    }

    /// The file of that name, if the name stays inside of the folder; it need not exist. For serving it.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        (inside && name.split('/').all(plain) && name.ends_with(".html")).then(|| self.dir.join(name))
    }
}

fn write_once(path: &Path, html: &str) -> io::Result<Kept> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(dir)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file = fs::File::create(&new)?;
    file.write_all(html.as_bytes())?;
    file.sync_all()?;
    // A link, not a rename: it fails where a file is already.
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    let kept = match linked {
        Ok(()) => Kept::New,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Kept::Earlier,
        Err(e) => return Err(e),
    };
    fs::File::open(dir)?.sync_all()?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ReportFolder::new(dir.path().join("reports"));
        let name = "20261120/Wind.Forecast_0123456789abcdef.html";
        assert_eq!(folder.write(name, "first").unwrap(), Kept::New);
        assert_eq!(folder.write(name, "second").unwrap(), Kept::Earlier);
        assert_eq!(fs::read_to_string(folder.file(name).unwrap()).unwrap(), "first");
        let files = fs::read_dir(dir.path().join("reports/20261120")).unwrap().count();
        assert_eq!(files, 1, "nothing else is left behind");
    }

    #[test]
    fn a_half_written_one_of_a_crash_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/a.html.new"), "ha").unwrap();
        let folder = ReportFolder::new(dir.path());
        assert_eq!(folder.write("d/a.html", "whole").unwrap(), Kept::New);
        assert_eq!(fs::read_to_string(dir.path().join("d/a.html")).unwrap(), "whole");
    }

    #[test]
    fn names_do_not_lead_out() {
        let folder = ReportFolder::new("/reports");
        for name in [
            "../a.html",
            "/etc/a.html",
            "d/../../a.html",
            "",
            "d/a.txt",
            "d//a.html",
            "./a.html",
            "d/a b.html",
            "d\\a.html",
        ] {
            assert_eq!(folder.file(name), None, "{name}");
        }
        assert_eq!(folder.file("d/a.html"), Some(PathBuf::from("/reports/d/a.html")));
        assert!(matches!(folder.write("../a.html", ""), Err(ReportFolderError::BadName { .. })));
    }
}
