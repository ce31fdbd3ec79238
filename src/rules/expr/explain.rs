//! What an expression gave, term by term, and which terms decided. Slower than evaluating, and the same answer: each
//! term's value is that of its own program, and `&&`, `||`, `!` follow from their terms as in the evaluator.

use salobj::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::env::Env;
use super::lists;
use super::memory::Stateful;
use super::outline::{Branch, Form, Outline};
use super::tree::Expr;

/// Most elements of a list that are shown with their own terms.
const MOST_ELEMENTS: usize = 5;

/// A part of an expression, and what it gave.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Term {
    /// As its author wrote it.
    pub text: String,
    /// Its value; null if it is unknown, or if its value is not asked for.
    #[serde(default)]
    pub value: Json,
    /// Why it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// It is one of the terms that made the whole what it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub decides: bool,
    /// It was not looked at, because another term had decided before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub skipped: bool,
    /// Seconds since the message was sent that its value is of, for an input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<f64>,
    /// What a function that remembers has seen: `true for 12 s of 30 s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The terms in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<Term>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Term {
    /// True or false, if it is known.
    pub fn truth(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// Its value is not known.
    pub fn is_unknown(&self) -> bool {
        self.unknown.is_some()
    }

    /// It is written as its value is: a constant.
    pub fn is_its_value(&self) -> bool {
        let value = self.value.to_string();
        value == self.text
    }

    /// The smallest terms that decided, in the order of the text.
    pub fn deciding(&self) -> Vec<&Term> {
        let inner: Vec<&Term> = self.terms.iter().flat_map(Term::deciding).collect();
        if inner.is_empty() && self.decides { vec![self] } else { inner }
    }
}

/// Explains expressions in one environment.
pub(crate) struct Explainer<'e, 'a> {
    pub(crate) env: &'e Env<'a>,
    pub(crate) names: &'e [&'e str],
    pub(crate) stateful: &'a [Stateful],
}

impl<'a> Explainer<'_, 'a> {
    /// What the expression gives.
    pub(crate) fn explain(&self, outline: &'a Outline) -> Term {
        let mut term = self.term(&outline.root, &outline.text);
        decide(&outline.root, &mut term, true, true);
        term
    }

    fn term(&self, branch: &'a Branch, text: &str) -> Term {
        let mut term = Term { text: text[branch.span.0..branch.span.1].trim().to_owned(), ..Term::default() };
        if let Form::Each(slot, name) = &branch.form {
            term.terms.extend(branch.terms.first().map(|list| self.term(list, text)));
            term.terms.extend(self.elements(branch, *slot, name, text));
        } else {
            term.terms = branch.terms.iter().map(|t| self.term(t, text)).collect();
        }
        self.env.why.set(None);
        match (&branch.expr, &branch.form) {
            (Some(expr), _) => self.valued(expr, &mut term),
            (None, Form::And) => fold(&mut term, false),
            (None, Form::Or) => fold(&mut term, true),
            (None, Form::Not) => {
                if let Some(one) = term.terms.first() {
                    term.value = one.truth().map_or(Json::Null, |v| Json::from(!v));
                    term.unknown.clone_from(&one.unknown);
                }
            }
            (None, _) => {}
        }
        if let Some(input) = branch.reads() {
            let sent = self.env.marks.get(usize::from(input)).map_or(f64::NEG_INFINITY, |m| m.sent);
            term.age_s = sent.is_finite().then_some(self.env.now - sent);
        }
        if let Some(slot) = branch.state().map(usize::from)
            && let (Some(plan), Some(memory)) = (self.stateful.get(slot), self.env.memory.get(slot))
        {
            term.note = memory.note(&plan.kind, self.env);
        }
        term
    }

    fn valued(&self, expr: &'a Expr, term: &mut Term) {
        let value = match expr {
            // The name of a keyed input, or of one of its messages: what is made of it has a value.
            Expr::Map(..) | Expr::Entry(_) => return,
            Expr::Dyn(x) => x.get(self.env).map(std::borrow::Cow::into_owned),
            other => other.value(self.env).map(|v| json(&v)),
        };
        match value {
            Some(value) => term.value = value,
            None => {
                let why = self.env.why.get().map(|why| why.say(self.names));
                term.unknown = Some(why.unwrap_or_else(|| "it has no value".to_owned()));
            }
        }
    }

    /// The other terms for the elements of a list: those that decide first, else the first few.
    fn elements(&self, branch: &'a Branch, slot: u16, name: &str, text: &str) -> Vec<Term> {
        let list = match branch.terms.first().and_then(|list| list.expr.as_ref()) {
            Some(Expr::List(_, list)) => list.get(self.env),
            _ => None,
        };
        let Some(list) = list else { return Vec::new() };
        let whole = branch.expr.as_ref().and_then(|e| e.value(self.env));
        let mut all = Vec::new();
        for element in lists::elements(&list) {
            let said = format!("{name} = {}", json(&element));
            let terms: Vec<Term> = self
                .env
                .with_local(slot, element, || branch.terms[1..].iter().map(|t| self.term(t, text)).collect());
            for mut term in terms {
                term.note = Some(said.clone());
                all.push(term);
            }
            // `exists` is decided by the first that is true, `all` by the first that is false.
            if let (Some(Value::Bool(v)), Some(last)) = (&whole, all.last())
                && last.truth() == Some(*v)
                && all.len() > MOST_ELEMENTS
            {
                break;
            }
        }
        if all.len() > MOST_ELEMENTS {
            let decisive = match whole {
                Some(Value::Bool(v)) => all.iter().position(|t| t.truth() == Some(v)),
                _ => all.iter().position(Term::is_unknown),
            };
            let first = decisive.unwrap_or(0).min(all.len() - MOST_ELEMENTS);
            all = all.split_off(first);
            all.truncate(MOST_ELEMENTS);
        }
        all
    }
}

/// `&&` if `wanted` is false, `||` if it is true: known as soon as one term is `wanted`, unknown if one is unknown.
fn fold(term: &mut Term, wanted: bool) {
    if term.terms.iter().any(|t| t.truth() == Some(wanted)) {
        term.value = Json::from(wanted);
    } else if let Some(unknown) = term.terms.iter().find(|t| t.truth().is_none()) {
        let why = "a condition is wanted here, this is none".to_owned();
        term.unknown = Some(unknown.unknown.clone().unwrap_or(why));
    } else {
        term.value = Json::from(!wanted);
    }
}

/// Marks the terms that decided, and those that were not looked at.
fn decide(branch: &Branch, term: &mut Term, decides: bool, looked: bool) {
    term.decides = decides && looked;
    term.skipped = !looked;
    let (own, unknown) = (term.truth(), term.is_unknown());
    match branch.form {
        Form::And | Form::Or => {
            let ends = branch.form == Form::Or;
            let mut open = looked;
            for (branch, term) in branch.terms.iter().zip(&mut term.terms) {
                let hit = term.truth() == Some(ends);
                let counts = if own == Some(ends) { hit } else { !unknown || term.truth().is_none() };
                decide(branch, term, decides && counts && open, open);
                open = open && !hit;
            }
        }
        Form::If => {
            let cond = term.terms.first().and_then(Term::truth);
            for (i, (branch, term)) in branch.terms.iter().zip(&mut term.terms).enumerate() {
                let taken = i == 0 || cond == Some(i == 1);
                decide(branch, term, decides, looked && taken);
            }
        }
        Form::Not => {
            for (branch, term) in branch.terms.iter().zip(&mut term.terms) {
                decide(branch, term, decides, looked);
            }
        }
        Form::Each(..) => {
            let list = branch.terms.first();
            for (i, t) in term.terms.iter_mut().enumerate() {
                if let (0, Some(list)) = (i, list) {
                    let counts = t.is_unknown();
                    decide(list, t, decides && counts, looked);
                } else {
                    let body = branch.terms.get(1 + (i - 1) % branch.terms.len().saturating_sub(1).max(1));
                    let counts = (own.is_some() && t.truth() == own) || (unknown && t.is_unknown());
                    if let Some(body) = body {
                        decide(body, t, decides && counts, looked);
                    }
                }
            }
        }
        Form::Input(_) | Form::Value => {
            let remembers = branch.state().is_some();
            for (branch, term) in branch.terms.iter().zip(&mut term.terms) {
                // Of a comparison that is known the comparison itself is the reason; of `hold(c, 30s)` what it waits for.
                let counts = remembers || (unknown && term.is_unknown());
                decide(branch, term, decides && counts, looked);
            }
        }
    }
}

/// A value as JSON; a number that JSON does not have is its name.
fn json(value: &Value) -> Json {
    match value {
        Value::Double(v) if !v.is_finite() => Json::from(v.to_string()),
        other => lists::to_json(other),
    }
}
