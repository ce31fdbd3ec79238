//! The folder of reports, and of files that steps leave behind: written once and never changed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use crate::tasks::call::StepId;
use crate::tasks::shelf::{Content, NotKept, Shelf, StepFile, plain_name};

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
    fill(&file)?;
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

/// Keeps the files of steps beside the reports, below `files/`.
pub struct FolderShelf {
    folder: ReportFolder,
    base: Base,
}

/// The address of the folder as of now.
pub type Base = Box<dyn Fn() -> String + Send + Sync>;

impl FolderShelf {
    /// In that folder, which has the address `base`.
    pub fn new(folder: ReportFolder, base: Base) -> FolderShelf {
        FolderShelf { folder, base }
    }
}

#[async_trait::async_trait]
impl Shelf for FolderShelf {
    async fn keep(&self, step: &StepId, name: &str, content: Content<'_>) -> Result<StepFile, NotKept> {
        let of_step = plain_name(&format!("{}_{}", step.step, step.attempt));
        let path = format!("files/{}/{of_step}/{}", plain_name(&step.run_id), plain_name(name));
        let kept = match content {
            Content::Bytes(bytes) => self.folder.write(&path, bytes),
            Content::File(from) => self.folder.copy(&path, from),
        };
        let not_kept = |reason: String| NotKept { name: name.to_owned(), reason };
        kept.map_err(|e| not_kept(e.to_string()))?;
        let file = self.folder.file(&path).ok_or_else(|| not_kept("its name".to_owned()))?;
        let bytes = fs::metadata(file).map_err(|e| not_kept(e.to_string()))?.len();
        let url = format!("{}/{path}", (self.base)().trim_end_matches('/'));
        Ok(StepFile { name: name.to_owned(), url, bytes })
    }
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

    #[tokio::test]
    async fn files_of_steps_are_kept_beside_the_reports() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ReportFolder::new(dir.path().join("reports"));
        let shelf = FolderShelf::new(folder, Box::new(|| "http://catcher/reports/".to_owned()));
        let step = StepId { run_id: "0123456789abcdef".into(), step: "a[3]".into(), attempt: 2 };
        let file = shelf.keep(&step, "b.png", Content::Bytes(b"png")).await.unwrap();
        let url = "http://catcher/reports/files/0123456789abcdef/a_3__2/b.png";
        assert_eq!(file, StepFile { name: "b.png".into(), url: url.into(), bytes: 3 });
        let from = dir.path().join("from");
        fs::write(&from, "other").unwrap();
        let again = shelf.keep(&step, "b.png", Content::File(&from)).await.unwrap();
        assert_eq!(again, file, "what is kept stays");
        assert_eq!(shelf.keep(&step, "c", Content::File(&from)).await.unwrap().bytes, 5);
        let gone = dir.path().join("gone");
        assert!(
            shelf.keep(&step, "d", Content::File(&gone)).await.unwrap_err().to_string().contains("file d")
        );
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
