//! Messages that came while the process was down, or was not back in ENABLED yet after a crash: rules fire on them as soon as
//! it is, if they are not too old. An operator who takes the Catcher out of ENABLED wants none of this.

use std::collections::VecDeque;

use salobj::{Tai, Value};

use super::{Core, Output};
use crate::rules::{Input as RuleInput, Sample, TopicId};

/// Most messages that are kept; the oldest go first.
const MOST: usize = 100_000;

/// Why the rules cannot become others while messages are held: the messages know their topics by the rules of now.
pub(super) const BUSY: &str =
    "messages that came while the Catcher was down are being read; send the command again when it is ENABLED";

/// A message, kept until the rules are awake.
#[derive(Debug)]
struct Held {
    topic: TopicId,
    sal_index: i64,
    sent: Tai,
    received: Tai,
    partition: i32,
    offset: i64,
    cells: Vec<Value>,
}

/// What was missed so far.
#[derive(Debug, Default)]
pub(super) struct Missed {
    messages: VecDeque<Held>,
    dropped: u64,
}

impl Missed {
    fn push(&mut self, sample: &Sample<'_>) {
        if self.messages.len() == MOST {
            self.messages.pop_front();
            self.dropped += 1;
        }
        self.messages.push_back(Held {
            topic: sample.topic,
            sal_index: sample.sal_index,
            sent: sample.sent,
            received: sample.received,
            partition: sample.partition,
            offset: sample.offset,
            cells: sample.cells.to_vec(),
        });
    }
}

impl Core {
    /// The process of before was ENABLED: what comes from now on was missed, until [`super::Input::Enable`].
    pub(super) fn expect_missed(&mut self) {
        self.missed = Some(Missed::default());
    }

    /// True while messages are held that nothing has been made of: a process that dies now must read them again.
    pub fn holds_missed(&self) -> bool {
        self.missed.is_some()
    }

    /// Keeps a message that came too early, if a rule fires on such.
    pub(super) fn miss(&mut self, sample: &Sample<'_>) {
        if let Some(missed) = &mut self.missed
            && self.engine.fires_on(sample)
        {
            missed.push(sample);
        }
    }

    /// Does what is due for what was missed.
    pub(super) fn make_up(&mut self, now: Tai, out: &mut Vec<Output>) {
        let Some(missed) = self.missed.take() else { return };
        if missed.dropped > 0 {
            let dropped = missed.dropped;
            out.push(Output::Warn(format!(
                "{dropped} messages that came while the Catcher was down are too many: no rule fires on them"
            )));
        }
        for held in missed.messages {
            let sample = Sample {
                topic: held.topic,
                sal_index: held.sal_index,
                sent: held.sent,
                received: held.received,
                partition: held.partition,
                offset: held.offset,
                cells: &held.cells,
            };
            self.engine_step(RuleInput::Missed(&sample), now, out);
        }
    }
}
