//! What is on disk before an effect is carried out: the journal, and beside it the history of the alarms.

use std::io;
use std::path::Path;

use serde_json::json;

use crate::core::{HISTORY, Output};
use crate::journal::{Entry, FileJournal, History, Journal, Keep, Record, Recovered};

/// The two, in one folder.
pub struct Store {
    journal: FileJournal,
    history: History,
}

/// What has to be on disk together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    happened: Vec<Entry>,
}

impl Batch {
    /// Takes what has to be on disk out of what the core wants done.
    pub(super) fn take(work: &mut Vec<Output>) -> Batch {
        let mut batch = Batch::default();
        work.retain_mut(|output| match output {
            Output::Record(record) => {
                batch.records.push(std::mem::replace(record, Record::delete("")));
                false
            }
            Output::History(transition) => {
                batch.happened.extend(Entry::of(serde_json::to_value(transition).expect("plain data")));
                false
            }
            _ => true,
        });
        batch
    }
}

impl Store {
    /// Opens both; they agree afterwards on the number that the next transition has.
    ///
    /// # Errors
    /// As a sentence.
    pub fn open(dir: &Path) -> Result<(Store, Recovered), String> {
        let (mut journal, mut recovered) = FileJournal::open(dir).map_err(|e| e.to_string())?;
        let confirmed = recovered.entries.get(HISTORY).and_then(|entry| entry.get("next")?.as_u64());
        let history = History::open(dir, confirmed).map_err(|e| e.to_string())?;
        if confirmed != Some(history.next()) {
            let value = json!({"next": history.next()});
            let record = Record::put(HISTORY, value.clone());
            journal.append(&[record]).map_err(|e| format!("the journal cannot be written: {e}"))?;
            recovered.entries.insert(HISTORY.to_owned(), value);
        }
        Ok((Store { journal, history }, recovered))
    }

    /// How much of the history is kept from now on.
    pub(super) fn keep(&mut self, keep: Keep) {
        self.history.keep(keep);
    }

    /// The history first: the journal's records confirm it.
    pub(super) fn append(&mut self, batch: &Batch) -> io::Result<()> {
        self.history.append(&batch.happened)?;
        self.journal.append(&batch.records)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::journal::read_history;

    fn batch(ids: std::ops::Range<u64>) -> Batch {
        let happened = ids.clone().filter_map(|id| Entry::of(json!({"id": id, "at": id as f64}))).collect();
        Batch { records: vec![Record::put(HISTORY, json!({"next": ids.end}))], happened }
    }

    fn ids(dir: &Path) -> Vec<u64> {
        let mut ids = Vec::new();
        read_history(dir, f64::NEG_INFINITY, |entry| {
            ids.push(entry.id);
            ControlFlow::Continue(())
        })
        .unwrap();
        ids
    }

    #[test]
    fn what_the_journal_does_not_confirm_never_came_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, recovered) = Store::open(dir.path()).unwrap();
        assert_eq!(recovered.entries[HISTORY]["next"], 1);
        store.append(&batch(1..4)).unwrap();
        // The machine stops between the two: the history has it, the journal has not.
        store.history.append(&batch(4..6).happened).unwrap();
        assert_eq!(ids(dir.path()), [1, 2, 3, 4, 5], "a reader beside it sees it");
        drop(store);
        let (mut store, recovered) = Store::open(dir.path()).unwrap();
        assert_eq!(recovered.entries[HISTORY]["next"], 4);
        assert_eq!(ids(dir.path()), [1, 2, 3]);
        store.append(&batch(4..5)).unwrap();
        drop(store);
        // An empty journal beside an old history: the numbers go on.
        std::fs::remove_file(dir.path().join("journal-000001.log")).unwrap();
        let (_store, recovered) = Store::open(dir.path()).unwrap();
        assert_eq!((recovered.entries[HISTORY]["next"].as_u64(), ids(dir.path()).len()), (Some(5), 4));
    }

    #[test]
    fn an_append_that_is_tried_again_is_there_once() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        let batch = batch(1..3);
        store.history.append(&batch.happened).unwrap();
        store.append(&batch).unwrap();
        assert_eq!(ids(dir.path()), [1, 2]);
    }
}
