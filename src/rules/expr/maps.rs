//! Keyed inputs in expressions: `m[key]`, `key in m`, looking over keys, the largest of all.
//!
//! An entry that is older than the input's `max_age` is not there. While there is none at all, what looks over the keys
//! is unknown, as a plain input without a value is: silence decides nothing. `count`, `size`, `known` and `in` ask on
//! purpose. A value that is missing or NaN counts for its key, but not among the values.

use std::cmp::Ordering;
use std::sync::Arc;

use cel::common::ast::{Expr as Ast, IdedExpr, operators as op};
use salobj::Value;

use super::check::{Checker, Typed};
use super::env::{Env, Why};
use super::lists;
use super::scope::Shape;
use super::tree::*;
use crate::rules::diagnose::suggest;
use crate::rules::flow::Part;
use crate::rules::keyed::{Row, Table};
use crate::rules::schema::FieldKind;

/// A part of the entry of a key.
#[derive(Debug, Clone)]
pub(crate) struct KeyedRef {
    pub(crate) input: u16,
    /// Which of the input's cells.
    pub(crate) at: u16,
    pub(crate) key: Expr,
}

/// True or false from a keyed input.
#[derive(Debug, Clone)]
pub(crate) enum MapBool {
    Entry(KeyedRef),
    /// There is something for this key.
    Has(u16, Expr),
    /// There is any key.
    Any(u16),
    /// The key of the largest (true) or smallest.
    Arg(bool, u16),
}

/// A number from a keyed input.
#[derive(Debug, Clone)]
pub(crate) enum MapNum {
    Entry(KeyedRef),
    /// The largest (true) or smallest value.
    Extreme(bool, u16),
    /// Time since the entry's message was sent.
    Age(u16, Expr),
}

/// An integer from a keyed input.
#[derive(Debug, Clone)]
pub(crate) enum MapInt {
    Entry(KeyedRef),
    Extreme(bool, u16),
    Arg(bool, u16),
    /// How many keys there are.
    Size(u16),
}

/// A text from a keyed input.
#[derive(Debug, Clone)]
pub(crate) enum MapText {
    Entry(KeyedRef),
    Arg(bool, u16),
}

/// A list from a keyed input.
#[derive(Debug, Clone)]
pub(crate) enum MapList {
    Entry(Box<KeyedRef>),
    Keys(Elem, u16),
    Values(Elem, u16),
}

fn elem_of(kind: FieldKind) -> Elem {
    match kind {
        FieldKind::Bool => Elem::Bool,
        FieldKind::Int => Elem::Int,
        FieldKind::Double => Elem::Double,
        FieldKind::Text => Elem::Text,
    }
}

impl Checker<'_, '_> {
    /// The typed form of an expression that is a value: a keyed input and the whole message of a key are none.
    pub(super) fn expr(&mut self, at: &IdedExpr) -> Option<Typed> {
        let typed = self.raw(at)?;
        let name = |i: u16| self.scope.inputs[usize::from(i)].name.clone();
        match &typed.expr {
            Expr::Map(_, input) => {
                let name = name(*input);
                let help = format!(
                    "write {name}[key], or look over the keys: {name}.exists(k, ...), max_of({name})"
                );
                self.wrong_help(at, format!("input \"{name}\" is keyed: a key has to be named"), Some(help))
            }
            Expr::Entry(entry) => {
                let message = "this is a whole message; name one of its fields";
                self.wrong_help(at, message, Some(format!("write {}[key].<field>", name(entry.input))))
            }
            _ => Some(typed),
        }
    }

    /// A key of a keyed input, of the type that it has.
    pub(super) fn key(&mut self, at: &IdedExpr, key: Expr, kind: Elem) -> Option<Expr> {
        Some(match (kind, key) {
            (Elem::Text, key @ Expr::Text(_))
            | (Elem::Int, key @ Expr::Int(_))
            | (Elem::Bool, key @ Expr::Bool(_)) => key,
            (Elem::Text, Expr::Dyn(x)) => Expr::Text(TextE::FromDyn(Box::new(x))),
            (Elem::Int, Expr::Dyn(x)) => Expr::Int(IntE::FromDyn(Box::new(x))),
            (Elem::Bool, Expr::Dyn(x)) => Expr::Bool(BoolE::FromDyn(Box::new(x))),
            (kind, other) => {
                let wanted = match kind {
                    Elem::Text => "text",
                    Elem::Int => "an integer",
                    Elem::Bool | Elem::Double => "true or false",
                };
                return self.wrong(at, format!("the key must be {wanted}, this is {}", other.type_name()));
            }
        })
    }

    /// `m[key]`.
    pub(super) fn entry(&mut self, input: u16, kind: Elem, index: &IdedExpr) -> Option<Typed> {
        let key = self.expr(index)?.expr;
        let key = self.key(index, key, kind)?;
        let Shape::Keyed { of, .. } = &self.scope.inputs[usize::from(input)].shape else { return None };
        Some(match of.as_ref() {
            Shape::One { cell, kind, list, unit } => {
                let entry = KeyedRef { input, at: self.scope.cells.position(*cell), key };
                Typed { expr: entry_expr(entry, *kind, *list), unit: unit.clone() }
            }
            Shape::Message(..) | Shape::Keyed { .. } | Shape::Broken => {
                Expr::Entry(Box::new(KeyedRef { input, at: 0, key })).into()
            }
        })
    }

    /// `m[key].field`.
    pub(super) fn entry_field(&mut self, at: &IdedExpr, entry: KeyedRef, field: &str) -> Option<Typed> {
        let scope = self.scope;
        let input = &scope.inputs[usize::from(entry.input)];
        let Shape::Keyed { of, .. } = &input.shape else { return None };
        let Shape::Message(schema, only) = of.as_ref() else { return None };
        let allowed = |n: &str| only.as_ref().is_none_or(|o| o.iter().any(|x| x == n));
        let Some(found) = schema.field(field).filter(|f| allowed(&f.name)) else {
            let known = schema.fields.iter().map(|f| f.name.as_str()).filter(|n| allowed(n));
            let help = suggest(field, known, "its fields");
            let topic = format!("{}.{}", schema.component, schema.sal_name);
            let message = format!("{topic} (input \"{}\") has no field \"{field}\"", input.name);
            return self.wrong_help(at, message, help);
        };
        let cell = scope.cells.of(entry.input, &found.name, Part::Whole);
        let entry = KeyedRef { at: scope.cells.position(cell), ..entry };
        let unit = found.unit.as_deref().map(Arc::from);
        Some(Typed { expr: entry_expr(entry, found.kind, found.count.is_some()), unit })
    }

    /// A function of a keyed input or of the entry of a key; `None` if the argument is something else, or the function
    /// takes any value.
    pub(super) fn of_map(&mut self, at: &IdedExpr, name: &str, x: &IdedExpr) -> Option<Option<Typed>> {
        let scope = self.scope;
        let keyed = |e: &IdedExpr| match &e.expr {
            Ast::Ident(n) => scope.inputs.iter().position(|i| i.name == *n && is_keyed(&i.shape)),
            _ => None,
        };
        if let Ast::Call(call) = &x.expr
            && call.func_name == op::INDEX
            && let [base, index] = call.args.as_slice()
            && let Some(input) = keyed(base)
            && let Shape::Keyed { key, of } = &scope.inputs[input].shape
        {
            let whole = matches!(of.as_ref(), Shape::Message(..));
            if name != "age" && !(name == "known" && whole) {
                return None;
            }
            self.raw(base)?;
            if name == "age" {
                self.scope.clocked.set(true)
            } else {
                self.scope.expires.set(true)
            }
            return Some(self.expr(index).and_then(|index_typed| {
                let key = self.key(index, index_typed.expr, *key)?;
                Some(Typed::from(match name {
                    "age" => Expr::Duration(NumE::Map(Box::new(MapNum::Age(input as u16, key)))),
                    _ => Expr::Bool(BoolE::Map(Box::new(MapBool::Has(input as u16, key)))),
                }))
            }));
        }
        if let Ast::Ident(n) = &x.expr
            && scope.inputs.iter().any(|i| i.name == *n && matches!(i.shape, Shape::Broken))
        {
            // Told where the input stands.
            return Some(self.raw(x));
        }
        let input = keyed(x)?;
        let Shape::Keyed { key, of } = &scope.inputs[input].shape else { return None };
        if !matches!(name, "count" | "size" | "known" | "max_of" | "min_of" | "argmax" | "argmin" | "values")
        {
            if matches!(name, "mean" | "median" | "sum" | "ptp" | "std" | "rms" | "min" | "max" | "sort") {
                let input = &scope.inputs[input].name;
                let message = format!("{name}() needs a list of numbers, \"{input}\" is keyed");
                return Some(self.wrong_help(at, message, Some(format!("write {name}(values({input}))"))));
            }
            return None;
        }
        self.raw(x)?;
        let (i, max) = (input as u16, matches!(name, "max_of" | "argmax"));
        let known = match (name, of.as_ref()) {
            ("count" | "size", _) => Some(Expr::Int(IntE::Map(Box::new(MapInt::Size(i)))).into()),
            ("known", _) => {
                self.scope.expires.set(true);
                Some(Expr::Bool(BoolE::Map(Box::new(MapBool::Any(i)))).into())
            }
            (_, Shape::One { kind, list: false, unit, .. }) => {
                let number = matches!(kind, FieldKind::Double | FieldKind::Int);
                let expr = match (name, *kind, *key) {
                    ("values", kind, _) => {
                        Some(Expr::List(elem_of(kind), ListE::Keyed(MapList::Values(elem_of(kind), i))))
                    }
                    ("max_of" | "min_of", FieldKind::Int, _) => {
                        Some(Expr::Int(IntE::Map(Box::new(MapInt::Extreme(max, i)))))
                    }
                    ("max_of" | "min_of", FieldKind::Double, _) => {
                        Some(Expr::Num(NumE::Map(Box::new(MapNum::Extreme(max, i)))))
                    }
                    (_, _, Elem::Text) if number => {
                        Some(Expr::Text(TextE::Map(Box::new(MapText::Arg(max, i)))))
                    }
                    (_, _, Elem::Int) if number => Some(Expr::Int(IntE::Map(Box::new(MapInt::Arg(max, i))))),
                    (_, _, Elem::Bool) if number => {
                        Some(Expr::Bool(BoolE::Map(Box::new(MapBool::Arg(max, i)))))
                    }
                    _ => None,
                };
                let unit = unit.clone().filter(|_| !name.starts_with("arg"));
                expr.map(|expr| Typed { expr, unit })
            }
            _ => None,
        };
        Some(known.or_else(|| {
            let name_of = &scope.inputs[input].name;
            let message = format!("{name}() needs one number for each key of \"{name_of}\"");
            let help = match of.as_ref() {
                Shape::Message(..) => Some(format!(
                    "give the input a `field`, or write max({name_of}.map(k, {name_of}[k].<field>))"
                )),
                _ => None,
            };
            self.wrong_help(at, message, help)
        }))
    }
}

fn is_keyed(shape: &Shape) -> bool {
    matches!(shape, Shape::Keyed { .. })
}

fn entry_expr(entry: KeyedRef, kind: FieldKind, list: bool) -> Expr {
    match (kind, list) {
        (FieldKind::Bool, false) => Expr::Bool(BoolE::Map(Box::new(MapBool::Entry(entry)))),
        (FieldKind::Int, false) => Expr::Int(IntE::Map(Box::new(MapInt::Entry(entry)))),
        (FieldKind::Double, false) => Expr::Num(NumE::Map(Box::new(MapNum::Entry(entry)))),
        (FieldKind::Text, false) => Expr::Text(TextE::Map(Box::new(MapText::Entry(entry)))),
        (kind, true) => Expr::List(elem_of(kind), ListE::Keyed(MapList::Entry(Box::new(entry)))),
    }
}

impl<'a> Env<'a> {
    fn table(&self, input: u16) -> Option<&'a Table> {
        match self.tables.get(usize::from(input)) {
            Some(Some(table)) => Some(table),
            _ => self.unknown(Why::Missing(input)),
        }
    }

    /// The entries that are not outdated; unknown if there are none.
    fn rows(&self, input: u16) -> Option<Rows<'a>> {
        let table = self.table(input)?;
        if table.fresh(self.now).next().is_none() {
            return self.unknown(if table.rows().is_empty() {
                Why::Missing(input)
            } else {
                Why::Stale(input)
            });
        }
        Some(Rows { rows: table.rows().iter(), now: self.now })
    }

    fn row(&self, input: u16, key: &'a Expr) -> Option<&'a Row> {
        let key = key.value(self)?;
        self.table(input)?.get(&key, self.now).or_else(|| self.unknown(Why::NoEntry(input)))
    }

    /// The first entry with the largest or smallest number.
    fn extreme(&self, input: u16, largest: bool) -> Option<(&'a Row, &'a Value)> {
        let wanted = if largest { Ordering::Greater } else { Ordering::Less };
        let rows = self.rows(input)?.filter_map(|row| Some((row, row.cells.first()?)));
        let numbers = rows.filter(|(_, v)| match v {
            Value::Double(v) => !v.is_nan(),
            Value::Int(_) => true,
            _ => false,
        });
        let better = |a: &Value, b: &Value| match (a, b) {
            (Value::Int(a), Value::Int(b)) => a.cmp(b) == wanted,
            (Value::Double(a), Value::Double(b)) => a.partial_cmp(b) == Some(wanted),
            _ => false,
        };
        numbers
            .reduce(|best, row| if better(row.1, best.1) { row } else { best })
            .or_else(|| self.unknown(Why::NoNumbers(input)))
    }
}

impl KeyedRef {
    fn get<'a>(&'a self, env: &Env<'a>) -> Option<&'a Value> {
        match env.row(self.input, &self.key)?.cells.get(usize::from(self.at)) {
            None | Some(Value::Null) => env.unknown(Why::Missing(self.input)),
            Some(value) => Some(value),
        }
    }
}

impl MapBool {
    pub(super) fn get<'a>(&'a self, env: &Env<'a>) -> Option<bool> {
        let of = |value: &Value| match value {
            Value::Bool(v) => Some(*v),
            _ => env.unknown(Why::WrongType),
        };
        match self {
            MapBool::Entry(entry) => of(entry.get(env)?),
            MapBool::Has(input, key) => {
                let key = key.value(env)?;
                Some(env.table(*input)?.get(&key, env.now).is_some())
            }
            MapBool::Any(input) => Some(env.table(*input)?.fresh(env.now).next().is_some()),
            MapBool::Arg(largest, input) => of(&env.extreme(*input, *largest)?.0.key),
        }
    }
}

impl MapNum {
    /// NaN if unknown.
    pub(super) fn get<'a>(&'a self, env: &Env<'a>) -> f64 {
        let value = match self {
            MapNum::Entry(entry) => match entry.get(env) {
                Some(Value::Double(v)) if v.is_nan() => return env.nan(Why::Nan(entry.input)),
                value => value,
            },
            MapNum::Extreme(largest, input) => env.extreme(*input, *largest).map(|(_, value)| value),
            MapNum::Age(input, key) => {
                return env.row(*input, key).map_or(f64::NAN, |row| env.now - row.mark.sent);
            }
        };
        match value {
            Some(Value::Double(v)) => *v,
            Some(Value::Int(v)) => *v as f64,
            _ => f64::NAN,
        }
    }
}

impl MapInt {
    pub(super) fn get<'a>(&'a self, env: &Env<'a>) -> Option<i64> {
        let value = match self {
            MapInt::Entry(entry) => entry.get(env)?,
            MapInt::Extreme(largest, input) => env.extreme(*input, *largest)?.1,
            MapInt::Arg(largest, input) => &env.extreme(*input, *largest)?.0.key,
            MapInt::Size(input) => return Some(env.table(*input)?.fresh(env.now).count() as i64),
        };
        match value {
            Value::Int(v) => Some(*v),
            _ => env.unknown(Why::WrongType),
        }
    }
}

impl MapText {
    pub(super) fn get<'a>(&'a self, env: &Env<'a>) -> Option<Arc<str>> {
        let value = match self {
            MapText::Entry(entry) => entry.get(env)?,
            MapText::Arg(largest, input) => &env.extreme(*input, *largest)?.0.key,
        };
        match value {
            Value::Text(v) => Some(v.clone()),
            _ => env.unknown(Why::WrongType),
        }
    }
}

impl MapList {
    pub(super) fn get<'a>(&'a self, env: &Env<'a>) -> Option<Value> {
        match self {
            MapList::Entry(entry) => entry.get(env).cloned(),
            MapList::Keys(elem, input) => {
                let rows = env.rows(*input)?;
                lists::collect(*elem, rows.map(|row| row.key.clone()).collect())
            }
            MapList::Values(elem, input) => {
                let rows = env.rows(*input)?.filter_map(|row| row.cells.first());
                let known = rows.filter(|v| match v {
                    Value::Double(v) => !v.is_nan(),
                    other => **other != Value::Null,
                });
                lists::collect(*elem, known.cloned().collect())
            }
        }
    }
}

/// The entries that are not outdated.
pub(super) struct Rows<'a> {
    rows: std::slice::Iter<'a, Row>,
    now: f64,
}

impl<'a> Iterator for Rows<'a> {
    type Item = &'a Row;

    fn next(&mut self) -> Option<&'a Row> {
        let now = self.now;
        self.rows.find(|row| now <= row.mark.fresh_until)
    }
}

/// What is looked over: the elements of a list, or the keys of an input, which need no list to be made.
pub(super) enum Elements<'a> {
    List(Value, usize),
    Keys(Elem, Rows<'a>),
}

impl Elements<'_> {
    /// The type of the elements.
    pub(super) fn elem(&self) -> Option<Elem> {
        match self {
            Elements::List(list, _) => lists::elem_of(list),
            Elements::Keys(elem, _) => Some(*elem),
        }
    }
}

impl Iterator for Elements<'_> {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        match self {
            Elements::List(list, at) => {
                *at += 1;
                lists::at(list, *at - 1)
            }
            Elements::Keys(_, rows) => rows.next().map(|row| row.key.clone()),
        }
    }
}

impl<B> Over<B> {
    pub(super) fn elements<'a>(&'a self, env: &Env<'a>) -> Option<Elements<'a>> {
        match &self.list {
            ListE::Keyed(MapList::Keys(elem, input)) => Some(Elements::Keys(*elem, env.rows(*input)?)),
            list => Some(Elements::List(list.get(env)?, 0)),
        }
    }
}
