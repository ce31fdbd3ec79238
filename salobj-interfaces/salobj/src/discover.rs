//! Components known only by what is on the bus: their topics and the schemas registered for them.

use std::sync::Arc;

use sal_idl::{Component, IdlError, Topic, TopicKind, names};

use crate::domain::Domain;
use crate::transport::TransportError;

/// Why a component cannot be read off the bus.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// No topic of that component with a registered schema.
    #[error("{component} has no topic with a registered schema under subname {subname}")]
    Nothing {
        /// Component.
        component: String,
        /// Second part of the topic names.
        subname: String,
    },
    /// A registered schema is not one of SAL.
    #[error(transparent)]
    Schema(#[from] IdlError),
    /// Broker or registry.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Domain {
    /// The interface of a component whose XML is not at hand, as far as the bus knows it: one topic for each Kafka topic
    /// with a registered schema. It has no enumerations, and its commands are those that somebody has opened before.
    pub async fn component_on_bus(&self, component: &str) -> Result<Arc<Component>, DiscoverError> {
        let transport = self.transport();
        let subname = &self.env().topic_subname;
        let mut topics = Vec::new();
        for kafka_topic in transport.list_topics().await? {
            let Some((sub, name, sal_name)) = names::parse_kafka_topic(&kafka_topic) else { continue };
            if sub != subname || name != component {
                continue;
            }
            if let Some((_, schema)) = transport.latest_schema(&names::subject(&kafka_topic)).await? {
                topics.push(Arc::new(Topic::from_avro(component, sal_name, &schema)?));
            }
        }
        if topics.is_empty() {
            let (component, subname) = (component.to_owned(), subname.clone());
            return Err(DiscoverError::Nothing { component, subname });
        }
        // As everywhere: `ackcmd` is the last one.
        topics.sort_by_key(|t| t.kind == TopicKind::AckCmd);
        let indexed = topics.iter().any(|t| t.field("salIndex").is_some());
        Ok(Arc::new(Component {
            name: component.to_owned(),
            description: String::new(),
            indexed,
            index_enumeration: if indexed { "any" } else { "no" }.to_owned(),
            added_generics: Vec::new(),
            topics,
            enums: Vec::new(),
        }))
    }
}
