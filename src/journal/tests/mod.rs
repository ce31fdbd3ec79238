//! Tests of the file journal: crashes, torn tails, damage, full disks, compaction.

mod crash;
mod damage;
mod history;
mod model;
mod store;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{FileJournal, Record, Recovered};

type Entries = BTreeMap<String, Value>;

/// A journal that is never compacted by itself.
fn open(dir: &Path) -> (FileJournal, Recovered) {
    FileJournal::open_with(dir, u64::MAX).unwrap()
}

fn entries(dir: &Path) -> Entries {
    open(dir).1.entries
}

fn fold(model: &mut Entries, records: &[Record]) {
    for record in records {
        match &record.value {
            Some(value) => model.insert(record.key.clone(), value.clone()),
            None => model.remove(&record.key),
        };
    }
}

/// Some appends, small and large, with several records, deletions and texts that look like frames.
fn appends() -> Vec<Vec<Record>> {
    use serde_json::json;
    let frame = String::from_utf8(super::frame::encode(3, &[Record::put("x", json!(1))])).unwrap();
    vec![
        vec![Record::put("alarm/A", json!({"severity": "critical", "at": 1_900_000_000.123_456_7}))],
        vec![
            Record::put("run/1", json!(["ä", "\n", "\u{0}", "\"", null])),
            Record::put("positions", json!({})),
        ],
        vec![Record::delete("alarm/A")],
        vec![
            Record::put("rule/R", json!({ "definition": frame })),
            Record::put("rule/R", json!(0.1)),
            Record::delete("no"),
        ],
        vec![Record::put("", Value::Null), Record::put("run/1", json!(-1))],
    ]
}
