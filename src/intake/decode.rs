//! Records to samples: one plan for each topic and schema id, made when the schema is first known.

use std::sync::Arc;

use salobj::transport::RecordRef;
use salobj::wire::{Plan, Want, unframe};
use salobj::{Tai, Value};

use super::subscriptions::HEAD;

/// A decoded record: the cells are those of the topic's need, in its order.
#[derive(Debug, Clone, Copy)]
pub struct Decoded<'a> {
    /// `salIndex`, 0 for a component without.
    pub sal_index: i64,
    /// `private_sndStamp`; the record's own timestamp for topics that are not SAL.
    pub sent: Tai,
    /// The wanted cells.
    pub cells: &'a [Value],
}

/// Decodes the records of one topic.
#[derive(Debug)]
pub(crate) struct Decoder {
    wants: Vec<Want>,
    /// By schema id, in its order.
    plans: Vec<(u32, Result<Plan, String>)>,
    cells: Vec<Value>,
    /// Cells that hold `private_rcvStamp`: on the wire it is nothing, it is when we received the record.
    received: Vec<usize>,
    errors: u64,
}

impl Decoder {
    pub(crate) fn new(wants: Vec<Want>) -> Self {
        let cells = vec![Value::Null; wants.len()];
        let received = (0..wants.len()).filter(|at| wants[*at].path == "private_rcvStamp").collect();
        Self { wants, plans: Vec::new(), cells, received, errors: 0 }
    }

    /// The id of the schema that must be made known with [`Decoder::learn`] before this record can be decoded.
    pub(super) fn missing(&self, record: &RecordRef<'_>) -> Option<u32> {
        let (id, _) = unframe(record.value?).ok()?;
        self.place(id).is_err().then_some(id)
    }

    /// Takes the schema of an id, or why there is none.
    pub(crate) fn learn(&mut self, id: u32, schema: &Result<Arc<str>, String>) {
        let plan = match schema {
            Ok(text) => Plan::compile(text, &self.wants).map_err(|e| e.to_string()),
            Err(reason) => Err(reason.clone()),
        };
        match self.place(id) {
            Ok(at) => self.plans[at].1 = plan,
            Err(at) => self.plans.insert(at, (id, plan)),
        }
    }

    /// Where the plan of a schema is, or would be.
    fn place(&self, id: u32) -> Result<usize, usize> {
        self.plans.binary_search_by_key(&id, |(of, _)| *of)
    }

    /// Decodes a record whose schema is known.
    ///
    /// # Errors
    /// Why it cannot be: the record is skipped. A tombstone is `Ok(None)`.
    pub(super) fn decode(
        &mut self,
        record: &RecordRef<'_>,
        received: Tai,
    ) -> Result<Option<Decoded<'_>>, String> {
        let Some(value) = record.value else { return Ok(None) };
        self.decode_value(value, record.timestamp_ms, received).map(Some)
    }

    /// Decodes the value of a record whose schema is known; `timestamp_ms` is the record's own, `received` when it came.
    ///
    /// # Errors
    /// Why it cannot be.
    #[inline]
    pub(crate) fn decode_value(
        &mut self,
        value: &[u8],
        timestamp_ms: Option<i64>,
        received: Tai,
    ) -> Result<Decoded<'_>, String> {
        let (id, body) = unframe(value).map_err(|e| e.to_string())?;
        let plan = match self.place(id).map(|at| &self.plans[at].1) {
            Ok(Ok(plan)) => plan,
            Ok(Err(reason)) => return Err(reason.clone()),
            Err(_) => return Err(format!("schema id {id} is not known")),
        };
        plan.decode(body, &mut self.cells).map_err(|e| e.to_string())?;
        for at in &self.received {
            self.cells[*at] = Value::Double(received.0);
        }
        let sal_index = if let Value::Int(index) = self.cells[0] { index } else { 0 };
        let sent = match self.cells[1] {
            Value::Double(stamp) if stamp > 0.0 => Tai(stamp),
            Value::Int(utc_ms) if utc_ms > 0 => Tai::from_utc_ms(utc_ms),
            _ => Tai::from_utc_ms(timestamp_ms.unwrap_or(0)),
        };
        Ok(Decoded { sal_index, sent, cells: &self.cells[HEAD..] })
    }

    /// Counts an undecodable record; true if it is to be logged (the first and every tenth).
    pub(super) fn count_error(&mut self) -> bool {
        self.errors += 1;
        self.errors % 10 == 1
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors
    }
}
