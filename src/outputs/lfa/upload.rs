//! The way out: files that wait are stored and announced, whatever goes wrong in between.

use std::sync::PoisonError;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::book::{FileRecord, FileState};
use super::error::S3Error;
use super::event::{Announcement, Tell};
use super::s3::{Object, S3};
use super::store::Lfa;

/// Files at a time.
const AT_ONCE: usize = 4;
/// The operators hear of it after so many failures in a row.
const TOLD_AFTER: u64 = 3;

impl Lfa {
    /// Stores and announces what waits, for ever.
    pub async fn run(&self, tell: &dyn Tell) {
        tokio::select! {
            () = self.send(tell) => {}
            () = self.lose_patience(tell) => {}
        }
    }

    async fn send(&self, tell: &dyn Tell) {
        self.with_book(super::book::Book::put_all_back).await;
        let mut delay = self.options.first_delay;
        let mut lost_told = 0;
        loop {
            lost_told = self.tell_lost(tell, lost_told);
            let target = self.target.load_full();
            // While it is away, one file at a time shows whether it is back.
            let most = if self.state.borrow().failures > 0 { 1 } else { AT_ONCE };
            let away = target.is_none();
            let batch = self.with_book(move |book| book.next(most, away)).await;
            if batch.is_empty() {
                self.more.notified().await;
                continue;
            }
            let puts = join_all(batch.iter().map(|(path, record)| self.put(target.as_deref(), path, record)));
            let puts = puts.await;
            let mut wait = None;
            // One event after the other, each noted before the next: what a crash may repeat is one event.
            for ((path, record), put) in batch.into_iter().zip(puts) {
                let announced = put.map(|url| (tell.announce(&announcement(&record, &url)), url));
                match announced {
                    Ok((Ok(()), url)) => self.announced(path, record, url, tell).await,
                    Ok((Err(reason), _)) => {
                        tracing::debug!("the event of file {path} is not published yet: {reason}");
                        self.put_back(path).await;
                        wait = wait.or(Some(self.options.first_delay));
                    }
                    Err(S3Error::Refused(reason)) => self.refused(path, record, reason, tell).await,
                    Err(error) => {
                        self.put_back(path).await;
                        self.failed(&error, tell);
                        wait = Some(delay);
                    }
                }
            }
            match wait {
                Some(wait) => {
                    if self.state.borrow().failures > 0 {
                        delay = (delay * 2).min(self.options.longest_delay);
                        self.tell_own(tell, Instant::now() + self.options.patience).await;
                    }
                    self.pause(wait).await;
                }
                None => delay = self.options.first_delay,
            }
        }
    }

    /// Another server ends the pause.
    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.changed.notified() => {}
        }
    }

    /// Makes the object, if the file is to go anywhere; gives its address.
    async fn put(&self, target: Option<&S3>, path: &str, record: &FileRecord) -> Result<String, S3Error> {
        let (Some(key), Some(target)) = (&record.key, target) else { return Ok(self.own_url(path)) };
        let file = self.folder.file(path);
        let file = file.ok_or_else(|| S3Error::Refused("its name leads out of the folder".to_owned()))?;
        let (md5, mime) = (record.md5.clone(), record.mime.clone());
        target.put(&Object { key: key.clone(), file, bytes: record.bytes, md5, mime }).await?;
        Ok(target.url(key))
    }

    async fn announced(&self, path: String, record: FileRecord, url: String, tell: &dyn Tell) {
        self.done(&path, FileState::Announced, &url, "").await;
        let elsewhere = record.key.is_some();
        let mut back = None;
        self.state.send_modify(|state| {
            state.announced += 1;
            if elsewhere {
                back = (std::mem::take(&mut state.failures) >= TOLD_AFTER).then_some(state.waiting);
                state.last_error = None;
            }
        });
        if let Some(waiting) = back {
            tracing::info!("the LFA takes files again, {waiting} wait");
            tell.news(false, "The LFA takes files again".to_owned(), format!("{waiting} files wait"));
        }
        if record.report && elsewhere {
            let telling = self.telling.lock().await;
            self.lock_untold().remove(&path);
            tell.report_at(record.run_id, url).await;
            drop(telling);
        }
    }

    async fn refused(&self, path: String, record: FileRecord, reason: String, tell: &dyn Tell) {
        tracing::error!("the LFA does not take the file {path}: {reason}");
        self.done(&path, FileState::Refused, "", &reason).await;
        self.state.send_modify(|state| state.refused += 1);
        let details = format!("{path} of run {}: {reason}. It stays on the Catcher's disk.", record.run_id);
        tell.news(true, "The LFA does not take a file".to_owned(), details);
        if record.report {
            self.tell_own(tell, Instant::now() + self.options.patience).await;
        }
    }

    fn failed(&self, error: &S3Error, tell: &dyn Tell) {
        let mut now = (0, 0, 0);
        self.state.send_modify(|state| {
            state.failures += 1;
            state.last_error = Some(error.to_string());
            now = (state.failures, state.waiting, state.waiting_bytes);
        });
        let (failures, files, bytes) = now;
        if failures == 1 {
            tracing::warn!("files wait on disk: {error}");
        }
        if failures == TOLD_AFTER {
            let details = format!("{files} files ({bytes} bytes) wait: {error}");
            tell.news(true, "The LFA does not take files".to_owned(), details);
        }
    }

    /// Tells of files that were not kept: the first, the second, the fourth, ...
    fn tell_lost(&self, tell: &dyn Tell, told: u64) -> u64 {
        let (lost, last) = {
            let state = self.state.borrow();
            (state.lost, state.last_lost.clone())
        };
        if lost == 0 || lost < told * 2 {
            return told;
        }
        tracing::error!("{lost} files were not kept for the LFA since the start; the last one: {last}");
        tell.news(true, format!("{lost} files were not kept for the LFA"), format!("The last one: {last}"));
        lost
    }

    /// Tells the own address of reports that take too long.
    async fn lose_patience(&self, tell: &dyn Tell) {
        loop {
            let next = self.untold.lock().unwrap_or_else(PoisonError::into_inner).values().map(|u| u.1).min();
            match next {
                None => self.impatient.notified().await,
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => self.tell_own(tell, Instant::now()).await,
                        () = self.impatient.notified() => {}
                    }
                }
            }
        }
    }

    /// Tells the own address of all reports that nobody waits for any longer than `until`.
    async fn tell_own(&self, tell: &dyn Tell, until: Instant) {
        loop {
            let telling = self.telling.lock().await;
            let due = {
                let mut untold = self.lock_untold();
                let path = untold.iter().find(|(_, (_, at))| *at <= until).map(|(path, _)| path.clone());
                path.and_then(|path| untold.remove_entry(&path))
            };
            let Some((path, (run_id, _))) = due else { return };
            tell.report_at(run_id, self.own_url(&path)).await;
            drop(telling);
        }
    }

    async fn put_back(&self, path: String) {
        self.with_book(move |book| book.put_back(&path)).await;
    }

    async fn done(&self, path: &str, state: FileState, url: &str, reason: &str) {
        let (path, url, reason) = (path.to_owned(), url.to_owned(), reason.to_owned());
        let (noted, (waiting, bytes)) =
            self.with_book(move |book| (book.done(&path, state, &url, &reason), book.waiting())).await;
        self.count(waiting, bytes);
        if let Err(error) = noted {
            tracing::error!("what became of a file could not be noted, the next change tries again: {error}");
        }
    }
}

fn announcement(record: &FileRecord, url: &str) -> Announcement {
    Announcement {
        url: url.to_owned(),
        generator: record.generator.clone(),
        bytes: record.bytes,
        check_sum: record.md5.clone(),
        mime_type: record.mime.clone(),
        id: record.run_id.clone(),
    }
}
