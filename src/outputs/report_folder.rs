//! The folder of reports, and of files that steps leave behind: written once and never changed. What becomes of them after that
//! is the matter of [`crate::outputs::lfa`].

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
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<Kept, ReportFolderError> {
        self.once(name, |mut file| file.write_all(content.as_ref()))
    }

    /// Keeps a copy of a file in the same way.
    pub fn copy(&self, name: &str, from: &Path) -> Result<Kept, ReportFolderError> {
        self.once(name, |mut file| io::copy(&mut fs::File::open(from)?, &mut file).map(|_| ()))
    }

    fn once(
        &self,
        name: &str,
        fill: impl FnOnce(&fs::File) -> io::Result<()>,
    ) -> Result<Kept, ReportFolderError> {
        let path = self.file(name).ok_or_else(|| ReportFolderError::BadName { name: name.to_owned() })?;
        write_once(&path, fill).map_err(|source| ReportFolderError::Io { path, source })
    }

    /// Takes one away, and folders that are empty then; it need not exist. Blocks on the disk.
    pub fn remove(&self, name: &str) -> Result<(), ReportFolderError> {
        let path = self.file(name).ok_or_else(|| ReportFolderError::BadName { name: name.to_owned() })?;
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(ReportFolderError::Io { path, source });
            }
            _ => {}
        }
        // The first that is not empty ends it.
        let above = path.ancestors().skip(1).take_while(|dir| *dir != self.dir);
        for dir in above {
            if fs::remove_dir(dir).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The file of that name, if the name stays inside of the folder; it need not exist. For serving it.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        let hidden = |part: &str| part.starts_with('.') || part.ends_with(HALF);
        (inside && name.split('/').all(|part| plain(part) && !hidden(part))).then(|| self.dir.join(name))
    }
}

/// The end of the name of a file that is not whole yet.
const HALF: &str = ".new";

fn write_once(path: &Path, fill: impl FnOnce(&fs::File) -> io::Result<()>) -> io::Result<Kept> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(dir)?;
    let mut new = path.as_os_str().to_owned();
    new.push(HALF);
    let new = PathBuf::from(new);
    let file = fs::File::create(&new)?;
    if let Err(error) = fill(&file).and_then(|()| file.sync_all()) {
        // It may be the disk that is full: what is not whole is worth nothing.
        drop(fs::remove_file(&new));
        return Err(error);
    }
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

/// The address of the folder as of now.
pub type Base = Box<dyn Fn() -> String + Send + Sync>;

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
    fn what_does_not_fit_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        // What is written goes to a disk that is full.
        std::os::unix::fs::symlink("/dev/full", dir.path().join("d/a.html.new")).unwrap();
        let folder = ReportFolder::new(dir.path());
        let error = folder.write("d/a.html", "report").unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("No space left"), "{error}");
        assert_eq!(fs::read_dir(dir.path().join("d")).unwrap().count(), 0);
        assert_eq!(folder.write("d/a.html", "report").unwrap(), Kept::New, "there is room again");
    }

    #[test]
    fn a_removed_one_takes_its_empty_folders_along() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ReportFolder::new(dir.path());
        folder.write("files/r/s/a", "a").unwrap();
        folder.write("files/r/s/b", "b").unwrap();
        folder.remove("files/r/s/a").unwrap();
        assert!(dir.path().join("files/r/s/b").exists());
        folder.remove("files/r/s/b").unwrap();
        folder.remove("files/r/s/b").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(dir.path().exists());
    }

    #[test]
    fn names_do_not_lead_out() {
        let folder = ReportFolder::new("/reports");
        for name in [
            "../a.html",
            "/etc/a.html",
            "d/../../a.html",
            "",
            "d/.a.html",
            "d/a.html.new",
            "d//a.html",
            "./a.html",
            "d/a b.html",
            "d\\a.html",
        ] {
            assert_eq!(folder.file(name), None, "{name}");
        }
        assert_eq!(folder.file("d/a.png"), Some(PathBuf::from("/reports/d/a.png")));
        assert_eq!(folder.file("d/a.html"), Some(PathBuf::from("/reports/d/a.html")));
        assert!(matches!(folder.write("../a.html", ""), Err(ReportFolderError::BadName { .. })));
    }
}
