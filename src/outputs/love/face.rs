//! An alarm as LOVE shows it, and the messages of LOVE-producer's protocol.
//!
//! Each field of the event is `{value, dataType, units}`, the private ones too. LOVE knows alarms by the Watcher's field
//! names, so `name` stands beside `alarmName`.

use std::sync::atomic::{AtomicI64, Ordering};

use sal_idl::model::{Field, SalType, Topic};
use salobj::{Tai, Value};
use serde_json::{Map, Value as Json, json};

use crate::alarms::AlarmSnapshot;

/// Alarms in one list; the nominal ones are left out first, since LOVE shows them last.
const LISTED: usize = 2000;

/// Bytes of a text, which LOVE shows in a line or a tooltip: the whole is on the bus.
const LONGEST_TEXT: usize = 4000;

/// The csc as LOVE knows it, and what the event's fields are.
#[derive(Debug)]
pub struct Face {
    csc: String,
    index: i32,
    origin: i64,
    rev_code: String,
    fields: Vec<(String, &'static str, String)>,
    sent: AtomicI64,
}

/// What LOVE-manager wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Somebody has subscribed to `alarm`.
    Alarm,
    /// Somebody has subscribed to `stream`.
    List,
}

impl Face {
    /// For the event `alarm` of a component, as that index and process.
    pub fn new(alarm: &Topic, index: i32, origin: i64) -> Face {
        let fields = alarm.fields.iter().map(|f| (f.name.clone(), data_type(f), f.units.clone())).collect();
        Face {
            csc: alarm.component.clone(),
            index,
            origin,
            rev_code: alarm.rev_code.clone(),
            fields,
            sent: AtomicI64::new(0),
        }
    }

    /// The field of each alarm that LOVE reads.
    pub fn alarm(&self, alarm: &AlarmSnapshot, now: Tai) -> Json {
        let own = alarm.fields();
        let mut face = Map::new();
        for (name, data_type, units) in &self.fields {
            let value = match own.iter().find(|(own, _)| own == name) {
                Some((_, Value::Text(text))) => cut(text).into(),
                Some((_, Value::Bool(v))) => Json::from(*v),
                Some((_, Value::Int(v))) => Json::from(*v),
                Some((_, Value::Double(v))) => Json::from(*v),
                Some(_) => Json::Null,
                None => self.private(name, now),
            };
            let field = json!({"value": value, "dataType": data_type, "units": units});
            if name == "alarmName" {
                face.insert("name".to_owned(), field.clone());
            }
            face.insert(name.clone(), field);
        }
        Json::Object(face)
    }

    fn private(&self, name: &str, now: Tai) -> Json {
        match name {
            "salIndex" => self.index.into(),
            "private_sndStamp" | "private_rcvStamp" | "private_kafkaStamp" => now.0.into(),
            "private_efdStamp" => now.utc_unix().into(),
            "private_seqNum" => (self.sent.fetch_add(1, Ordering::Relaxed) + 1).into(),
            "private_origin" => self.origin.into(),
            "private_identity" => sal_idl::names::name_index(&self.csc, Some(self.index)).into(),
            "private_revCode" => self.rev_code.as_str().into(),
            _ => Json::Null,
        }
    }

    /// The message of one alarm that has changed.
    pub(super) fn one(&self, alarm: &AlarmSnapshot, now: Tai) -> String {
        self.message(json!({"alarm": [self.alarm(alarm, now)]}), now)
    }

    /// The message of all alarms, and how many found no place in it.
    pub(super) fn list(&self, mut alarms: Vec<AlarmSnapshot>, now: Tai) -> (String, usize) {
        let left_out = alarms.len().saturating_sub(LISTED);
        if left_out > 0 {
            alarms.sort_by_key(|alarm| alarm.nominal());
            alarms.truncate(LISTED);
        }
        let all: Map<String, Json> =
            alarms.iter().map(|alarm| (alarm.alarm_name.clone(), self.alarm(alarm, now))).collect();
        (self.message(json!({"stream": {"alarms": all}}), now), left_out)
    }

    fn message(&self, streams: Json, now: Tai) -> String {
        let data = json!([{"csc": self.csc, "salindex": self.index, "data": streams}]);
        json!({"category": "event", "data": data, "producer_snd": now.utc_unix()}).to_string()
    }

    /// What is asked of LOVE-manager: to be told when somebody subscribes. Of all, for managers that were set up for old
    /// producers, and of ours.
    pub(super) fn subscriptions(&self, now: Tai) -> [String; 2] {
        ["all", self.csc.as_str()].map(|csc| {
            json!({
                "option": "subscribe", "category": "initial_state", "csc": csc, "salindex": "all", "stream": "all",
                "producer_snd": now.utc_unix(),
            })
            .to_string()
        })
    }

    /// What a message of LOVE-manager asks of us, if anything.
    pub(super) fn asked(&self, message: &str) -> Option<Asked> {
        let message: Json = serde_json::from_str(message).ok()?;
        if message.get("category")? != "initial_state" {
            return None;
        }
        let ours = |entry: &&Json| {
            entry["csc"] == self.csc.as_str()
                && (entry["salindex"] == self.index || entry["salindex"] == "all")
        };
        let names =
            message.get("data")?.as_array()?.iter().filter(ours).map(|e| e["data"]["event_name"].as_str());
        let mut asked = None;
        for name in names {
            match name {
                Some("alarm") => asked = asked.or(Some(Asked::Alarm)),
                Some("stream" | "all") => asked = Some(Asked::List),
                _ => {}
            }
        }
        asked
    }
}

fn cut(text: &str) -> String {
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    let end = (0..=LONGEST_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{} ...", &text[..end])
}

/// A field's type as LOVE-producer calls it: a boolean is an `Int` there.
fn data_type(field: &Field) -> &'static str {
    match field.sal_type {
        SalType::String => "String",
        SalType::Float | SalType::Double => "Float",
        _ => "Int",
    }
}
