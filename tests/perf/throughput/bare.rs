//! The measure of all things: a consumer that polls, counts, and decodes nothing.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use salobj::Env;

use crate::consumer_config;

/// Reads `records` records from the beginning of the topics; messages per second from the assignment to the last record.
pub(crate) fn run(env: &Env, topics: &[String], records: u64) -> anyhow::Result<f64> {
    let group = format!("{}_bare", topics[0]);
    let consumer: BaseConsumer = consumer_config(env, &group).create()?;
    let mut assignment = rdkafka::TopicPartitionList::new();
    for topic in topics {
        assignment.add_partition_offset(topic, 0, rdkafka::Offset::Beginning)?;
    }
    let (mut seen, mut bytes) = (0_u64, 0_u64);
    // From the assignment on: what librdkafka fetched ahead of the first poll counts too.
    let start = Instant::now();
    let mut last = start;
    consumer.assign(&assignment)?;
    while seen < records {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                seen += 1;
                bytes += message.payload_len() as u64;
                if seen % 1000 == 0 {
                    last = Instant::now();
                }
            }
            Some(Err(error)) => bail!("bare consumer: {error}"),
            None => ensure!(
                last.elapsed() < Duration::from_secs(60),
                "bare consumer: only {seen} of {records} came"
            ),
        }
    }
    ensure!(bytes > records, "records without content");
    Ok(records as f64 / start.elapsed().as_secs_f64())
}
