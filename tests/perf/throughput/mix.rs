//! The real mix of records: 70 % small events, 25 % like the ESS's telemetry, 5 % with 500 and more doubles.

use std::sync::Arc;

use anyhow::Context as _;
use sal_idl::{Field, Library, SalType, Topic, names};
use salobj::Value;

use crate::rules::COMPONENTS;

/// `(component, SAL name, records in a hundred)`.
const SHARES: &[(&str, &str, usize)] = &[
    ("ESS", "logevent_heartbeat", 30),
    ("ATCamera", "logevent_endReadout", 15),
    ("ESS", "logevent_summaryState", 15),
    ("MTCamera", "logevent_endReadout", 10),
    ("ESS", "airFlow", 10),
    ("ESS", "temperature", 10),
    ("ESS", "pressure", 5),
    ("ATMCS", "mount_AzEl_Encoders", 5),
];

/// One topic of the mix.
pub(crate) struct Part {
    pub(crate) topic: Arc<Topic>,
    /// Kafka topic name.
    pub(crate) name: String,
    /// Name in the schema registry.
    pub(crate) subject: String,
}

/// The topics and the order in which they take turns.
pub(crate) struct Mix {
    pub(crate) parts: Vec<Part>,
    /// One hundred turns: which part each record belongs to, spread evenly.
    pub(crate) turns: Vec<usize>,
}

impl Mix {
    pub(crate) fn new(subname: &str) -> anyhow::Result<Mix> {
        let library = Library::embedded();
        let mut parts = Vec::new();
        let mut turns: Vec<(usize, usize)> = Vec::new();
        for (index, (component, sal_name, share)) in SHARES.iter().enumerate() {
            let interface = library.component(component)?;
            let topic =
                interface.topic(sal_name).with_context(|| format!("{component} has no {sal_name}"))?;
            let name = names::kafka_topic(subname, component, sal_name);
            parts.push(Part { subject: names::subject(&name), name, topic: topic.clone() });
            // The k-th of n records stands at (k + 1/2) / n of the hundred.
            turns.extend((0..*share).map(|k| ((2 * k + 1) * 1000 / share, index)));
        }
        turns.sort_unstable();
        Ok(Mix { parts, turns: turns.into_iter().map(|(_, index)| index).collect() })
    }

    pub(crate) fn topics(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.name.clone()).collect()
    }
}

/// SAL index of record number `n`: events that every component has come from many, the rest from one.
pub(crate) fn sal_index(topic: &Topic, n: u64) -> i32 {
    let many = matches!(topic.sal_name.as_str(), "logevent_heartbeat" | "logevent_summaryState");
    if many { i32::try_from(n % COMPONENTS + 1).expect("components are few") } else { 1 }
}

/// The values of record number `n`: plausible stamps, and numbers that wander around 8 with an excursion to 20 for a hundred
/// records in fifty thousand, so that limits are crossed rarely, as in life.
pub(crate) fn values(topic: &Topic, n: u64, now_tai_s: f64) -> Vec<Value> {
    let excursion = (n / 100) % 500 == 7;
    let wander = 8.0 + (n % 97) as f64 / 97.0 + if excursion { 12.0 } else { 0.0 };
    let special = |field: &Field| match field.name.as_str() {
        "salIndex" => Some(Value::Int(sal_index(topic, n).into())),
        "summaryState" => Some(Value::Int(if excursion { 3 } else { 2 })),
        _ => None,
    };
    topic
        .fields
        .iter()
        .map(|field| special(field).unwrap_or_else(|| value(field, n, now_tai_s, wander)))
        .collect()
}

fn value(field: &Field, n: u64, now_tai_s: f64, wander: f64) -> Value {
    let count = field.count;
    match (field.name.as_str(), field.sal_type) {
        ("private_seqNum", _) => Value::Int((n % 2_000_000_000) as i64 + 1),
        ("private_identity", _) => Value::Text("bench".into()),
        ("private_origin", _) => Value::Int(4711),
        (name, SalType::Double) if name.starts_with("private_") || name.starts_with("timestamp") => {
            Value::Double(now_tai_s)
        }
        (_, SalType::Boolean) if count == 1 => Value::Bool(n.is_multiple_of(2)),
        (_, SalType::Boolean) => Value::Bools(vec![n.is_multiple_of(2); count].into()),
        (_, SalType::Float | SalType::Double) if count == 1 => Value::Double(wander),
        (_, SalType::Float | SalType::Double) => {
            Value::Doubles((0..count).map(|i| wander + i as f64 * 1e-4).collect())
        }
        (_, SalType::String) => Value::Text(format!("text of {} {}", field.name, n % 100).into()),
        _ if count == 1 => Value::Int((n % 100) as i64),
        _ => Value::Ints(vec![(n % 100) as i64; count].into()),
    }
}
