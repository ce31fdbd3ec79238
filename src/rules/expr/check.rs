//! From CEL's syntax tree to the typed tree: names are looked up, types and units are checked, all mistakes are told.

use std::sync::Arc;

use cel::common::ast::{Expr as Ast, IdedExpr, LiteralValue, SourceInfo, operators as op};

use super::outline::{Branch, Outline};
use super::prepass::{Prepared, prepare};
use super::scope::{FUNCTIONS, ResultType, Scope, Shape};
use super::tree::*;
use crate::rules::diagnose::suggest;
use crate::rules::flow::Part;
use crate::rules::schema::{FieldKind, FieldSchema};

/// A mistake in an expression: bytes of its text, what, and what was expected.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mistake {
    pub(crate) span: (usize, usize),
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// A typed expression and its unit.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) unit: Option<Arc<str>>,
}

/// A typed expression with its terms.
#[derive(Debug, Clone)]
pub(crate) struct Outlined {
    pub(crate) typed: Typed,
    pub(crate) outline: Outline,
}

impl From<Expr> for Typed {
    fn from(expr: Expr) -> Typed {
        Typed { expr, unit: None }
    }
}

/// The work on one expression.
pub(crate) struct Checker<'s, 'a> {
    pub(crate) scope: &'s Scope<'a>,
    pub(crate) mistakes: Vec<Mistake>,
    /// Names bound by `all`, `map` and the like; the position is the slot.
    pub(super) locals: Vec<(String, Elem)>,
    /// The terms that were checked and do not belong to a greater one yet.
    pub(super) terms: Vec<Branch>,
    text: &'s str,
    prepared: Prepared,
    info: SourceInfo,
}

/// Parses and checks an expression of any type.
pub(crate) fn check(text: &str, scope: &Scope<'_>) -> Result<Outlined, Vec<Mistake>> {
    let prepared = prepare(text);
    if text.trim().is_empty() {
        return Err(vec![Mistake { span: (0, 0), message: "the expression is empty".into(), help: None }]);
    }
    let (ast, info) = match cel::parser::Parser::new().parse_with_source_info(&prepared.text) {
        Ok(parsed) => parsed,
        Err(errors) => {
            let mistakes = errors.errors.iter().map(|e| syntax(e, &prepared));
            return Err(mistakes.take(1).collect());
        }
    };
    let (mistakes, locals, terms) = (Vec::new(), Vec::new(), Vec::new());
    let mut checker = Checker { scope, mistakes, locals, terms, text, prepared, info };
    let typed = checker.expr(&ast);
    match (typed, checker.terms.pop()) {
        (Some(typed), Some(mut root)) if checker.mistakes.is_empty() => {
            root.span = (text.len() - text.trim_start().len(), text.trim_end().len());
            Ok(Outlined { typed, outline: Outline { text: text.into(), root } })
        }
        _ => Err(checker.mistakes),
    }
}

fn syntax(error: &cel::ParseError, prepared: &Prepared) -> Mistake {
    let (line, column) = (error.pos.0.max(1) as usize, error.pos.1.max(1) as usize);
    let start: usize = prepared.text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = &prepared.text[start.min(prepared.text.len())..];
    let at = start + rest.chars().take(column - 1).map(char::len_utf8).sum::<usize>();
    let (from, to) = prepared.original(at, (at + 1).min(prepared.text.len()));
    let message = error.msg.lines().next().unwrap_or("").trim_start_matches("Syntax error: ");
    let message = message.split(" expecting ").next().unwrap_or(message);
    Mistake {
        span: (from, to.saturating_sub(from)),
        message: format!("not a CEL expression: {message}"),
        help: None,
    }
}

impl Checker<'_, '_> {
    pub(super) fn span(&self, at: &IdedExpr) -> (usize, usize) {
        let (start, stop) = self.info.offset_for(at.id).unwrap_or((0, 0));
        // The parser counts bytes.
        let text = &self.prepared.text;
        let whole = |at: usize| (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        let (from, to) = self.prepared.original(whole(start as usize), whole(stop as usize + 1));
        (from, to.saturating_sub(from).max(1))
    }

    pub(super) fn wrong<T>(&mut self, at: &IdedExpr, message: impl Into<String>) -> Option<T> {
        self.wrong_help(at, message, None)
    }

    pub(super) fn wrong_help<T>(
        &mut self,
        at: &IdedExpr,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Option<T> {
        let span = self.span(at);
        self.mistakes.push(Mistake { span, message: message.into(), help });
        None
    }

    /// The typed form of any expression; its term is noted. See [`Checker::expr`].
    pub(super) fn raw(&mut self, at: &IdedExpr) -> Option<Typed> {
        let mark = self.terms.len();
        let typed = self.typed(at);
        let inner = self.terms.split_off(mark);
        let typed = typed?;
        let (anchor, local) = (self.span(at), self.locals.len());
        self.terms.push(Branch::of(at, self.text, anchor, local, &typed.expr, inner));
        Some(typed)
    }

    fn typed(&mut self, at: &IdedExpr) -> Option<Typed> {
        match &at.expr {
            Ast::Literal(literal) => self.literal(at, literal),
            Ast::Ident(name) => self.name(at, name),
            Ast::Select(select) if select.test => self.has(at, &select.operand, &select.field),
            Ast::Select(select) => self.select(at, &select.operand, &select.field),
            Ast::Call(call) => self.call(at, call),
            Ast::List(list) => self.list(at, &list.elements),
            Ast::Comprehension(c) => self.comprehension(at, c),
            Ast::Map(_) | Ast::Struct(_) => self.wrong(at, "maps and structures cannot be written in a rule"),
            Ast::Unspecified => self.wrong(at, "this is not an expression"),
        }
    }

    fn literal(&mut self, at: &IdedExpr, literal: &LiteralValue) -> Option<Typed> {
        Some(Typed::from(match literal {
            LiteralValue::Boolean(v) => Expr::Bool(BoolE::Const(*v.inner())),
            LiteralValue::Double(v) => Expr::Num(NumE::Const(*v.inner())),
            LiteralValue::Int(v) => Expr::Int(IntE::Const(*v.inner())),
            LiteralValue::String(v) => Expr::Text(TextE::Const(v.inner().into())),
            LiteralValue::Null => {
                let help = "ask known(x) or has(a.b)".to_owned();
                return self.wrong_help(
                    at,
                    "null is not a value here: what is missing is unknown",
                    Some(help),
                );
            }
            LiteralValue::UInt(_) => {
                return self.wrong(at, "unsigned literals are not used: write the plain number");
            }
            LiteralValue::Bytes(_) => return self.wrong(at, "byte literals are not used: write a text"),
        }))
    }

    pub(super) fn read(&self, input: usize) {
        self.scope.read.set(self.scope.read.get() | 1 << input.min(63));
    }

    pub(super) fn field(&self, input: usize, field: &FieldSchema, part: Part) -> Typed {
        self.read(input);
        let input = input as u16;
        let cell = self.scope.cells.of(input, &field.name, part);
        let list = field.count.is_some() && !matches!(part, Part::Element(_));
        let unit = field.unit.as_deref().map(Arc::from);
        Typed { expr: cell_expr(CellRef { cell, input }, field.kind, list), unit }
    }

    fn name(&mut self, at: &IdedExpr, name: &str) -> Option<Typed> {
        if let Some(slot) = self.locals.iter().rposition(|(n, _)| n == name) {
            let slot16 = slot as u16;
            return Some(Typed::from(match self.locals[slot].1 {
                Elem::Bool => Expr::Bool(BoolE::Local(slot16)),
                Elem::Int => Expr::Int(IntE::Local(slot16)),
                Elem::Double => Expr::Num(NumE::Local(slot16)),
                Elem::Text => Expr::Text(TextE::Local(slot16)),
            }));
        }
        let scope = self.scope;
        if scope.allowed.fields {
            let Some(Shape::Message(schema, _)) = scope.inputs.first().map(|i| &i.shape) else {
                return self.wrong(at, "nothing can be filtered here");
            };
            return match schema.field(name) {
                Some(field) => Some(self.field(0, field, Part::Whole)),
                None => {
                    let help = suggest(name, schema.fields.iter().map(|f| f.name.as_str()), "its fields");
                    let message = format!("{}.{} has no field \"{name}\"", schema.component, schema.sal_name);
                    self.wrong_help(at, message, help)
                }
            };
        }
        if let Some(i) = scope.inputs.iter().position(|input| input.name == name) {
            return match &scope.inputs[i].shape {
                Shape::One { cell, kind, list, unit } => {
                    self.read(i);
                    let expr = cell_expr(CellRef { cell: *cell, input: i as u16 }, *kind, *list);
                    Some(Typed { expr, unit: unit.clone() })
                }
                Shape::Broken => Some(Expr::Dyn(DynE::Const(serde_json::Value::Null)).into()),
                Shape::Keyed { key, .. } => {
                    self.read(i);
                    Some(Expr::Map(*key, i as u16).into())
                }
                Shape::Message(..) => {
                    let message = format!("\"{name}\" is a whole message; name one of its fields");
                    let help = Some(format!("write {name}.<field>, or give the input a `field`"));
                    self.wrong_help(at, message, help)
                }
            };
        }
        match name {
            "parameters" => Some(Expr::Dyn(DynE::Parameters).into()),
            "trigger" if scope.allowed.trigger => Some(Expr::Dyn(DynE::Trigger).into()),
            "tasks" if scope.allowed.tasks => {
                scope.reads_tasks.set(true);
                Some(Expr::Dyn(DynE::Tasks).into())
            }
            "tasks" | "trigger" => self.wrong(at, format!("`{name}` is not known yet at this place")),
            _ if scope.enums.iter().any(|e| e.name == name) => {
                let message = format!("{name} is an enumeration; name one of its constants");
                self.wrong_help(at, message, Some(format!("write {name}.<CONSTANT>")))
            }
            _ => {
                let known = scope.inputs.iter().map(|i| i.name.as_str());
                let help = suggest(name, known.chain(scope.enums.iter().map(|e| e.name.as_str())), "inputs");
                self.wrong_help(at, format!("there is no input \"{name}\""), help)
            }
        }
    }

    fn select(&mut self, at: &IdedExpr, operand: &IdedExpr, field: &str) -> Option<Typed> {
        if let Ast::Ident(name) = &operand.expr
            && !self.locals.iter().any(|(n, _)| n == name)
        {
            let scope = self.scope;
            // In a filter the only input has no name: its fields are the names there.
            if let Some(i) = scope.inputs.iter().position(|input| input.name == *name) {
                return self.message_field(at, i, field);
            }
            if let Some(set) = scope.enums.iter().find(|e| e.name == *name) {
                return match set.items.iter().find(|i| i.name == field) {
                    Some(item) => Some(Expr::Int(IntE::Const(item.value)).into()),
                    None => {
                        let help = suggest(field, set.items.iter().map(|i| i.name.as_str()), "its constants");
                        self.wrong_help(at, format!("enumeration {name} has no constant \"{field}\""), help)
                    }
                };
            }
            if name == "parameters" {
                return self.parameter(at, field);
            }
        }
        if self.scope.allowed.tasks
            && let Some(typed) = self.task_field(at, operand, field)
        {
            return typed;
        }
        let base = self.raw(operand)?;
        match base.expr {
            Expr::Entry(entry) => self.entry_field(at, *entry, field),
            Expr::Dyn(base) => Some(Expr::Dyn(DynE::Field(Box::new(base), field.into())).into()),
            other => {
                let local = matches!(&operand.expr, Ast::Ident(n) if self.locals.iter().any(|(l, _)| l == n));
                let help = local.then(|| format!("the entry of a key k is m[k]: write m[k].{field}"));
                let message = format!("{} has no fields, \"{field}\" was asked for", other.type_name());
                self.wrong_help(at, message, help)
            }
        }
    }

    fn message_field(&mut self, at: &IdedExpr, input: usize, field: &str) -> Option<Typed> {
        let scope = self.scope;
        let name = &scope.inputs[input].name;
        match &scope.inputs[input].shape {
            Shape::Broken => Some(Expr::Dyn(DynE::Const(serde_json::Value::Null)).into()),
            Shape::Keyed { of, .. } => {
                let message = format!("input \"{name}\" is keyed: a key has to be named first");
                let part =
                    if matches!(**of, Shape::One { .. }) { String::new() } else { format!(".{field}") };
                self.wrong_help(at, message, Some(format!("write {name}[key]{part}")))
            }
            Shape::One { .. } => {
                let message = format!("input \"{name}\" is a single value and has no field \"{field}\"");
                self.wrong_help(
                    at,
                    message,
                    Some("leave out `field` of the input to have the whole message".into()),
                )
            }
            Shape::Message(schema, only) => {
                let allowed = |n: &str| only.as_ref().is_none_or(|o| o.iter().any(|x| x == n));
                match schema.field(field).filter(|f| allowed(&f.name)) {
                    Some(found) => Some(self.field(input, found, Part::Whole)),
                    None if schema.has_untyped(field) && allowed(field) => {
                        self.read(input);
                        let cell = scope.cells.of(input as u16, field, Part::Whole);
                        let at = CellRef { cell, input: input as u16 };
                        Some(Expr::Dyn(DynE::Cell(at)).into())
                    }
                    None => {
                        let known = schema.names().filter(|n| allowed(n));
                        let help = suggest(field, known, "its fields");
                        let sal = || format!("{}.{}", schema.component, schema.sal_name);
                        let topic = schema.label().unwrap_or_else(sal);
                        self.wrong_help(
                            at,
                            format!("{topic} (input \"{name}\") has no field \"{field}\""),
                            help,
                        )
                    }
                }
            }
        }
    }

    fn parameter(&mut self, at: &IdedExpr, name: &str) -> Option<Typed> {
        let scope = self.scope;
        let Some(default) = scope.parameters.get(name) else {
            let help = suggest(name, scope.parameters.keys().map(String::as_str), "parameters");
            return self.wrong_help(at, format!("the rule has no parameter \"{name}\""), help);
        };
        let value = Box::new(DynE::Field(Box::new(DynE::Parameters), name.into()));
        Some(Typed::from(match default {
            serde_json::Value::Bool(_) => Expr::Bool(BoolE::FromDyn(value)),
            serde_json::Value::Number(n) if n.is_i64() => Expr::Int(IntE::FromDyn(value)),
            serde_json::Value::Number(_) => Expr::Num(NumE::FromDyn(value)),
            serde_json::Value::String(_) => Expr::Text(TextE::FromDyn(value)),
            _ => Expr::Dyn(*value),
        }))
    }

    /// `tasks.<step>.result.<field>` and `tasks.<step>.state`; `None` if it is something else.
    fn task_field(&mut self, at: &IdedExpr, operand: &IdedExpr, field: &str) -> Option<Option<Typed>> {
        let is_tasks = |e: &IdedExpr| matches!(&e.expr, Ast::Ident(n) if n == "tasks");
        if is_tasks(operand) {
            self.scope.reads_tasks.set(true);
            let scope = self.scope;
            if scope.tasks.iter().any(|t| t.name == field) {
                return Some(Some(Expr::Dyn(task(field)).into()));
            }
            let help = suggest(field, scope.tasks.iter().map(|t| t.name.as_str()), "tasks");
            return Some(self.wrong_help(at, format!("the rule has no task \"{field}\""), help));
        }
        let Ast::Select(inner) = &operand.expr else { return None };
        if is_tasks(&inner.operand) {
            self.scope.reads_tasks.set(true);
            let step = self.scope.tasks.iter().find(|t| t.name == inner.field)?;
            let value = DynE::Field(Box::new(task(&step.name)), field.into());
            return Some(match field {
                "state" | "error" => Some(Expr::Text(TextE::FromDyn(Box::new(value))).into()),
                "result" => Some(Expr::Dyn(value).into()),
                _ => {
                    let help = suggest(field, ["state", "result", "error"], "fields of a task");
                    self.wrong_help(at, format!("a task has no \"{field}\""), help)
                }
            });
        }
        let Ast::Select(root) = &inner.operand.expr else { return None };
        if !is_tasks(&root.operand) || inner.field != "result" {
            return None;
        }
        self.scope.reads_tasks.set(true);
        let step = self.scope.tasks.iter().find(|t| t.name == root.field)?;
        let known = step.result.as_ref()?;
        let value = Box::new(DynE::Field(
            Box::new(DynE::Field(Box::new(task(&step.name)), "result".into())),
            field.into(),
        ));
        Some(match known.iter().find(|(n, _)| *n == field) {
            Some((_, ty)) => Some(match ty {
                ResultType::Number(unit) => {
                    Typed { expr: Expr::Num(NumE::FromDyn(value)), unit: unit.clone() }
                }
                ResultType::Int => Expr::Int(IntE::FromDyn(value)).into(),
                ResultType::Text => Expr::Text(TextE::FromDyn(value)).into(),
                ResultType::Dyn => Expr::Dyn(*value).into(),
            }),
            None => {
                let help = suggest(field, known.iter().map(|(n, _)| *n), "its fields");
                self.wrong_help(at, format!("the result of task \"{}\" has no \"{field}\"", step.name), help)
            }
        })
    }

    fn has(&mut self, at: &IdedExpr, operand: &IdedExpr, field: &str) -> Option<Typed> {
        let x = self.select(at, operand, field)?;
        Some(Typed::from(Expr::Bool(match x.expr {
            Expr::Dyn(x) => BoolE::HasKey(Box::new(x)),
            other => BoolE::Known(Box::new(other)),
        })))
    }

    /// `CALL(args)` with an operator's name, a function or a method.
    fn call(&mut self, at: &IdedExpr, call: &cel::common::ast::CallExpr) -> Option<Typed> {
        let args = call.args.as_slice();
        match (call.func_name.as_str(), args, &call.target) {
            (op::LOGICAL_AND, [a, b], None) => self.logic(a, b, BoolE::And),
            (op::LOGICAL_OR, [a, b], None) => self.logic(a, b, BoolE::Or),
            (op::LOGICAL_NOT, [a], None) => Some(Expr::Bool(BoolE::Not(Box::new(self.truth(a)?))).into()),
            (op::NEGATE, [a], None) => self.negate(at, a),
            (op::CONDITIONAL, [c, a, b], None) => self.conditional(at, c, a, b),
            (op::ADD, [a, b], None) => self.arith(at, Arith::Add, a, b),
            (op::SUBSTRACT, [a, b], None) => self.arith(at, Arith::Sub, a, b),
            (op::MULTIPLY, [a, b], None) => self.arith(at, Arith::Mul, a, b),
            (op::DIVIDE, [a, b], None) => self.arith(at, Arith::Div, a, b),
            (op::MODULO, [a, b], None) => self.arith(at, Arith::Rem, a, b),
            (op::LESS, [a, b], None) => self.compare(at, Cmp::Lt, a, b),
            (op::LESS_EQUALS, [a, b], None) => self.compare(at, Cmp::Le, a, b),
            (op::GREATER, [a, b], None) => self.compare(at, Cmp::Gt, a, b),
            (op::GREATER_EQUALS, [a, b], None) => self.compare(at, Cmp::Ge, a, b),
            (op::EQUALS, [a, b], None) => self.compare(at, Cmp::Eq, a, b),
            (op::NOT_EQUALS, [a, b], None) => self.compare(at, Cmp::Ne, a, b),
            (op::IN, [a, b], None) => self.contained(at, a, b),
            (op::INDEX, [a, b], None) => self.index(at, a, b),
            (name, args, Some(target)) => self.method(at, name, target, args),
            (name, args, None) => self.function(at, name, args),
        }
    }

    /// The message for a function that is not there.
    pub(super) fn no_function<T>(&mut self, at: &IdedExpr, name: &str) -> Option<T> {
        let help = suggest(name, FUNCTIONS.iter().map(|(n, _)| *n), "functions");
        self.wrong_help(at, format!("there is no function \"{name}\""), help)
    }
}

fn task(step: &str) -> DynE {
    DynE::Field(Box::new(DynE::Tasks), step.into())
}

/// An integer as a number.
pub(super) fn to_num(x: IntE) -> NumE {
    match x {
        IntE::Const(v) => NumE::Const(v as f64),
        other => NumE::FromInt(Box::new(other)),
    }
}

fn cell_expr(at: CellRef, kind: FieldKind, list: bool) -> Expr {
    match (kind, list) {
        (FieldKind::Bool, false) => Expr::Bool(BoolE::Cell(at)),
        (FieldKind::Int, false) => Expr::Int(IntE::Cell(at)),
        (FieldKind::Double, false) => Expr::Num(NumE::Cell(at)),
        (FieldKind::Text, false) => Expr::Text(TextE::Cell(at)),
        (FieldKind::Bool, true) => Expr::List(Elem::Bool, ListE::Cell(at)),
        (FieldKind::Int, true) => Expr::List(Elem::Int, ListE::Cell(at)),
        (FieldKind::Double, true) => Expr::List(Elem::Double, ListE::Cell(at)),
        (FieldKind::Text, true) => Expr::List(Elem::Text, ListE::Cell(at)),
    }
}
