//! Records to samples and back: the wire format with the private fields and the schemas of other writers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sal_idl::Topic;

use crate::sample::{PrivateAt, Sample};
use crate::tai::Tai;
use crate::transport::{Record, Transport, TransportError};
use crate::value::Value;
use crate::wire::{self, WireError};

/// Why a record gave no sample.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A tombstone, or bytes that do not decode: skip it.
    #[error("{0}")]
    Skip(String),
    /// The writer's schema cannot be had right now: try again.
    #[error("{0}")]
    Registry(TransportError),
}

impl From<WireError> for DecodeError {
    fn from(e: WireError) -> DecodeError {
        DecodeError::Skip(e.to_string())
    }
}

/// Decodes the records of one topic, whatever schema they were written with.
#[derive(Debug)]
pub(crate) struct Decoder {
    topic: Arc<Topic>,
    at: PrivateAt,
    by_id: Mutex<HashMap<u32, Arc<wire::Decoder>>>,
}

impl Decoder {
    pub(crate) fn new(topic: &Arc<Topic>) -> Decoder {
        Decoder { topic: topic.clone(), at: PrivateAt::of(topic), by_id: Mutex::default() }
    }

    /// Notes the id of our own schema, so that the registry is not asked for it.
    pub(crate) fn know(&self, id: u32) -> Result<(), WireError> {
        let decoder = wire::Decoder::new(self.topic.clone(), &self.topic.schema_compact)?;
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(decoder));
        Ok(())
    }

    /// The sample of a record. `private_rcvStamp` becomes `now`.
    pub(crate) async fn decode(
        &self,
        transport: &dyn Transport,
        record: &Record,
        now: Tai,
    ) -> Result<Sample, DecodeError> {
        let bytes =
            record.value.as_deref().ok_or_else(|| DecodeError::Skip("no value (tombstone)".to_owned()))?;
        let (id, body) = wire::unframe(bytes)?;
        let known = self.by_id.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let decoder = match known {
            Some(decoder) => decoder,
            None => self.fetch(transport, id).await?,
        };
        let mut values = decoder.decode(body)?;
        if let Some(cell) = self.at.rcv_stamp.and_then(|i| values.get_mut(i)) {
            *cell = Value::Double(now.0);
        }
        Ok(Sample {
            topic: self.topic.clone(),
            values: values.into(),
            received: now,
            partition: record.partition,
            offset: record.offset,
        })
    }

    async fn fetch(&self, transport: &dyn Transport, id: u32) -> Result<Arc<wire::Decoder>, DecodeError> {
        let schema = transport.schema_by_id(id).await.map_err(|e| match e {
            e @ TransportError::Unavailable { .. } => DecodeError::Registry(e),
            e @ TransportError::Refused { .. } => DecodeError::Skip(e.to_string()),
        })?;
        let decoder = Arc::new(wire::Decoder::new(self.topic.clone(), &schema)?);
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).insert(id, decoder.clone());
        Ok(decoder)
    }
}

/// Encodes the records of one topic under the id of its registered schema.
#[derive(Debug)]
pub(crate) struct Encoder {
    encoder: wire::Encoder,
    id: u32,
}

impl Encoder {
    pub(crate) fn new(topic: &Arc<Topic>, id: u32) -> Result<Encoder, WireError> {
        Ok(Encoder { encoder: wire::Encoder::new(topic.clone())?, id })
    }

    pub(crate) fn encode(&self, values: &[Value]) -> Result<Vec<u8>, WireError> {
        self.encoder.encode(self.id, values)
    }
}
