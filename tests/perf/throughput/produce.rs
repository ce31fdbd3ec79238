//! Fills the topics, independently of the Catcher's own transport, so that a fault there cannot flatter the figures.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sal_idl::names;
use salobj::wire::Encoder;

use crate::mix::{Mix, sal_index, values};

/// TAI - UTC, seconds.
const LEAP_SECONDS: f64 = 37.0;

/// Makes the topics, registers the schemas, writes `records` records. Returns how many went into each topic.
pub(crate) async fn produce(
    broker: &str,
    registry: &str,
    mix: &Mix,
    records: u64,
) -> anyhow::Result<BTreeMap<String, u64>> {
    create(broker, mix).await?;
    let mut encoders = Vec::new();
    for part in &mix.parts {
        let id = register(registry, &part.subject, &part.topic.schema_compact).await?;
        encoders.push((id, Encoder::new(part.topic.clone())?));
    }
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "200000")
        .create()?;
    let mut counts = BTreeMap::new();
    for n in 0..records {
        let index = mix.turns[(n % mix.turns.len() as u64) as usize];
        let (part, (id, encoder)) = (&mix.parts[index], &encoders[index]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() + LEAP_SECONDS;
        let value = encoder.encode(*id, &values(&part.topic, n, now))?;
        let key = names::key(&part.topic.component, Some(sal_index(&part.topic, n)), &part.topic.sal_name);
        send(&producer, &part.name, &key, &value)?;
        *counts.entry(part.name.clone()).or_default() += 1;
    }
    producer.flush(Duration::from_secs(120)).context("the broker did not take everything")?;
    Ok(counts)
}

fn send(producer: &BaseProducer, topic: &str, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return Ok(());
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(Duration::from_millis(10));
                record = back;
            }
            Err((error, _)) => return Err(error).context(topic.to_owned()),
        }
    }
}

async fn create(broker: &str, mix: &Mix) -> anyhow::Result<()> {
    let topics: Vec<_> = mix
        .parts
        .iter()
        // Not compacted, events too: records would vanish between two rounds.
        .map(|part| NewTopic::new(&part.name, 1, TopicReplication::Fixed(1)))
        .collect();
    for result in admin(broker)?.create_topics(&topics, &AdminOptions::new()).await? {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}

/// Deletes the topics of this run.
pub(crate) async fn remove(broker: &str, topics: &[String]) -> anyhow::Result<()> {
    let names: Vec<_> = topics.iter().map(String::as_str).collect();
    for result in admin(broker)?.delete_topics(&names, &AdminOptions::new()).await? {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}

fn admin(broker: &str) -> anyhow::Result<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", broker).create()?)
}

async fn register(registry: &str, subject: &str, schema: &str) -> anyhow::Result<u32> {
    let url = format!("{registry}/subjects/{subject}/versions");
    let body = serde_json::json!({"schema": schema});
    let answer = reqwest::Client::new().post(&url).json(&body).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{url}: {status} {text}");
    let id =
        serde_json::from_str::<serde_json::Value>(&text)?["id"].as_u64().context("no id in the answer")?;
    Ok(u32::try_from(id)?)
}
