//! The past of a rule that has just come: records may be read again, and count once.

use super::state::RuleState;
use crate::rules::flow::Sample;

impl RuleState {
    /// True if this record has been taken in before; only while the past is read, where records may come again.
    pub(super) fn has_taken(&mut self, input: u16, sample: &Sample<'_>) -> bool {
        let known = self.filled.iter_mut().find(|(i, p, _)| (*i, *p) == (input, sample.partition));
        match known {
            Some((.., newest)) if sample.offset <= *newest => return true,
            Some((.., newest)) => *newest = sample.offset,
            None => self.filled.push((input, sample.partition, sample.offset)),
        }
        false
    }

    /// The past has been read.
    pub(super) fn filled(&mut self) {
        self.filling = false;
        self.waiting = false;
        self.filled = Vec::new();
    }
}
