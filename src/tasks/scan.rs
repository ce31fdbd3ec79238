//! Reading one topic again from a place in its past, only the fields that are wanted.

use std::collections::HashMap;
use std::sync::Arc;

use salobj::Value;
use salobj::transport::{ReadEvent, Reader, StartAt, Transport, TransportError};
use salobj::wire::{Plan, Want, unframe};

/// One record, reduced to the wanted cells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// In the order of the wants; null where the writer has no such field.
    pub(crate) cells: Vec<Value>,
}

/// What a scan meets.
#[derive(Debug)]
pub(crate) enum Met {
    /// Reading of a partition begins: first offset kept, first offset read.
    Begin {
        /// First offset that the bus still has.
        low: i64,
        /// First offset that is read.
        start: i64,
    },
    /// A record.
    Row(Row),
    /// All that was there when the scan began has been read.
    CaughtUp,
    /// The bus reports trouble; the scan goes on by itself.
    Trouble(TransportError),
}

/// A reader of one topic from a place in its past. Close it by [`Scan::close`].
pub(crate) struct Scan {
    transport: Arc<dyn Transport>,
    reader: Box<dyn Reader>,
    wants: Vec<Want>,
    plans: HashMap<u32, Option<Plan>>,
    topic: String,
    behind: usize,
    skipped: u64,
}

impl Scan {
    /// Begins to read `topic` at `start`.
    ///
    /// # Errors
    /// The bus cannot be reached, or refuses.
    pub(crate) async fn open(
        transport: &Arc<dyn Transport>,
        topic: &str,
        start: StartAt,
        wants: Vec<Want>,
    ) -> Result<Self, TransportError> {
        let group = format!("catcher-scan-{:016x}", rand::random::<u64>());
        let reader = transport.reader(&group, &[(topic.to_owned(), start)]).await?;
        let transport = Arc::clone(transport);
        let topic = topic.to_owned();
        Ok(Self { transport, reader, wants, plans: HashMap::new(), topic, behind: 0, skipped: 0 })
    }

    /// What comes next. Records that cannot be decoded are left out. Safe to use in `select!` as far as nothing is lost:
    /// a record whose schema is being fetched when the call is dropped is not seen again, so do not.
    pub(crate) async fn next(&mut self) -> Met {
        loop {
            match self.reader.next().await {
                ReadEvent::Assigned { low, start, .. } => {
                    self.behind += 1;
                    return Met::Begin { low, start };
                }
                ReadEvent::CaughtUp { .. } => {
                    self.behind = self.behind.saturating_sub(1);
                    if self.behind == 0 {
                        return Met::CaughtUp;
                    }
                }
                ReadEvent::Trouble(error) => return Met::Trouble(error),
                ReadEvent::Record(record) => match self.decode(record.value.as_deref()).await {
                    Ok(Some(cells)) => return Met::Row(Row { cells }),
                    Ok(None) => {
                        self.skipped += 1;
                        tracing::debug!(topic = self.topic, offset = record.offset, "a record was left out");
                    }
                    Err(error) => return Met::Trouble(error),
                },
            }
        }
    }

    /// Leaves the bus.
    pub(crate) async fn close(mut self) {
        self.reader.close().await;
        if self.skipped > 0 {
            tracing::warn!(topic = self.topic, "{} records could not be decoded", self.skipped);
        }
    }

    async fn decode(&mut self, value: Option<&[u8]>) -> Result<Option<Vec<Value>>, TransportError> {
        let Some(Ok((id, body))) = value.map(unframe) else { return Ok(None) };
        if !self.plans.contains_key(&id) {
            let schema = match self.transport.schema_by_id(id).await {
                Ok(schema) => Some(schema),
                Err(error @ TransportError::Unavailable { .. }) => return Err(error),
                Err(TransportError::Refused { .. }) => None,
            };
            let plan = schema.and_then(|schema| Plan::compile(&schema, &self.wants).ok());
            self.plans.insert(id, plan);
        }
        let Some(Some(plan)) = self.plans.get(&id) else { return Ok(None) };
        let mut cells = vec![Value::Null; self.wants.len()];
        Ok(plan.decode(body, &mut cells).is_ok().then_some(cells))
    }
}
