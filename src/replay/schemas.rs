//! Interfaces for rules that are checked on a recording: the library's, and behind it what the recording brings along.

use std::collections::BTreeMap;
use std::sync::Arc;

use sal_idl::{Enumeration, Topic};

use super::archive::Summary;
use crate::rules::{SchemaError, SchemaSource, TopicSchema};

/// See the module's documentation.
pub struct RecordedSchemas<'a> {
    library: &'a dyn SchemaSource,
    recorded: BTreeMap<(String, String), Arc<TopicSchema>>,
}

impl<'a> RecordedSchemas<'a> {
    /// The library first, then the schemas of these recordings.
    pub fn new(library: &'a dyn SchemaSource, recordings: &[Summary]) -> RecordedSchemas<'a> {
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
        RecordedSchemas { library, recorded }
    }

    fn has(&self, component: &str) -> bool {
        self.library.components().iter().any(|c| c == component)
    }
}

fn topic_of(schema: &str) -> Option<(String, String)> {
    let json: serde_json::Value = serde_json::from_str(schema).ok()?;
    let (space, name) = (json.get("namespace")?.as_str()?, json.get("name")?.as_str()?);
    Some((space.rsplit('.').next()?.to_owned(), name.to_owned()))
}

impl SchemaSource for RecordedSchemas<'_> {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        if self.has(component) {
            return self.library.topic(component, sal_name);
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
        self.library.enumerations(component)
    }

    fn components(&self) -> Vec<String> {
        let mut all = self.library.components();
        all.extend(self.recorded.keys().map(|key| key.0.clone()));
        all.sort();
        all.dedup();
        all
    }

    fn topics(&self, component: &str) -> Vec<String> {
        let mut all = self.library.topics(component);
        all.extend(self.recorded.keys().filter(|key| key.0 == component).map(|key| key.1.clone()));
        all
    }
}
