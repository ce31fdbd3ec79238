//! Making and listing topics.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;

use super::{KafkaTransport, REQUEST_LIMIT};
use crate::transport::{TopicSpec, TransportError};

/// How often the list of topics is looked at again after CreateTopics, and the pause between.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Names of all topics, sorted.
pub(super) async fn list_topics(transport: &KafkaTransport) -> Result<Vec<String>, TransportError> {
    let names = transport.blocking("list topics".to_owned(), |admin| {
        let metadata = admin.inner().fetch_metadata(None, REQUEST_LIMIT)?;
        Ok(metadata.topics().iter().map(|t| t.name().to_owned()).collect::<BTreeSet<_>>())
    });
    Ok(names.await?.into_iter().collect())
}

/// Makes those topics that are missing: one partition, replication of the environment, compacted where asked for.
/// "Already exists" is success: several components start at once.
pub(super) async fn create_topics(
    transport: &KafkaTransport,
    specs: &[TopicSpec],
) -> Result<(), TransportError> {
    let mut missing = missing(transport, specs).await?;
    for look in 0..LOOKS {
        if missing.is_empty() {
            return Ok(());
        }
        if look == 0 {
            make(transport, &missing).await?;
        } else {
            tokio::time::sleep(PAUSE).await;
        }
        missing = self::missing(transport, specs).await?;
    }
    let names: Vec<&str> = missing.iter().map(|s| s.name.as_str()).collect();
    Err(TransportError::unavailable(format!("create topics {}", names.join(", ")), "they did not appear"))
}

async fn missing(transport: &KafkaTransport, specs: &[TopicSpec]) -> Result<Vec<TopicSpec>, TransportError> {
    let known: BTreeSet<String> = list_topics(transport).await?.into_iter().collect();
    Ok(specs.iter().filter(|s| !known.contains(&s.name)).cloned().collect())
}

async fn make(transport: &KafkaTransport, specs: &[TopicSpec]) -> Result<(), TransportError> {
    if let Some(maker) = &transport.options.topic_maker {
        return specs.iter().try_for_each(|spec| maker(spec));
    }
    let replication = transport.env.replication_factor;
    let topics: Vec<NewTopic<'_>> = specs
        .iter()
        .map(|spec| {
            let topic = NewTopic::new(&spec.name, 1, TopicReplication::Fixed(replication));
            if spec.compacted { topic.set("cleanup.policy", "compact") } else { topic }
        })
        .collect();
    let limits =
        AdminOptions::new().request_timeout(Some(REQUEST_LIMIT)).operation_timeout(Some(REQUEST_LIMIT));
    let results = transport
        .admin
        .create_topics(&topics, &limits)
        .await
        .map_err(|e| TransportError::unavailable("create topics", e))?;
    let mut problems: Vec<String> = Vec::new();
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => problems.push(format!("{name}: {code}")),
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(TransportError::refused("create topics", problems.join("; ")))
    }
}

/// Deletes a consumer group whose members have left. An unknown group is fine; anything else is only logged.
pub(super) async fn delete_group(transport: &KafkaTransport, group: &str) {
    let limits = AdminOptions::new().request_timeout(Some(REQUEST_LIMIT));
    match transport.admin.delete_groups(&[group], &limits).await {
        Ok(results) => {
            for (name, code) in results.into_iter().filter_map(Result::err) {
                if !matches!(code, RDKafkaErrorCode::GroupIdNotFound) {
                    tracing::info!(group = %name, %code, "consumer group was not deleted");
                }
            }
        }
        Err(error) => tracing::info!(group, %error, "consumer group was not deleted"),
    }
}
