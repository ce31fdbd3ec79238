//! Keyed inputs: what an input with `by` knows, the newest message or a window for each key.
//!
//! Entries are in the order of their keys, so that looking over them gives the same order each time. A message of a key
//! that is known allocates nothing. Keys beyond [`MOST_KEYS`] push out those that were silent for longest.

use std::cmp::Ordering;

use salobj::Value;
use serde_json::{Map, Value as Json};

use super::code::{Code, InputCode};
use super::expr::lists::{to_json, value_of};
use super::expr::tree::{BoolE, Elem, Expr, IntE, TextE};
use super::expr::{Env, Mark};
use super::flow::FieldNeed;
use super::windowed::{WindowPlan, Windowed};

/// Most keys of an input, and of a rule.
pub(crate) const MOST_KEYS: usize = 1000;
/// Longer texts are no keys, bytes.
const LONGEST_KEY: usize = 200;

/// `by`: an expression on the message itself, and the fields that it reads, in the order of its cells.
#[derive(Debug, Clone)]
pub(crate) struct KeyCode {
    pub(crate) expr: Expr,
    pub(crate) kind: Elem,
    pub(crate) needs: Vec<FieldNeed>,
}

impl KeyCode {
    /// The cell, where the key is a field as it is: no evaluation is needed then.
    fn field(&self) -> Option<u16> {
        match &self.expr {
            Expr::Text(TextE::Cell(at)) | Expr::Int(IntE::Cell(at)) | Expr::Bool(BoolE::Cell(at)) => {
                Some(at.cell)
            }
            _ => None,
        }
    }

    /// The key of a message, whose cells are where `from` says; `None` if it has none that is fit to be one.
    /// `scratch` is kept for its capacity.
    pub(crate) fn of(
        &self,
        cells: &[Value],
        from: &[u16],
        scratch: &mut Vec<Value>,
        parameters: &Map<String, Json>,
        mark: Mark,
    ) -> Option<Value> {
        let cell = |at: u16| cells.get(usize::from(at));
        if let Some(own) = self.field() {
            let value = from.get(usize::from(own)).and_then(|at| cell(*at))?;
            return usable(value).then(|| value.clone());
        }
        scratch.clear();
        scratch.extend(from.iter().map(|at| cell(*at).cloned().unwrap_or_default()));
        let value = self.expr.value(&Env::of_message(scratch, &[mark], parameters))?;
        usable(&value).then_some(value)
    }
}

/// A text that is empty, long or has control characters is no key.
pub(crate) fn usable(key: &Value) -> bool {
    match key {
        Value::Text(text) => {
            !text.is_empty() && text.len() <= LONGEST_KEY && !text.chars().any(char::is_control)
        }
        Value::Int(_) | Value::Bool(_) => true,
        _ => false,
    }
}

/// Keys in their order; those of one input are of one type.
pub(crate) fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// A key as text.
pub(crate) fn key_text(key: &Value) -> String {
    match key {
        Value::Text(text) => text.to_string(),
        other => to_json(other).to_string(),
    }
}

/// A key from its text.
pub(crate) fn key_from(text: &str, kind: Elem) -> Option<Value> {
    match kind {
        Elem::Text => Some(Value::Text(text.into())),
        Elem::Int => text.parse().ok().map(Value::Int),
        Elem::Bool => text.parse().ok().map(Value::Bool),
        Elem::Double => None,
    }
}

/// One entry.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: Value,
    pub(crate) mark: Mark,
    /// The input's cells, in the order of the rule's.
    pub(crate) cells: Box<[Value]>,
    window: Option<Windowed>,
}

/// All entries of an input.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    rows: Vec<Row>,
    width: usize,
    window: Option<WindowPlan>,
    /// Nothing is outdated before that.
    next_expiry: f64,
    /// No window changes by itself before that.
    next_change: f64,
    /// Keys that were pushed out, and messages without a key that is fit to be one.
    pub(crate) dropped: u64,
    pub(crate) scratch: Vec<Value>,
}

impl Table {
    /// No entries, of an input with so many cells.
    pub(crate) fn new(width: usize, window: Option<WindowPlan>) -> Table {
        Table {
            rows: Vec::new(),
            width,
            window,
            next_expiry: f64::INFINITY,
            next_change: f64::INFINITY,
            dropped: 0,
            scratch: Vec::new(),
        }
    }

    fn place(&self, key: &Value) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| order(&row.key, key))
    }

    /// The entry of a key, unless it is older than `max_age`.
    #[inline]
    pub(crate) fn get(&self, key: &Value, now: f64) -> Option<&Row> {
        self.place(key).ok().map(|at| &self.rows[at]).filter(|row| now <= row.mark.fresh_until)
    }

    /// All entries, in the order of their keys.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The entries that are not older than `max_age`, in the order of their keys.
    pub(crate) fn fresh(&self, now: f64) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| now <= row.mark.fresh_until)
    }

    /// The entry of a key, made if there is none.
    fn entry(&mut self, key: Value) -> &mut Row {
        let at = match self.place(&key) {
            Ok(at) => at,
            Err(mut at) => {
                if self.rows.len() >= MOST_KEYS {
                    let oldest = self.rows.iter().enumerate();
                    let oldest = oldest.min_by(|(_, a), (_, b)| a.mark.sent.total_cmp(&b.mark.sent));
                    if let Some((gone, _)) = oldest {
                        self.rows.remove(gone);
                        self.dropped += 1;
                        at -= usize::from(gone < at);
                    }
                }
                let row = Row {
                    key,
                    mark: Mark::NEVER,
                    cells: vec![Value::Null; self.width].into(),
                    window: self.window.as_ref().map(Windowed::new),
                };
                self.rows.insert(at, row);
                at
            }
        };
        &mut self.rows[at]
    }

    /// Takes a message's values, in the order of the input's cells. `live`: it is the newest, whatever its stamp.
    #[inline]
    pub(crate) fn accept<'v>(
        &mut self,
        key: Value,
        mark: Mark,
        live: bool,
        mut values: impl Iterator<Item = &'v Value>,
    ) {
        let now = mark.sent;
        let row = self.entry(key);
        let newer = live || now >= row.mark.sent;
        let mut change = f64::INFINITY;
        if let Some(window) = &mut row.window {
            if let (Some(value), Some(cell)) = (values.next(), row.cells.first_mut()) {
                window.push(now, value);
                window.refresh(now, cell);
                change = window.next_change();
            }
        } else if newer {
            row.cells.iter_mut().zip(values).for_each(|(cell, value)| cell.clone_from(value));
        }
        if newer {
            row.mark = mark;
            self.next_expiry = self.next_expiry.min(mark.fresh_until);
        }
        self.next_change = self.next_change.min(change);
    }

    /// Windows as of now, where one has changed since.
    pub(crate) fn update(&mut self, now: f64) {
        if now >= self.next_change {
            self.next_change = f64::INFINITY;
            for row in &mut self.rows {
                if let (Some(window), Some(cell)) = (&mut row.window, row.cells.first_mut()) {
                    window.refresh(now, cell);
                    self.next_change = self.next_change.min(window.next_change());
                }
            }
        }
        if now > self.next_expiry {
            let ends = self.rows.iter().map(|row| row.mark.fresh_until).filter(|end| *end >= now);
            self.next_expiry = ends.fold(f64::INFINITY, f64::min);
        }
    }

    /// When an entry becomes outdated, or a window changes by itself, as of the last [`Table::update`].
    pub(crate) fn next_deadline(&self, now: f64, look: f64) -> f64 {
        let change =
            if self.next_change.is_finite() { self.next_change.max(now + look) } else { f64::INFINITY };
        // At its end it still counts.
        change.min(self.next_expiry.next_up())
    }

    /// Values dropped because a window was full.
    pub(crate) fn dropped_values(&self) -> u64 {
        self.rows.iter().filter_map(|row| row.window.as_ref()).map(Windowed::dropped).sum()
    }

    /// As a run's context has it: an object by the texts of the keys, of what is known and not outdated.
    pub(crate) fn json(&self, names: &[&str], single: bool, now: f64) -> Map<String, Json> {
        let known = |v: &Value| !matches!(v, Value::Null) && !matches!(v, Value::Double(d) if d.is_nan());
        let entry = |row: &Row| match single {
            true => row.cells.first().filter(|v| known(v)).map(to_json),
            false => {
                let fields = names.iter().zip(&row.cells).filter(|(_, value)| known(value));
                Some(fields.map(|(name, value)| ((*name).to_owned(), to_json(value))).collect())
            }
        };
        self.fresh(now).filter_map(|row| Some((key_text(&row.key), entry(row)?))).collect()
    }
}

/// The tables of a rule: one for each input with `by`, at its place. Empty if none has it.
pub(crate) type Tables = Box<[Option<Box<Table>>]>;

/// Empty tables for a rule.
pub(crate) fn tables(code: &Code) -> Tables {
    if code.inputs.iter().all(|input| input.by.is_none()) {
        return Tables::default();
    }
    let width = |at: usize| code.cells.iter().filter(|plan| usize::from(plan.input) == at).count();
    let table = |(at, input): (usize, &InputCode)| {
        input.by.as_ref().map(|_| Box::new(Table::new(width(at), input.window)))
    };
    code.inputs.iter().enumerate().map(table).collect()
}

/// The tables as they were when a run was triggered: from the inputs of its context.
pub(crate) fn frozen_tables(code: &Code, inputs: &Map<String, Json>, at: f64) -> Tables {
    let mut all = tables(code);
    for (i, table) in all.iter_mut().enumerate() {
        let input = &code.inputs[i];
        let (Some(table), Some(by)) = (table, &input.by) else { continue };
        // What a window came to is kept, not its values.
        table.window = None;
        let names = code.names_of(i);
        for (text, json) in inputs.get(&input.name).and_then(Json::as_object).into_iter().flatten() {
            let Some(key) = key_from(text, by.kind) else { continue };
            let values: Vec<Value> = match input.single {
                Some(_) => vec![value_of(json)],
                None => {
                    let field = |name: &&str| json.get(name).map(value_of).unwrap_or_default();
                    names.iter().map(field).collect()
                }
            };
            let mark = Mark { sent: at, received: at, fresh_until: f64::INFINITY };
            table.accept(key, mark, true, values.iter());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::window::{Length, Reducer};

    fn mark(sent: f64, max_age: f64) -> Mark {
        Mark { sent, received: sent, fresh_until: sent + max_age }
    }

    fn text(key: &str) -> Value {
        Value::Text(key.into())
    }

    #[test]
    fn the_newest_of_each_key_counts_until_it_is_outdated() {
        let mut table = Table::new(1, None);
        for (key, sent, value) in [("b", 1.0, 10.0), ("a", 2.0, 20.0), ("b", 3.0, 30.0), ("b", 2.0, 40.0)] {
            table.accept(text(key), mark(sent, 10.0), false, [Value::Double(value)].iter());
        }
        let all = |now: f64| table.json(&[], true, now);
        assert_eq!(serde_json::json!(all(12.0)), serde_json::json!({"a": 20.0, "b": 30.0}));
        assert_eq!(serde_json::json!(all(12.5)), serde_json::json!({"b": 30.0}), "a is outdated");
        assert!(table.get(&text("a"), 12.5).is_none() && table.get(&text("c"), 1.0).is_none());
    }

    #[test]
    fn deadlines_are_those_of_the_entries() {
        let mut table = Table::new(1, None);
        table.accept(Value::Int(1), mark(0.0, 10.0), true, [Value::Double(1.0)].iter());
        table.accept(Value::Int(2), mark(5.0, 10.0), true, [Value::Double(1.0)].iter());
        assert_eq!(table.next_deadline(5.0, 1.0), 10.0_f64.next_up());
        table.update(10.0_f64.next_up());
        assert_eq!(table.next_deadline(10.5, 1.0), 15.0_f64.next_up());
        table.update(16.0);
        assert_eq!(table.next_deadline(16.0, 1.0), f64::INFINITY);
    }

    #[test]
    fn each_key_has_its_window() {
        let plan =
            WindowPlan { length: Length::Seconds(10.0), reducer: Reducer::Max, min_count: 1, elements: None };
        let mut table = Table::new(1, Some(plan));
        for (key, sent, value) in [(1, 0.0, 5.0), (2, 1.0, 7.0), (1, 2.0, 3.0)] {
            table.accept(Value::Int(key), mark(sent, f64::INFINITY), true, [Value::Double(value)].iter());
        }
        let value = |table: &Table, key| table.get(&Value::Int(key), 0.0).unwrap().cells[0].clone();
        assert_eq!((value(&table, 1), value(&table, 2)), (Value::Double(5.0), Value::Double(7.0)));
        table.update(10.5);
        assert_eq!((value(&table, 1), value(&table, 2)), (Value::Double(3.0), Value::Double(7.0)));
        assert_eq!(table.next_deadline(10.5, 1.0), 11.5, "not before a second");
    }

    #[test]
    fn keys_are_bounded_and_the_silent_ones_go() {
        let mut table = Table::new(1, None);
        for key in 0..MOST_KEYS as i64 + 5 {
            let at = mark(key as f64, f64::INFINITY);
            table.accept(Value::Int(key), at, true, [Value::Int(key)].iter());
            table.accept(Value::Int(0), at, true, [Value::Int(key)].iter());
        }
        assert_eq!((table.rows.len(), table.dropped), (MOST_KEYS, 5));
        assert!(table.get(&Value::Int(0), 0.0).is_some(), "it was never silent");
        assert!(table.get(&Value::Int(5), 0.0).is_none() && table.get(&Value::Int(6), 0.0).is_some());
    }

    #[test]
    fn not_everything_is_a_key() {
        let long = "x".repeat(201);
        for no in [text(""), text("a\nb"), text(&long), Value::Null, Value::Double(1.0)] {
            assert!(!usable(&no), "{no:?}");
        }
        assert!(usable(&text("AuxTel-ESS01")) && usable(&Value::Int(-1)) && usable(&Value::Bool(false)));
    }
}
