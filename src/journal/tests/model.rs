//! Whatever is appended, whenever it is compacted, cut or opened again: the journal holds the fold of its records.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};

use super::{Entries, entries, fold};
use crate::journal::{FileJournal, Journal, Record};

#[derive(Debug, Clone)]
enum Op {
    Append(Vec<Record>),
    Compact,
    Reopen,
    TornTail(Vec<u8>),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_filter("JSON has no others", |x| x.is_finite()).prop_map(|x| json!(x)),
        any::<String>().prop_map(|s| json!({ "text": s })),
        Just(Value::Null),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let record = ("[a-c]", prop::option::of(value())).prop_map(|(key, value)| Record { key, value });
    prop_oneof![
        6 => prop::collection::vec(record, 0..4).prop_map(Op::Append),
        1 => Just(Op::Compact),
        1 => Just(Op::Reopen),
        1 => prop::collection::vec(any::<u8>(), 1..30).prop_map(Op::TornTail),
    ]
}

/// So many cases; failures that were found are kept beside this file.
fn config_of(cases: u32) -> ProptestConfig {
    let kept = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config_of(48))]

    #[test]
    fn the_journal_is_the_fold_of_its_records(ops in prop::collection::vec(op(), 1..25), compact_from in 100..2_000u64) {
        let dir = tempfile::tempdir().unwrap();
        let reopen = || FileJournal::open_with(dir.path(), compact_from).unwrap();
        let (mut journal, _) = reopen();
        let mut model = Entries::new();
        for op in ops {
            match op {
                Op::Append(records) => {
                    journal.append(&records).unwrap();
                    fold(&mut model, &records);
                }
                Op::Compact => journal.compact().unwrap(),
                Op::Reopen => {
                    drop(journal);
                    let (again, recovered) = reopen();
                    prop_assert_eq!((&recovered.entries, recovered.torn_bytes), (&model, 0));
                    journal = again;
                }
                Op::TornTail(tail) => {
                    let segment = journal.segment();
                    drop(journal);
                    let whole = std::fs::read(&segment).unwrap();
                    std::fs::write(&segment, [&whole[..], &tail].concat()).unwrap();
                    let (again, recovered) = reopen();
                    prop_assert_eq!((&recovered.entries, recovered.torn_bytes), (&model, tail.len() as u64));
                    prop_assert_eq!(std::fs::read(&segment).unwrap(), whole);
                    journal = again;
                }
            }
        }
        drop(journal);
        prop_assert_eq!(entries(dir.path()), model);
    }
}
