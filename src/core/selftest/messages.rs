//! The messages of a test in the order of their times, and what is read from them.

use salobj::{Tai, Value};

use crate::rules::{FieldNeed, Part, TestCase, TestMessage, TestTopic};

/// One message on its topic.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    /// When it is sent, and received.
    pub(super) at: Tai,
    pub(super) topic: &'a TestTopic,
    /// Its place among the messages of its topic and instance.
    pub(super) offset: i64,
    message: &'a TestMessage,
}

/// All messages; those of one time are in the order of topics and instances.
pub(super) fn messages(test: &TestCase) -> Vec<Message<'_>> {
    let start = TestCase::start();
    let mut all = Vec::new();
    for topic in &test.topics {
        for (offset, message) in (0..).zip(&topic.messages) {
            all.push(Message { at: Tai(start.0 + message.at_s), topic, offset, message });
        }
    }
    all.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
    all
}

impl Message<'_> {
    /// A field of it, or a part of one; null if it is missing.
    pub(super) fn cell(&self, need: &FieldNeed) -> Value {
        match need.name.as_str() {
            // A message may give its stamps itself: that of a clock that is wrong.
            name if name.starts_with("private_") && self.message.fields.contains_key(need) => {
                self.message.fields.get(need).cloned().unwrap_or_default()
            }
            "private_sndStamp" | "private_rcvStamp" => Value::Double(self.at.0),
            "private_seqNum" => Value::Int(self.offset + 1),
            "salIndex" => Value::Int(self.topic.sal_index),
            _ => cell(need, |need| self.message.fields.get(need)),
        }
    }
}

/// The wanted part of what a message has of a field; null if it does not have it.
fn cell<'m>(need: &FieldNeed, given: impl Fn(&FieldNeed) -> Option<&'m Value>) -> Value {
    if let Some(value) = given(need) {
        return value.clone();
    }
    let whole = FieldNeed { name: need.name.clone(), part: Part::Whole };
    given(&whole).map_or(Value::Null, |whole| need.part.of(whole))
}
