//! Files on their way to the LFA.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use salobj::{Clock, Tai};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::book::{Book, FileRecord, FileState};
use super::{S3, digest, key, mime};
use crate::journal::OpenError;
use crate::outputs::report_folder::{Base, Kept, ReportFolder};

/// Delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LfaOptions {
    /// Wait after the first failure; it doubles with each further one.
    pub first_delay: Duration,
    /// Longest wait.
    pub longest_delay: Duration,
    /// After so long a report's own address is told, and not its address in the LFA.
    pub patience: Duration,
}

impl Default for LfaOptions {
    fn default() -> LfaOptions {
        LfaOptions {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(60),
            patience: Duration::from_secs(10),
        }
    }
}

/// How it stands; for health and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LfaState {
    /// Files that wait.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Files that were announced since the start.
    pub announced: u64,
    /// Files that the LFA does not take.
    pub refused: u64,
    /// Files that were not kept for the LFA: no room, or the disk failed.
    pub lost: u64,
    /// What was wrong with the last one of them.
    pub last_lost: String,
    /// Failures in a row; 0 when the last upload went well.
    pub failures: u64,
    /// The last failure, until an upload goes well.
    pub last_error: Option<String>,
}

/// The files cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum LfaError {
    /// The book cannot be opened.
    #[error("files for the LFA: {0}")]
    Open(#[from] OpenError),
}

/// Where a report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportUrl {
    /// There.
    Now(String),
    /// That is told by [`super::Tell::report_at`].
    Later,
}

/// Keeps files, and brings them to the LFA if one is configured.
pub struct Lfa {
    pub(super) folder: ReportFolder,
    base: Base,
    owner: String,
    clock: Clock,
    pub(super) options: LfaOptions,
    book: Arc<Mutex<Book>>,
    pub(super) target: ArcSwapOption<S3>,
    /// There are more files, or fewer were kept than should be.
    pub(super) more: Notify,
    /// Another server is configured.
    pub(super) changed: Notify,
    pub(super) state: watch::Sender<LfaState>,
    /// Reports whose address nobody knows yet: path, run, since when.
    pub(super) untold: Mutex<BTreeMap<String, (String, Instant)>>,
    pub(super) impatient: Notify,
    pub(super) telling: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Lfa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lfa")
            .field("owner", &self.owner)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// What a file is.
pub(super) struct About {
    /// Path below the folder.
    pub(super) path: String,
    pub(super) generator: String,
    /// What tells it from others of that generator and time.
    pub(super) other: String,
    /// Its name, for its kind.
    pub(super) name: String,
    pub(super) run_id: String,
    pub(super) report: bool,
    /// Its time in the key.
    pub(super) at: Tai,
}

/// What is to be kept.
pub(super) enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
    /// It lies in the folder already.
    Kept,
}

impl Lfa {
    /// Opens the book in `dir`; files are in `folder`, which has the address `base`. `owner`: `Catcher:3`. Blocks on the disk.
    ///
    /// # Errors
    /// See [`LfaError`].
    pub fn open(
        dir: &Path,
        folder: ReportFolder,
        base: Base,
        owner: &str,
        clock: Clock,
        options: LfaOptions,
    ) -> Result<Lfa, LfaError> {
        let (book, torn) = Book::open(dir)?;
        if torn > 0 {
            tracing::warn!("the book of files for the LFA ended with {torn} bytes that a crash cut short");
        }
        let (waiting, bytes) = book.waiting();
        if waiting > 0 {
            tracing::info!("{waiting} files ({bytes} bytes) wait for the LFA");
        }
        let state = LfaState { waiting: waiting as u64, waiting_bytes: bytes, ..LfaState::default() };
        Ok(Lfa {
            folder,
            base,
            owner: owner.to_owned(),
            clock,
            options,
            book: Arc::new(Mutex::new(book)),
            target: ArcSwapOption::empty(),
            more: Notify::new(),
            changed: Notify::new(),
            state: watch::Sender::new(state),
            untold: Mutex::default(),
            impatient: Notify::new(),
            telling: tokio::sync::Mutex::default(),
        })
    }

    /// Files go there from now on; nowhere, without.
    pub fn set(&self, target: Option<S3>) {
        self.target.store(target.map(Arc::new));
        self.changed.notify_one();
        self.more.notify_one();
    }

    /// How it stands, now and on every change.
    pub fn state(&self) -> watch::Receiver<LfaState> {
        self.state.subscribe()
    }

    /// Looks after the report of a run, which has been written to the folder under `name`. It never fails: a report that cannot go
    /// to the LFA is where the Catcher serves it.
    pub async fn report(&self, name: &str, run_id: &str, rule: &str, at: Tai) -> ReportUrl {
        let about = About {
            path: name.to_owned(),
            generator: format!("{}_report", plain(rule)),
            other: format!("{}_{run_id}", key::to_ms(at).tai_iso()),
            name: name.to_owned(),
            run_id: run_id.to_owned(),
            report: true,
            at,
        };
        // Before it is noted: it may be stored before this goes on.
        let elsewhere = self.target.load().is_some();
        if elsewhere {
            let away = self.state.borrow().failures > 0;
            let patience = if away { Duration::ZERO } else { self.options.patience };
            self.lock_untold().insert(name.to_owned(), (run_id.to_owned(), Instant::now() + patience));
            self.impatient.notify_one();
        }
        let kept = self.keep_file(about, Content::Kept).await;
        if elsewhere && kept.as_ref().is_ok_and(|r| r.state == FileState::Waiting && r.key.is_some()) {
            return ReportUrl::Later;
        }
        self.lock_untold().remove(name);
        match kept {
            Ok(record) if record.state == FileState::Announced => ReportUrl::Now(record.url),
            Ok(_) => ReportUrl::Now(self.own_url(name)),
            Err(error) => {
                tracing::warn!("the report {name} stays with the Catcher: {error}");
                ReportUrl::Now(self.own_url(name))
            }
        }
    }

    /// Keeps a file and notes that it waits; one that is known stays as it is.
    pub(super) async fn keep_file(&self, about: About, content: Content) -> Result<FileRecord, String> {
        let path = about.path.clone();
        if let Some(known) = self.with_book(move |book| book.get(&path).cloned()).await {
            return Ok(known);
        }
        let target = self.target.load_full();
        let kept = self.keep_new(about, content, target.as_deref()).await;
        if let (Err(error), Some(_)) = (&kept, &target) {
            self.state.send_modify(|state| {
                state.lost += 1;
                state.last_lost.clone_from(error);
            });
        }
        self.more.notify_one();
        kept
    }

    async fn keep_new(
        &self,
        about: About,
        content: Content,
        target: Option<&S3>,
    ) -> Result<FileRecord, String> {
        let file = self.folder.file(&about.path).ok_or("its name leads out of the folder")?;
        let size = match &content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(path) => size_of(path).await?,
            Content::Kept => size_of(&file).await?,
        };
        if let Some(target) = target {
            self.make_room(size, target.spool_bytes()).await?;
        }
        let (folder, path) = (self.folder.clone(), about.path.clone());
        let written = tokio::task::spawn_blocking(move || {
            let kept = match content {
                Content::Bytes(bytes) => folder.write(&path, bytes),
                Content::File(from) => folder.copy(&path, &from),
                Content::Kept => Ok(Kept::Earlier),
            };
            let kept = kept.map_err(|e| e.to_string())?;
            digest::of_file(&file).map(|sum| (kept, sum)).map_err(|e| format!("{}: {e}", file.display()))
        });
        let written = written.await.unwrap_or_else(|e| Err(e.to_string()));
        let noted = match written {
            Ok((kept, (bytes, md5))) => {
                let record = self.record(&about, bytes, md5, target.is_some());
                let (path, noted) = (about.path.clone(), record.clone());
                let noted = self.with_book(move |book| book.note(&path, noted)).await;
                match noted {
                    Ok(()) => Ok(record),
                    Err(error) => {
                        if kept == Kept::New {
                            self.delete(vec![about.path]).await;
                        }
                        Err(format!("it could not be noted: {error}"))
                    }
                }
            }
            Err(error) => Err(error),
        };
        let reserved = target.map_or(0, |_| size);
        let (waiting, bytes) = self
            .with_book(move |book| {
                book.release(reserved);
                book.waiting()
            })
            .await;
        self.count(waiting, bytes);
        noted
    }

    async fn make_room(&self, size: u64, room: u64) -> Result<(), String> {
        match self.with_book(move |book| book.reserve(size, room)).await {
            Ok(gone) => {
                self.delete(gone).await;
                Ok(())
            }
            Err(full) => Err(format!(
                "there is no room: {} files ({} bytes) wait for the LFA, {room} bytes may wait (lfa.spool_mb), this one has {size}",
                full.files, full.bytes
            )),
        }
    }

    fn record(&self, about: &About, bytes: u64, md5: String, elsewhere: bool) -> FileRecord {
        let (_, suffix) = mime::split(&about.name);
        let at = about.at;
        FileRecord {
            key: elsewhere.then(|| key::key(&self.owner, &about.generator, at, Some(&about.other), suffix)),
            generator: about.generator.clone(),
            bytes,
            md5,
            mime: mime::of_name(&about.name).to_owned(),
            run_id: about.run_id.clone(),
            report: about.report,
            at: self.clock.now().0,
            state: FileState::Waiting,
            url: String::new(),
            reason: String::new(),
        }
    }

    /// Where a file is or will be.
    pub(super) fn url_of(&self, path: &str, record: &FileRecord) -> String {
        match (&record.state, &record.key, &*self.target.load()) {
            (FileState::Announced, _, _) => record.url.clone(),
            (FileState::Waiting, Some(key), Some(target)) => target.url(key),
            _ => self.own_url(path),
        }
    }

    /// Where the Catcher serves the folder, without a slash at the end.
    pub fn own_base(&self) -> String {
        (self.base)().trim_end_matches('/').to_owned()
    }

    /// Where the Catcher serves a file.
    pub(super) fn own_url(&self, path: &str) -> String {
        format!("{}/{path}", self.own_base())
    }

    /// The time now, for keys.
    pub(super) fn now(&self) -> Tai {
        self.clock.now()
    }

    pub(super) fn count(&self, waiting: usize, bytes: u64) {
        self.state.send_modify(|state| {
            state.waiting = waiting as u64;
            state.waiting_bytes = bytes;
        });
    }

    async fn delete(&self, paths: Vec<String>) {
        if paths.is_empty() {
            return;
        }
        let folder = self.folder.clone();
        let deleted = tokio::task::spawn_blocking(move || {
            for path in paths {
                if let Err(error) = folder.remove(&path) {
                    tracing::warn!("a file that is in the LFA could not be deleted here: {error}");
                }
            }
        });
        drop(deleted.await);
    }

    pub(super) fn lock_untold(&self) -> MutexGuard<'_, BTreeMap<String, (String, Instant)>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn with_book<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Book) -> T + Send + 'static,
    ) -> T {
        let book = Arc::clone(&self.book);
        tokio::task::spawn_blocking(move || work(&mut book.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .expect("work on the book does not panic and is never aborted")
    }
}

async fn size_of(file: &Path) -> Result<u64, String> {
    let size = tokio::fs::metadata(file).await.map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(size.len())
}

/// As a part of a key: letters, digits and `._-`.
pub(super) fn plain(name: &str) -> String {
    crate::tasks::shelf::plain_name(name)
}

#[cfg(test)]
impl Lfa {
    /// The file of a step that waits goes to the key of that address.
    pub(super) async fn with_key(&self, name: &str, url: &str, instance: &str) {
        let key = url.split_once(&format!("/rubinobs-lfa-{instance}/")).unwrap().1.replace("%3A", ":");
        let name = name.to_owned();
        self.with_book(move |book| book.set_key(&name, &key)).await;
    }
}
