//! Interfaces for rules that are checked on a recording: those that are named, and behind them what the recording brings along.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use sal_idl::{Enumeration, Topic};
use salobj::wire::unframe;

use super::archive::{Body, ItemRef, ReadError, Reader, Summary};
use crate::rules::{KAFKA, SchemaError, SchemaSource, TopicSchema, kafka_topic_schema};

/// See the module's documentation.
pub struct RecordedSchemas<S> {
    first: S,
    recorded: BTreeMap<(String, String), Arc<TopicSchema>>,
}

impl<S: SchemaSource> RecordedSchemas<S> {
    /// These interfaces first, then the schemas of these recordings.
    pub fn new(first: S, recordings: &[Summary]) -> RecordedSchemas<S> {
        let mut recorded = BTreeMap::new();
        for text in recordings.iter().flat_map(|summary| summary.schemas.values()) {
            // Schemas name their topic: namespace lsst.sal.<Component>, name <topic>.
            let Some((component, sal_name)) = topic_of(text) else { continue };
            if let Ok(topic) = Topic::from_avro(&component, &sal_name, text) {
                let indexed = topic.field("salIndex").is_some();
                let schema = Arc::new(TopicSchema::of(&topic, indexed));
                recorded.insert((component, sal_name), schema);
            }
        }
        RecordedSchemas { first, recorded }
    }

    /// With the schemas of topics that are not SAL, by their names (see [`other_schemas`]).
    #[must_use]
    pub fn with_others(mut self, others: &BTreeMap<String, String>) -> RecordedSchemas<S> {
        for (name, text) in others {
            if let Ok(schema) = kafka_topic_schema(name, text) {
                self.recorded.insert((KAFKA.to_owned(), name.clone()), Arc::new(schema));
            }
        }
        self
    }

    fn has(&self, component: &str) -> bool {
        self.first.components().iter().any(|c| c == component)
    }
}

fn topic_of(schema: &str) -> Option<(String, String)> {
    let json: serde_json::Value = serde_json::from_str(schema).ok()?;
    let (space, name) = (json.get("namespace")?.as_str()?, json.get("name")?.as_str()?);
    Some((space.rsplit('.').next()?.to_owned(), name.to_owned()))
}

impl Summary {
    /// Names of the topics that are not SAL topics of the bus that was recorded.
    pub fn others(&self) -> BTreeSet<&str> {
        let prefixes: Vec<String> = self.sessions.iter().map(|s| format!("lsst.{}.", s.subname)).collect();
        let is_sal = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        // What comes from the EFD has no schema, and is SAL.
        let all = self.topics.values().filter(|topic| topic.fields.is_empty());
        all.map(|topic| topic.name.as_str()).filter(|name| !is_sal(name)).collect()
    }
}

/// The schemas of topics that are not SAL, by their names: a schema does not name such a topic, but its records name their
/// schema. Reads on until each of the topics had a record.
///
/// # Errors
/// The recording cannot be read that far.
pub fn other_schemas<R: Read>(
    mut reader: Reader<R>,
    wanted: &BTreeSet<&str>,
) -> Result<BTreeMap<String, String>, ReadError> {
    let mut found = BTreeMap::new();
    let (mut schemas, mut topics) = (BTreeMap::new(), BTreeMap::new());
    while found.len() < wanted.len() {
        match reader.next_item()? {
            None => break,
            Some(ItemRef::Session) => {
                schemas.clear();
                topics.clear();
            }
            Some(ItemRef::Schema { id, text }) => drop(schemas.insert(id, text.to_owned())),
            Some(ItemRef::Topic(topic)) if wanted.contains(topic.name.as_str()) => {
                topics.insert(topic.number, topic.name);
            }
            Some(ItemRef::Record(record)) => {
                if let (Some(name), Body::Avro(value)) = (topics.get(&record.topic), &record.body)
                    && !found.contains_key(name)
                    && let Some(text) = unframe(value).ok().and_then(|(id, _)| schemas.get(&id))
                {
                    found.insert(name.clone(), text.clone());
                }
            }
            Some(_) => {}
        }
    }
    Ok(found)
}

impl<S: SchemaSource> SchemaSource for RecordedSchemas<S> {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        if self.has(component) {
            return self.first.topic(component, sal_name);
        }
        if component == KAFKA
            && let Ok(known) = self.first.topic(component, sal_name)
        {
            return Ok(known);
        }
        match self.recorded.get(&(component.to_owned(), sal_name.to_owned())) {
            Some(schema) => Ok(Arc::clone(schema)),
            None if self.topics(component).is_empty() => {
                Err(SchemaError::UnknownComponent(component.to_owned()))
            }
            None => {
                Err(SchemaError::UnknownTopic { component: component.to_owned(), topic: sal_name.to_owned() })
            }
        }
    }

    fn enumerations(&self, component: &str) -> Vec<Enumeration> {
        self.first.enumerations(component)
    }

    fn components(&self) -> Vec<String> {
        let mut all = self.first.components();
        all.extend(self.recorded.keys().map(|key| key.0.clone()).filter(|name| name != KAFKA));
        all.sort();
        all.dedup();
        all
    }

    fn topics(&self, component: &str) -> Vec<String> {
        let mut all = self.first.topics(component);
        all.extend(self.recorded.keys().filter(|key| key.0 == component).map(|key| key.1.clone()));
        all
    }
}
