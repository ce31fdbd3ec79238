//! Interfaces that the library does not have, from the schemas that their components have registered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, RwLock};

use regex::Regex;
use sal_idl::{Enumeration, Library, Topic, names};
use salobj::transport::Transport;

use crate::rules::{KAFKA, SchemaError, SchemaSource, TopicSchema, kafka_topic_schema};

/// A topic as rules write it: `ESS:301.tel_airFlow`, `Test.evt_x`, `Test.ackcmd`.
static TOPIC: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b([A-Za-z][A-Za-z0-9]*)(?::(?:[0-9]+|\*))?\.(?:(tel|evt|cmd)_([A-Za-z0-9_]+)|(ackcmd))\b")
        .expect("a constant expression")
});

/// A topic that is not SAL: `kafka: name`.
static KAFKA_TOPIC: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\bkafka:\s*["']?([A-Za-z0-9._-]+)"#).expect("a constant expression"));

/// Component and SAL name.
type Key = (String, String);

/// The library, and behind it what has been learnt from the registry. The compiler asks without waiting: what a text
/// names has to be learnt before it is compiled.
pub struct BusSchemas {
    library: Arc<Library>,
    transport: Arc<dyn Transport>,
    subname: String,
    learnt: RwLock<BTreeMap<Key, Result<Arc<TopicSchema>, String>>>,
    /// What was asked for in vain.
    missed: RwLock<BTreeSet<Key>>,
}

/// Component and SAL name of every topic that a text names, each once.
pub fn topics_named(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for found in TOPIC.captures_iter(text) {
        let sal_name = match (found.get(2).map(|m| m.as_str()), found.get(3)) {
            (Some("evt"), Some(name)) => format!("logevent_{}", name.as_str()),
            (Some("cmd"), Some(name)) => format!("command_{}", name.as_str()),
            (_, Some(name)) => name.as_str().to_owned(),
            (_, None) => "ackcmd".to_owned(),
        };
        let key = (found[1].to_owned(), sal_name);
        if !all.contains(&key) {
            all.push(key);
        }
    }
    all
}

/// Names of the topics that are not SAL and that a text reads (`kafka: name`), each once.
pub fn kafka_topics_named(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    for found in KAFKA_TOPIC.captures_iter(text) {
        let name = found.get(1).map_or("", |m| m.as_str());
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

impl BusSchemas {
    /// The library first, then the registry of this bus.
    pub fn new(library: Arc<Library>, transport: Arc<dyn Transport>, subname: impl Into<String>) -> Self {
        Self {
            library,
            transport,
            subname: subname.into(),
            learnt: RwLock::default(),
            missed: RwLock::default(),
        }
    }

    /// Asks the registry for the topics that a rule file names and the library does not have. What cannot be found out
    /// is told when the file is compiled.
    pub async fn learn(&self, text: &str) {
        self.learn_others(text).await;
        for key in topics_named(text) {
            let known = matches!(read(&self.learnt).get(&key), Some(Ok(_)));
            if known || self.library.contains(&key.0) {
                continue;
            }
            if let Some(schema) = self.ask(&key.0, &key.1).await {
                write(&self.learnt).insert(key, schema);
            }
        }
    }

    /// The same for topics that are not SAL.
    async fn learn_others(&self, text: &str) {
        for name in kafka_topics_named(text) {
            if let Some(schema) = self.ask_other(name).await {
                write(&self.learnt).insert((KAFKA.to_owned(), name.to_owned()), schema);
            }
        }
    }

    /// Asks for what was asked of this in vain since the last call: a template's topics have their names only once it is
    /// filled in. True if anything was learnt, so that compiling again makes sense.
    pub async fn learn_missed(&self) -> bool {
        let missed = std::mem::take(&mut *write(&self.missed));
        let mut any = false;
        for key in missed {
            let found =
                if key.0 == KAFKA { self.ask_other(&key.1).await } else { self.ask(&key.0, &key.1).await };
            if let Some(schema) = found {
                any |= schema.is_ok();
                write(&self.learnt).insert(key, schema);
            }
        }
        any
    }

    async fn ask_other(&self, name: &str) -> Option<Result<Arc<TopicSchema>, String>> {
        match self.transport.latest_schema(&names::subject(name)).await {
            Ok(None) => None,
            Ok(Some((_, text))) => Some(kafka_topic_schema(name, &text).map(Arc::new)),
            Err(error) => Some(Err(error.to_string())),
        }
    }

    /// The registered schema; `None` if there is none.
    async fn ask(&self, component: &str, sal_name: &str) -> Option<Result<Arc<TopicSchema>, String>> {
        let subject = names::subject(&names::kafka_topic(&self.subname, component, sal_name));
        match self.transport.latest_schema(&subject).await {
            Ok(None) => None,
            Ok(Some((_, text))) => Some(
                Topic::from_avro(component, sal_name, &text)
                    .map(|topic| {
                        let indexed = topic.field("salIndex").is_some();
                        Arc::new(TopicSchema::of(&topic, indexed))
                    })
                    .map_err(|e| e.to_string()),
            ),
            Err(error) => Some(Err(error.to_string())),
        }
    }
}

impl SchemaSource for BusSchemas {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        if self.library.contains(component) {
            return self.library.topic(component, sal_name);
        }
        let key = (component.to_owned(), sal_name.to_owned());
        if !matches!(read(&self.learnt).get(&key), Some(Ok(_))) {
            write(&self.missed).insert(key.clone());
        }
        match read(&self.learnt).get(&key) {
            Some(Ok(schema)) => Ok(Arc::clone(schema)),
            Some(Err(reason)) => {
                Err(SchemaError::Unreadable { component: component.to_owned(), reason: reason.clone() })
            }
            None if self.topics(component).is_empty() => {
                Err(SchemaError::UnknownComponent(component.to_owned()))
            }
            None => Err(SchemaError::UnknownTopic { component: key.0, topic: key.1 }),
        }
    }

    fn enumerations(&self, component: &str) -> Vec<Enumeration> {
        // The registry does not know them.
        self.library.enumerations(component)
    }

    fn components(&self) -> Vec<String> {
        let mut all = SchemaSource::components(self.library.as_ref());
        all.extend(read(&self.learnt).keys().filter(|key| key.0 != KAFKA).map(|key| key.0.clone()));
        all.sort();
        all.dedup();
        all
    }

    fn topics(&self, component: &str) -> Vec<String> {
        let learnt = read(&self.learnt);
        let of = learnt.iter().filter(|(key, schema)| key.0 == component && schema.is_ok());
        let mut all = self.library.topics(component);
        all.extend(of.map(|(key, _)| key.1.clone()));
        all
    }
}

/// Plain data: a panic elsewhere does not make it wrong.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use salobj::transport::memory::MemoryTransport;
    use salobj::{Clock, Tai};

    use super::*;
    use crate::rules::FieldKind;

    const SCHEMA: &str = r#"{"type": "record", "name": "logevent_x", "namespace": "lsst.sal.Dome", "fields": [
        {"name": "salIndex", "type": "int", "default": 0},
        {"name": "a", "type": {"type": "array", "items": "double"}, "default": [0.0, 0.0], "units": "deg"}]}"#;

    fn schemas() -> (BusSchemas, MemoryTransport) {
        let bus = MemoryTransport::new(Clock::scaled(Tai(0.0), 1.0));
        let library = Arc::new(Library::embedded());
        (BusSchemas::new(library, Arc::new(bus.clone()), "test"), bus)
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_library_does_not_have_is_learnt() {
        let (schemas, bus) = schemas();
        bus.register_schema("lsst.test.Dome.logevent_x-value", SCHEMA).await.unwrap();
        assert!(matches!(schemas.topic("Dome", "logevent_x"), Err(SchemaError::UnknownComponent(_))));
        schemas
            .learn(r#"inputs: {x: {topic: "Dome:*.evt_x", field: a}, w: {topic: "ESS:301.tel_airFlow"}}"#)
            .await;
        let topic = schemas.topic("Dome", "logevent_x").unwrap();
        assert!(topic.indexed);
        let field = topic.field("a").unwrap();
        assert_eq!(
            (field.kind, field.count, field.unit.as_deref()),
            (FieldKind::Double, Some(2), Some("deg"))
        );
        assert!(schemas.components().contains(&"Dome".to_owned()));
        assert_eq!(schemas.topics("Dome"), ["logevent_x"]);
        let unknown = schemas.topic("Dome", "logevent_y").unwrap_err();
        assert!(matches!(unknown, SchemaError::UnknownTopic { .. }), "{unknown}");
        assert!(schemas.topic("ESS", "airFlow").is_ok(), "the library goes first");
        // A topic that no text names, as those of templates: what was asked for in vain is asked of the registry.
        bus.register_schema("lsst.test.Dome.logevent_y-value", &SCHEMA.replace("event_x", "event_y"))
            .await
            .unwrap();
        assert!(schemas.learn_missed().await && schemas.topic("Dome", "logevent_y").is_ok());
        assert!(!schemas.learn_missed().await);
        assert!(!schemas.enumerations("Catcher").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn topics_that_are_not_sal_are_learnt_by_their_name() {
        let (schemas, bus) = schemas();
        let metric = r#"{"type": "record", "name": "m", "fields": [{"name": "value", "type": "double"}]}"#;
        bus.register_schema("lsst.square.metric-value", metric).await.unwrap();
        let text = "rules:\n  - name: Metric\n    inputs: {m: {kafka: lsst.square.metric, field: value}}\n    \
                    alarm: {value: m, levels: {warning: 1.0}}\n";
        schemas.learn(text).await;
        let file = crate::rules::SourceFile { name: "m.yaml".into(), text: text.into() };
        let rules = crate::rules::compile(&file, &schemas).unwrap();
        let need = &crate::rules::Engine::new(&rules, Tai(0.0)).subscriptions().topics[0].clone();
        assert_eq!(need.source(), crate::rules::Source::Kafka("lsst.square.metric", None));
        let wrong = crate::rules::SourceFile { name: "m.yaml".into(), text: text.replace("square", "sqare") };
        let told = crate::rules::compile(&wrong, &schemas).unwrap_err()[0].to_string();
        assert!(told.contains("there is no schema") && told.contains("lsst.square.metric"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_is_away_is_named_and_asked_again() {
        let (schemas, bus) = schemas();
        bus.register_schema("lsst.test.Dome.ackcmd-value", SCHEMA).await.unwrap();
        bus.control().set_registry_stopped(true);
        schemas.learn("Dome.ackcmd").await;
        let error = schemas.topic("Dome", "ackcmd").unwrap_err().to_string();
        assert!(error.contains("registry is stopped"), "{error}");
        bus.control().set_registry_stopped(false);
        schemas.learn("Dome.ackcmd").await;
        assert!(schemas.topic("Dome", "ackcmd").is_ok());
        bus.register_schema("lsst.test.Dome.command_y-value", "\"int\"").await.unwrap();
        schemas.learn("Dome.cmd_y").await;
        assert!(matches!(schemas.topic("Dome", "command_y"), Err(SchemaError::Unreadable { .. })));
    }
}
