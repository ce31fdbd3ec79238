//! What an evaluation sees, and why something is unknown.

use std::cell::{Cell, RefCell};
use std::sync::LazyLock;

use salobj::Value;
use serde_json::{Map, Value as Json};

use super::memory::Memory;
use super::tree::{BoolE, CellRef, NumE};
use crate::rules::keyed::Table;

/// No parameters, tasks, trigger.
pub(crate) static NOTHING: LazyLock<Map<String, Json>> = LazyLock::new(Map::new);

/// What is known of an input besides its cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mark {
    /// Send stamp of the newest message; minus infinity before the first.
    pub(crate) sent: f64,
    /// When it came.
    pub(crate) received: f64,
    /// Until when its value counts: minus infinity before there is one.
    pub(crate) fresh_until: f64,
}

impl Mark {
    /// Nothing came yet.
    pub(crate) const NEVER: Mark =
        Mark { sent: f64::NEG_INFINITY, received: f64::NEG_INFINITY, fresh_until: f64::NEG_INFINITY };
}

/// Why something is unknown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Why<'a> {
    /// No message of this input yet, or the field was null.
    Missing(u16),
    /// The input is older than its `max_age`.
    Stale(u16),
    /// A keyed input has nothing for the key, or it is older than its `max_age`.
    NoEntry(u16),
    /// A keyed input has no number at all.
    NoNumbers(u16),
    /// The input's value is not a number.
    Nan(u16),
    /// A field or key that is not there.
    NoKey(&'a str),
    /// A list is shorter than that, or the key's value is null.
    NoElement,
    /// Division by zero.
    DivisionByZero,
    /// The result does not fit.
    Overflow,
    /// A text that is no number, a value of another type.
    WrongType,
    /// A stateful function has nothing to say yet.
    NotYet,
}

impl Why<'_> {
    /// In words; `inputs` are the rule's input names.
    pub(crate) fn say(self, inputs: &[&str]) -> String {
        let name = |i: u16| inputs.get(usize::from(i)).copied().unwrap_or("?").to_owned();
        match self {
            Why::Missing(i) => format!("input \"{}\" has no value", name(i)),
            Why::Stale(i) => format!("input \"{}\" is older than its max_age", name(i)),
            Why::NoEntry(i) => format!("input \"{}\" has nothing for this key", name(i)),
            Why::NoNumbers(i) => format!("no key of input \"{}\" has a number", name(i)),
            Why::Nan(i) => format!("input \"{}\" is not a number (NaN)", name(i)),
            Why::NoKey(key) => format!("there is no \"{key}\""),
            Why::NoElement => "index out of range, or no value".to_owned(),
            Why::DivisionByZero => "division by zero".to_owned(),
            Why::Overflow => "overflow".to_owned(),
            Why::WrongType => "a value has another type than is needed".to_owned(),
            Why::NotYet => "not enough was seen yet".to_owned(),
        }
    }
}

/// Everything that an evaluation sees.
pub(crate) struct Env<'a> {
    pub(crate) cells: &'a [Value],
    pub(crate) marks: &'a [Mark],
    /// Those of the inputs with `by`, by input; empty if there are none.
    pub(crate) tables: &'a [Option<Box<Table>>],
    pub(crate) memory: &'a [Memory],
    pub(crate) now: f64,
    pub(crate) parameters: &'a Map<String, Json>,
    pub(crate) tasks: &'a Map<String, Json>,
    pub(crate) trigger: &'a Map<String, Json>,
    pub(crate) locals: RefCell<Vec<Value>>,
    pub(crate) why: Cell<Option<Why<'a>>>,
}

impl<'a> Env<'a> {
    /// What an expression on a message itself sees: `filter` and `by`.
    pub(crate) fn of_message(
        cells: &'a [Value],
        marks: &'a [Mark; 1],
        parameters: &'a Map<String, Json>,
    ) -> Env<'a> {
        Env {
            cells,
            marks,
            tables: &[],
            memory: &[],
            now: marks[0].sent,
            parameters,
            tasks: &NOTHING,
            trigger: &NOTHING,
            locals: RefCell::default(),
            why: Cell::new(None),
        }
    }

    pub(crate) fn unknown<T>(&self, why: Why<'a>) -> Option<T> {
        if self.why.get().is_none() {
            self.why.set(Some(why));
        }
        None
    }

    /// `a || b` (deciding: true) or `a && b` (false): unknown only if neither decides. A reason of a term that did not
    /// matter is not kept.
    #[inline]
    pub(super) fn either(&self, a: &'a BoolE, b: &'a BoolE, deciding: bool) -> Option<bool> {
        let before = self.why.get();
        match a.get(self) {
            Some(v) if v == deciding => Some(deciding),
            Some(_) => b.get(self),
            None if b.get(self) == Some(deciding) => {
                self.why.set(before);
                Some(deciding)
            }
            None => None,
        }
    }

    pub(super) fn nan(&self, why: Why<'a>) -> f64 {
        let _: Option<()> = self.unknown(why);
        f64::NAN
    }

    #[inline]
    pub(crate) fn cell(&self, at: CellRef) -> Option<&'a Value> {
        let mark = &self.marks[usize::from(at.input)];
        if self.now <= mark.fresh_until {
            match &self.cells[usize::from(at.cell)] {
                Value::Null => self.unknown(Why::Missing(at.input)),
                value => Some(value),
            }
        } else if mark.fresh_until == f64::NEG_INFINITY {
            self.unknown(Why::Missing(at.input))
        } else {
            self.unknown(Why::Stale(at.input))
        }
    }

    pub(super) fn local(&self, slot: u16) -> Value {
        self.locals.borrow().get(usize::from(slot)).cloned().unwrap_or_default()
    }

    pub(super) fn with_local<T>(&self, slot: u16, value: Value, f: impl FnOnce() -> T) -> T {
        {
            let mut locals = self.locals.borrow_mut();
            let slot = usize::from(slot);
            if locals.len() <= slot {
                locals.resize(slot + 1, Value::Null);
            }
            locals[slot] = value;
        }
        f()
    }

    pub(super) fn state(&self, slot: u16) -> Option<&'a Value> {
        match &self.memory[usize::from(slot)].out {
            Value::Null => self.unknown(Why::NotYet),
            value => Some(value),
        }
    }

    pub(super) fn as_of(&self, slot: u16, at: &'a NumE) -> Option<&'a Value> {
        let at = at.get(self);
        if at.is_nan() {
            return None;
        }
        match self.memory[usize::from(slot)].at_time(at) {
            Some(value) => Some(value),
            None => self.unknown(Why::NotYet),
        }
    }
}
