//! Replays of small recordings that are made here: what is known to have been on the bus gives what is known to follow.

mod compare;
mod efd;
mod exact;
mod free;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use sal_idl::Library;
use salobj::wire::{Encoder, default_value};
use salobj::{Tai, Value};

use super::archive::{Body, ItemRef, Reader, RecordRef, Session, TopicDecl, Writer};
use super::*;
use crate::core::Settings;
use crate::rules::{Rule, SourceFile, compile};

/// 2026-11-21T00:00:00 UTC.
pub(super) const T0: f64 = 1_795_219_237.0;

/// Makes recordings.
pub(super) struct Bed {
    pub(super) library: Library,
    writer: Writer<Vec<u8>>,
    encoders: BTreeMap<(String, String), (u32, Encoder)>,
    offsets: BTreeMap<u32, i64>,
}

impl Bed {
    pub(super) fn new() -> Bed {
        let session =
            Session { source: "bus".into(), subname: "test".into(), began: T0, ..Session::default() };
        Bed {
            library: Library::embedded(),
            writer: Writer::create(Vec::new(), &session).unwrap(),
            encoders: BTreeMap::new(),
            offsets: BTreeMap::new(),
        }
    }

    /// A record sent and received `at` seconds after [`T0`].
    pub(super) fn send(&mut self, component: &str, sal_name: &str, at: f64, fields: &[(&str, Value)]) {
        let key = (component.to_owned(), sal_name.to_owned());
        if !self.encoders.contains_key(&key) {
            let topic = self.library.component(component).unwrap().topic(sal_name).unwrap().clone();
            let id = self.encoders.len() as u32 + 1;
            self.writer.schema(id, &topic.schema_compact);
            self.encoders.insert(key.clone(), (id, Encoder::new(topic).unwrap()));
        }
        let (id, encoder) = &self.encoders[&key];
        let now = Tai(T0 + at);
        let values: Vec<Value> = encoder
            .topic()
            .fields
            .iter()
            .map(|field| match fields.iter().find(|(name, _)| *name == field.name) {
                Some((_, value)) => value.clone(),
                None if field.name == "private_sndStamp" => Value::Double(now.0),
                None => default_value(field),
            })
            .collect();
        let bytes = encoder.encode(*id, &values).unwrap();
        let topic = self.writer.topic(&TopicDecl {
            name: format!("lsst.test.{component}.{sal_name}"),
            component: component.to_owned(),
            sal_name: sal_name.to_owned(),
            ..TopicDecl::default()
        });
        let offset = self.offsets.entry(topic).or_default();
        let record = RecordRef {
            topic,
            partition: 0,
            offset: *offset,
            timestamp_ms: Some(now.utc_ms()),
            received: now,
            live: at >= 0.0,
            body: Body::Avro(&bytes),
        };
        *offset += 1;
        self.writer.push(&ItemRef::Record(record)).unwrap();
    }

    pub(super) fn wind(&mut self, at: f64, speed: f64) {
        self.send("ESS", "airFlow", at, &[("salIndex", Value::Int(301)), ("speed", Value::Double(speed))]);
    }

    /// Another process goes on with the recording; it tells schemas and topics again.
    pub(super) fn restart(self, at: f64) -> Bed {
        let session =
            Session { source: "live".into(), subname: "test".into(), began: T0 + at, ..Session::default() };
        let bytes = self.writer.finish().unwrap();
        let mut writer = Writer::append(bytes, &session).unwrap();
        for (id, encoder) in self.encoders.values() {
            writer.schema(*id, &encoder.topic().schema_compact);
        }
        // Numbers of topics begin anew: only one topic is sent over a restart.
        Bed { writer, ..self }
    }

    pub(super) fn item(&mut self, item: &ItemRef<'_>) {
        self.writer.push(item).unwrap();
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.writer.finish().unwrap()
    }
}

pub(super) fn rules(text: &str) -> Vec<Arc<Rule>> {
    let file = SourceFile { name: "test.yaml".into(), text: text.into() };
    compile(&file, &Library::embedded())
        .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(false)).collect::<String>()))
}

/// Plays a whole recording; the end is `end` seconds after [`T0`].
pub(super) fn play(bytes: &[u8], rules: Vec<Arc<Rule>>, answers: &str, span: (f64, f64)) -> Vec<Transition> {
    let library = Library::embedded();
    let answers = if answers.is_empty() { Answers::default() } else { Answers::read(answers).unwrap() };
    let span = Span { from: Tai(T0 + span.0), to: Tai(T0 + span.1) };
    let mut replay = Replay::new(rules, Settings::default(), answers, &library, span);
    let mut reader = Reader::open(Cursor::new(bytes)).unwrap();
    while let Some(item) = reader.next_item().unwrap() {
        if !replay.item(&item).unwrap() {
            break;
        }
    }
    replay.finish(span.to).unwrap();
    assert!(replay.warnings().is_empty(), "{:?}", replay.warnings());
    replay.take_transitions()
}

/// `seconds word text` a line.
pub(super) fn told(transitions: &[Transition]) -> Vec<String> {
    transitions
        .iter()
        .map(|t| format!("{:.1} {} {}: {}", t.at.0 - T0, t.rule, t.what.word(), t.what.text()))
        .collect()
}
