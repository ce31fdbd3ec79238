//! Finding out where partitions begin and end, many at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::context::Context;
use super::partitions::Unresolved;

/// Time limit of one request.
const LIMIT: Duration = Duration::from_secs(5);

/// What is known of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: i64,
    pub(super) high: i64,
    /// First offset at or after the start time, if one was asked for and there is one.
    pub(super) by_time: Option<i64>,
}

type Answers = HashMap<(Arc<str>, i32), i64>;

/// The ranges of these partitions; those that could not be found out now are left out. An error if nothing could.
pub(super) fn look_up(
    consumer: &BaseConsumer<Context>,
    partitions: &[Unresolved],
    time_lookup: bool,
) -> Result<Vec<(Unresolved, Range)>, KafkaError> {
    // The watermarks are what a look-up by time answers for the two special times: one request for each broker.
    let low = ask(consumer, partitions.iter().map(|u| (u, Offset::Beginning)))?;
    let high = ask(consumer, partitions.iter().map(|u| (u, Offset::End)))?;
    let timed = partitions.iter().filter_map(|u| Some((u, Offset::Offset(u.time?))));
    let by_time = if time_lookup { ask(consumer, timed)? } else { Answers::new() };
    let range = |u: &Unresolved| {
        let key = (Arc::clone(&u.topic), u.partition);
        let (low, high) = (*low.get(&key)?, *high.get(&key)?);
        let by_time = match (u.time, time_lookup) {
            (Some(_), true) => by_time.get(&key).copied(),
            // Read all and skip what is older.
            (Some(_), false) => Some(low),
            (None, _) => None,
        };
        Some((u.clone(), Range { low, high, by_time }))
    };
    Ok(partitions.iter().filter_map(range).collect())
}

fn ask<'a>(
    consumer: &BaseConsumer<Context>,
    questions: impl Iterator<Item = (&'a Unresolved, Offset)>,
) -> Result<Answers, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, time) in questions {
        list.add_partition_offset(&partition.topic, partition.partition, time)?;
    }
    if list.count() == 0 {
        return Ok(Answers::new());
    }
    let answers = consumer.offsets_for_times(list, LIMIT)?;
    let mut out = Answers::new();
    for element in answers.elements() {
        if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
            out.insert((element.topic().into(), element.partition()), offset);
        }
    }
    Ok(out)
}
