//! The write side of a topic: the stored record, sequence numbers, private fields, hand-over to the bus.
//!
//! Stamp, number, encoding and hand-over happen in one short critical section without any await, so that the records of
//! a topic leave in the order of their stamps (SAL readers drop what looks older).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sal_idl::Topic;

use super::codec::Encoder;
use crate::error::SalError;
use crate::sal_info::SalInfo;
use crate::sample::{Data, PrivateAt, Sample};
use crate::tai::Tai;
use crate::value::Value;

/// Largest sequence number, 2^31 - 1.
pub(crate) const MAX_SEQ_NUM: i64 = i32::MAX as i64;

/// When `set_write` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    OnChange,
    Always,
}

/// What a `set_write` did.
#[derive(Debug, Clone)]
pub struct Written {
    /// A field changed, or this was the first set of this writer.
    pub changed: bool,
    /// A record was handed to the bus.
    pub written: bool,
    /// `private_seqNum` of that record, 0 if none was written.
    pub seq_num: i64,
}

/// The next sequence numbers of one writer: `first..=last`, wrapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeqNums {
    first: i64,
    last: i64,
    next: i64,
}

impl SeqNums {
    /// Events, telemetry: from 1, wrapping at 2^31 - 1.
    pub(crate) fn plain() -> SeqNums {
        SeqNums { first: 1, last: MAX_SEQ_NUM, next: 1 }
    }

    /// Command `i` of `n` (alphabetical): its own range, from a given fraction (0..1) of it on.
    pub(crate) fn command(i: usize, n: usize, fraction: f64) -> SeqNums {
        let size = MAX_SEQ_NUM / (n.max(1) as i64);
        let first = i as i64 * size + 1;
        let last = first + size - 1;
        let next = first + ((size as f64 * fraction) as i64).clamp(0, size - 1);
        SeqNums { first, last, next }
    }

    pub(crate) fn take(&mut self) -> i64 {
        let n = self.next;
        self.next = if n >= self.last { self.first } else { n + 1 };
        n
    }
}

/// A record ready to go: bytes, and the number it bears.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) seq_num: i64,
    pub(crate) value: Vec<u8>,
}

#[derive(Debug)]
struct State {
    data: Data,
    was_set: bool,
    seq: SeqNums,
}

/// Writes one topic of an open component. Cheap to clone; all clones share one stored record.
#[derive(Debug, Clone)]
pub struct TopicWriter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: Arc<SalInfo>,
    topic: Arc<Topic>,
    kafka_topic: String,
    key: Vec<u8>,
    private: PrivateAt,
    force: Force,
    encoder: OnceLock<Encoder>,
    state: Mutex<State>,
}

impl TopicWriter {
    pub(crate) fn new(info: Arc<SalInfo>, topic: Arc<Topic>, force: Force, seq: SeqNums) -> TopicWriter {
        let inner = Inner {
            kafka_topic: info.kafka_topic(&topic),
            key: info.key(&topic),
            private: PrivateAt::of(&topic),
            force,
            encoder: OnceLock::new(),
            state: Mutex::new(State { data: Data::new(topic.clone()), was_set: false, seq }),
            info,
            topic,
        };
        TopicWriter { inner: Arc::new(inner) }
    }

    /// The topic.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.inner.topic
    }

    /// Called at start, when the registry has given the schema its id.
    pub(crate) fn set_schema_id(&self, id: u32) -> Result<(), SalError> {
        let encoder = Encoder::new(&self.inner.topic, id)
            .map_err(|source| SalError::Wire { topic: self.inner.kafka_topic.clone(), source })?;
        // A second start gives the same id: keep the first encoder.
        self.inner.encoder.get_or_init(|| encoder);
        Ok(())
    }

    pub(crate) fn kafka_topic(&self) -> &str {
        &self.inner.kafka_topic
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.inner.key
    }

    pub(crate) fn info(&self) -> &Arc<SalInfo> {
        &self.inner.info
    }

    /// The stored record as a sample (private fields as last written).
    pub fn data(&self) -> Sample {
        let state = self.lock();
        Sample {
            topic: self.inner.topic.clone(),
            values: state.data.values().into(),
            received: Tai::default(),
            partition: -1,
            offset: -1,
        }
    }

    /// True once a field was set.
    pub fn has_data(&self) -> bool {
        self.lock().was_set
    }

    /// Stores values; true if any changed or nothing was ever set. `Value::Null` keeps the old value. An unknown field
    /// or a value that does not fit is an error, and then nothing is stored.
    pub fn set(&self, fields: &[(&str, Value)]) -> Result<bool, SalError> {
        let mut state = self.lock();
        Self::set_locked(&mut state, fields)
    }

    fn set_locked(state: &mut State, fields: &[(&str, Value)]) -> Result<bool, SalError> {
        let changed = state.data.set(fields)? || !state.was_set;
        state.was_set = true;
        Ok(changed)
    }

    /// Stores values, then writes the record: events if something changed, others always.
    pub fn set_write(&self, fields: &[(&str, Value)]) -> Result<Written, SalError> {
        self.set_write_if(fields, self.inner.force == Force::Always)
    }

    /// Stores values, then writes the record if something changed or `force` is given.
    pub fn set_write_if(&self, fields: &[(&str, Value)], force: bool) -> Result<Written, SalError> {
        let mut state = self.lock();
        let changed = Self::set_locked(&mut state, fields)?;
        if !changed && !force {
            return Ok(Written { changed, written: false, seq_num: 0 });
        }
        let ready = self.ready_locked(&mut state, None)?;
        let seq_num = ready.seq_num;
        self.hand_over(ready)?;
        Ok(Written { changed, written: true, seq_num })
    }

    /// Writes the stored record as it is; its sequence number.
    pub fn write(&self) -> Result<i64, SalError> {
        let mut state = self.lock();
        let ready = self.ready_locked(&mut state, None)?;
        let seq_num = ready.seq_num;
        self.hand_over(ready)?;
        Ok(seq_num)
    }

    /// A fresh record with these fields, stamped, numbered and encoded, but not sent. `seq_num` replaces the number of
    /// this writer (acknowledgements bear the command's). The stored record becomes this one.
    pub(crate) fn prepare(&self, fields: &[(&str, Value)], seq_num: Option<i64>) -> Result<Ready, SalError> {
        let mut state = self.lock();
        let mut data = Data::new(self.inner.topic.clone());
        data.set(fields)?;
        state.data = data;
        state.was_set = true;
        self.ready_locked(&mut state, seq_num)
    }

    /// As [`Self::prepare`], handed over in the same critical section.
    pub(crate) fn send_fresh(&self, fields: &[(&str, Value)], seq_num: Option<i64>) -> Result<(), SalError> {
        let mut state = self.lock();
        let mut data = Data::new(self.inner.topic.clone());
        data.set(fields)?;
        state.data = data;
        state.was_set = true;
        let ready = self.ready_locked(&mut state, seq_num)?;
        self.hand_over(ready)
    }

    fn ready_locked(&self, state: &mut State, seq_num: Option<i64>) -> Result<Ready, SalError> {
        let info = &self.inner.info;
        info.check_can_write()?;
        let encoder = self
            .inner
            .encoder
            .get()
            .ok_or_else(|| SalError::NotStarted { name_index: info.name_index().to_owned() })?;
        let now = info.clock().now();
        let seq_num = seq_num.unwrap_or_else(|| state.seq.take());
        let at = self.inner.private;
        if info.index() != 0 {
            state.data.put(at.sal_index, Value::Int(info.index().into()));
        }
        state.data.put(at.snd_stamp, Value::Double(now.0));
        state.data.put(at.rcv_stamp, Value::Double(0.0));
        state.data.put(at.efd_stamp, Value::Double(now.utc_unix()));
        state.data.put(at.kafka_stamp, Value::Double(now.0));
        state.data.put(at.seq_num, Value::Int(seq_num));
        state.data.put(at.rev_code, Value::Text(self.inner.topic.rev_code.as_str().into()));
        state.data.put(at.identity, Value::Text(info.identity().into()));
        state.data.put(at.origin, Value::Int(info.domain().origin()));
        let value = encoder
            .encode(state.data.values())
            .map_err(|source| SalError::Wire { topic: self.inner.kafka_topic.clone(), source })?;
        Ok(Ready { seq_num, value })
    }

    fn hand_over(&self, ready: Ready) -> Result<(), SalError> {
        let writer = self.inner.info.writer()?;
        Ok(writer.send(&self.inner.kafka_topic, self.inner.key.clone(), ready.value)?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_count_from_one_and_wrap() {
        let mut s = SeqNums::plain();
        assert_eq!((s.take(), s.take()), (1, 2));
        s.next = MAX_SEQ_NUM;
        assert_eq!((s.take(), s.take()), (MAX_SEQ_NUM, 1));
    }

    #[test]
    fn commands_keep_to_their_range() {
        // The last of Test's ten commands.
        let mut s = SeqNums::command(9, 10, 0.0);
        assert_eq!((s.first, s.last), (1_932_735_277, 2_147_483_640));
        assert_eq!(s.take(), 1_932_735_277);
        s.next = s.last;
        assert_eq!((s.take(), s.take()), (2_147_483_640, 1_932_735_277));
        let full = SeqNums::command(0, 1, 0.999_999_999_9);
        assert!((1..=MAX_SEQ_NUM).contains(&full.next));
    }
}
