//! What an expression may refer to.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use sal_idl::Enumeration;
use serde_json::{Map, Value as Json};

use super::memory::Stateful;
use super::tree::Elem;
use crate::rules::flow::{FieldNeed, Part};
use crate::rules::schema::{FieldKind, TopicSchema};

/// A cell of a rule: a part of an input's message, or the reduced value of its window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CellPlan {
    /// Position of the input.
    pub(crate) input: u16,
    /// What it holds.
    pub(crate) need: FieldNeed,
}

/// The cells of a rule. They are handed out as expressions and templates ask for fields.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    plans: RefCell<Vec<CellPlan>>,
}

impl Cells {
    /// The cell of that part of that input; a new one at first.
    pub(crate) fn of(&self, input: u16, name: &str, part: Part) -> u16 {
        let need = FieldNeed { name: name.to_owned(), part };
        let mut plans = self.plans.borrow_mut();
        let found = plans.iter().position(|p| p.input == input && p.need == need);
        let at = found.unwrap_or_else(|| {
            plans.push(CellPlan { input, need });
            plans.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// Which of its input's cells it is: those that are handed out later come behind.
    pub(crate) fn position(&self, cell: u16) -> u16 {
        let plans = self.plans.borrow();
        let own = plans.get(usize::from(cell)).map(|plan| plan.input);
        plans.iter().take(usize::from(cell)).filter(|plan| Some(plan.input) == own).count() as u16
    }

    /// True if some cell belongs to the input.
    pub(crate) fn any(&self, input: u16) -> bool {
        self.plans.borrow().iter().any(|p| p.input == input)
    }

    pub(crate) fn into_plans(self) -> Vec<CellPlan> {
        self.plans.into_inner()
    }
}

/// What an input's name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// One value.
    One {
        /// Its cell.
        cell: u16,
        /// Type of the value or of its elements.
        kind: FieldKind,
        /// True for an array.
        list: bool,
        /// Unit.
        unit: Option<Arc<str>>,
    },
    /// Fields of a message: all of them, or those named.
    Message(Arc<TopicSchema>, Option<Vec<String>>),
    /// The newest of each key.
    Keyed {
        /// Type of the keys.
        key: Elem,
        /// What there is of each: one value or a message.
        of: Box<Shape>,
    },
    /// The input itself is wrong, which is told; what uses it is not a mistake as well.
    Broken,
}

/// An input as expressions see it.
#[derive(Debug, Clone)]
pub(crate) struct InputScope {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) has_max_age: bool,
}

/// The type of a result's field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ResultType {
    Number(Option<Arc<str>>),
    Int,
    Text,
    Dyn,
}

/// A step as expressions see it.
#[derive(Debug, Clone)]
pub(crate) struct TaskScope {
    pub(crate) name: String,
    /// The fields of its result; `None` if they are not known beforehand.
    pub(crate) result: Option<Vec<(&'static str, ResultType)>>,
}

/// What is allowed where the expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Allowed {
    /// Stateful functions.
    pub(crate) state: bool,
    /// `tasks`.
    pub(crate) tasks: bool,
    /// `trigger`.
    pub(crate) trigger: bool,
    /// Bare names are fields of input 0's message (`filter`).
    pub(crate) fields: bool,
}

/// Everything that an expression may refer to.
pub(crate) struct Scope<'a> {
    pub(crate) inputs: &'a [InputScope],
    pub(crate) cells: &'a Cells,
    pub(crate) stateful: &'a RefCell<Vec<Stateful>>,
    pub(crate) enums: &'a [Enumeration],
    pub(crate) parameters: &'a Map<String, Json>,
    pub(crate) tasks: &'a [TaskScope],
    pub(crate) allowed: Allowed,
    /// Inputs read so far by the expression being checked.
    pub(crate) read: Cell<u64>,
    /// It reads `tasks`.
    pub(crate) reads_tasks: Cell<bool>,
    /// It has to be looked at again as time goes on.
    pub(crate) clocked: Cell<bool>,
    /// It asks whether values are outdated.
    pub(crate) expires: Cell<bool>,
}

/// Names that may not be input names.
pub(crate) const RESERVED: &[&str] = &[
    "tasks",
    "parameters",
    "trigger",
    "value",
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Functions with their arguments, for messages and "did you mean".
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[
    ("known", "known(x): x has a value"),
    ("age", "age(input): time since its newest message was sent"),
    ("stale", "stale(input): older than its max_age"),
    ("abs", "abs(x)"),
    ("sort", "sort(list)"),
    ("sum", "sum(list)"),
    ("mean", "mean(list)"),
    ("median", "median(list)"),
    ("ptp", "ptp(list): largest minus smallest"),
    ("std", "std(list)"),
    ("rms", "rms(list)"),
    ("min", "min(list) or min(a, b, ...)"),
    ("max", "max(list) or max(a, b, ...)"),
    ("slice", "slice(list, from, to)"),
    ("concat", "concat(list, list)"),
    ("argmax", "argmax(list or keyed input): where the largest is"),
    ("argmin", "argmin(list or keyed input): where the smallest is"),
    ("max_of", "max_of(keyed input): the largest value of all keys"),
    ("min_of", "min_of(keyed input): the smallest value of all keys"),
    ("values", "values(keyed input): a list, in the order of the keys"),
    ("count", "count(mask): how many are true; count(keyed input): how many keys"),
    ("any_of", "any_of(mask): one is true"),
    ("all_of", "all_of(mask): all are true"),
    ("size", "size(list, text or keyed input)"),
    ("int", "int(x)"),
    ("double", "double(x)"),
    ("string", "string(x)"),
    ("duration", "duration('30s')"),
    ("has", "has(a.b)"),
    ("utc_hour", "utc_hour(): 0 to 24"),
    ("day_obs", "day_obs(): YYYYMMDD"),
    ("hold", "hold(condition, 30s)"),
    ("consecutive", "consecutive(condition, n)"),
    ("count_in", "count_in(condition, 10m)"),
    ("rose", "rose(condition)"),
    ("fell", "fell(condition)"),
    ("changed", "changed(x)"),
    ("prev", "prev(x)"),
    ("unchanged_for", "unchanged_for(x)"),
    ("elapsed", "elapsed(condition)"),
    ("counter", "counter(up, down, reset)"),
    ("absent", "absent(input, 15s)"),
    ("then", "then(first, second, 30s)"),
    ("as_of", "as_of(input, time)"),
];

/// Functions called on a text or list: `x.f(y)`.
pub(crate) const METHODS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
];
