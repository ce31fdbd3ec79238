//! The bytes of one item: a tag, then numbers as LEB128 (signed ones zigzag), times as eight bytes, texts with their
//! length before them.

use std::sync::Arc;

use salobj::{Tai, Value};

/// A topic of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicDecl {
    /// Number that its records name it by.
    pub number: u32,
    /// Kafka topic.
    pub name: String,
    /// Component; empty if it is no SAL topic.
    pub component: String,
    /// SAL name: `airFlow`, `logevent_endReadout`.
    pub sal_name: String,
    /// Fields of records that are [`Body::Cells`], in their order.
    pub fields: Vec<String>,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body<'a> {
    /// As it came from the bus: frame and Avro body.
    Avro(&'a [u8]),
    /// Decoded values, where there is no Avro (the EFD): those of [`TopicDecl::fields`].
    Cells {
        /// `salIndex`, 0 for a component without.
        sal_index: i64,
        /// `private_sndStamp`.
        sent: Tai,
        /// One for each field; null if it is missing.
        cells: Vec<Value>,
    },
    /// A tombstone.
    None,
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordRef<'a> {
    /// [`TopicDecl::number`].
    pub topic: u32,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// The record's own timestamp, UTC unix milliseconds.
    pub timestamp_ms: Option<i64>,
    /// When it came to the one who recorded it; what its rules take as the time.
    pub received: Tai,
    /// False: it was there before the recording began.
    pub live: bool,
    /// Content.
    pub body: Body<'a>,
}

/// One item of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemRef<'a> {
    /// A session begins: numbers of topics and ids of schemas begin anew. It has a block of its own.
    Session,
    /// A schema of the registry.
    Schema {
        /// Its id.
        id: u32,
        /// Avro JSON.
        text: &'a str,
    },
    /// A topic.
    Topic(TopicDecl),
    /// A record.
    Record(RecordRef<'a>),
    /// Something else that the core was told, as JSON.
    Control {
        /// When.
        at: Tai,
        /// See [`crate::replay::Control`].
        json: &'a str,
    },
    /// The core was told that time went on.
    Tick {
        /// The time.
        at: Tai,
    },
    /// A transition that the core made, as JSON.
    Transition {
        /// When.
        at: Tai,
        /// See [`crate::replay::Transition`].
        json: &'a str,
    },
    /// Some items could not be written.
    Gap {
        /// When.
        at: Tai,
        /// How many.
        lost: u64,
    },
}

const SCHEMA: u8 = 1;
const TOPIC: u8 = 2;
const RECORD: u8 = 3;
const CONTROL: u8 = 4;
const TICK: u8 = 5;
const TRANSITION: u8 = 6;
const GAP: u8 = 7;

const LIVE: u8 = 1;
const STAMPED: u8 = 2;
const AVRO: u8 = 4;
const CELLS: u8 = 8;

impl ItemRef<'_> {
    /// True if it belongs into a dictionary.
    pub(super) fn is_dictionary(&self) -> bool {
        matches!(self, ItemRef::Schema { .. } | ItemRef::Topic(_))
    }

    /// When it was, TAI s; `None` for what has no time.
    pub fn at(&self) -> Option<f64> {
        match self {
            ItemRef::Session | ItemRef::Schema { .. } | ItemRef::Topic(_) => None,
            ItemRef::Record(record) => Some(record.received.0),
            ItemRef::Control { at, .. }
            | ItemRef::Tick { at }
            | ItemRef::Transition { at, .. }
            | ItemRef::Gap { at, .. } => Some(at.0),
        }
    }

    /// Appends its bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ItemRef::Session => {}
            ItemRef::Schema { id, text } => {
                out.push(SCHEMA);
                unsigned(out, u64::from(*id));
                bytes(out, text.as_bytes());
            }
            ItemRef::Topic(topic) => {
                out.push(TOPIC);
                unsigned(out, u64::from(topic.number));
                for text in [&topic.name, &topic.component, &topic.sal_name] {
                    bytes(out, text.as_bytes());
                }
                unsigned(out, topic.fields.len() as u64);
                topic.fields.iter().for_each(|field| bytes(out, field.as_bytes()));
            }
            ItemRef::Record(record) => encode_record(record, out),
            ItemRef::Control { at, json } => timed(out, CONTROL, *at, json),
            ItemRef::Tick { at } => {
                out.push(TICK);
                out.extend(at.0.to_le_bytes());
            }
            ItemRef::Transition { at, json } => timed(out, TRANSITION, *at, json),
            ItemRef::Gap { at, lost } => {
                out.push(GAP);
                out.extend(at.0.to_le_bytes());
                unsigned(out, *lost);
            }
        }
    }
}

fn timed(out: &mut Vec<u8>, tag: u8, at: Tai, json: &str) {
    out.push(tag);
    out.extend(at.0.to_le_bytes());
    bytes(out, json.as_bytes());
}

fn encode_record(record: &RecordRef<'_>, out: &mut Vec<u8>) {
    out.push(RECORD);
    unsigned(out, u64::from(record.topic));
    signed(out, i64::from(record.partition));
    signed(out, record.offset);
    out.extend(record.received.0.to_le_bytes());
    let body = match record.body {
        Body::Avro(_) => AVRO,
        Body::Cells { .. } => CELLS,
        Body::None => 0,
    };
    let stamped = if record.timestamp_ms.is_some() { STAMPED } else { 0 };
    out.push(body | stamped | if record.live { LIVE } else { 0 });
    if let Some(ms) = record.timestamp_ms {
        signed(out, ms);
    }
    match &record.body {
        Body::Avro(value) => bytes(out, value),
        Body::Cells { sal_index, sent, cells } => {
            signed(out, *sal_index);
            out.extend(sent.0.to_le_bytes());
            unsigned(out, cells.len() as u64);
            cells.iter().for_each(|cell| encode_value(cell, out));
        }
        Body::None => {}
    }
}

fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0),
        Value::Bool(v) => out.extend([1, u8::from(*v)]),
        Value::Int(v) => {
            out.push(2);
            signed(out, *v);
        }
        Value::Double(v) => {
            out.push(3);
            out.extend(v.to_le_bytes());
        }
        Value::Text(v) => {
            out.push(4);
            bytes(out, v.as_bytes());
        }
        Value::Bools(all) => {
            out.push(5);
            unsigned(out, all.len() as u64);
            out.extend(all.iter().map(|v| u8::from(*v)));
        }
        Value::Ints(all) => {
            out.push(6);
            unsigned(out, all.len() as u64);
            all.iter().for_each(|v| signed(out, *v));
        }
        Value::Doubles(all) => {
            out.push(7);
            unsigned(out, all.len() as u64);
            all.iter().for_each(|v| out.extend(v.to_le_bytes()));
        }
        Value::Texts(all) => {
            out.push(8);
            unsigned(out, all.len() as u64);
            all.iter().for_each(|v| bytes(out, v.as_bytes()));
        }
    }
}

fn unsigned(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn signed(out: &mut Vec<u8>, number: i64) {
    unsigned(out, ((number << 1) ^ (number >> 63)) as u64);
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads items out of a block. Nothing here panics on any input.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

/// The bytes are no item.
pub(super) struct Malformed;

impl<'a> Cursor<'a> {
    /// The next item.
    pub(super) fn item(&mut self) -> Result<ItemRef<'a>, Malformed> {
        Ok(match self.byte()? {
            SCHEMA => ItemRef::Schema { id: self.small()?, text: self.text()? },
            TOPIC => {
                let number = self.small()?;
                let (name, component, sal_name) = (self.string()?, self.string()?, self.string()?);
                let count = self.length()?;
                let fields = (0..count).map(|_| self.string()).collect::<Result<_, _>>()?;
                ItemRef::Topic(TopicDecl { number, name, component, sal_name, fields })
            }
            RECORD => ItemRef::Record(self.record()?),
            CONTROL => ItemRef::Control { at: self.time()?, json: self.text()? },
            TICK => ItemRef::Tick { at: self.time()? },
            TRANSITION => ItemRef::Transition { at: self.time()?, json: self.text()? },
            GAP => ItemRef::Gap { at: self.time()?, lost: self.unsigned()? },
            _ => return Err(Malformed),
        })
    }

    fn record(&mut self) -> Result<RecordRef<'a>, Malformed> {
        let topic = self.small()?;
        let partition = i32::try_from(self.signed()?).map_err(|_| Malformed)?;
        let offset = self.signed()?;
        let received = self.time()?;
        let flags = self.byte()?;
        let timestamp_ms = if flags & STAMPED != 0 { Some(self.signed()?) } else { None };
        let body = if flags & AVRO != 0 {
            Body::Avro(self.bytes()?)
        } else if flags & CELLS != 0 {
            let (sal_index, sent) = (self.signed()?, self.time()?);
            let count = self.length()?;
            let cells = (0..count).map(|_| self.value()).collect::<Result<_, _>>()?;
            Body::Cells { sal_index, sent, cells }
        } else {
            Body::None
        };
        Ok(RecordRef { topic, partition, offset, timestamp_ms, received, live: flags & LIVE != 0, body })
    }

    fn value(&mut self) -> Result<Value, Malformed> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Bool(self.byte()? != 0),
            2 => Value::Int(self.signed()?),
            3 => Value::Double(self.time()?.0),
            4 => Value::Text(self.text()?.into()),
            5 => Value::Bools(self.bytes()?.iter().map(|b| *b != 0).collect()),
            6 => {
                let count = self.length()?;
                Value::Ints((0..count).map(|_| self.signed()).collect::<Result<Vec<_>, _>>()?.into())
            }
            7 => {
                let count = self.length()?;
                Value::Doubles(
                    (0..count).map(|_| self.time().map(|t| t.0)).collect::<Result<Vec<_>, _>>()?.into(),
                )
            }
            8 => {
                let count = self.length()?;
                let texts = (0..count).map(|_| self.text().map(Arc::from));
                Value::Texts(texts.collect::<Result<Vec<_>, _>>()?.into())
            }
            _ => return Err(Malformed),
        })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn unsigned(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn signed(&mut self) -> Result<i64, Malformed> {
        let number = self.unsigned()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.unsigned()?).map_err(|_| Malformed)
    }

    /// A number of things that follow: each takes a byte at least.
    fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.unsigned()?).ok().filter(|n| *n <= self.0.len()).ok_or(Malformed)
    }

    fn time(&mut self) -> Result<Tai, Malformed> {
        let bytes: [u8; 8] = self.take(8)?.try_into().map_err(|_| Malformed)?;
        Ok(Tai(f64::from_le_bytes(bytes)))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.length()?;
        self.take(count)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    fn string(&mut self) -> Result<String, Malformed> {
        self.text().map(str::to_owned)
    }
}
