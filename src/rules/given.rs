//! Interfaces as a registry or a saved file gives them: Avro schemas of some topics, and the enumerations of components.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sal_idl::{EnumItem, Enumeration, Topic};
use serde_json::{Value as Json, json};

use super::avro_topic::kafka_topic_schema;
use super::schema::{SchemaError, SchemaSource, TopicSchema};
use super::source::KAFKA;

/// What a saved file says of itself.
const FORMAT: &str = "catcher schemas 1";

/// Nothing but what was given: a topic that is not there does not exist.
#[derive(Debug, Default)]
pub struct GivenSchemas {
    topics: BTreeMap<(String, String), (Arc<TopicSchema>, Json)>,
    enumerations: BTreeMap<String, Vec<Enumeration>>,
    /// Topics that there are besides, for "did you mean".
    others: BTreeSet<(String, String)>,
    /// Topics that were asked for in vain.
    missed: Mutex<BTreeSet<(String, String)>>,
}

impl GivenSchemas {
    /// Adds the Avro schema of a topic; that of a topic that is not SAL under [`KAFKA`] and the topic's whole name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, component: &str, sal_name: &str, schema: &str) -> Result<(), String> {
        let topic = if component == KAFKA {
            kafka_topic_schema(sal_name, schema)?
        } else {
            let topic = Topic::from_avro(component, sal_name, schema).map_err(|e| e.to_string())?;
            TopicSchema::of(&topic, topic.field("salIndex").is_some())
        };
        let text = serde_json::from_str(schema).map_err(|e| format!("{component}.{sal_name}: {e}"))?;
        let key = (component.to_owned(), sal_name.to_owned());
        self.topics.insert(key, (Arc::new(topic), text));
        Ok(())
    }

    /// Adds the enumerations of a component.
    pub fn add_enumerations(&mut self, component: &str, all: Vec<Enumeration>) {
        if !all.is_empty() {
            self.enumerations.insert(component.to_owned(), all);
        }
    }

    /// Says that there is such a topic, whose schema nobody asked for.
    pub fn mention(&mut self, component: &str, sal_name: &str) {
        self.others.insert((component.to_owned(), sal_name.to_owned()));
    }

    /// The topics that were asked for in vain since the last call.
    pub fn take_missed(&self) -> BTreeSet<(String, String)> {
        std::mem::take(&mut *self.missed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn miss(&self, component: &str, sal_name: &str) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.insert((component.to_owned(), sal_name.to_owned()));
    }

    /// How many topics it has.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// True if it has no topic.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// For a file.
    pub fn save(&self) -> Json {
        let topics: Vec<Json> = self
            .topics
            .iter()
            .map(|((component, topic), (_, schema))| json!({"component": component, "topic": topic, "schema": schema}))
            .collect();
        let enumerations: serde_json::Map<String, Json> = self
            .enumerations
            .iter()
            .map(|(component, all)| {
                let sets: serde_json::Map<String, Json> = all
                    .iter()
                    .map(|set| {
                        let items = set.items.iter().map(|i| (i.name.clone(), Json::from(i.value)));
                        (set.name.clone(), Json::Object(items.collect()))
                    })
                    .collect();
                (component.clone(), Json::Object(sets))
            })
            .collect();
        json!({"format": FORMAT, "topics": topics, "enumerations": enumerations})
    }

    /// From a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(saved: &Json) -> Result<GivenSchemas, String> {
        if saved.get("format").and_then(Json::as_str) != Some(FORMAT) {
            return Err(format!("it does not begin with \"format\": \"{FORMAT}\""));
        }
        let mut given = GivenSchemas::default();
        let text = |entry: &Json, key: &str| entry.get(key).and_then(Json::as_str).map(str::to_owned);
        for (i, entry) in saved.get("topics").and_then(Json::as_array).into_iter().flatten().enumerate() {
            let (Some(component), Some(topic), Some(schema)) =
                (text(entry, "component"), text(entry, "topic"), entry.get("schema"))
            else {
                return Err(format!("topic {i} lacks component, topic or schema"));
            };
            given.add(&component, &topic, &schema.to_string())?;
        }
        let sets = saved.get("enumerations").and_then(Json::as_object);
        for (component, all) in sets.into_iter().flatten() {
            let mut found = Vec::new();
            for (name, items) in all.as_object().into_iter().flatten() {
                let item = |(name, value): (&String, &Json)| {
                    let value = value.as_i64().ok_or_else(|| format!("{component}.{name} is no integer"))?;
                    Ok(EnumItem { name: name.clone(), value })
                };
                let items = items.as_object().into_iter().flatten().map(item);
                let items = items.collect::<Result<_, String>>()?;
                found.push(Enumeration { name: name.clone(), items });
            }
            given.add_enumerations(component, found);
        }
        Ok(given)
    }

    fn names(&self) -> impl Iterator<Item = &(String, String)> {
        self.topics.keys().chain(&self.others)
    }
}

impl SchemaSource for GivenSchemas {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        let key = (component.to_owned(), sal_name.to_owned());
        let found = self.topics.get(&key);
        if found.is_none() {
            self.miss(component, sal_name);
        }
        match found {
            Some((schema, _)) => Ok(Arc::clone(schema)),
            None if self.names().any(|(c, _)| c == component) => {
                Err(SchemaError::UnknownTopic { component: key.0, topic: key.1 })
            }
            None => Err(SchemaError::UnknownComponent(key.0)),
        }
    }

    fn enumerations(&self, component: &str) -> Vec<Enumeration> {
        self.enumerations.get(component).cloned().unwrap_or_default()
    }

    fn components(&self) -> Vec<String> {
        let all: BTreeSet<&String> =
            self.names().map(|(component, _)| component).filter(|name| *name != KAFKA).collect();
        all.into_iter().cloned().collect()
    }

    fn topics(&self, component: &str) -> Vec<String> {
        let of = self.names().filter(|(c, _)| c == component).map(|(_, topic)| topic);
        of.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_what_there_is() {
        let library = sal_idl::Library::embedded();
        let mut given = GivenSchemas::default();
        let component = library.component("ESS").unwrap();
        let topic = component.topics.iter().find(|t| t.sal_name == "airFlow").unwrap();
        given.add("ESS", "airFlow", &topic.schema_compact).unwrap();
        given.add_enumerations("ESS", component.enums.clone());
        let again = GivenSchemas::load(&given.save()).unwrap();
        assert_eq!(again.topic("ESS", "airFlow"), library_topic(&library));
        assert_eq!(again.enumerations("ESS").len(), component.enums.len());
        assert!(matches!(again.topic("ESS", "airflow"), Err(SchemaError::UnknownTopic { .. })));
        assert!(matches!(again.topic("ATDome", "position"), Err(SchemaError::UnknownComponent(_))));
        assert_eq!(
            (again.len(), again.components(), again.topics("ESS")),
            (1, vec!["ESS".to_owned()], vec!["airFlow".to_owned()])
        );
        let missed = again.take_missed();
        assert!(missed.len() == 2 && missed.contains(&("ATDome".to_owned(), "position".to_owned())));
        assert!(again.take_missed().is_empty());
        let metric =
            r#"{"type": "record", "name": "m", "fields": [{"name": "value", "type": ["null", "double"]}]}"#;
        given.add(KAFKA, "lsst.square.m", metric).unwrap();
        let again = GivenSchemas::load(&given.save()).unwrap();
        assert!(again.topic(KAFKA, "lsst.square.m").unwrap().field("value").is_some());
        assert_eq!(
            (again.components(), again.topics(KAFKA)),
            (vec!["ESS".to_owned()], vec!["lsst.square.m".to_owned()])
        );
        assert!(GivenSchemas::load(&json!({})).unwrap_err().contains("format"));
    }

    fn library_topic(library: &sal_idl::Library) -> Result<Arc<TopicSchema>, SchemaError> {
        SchemaSource::topic(library, "ESS", "airFlow")
    }
}
