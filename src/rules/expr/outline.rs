//! An expression as its author wrote it, term by term: kept beside the program, to explain what it gave. Each term knows
//! its own bytes of the text and its own program; evaluating it is evaluating that.
//!
//! The parser knows of an operator, a call or an index only the sign itself (`>`, `(`, `[`, `.`): where such a term begins
//! and ends is found in the text.

use std::sync::Arc;

use cel::common::ast::{Expr as Ast, IdedExpr, LiteralValue, operators as op};

use super::maps::MapList;
use super::tree::{BoolE, Expr, IntE, ListE, NumE, TextE};

/// The terms of one expression.
#[derive(Debug, Clone)]
pub(crate) struct Outline {
    /// The whole expression as written.
    pub(crate) text: Arc<str>,
    pub(crate) root: Branch,
}

/// A term, and the terms in it.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    /// First byte, and the one after the last.
    pub(crate) span: (usize, usize),
    pub(crate) form: Form,
    /// Its program. None where its value follows from the terms in it (`&&`, `||`, `!`) or is not asked for.
    pub(crate) expr: Option<Expr>,
    pub(crate) terms: Vec<Branch>,
}

/// How the terms in a term matter to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// All must be true; looked at from the left until one is false.
    And,
    /// One must be true; looked at from the left until one is.
    Or,
    /// The opposite.
    Not,
    /// `c ? a : b`.
    If,
    /// Looks over a list: the first term is the list, the others are asked for each element, in this slot, of this name.
    Each(u16, Arc<str>),
    /// The name of an input whose value is not asked for, as in `age(wind)`.
    Input(u16),
    /// Everything else: its own value.
    Value,
}

impl Branch {
    /// The term of `at`, whose own sign is at `anchor`, made of `terms`.
    pub(super) fn of(
        at: &IdedExpr,
        text: &str,
        anchor: (usize, usize),
        local: usize,
        expr: &Expr,
        terms: Vec<Branch>,
    ) -> Branch {
        let form = match &at.expr {
            Ast::Call(call) if call.target.is_none() => match call.func_name.as_str() {
                op::LOGICAL_AND => Form::And,
                op::LOGICAL_OR => Form::Or,
                op::LOGICAL_NOT => Form::Not,
                op::CONDITIONAL => Form::If,
                _ => Form::Value,
            },
            Ast::Comprehension(c) => {
                Form::Each(u16::try_from(local).unwrap_or(u16::MAX), c.iter_var.as_str().into())
            }
            _ => Form::Value,
        };
        let kept = !matches!(form, Form::And | Form::Or | Form::Not);
        let mut span = extent(text, anchor, &terms);
        let negative = match &at.expr {
            Ast::Literal(LiteralValue::Int(v)) => *v.inner() < 0,
            Ast::Literal(LiteralValue::Double(v)) => v.inner().is_sign_negative(),
            _ => false,
        };
        if negative && text.as_bytes()[span.0] != b'-' {
            // The parser takes the sign of a number in, and says where the digits are.
            span.0 = text[..span.0].rfind('-').unwrap_or(span.0);
        }
        let terms = match form {
            // `a && b && c` is one term of three.
            Form::And | Form::Or => {
                let flat = |t: Branch| if t.form == form { t.terms } else { vec![t] };
                terms.into_iter().flat_map(flat).collect()
            }
            _ => terms,
        };
        Branch { span, form, expr: shown(expr).filter(|_| kept), terms }
    }

    /// The name of an input.
    pub(super) fn input(input: u16, span: (usize, usize)) -> Branch {
        Branch { span, form: Form::Input(input), expr: None, terms: Vec::new() }
    }

    /// The input whose value it is, for the name of an input or a field of one.
    pub(crate) fn reads(&self) -> Option<u16> {
        if let Form::Input(input) = self.form {
            return Some(input);
        }
        match self.expr.as_ref()? {
            Expr::Bool(BoolE::Cell(at))
            | Expr::Int(IntE::Cell(at))
            | Expr::Num(NumE::Cell(at))
            | Expr::Duration(NumE::Cell(at))
            | Expr::Text(TextE::Cell(at))
            | Expr::List(_, ListE::Cell(at)) => Some(at.input),
            Expr::List(_, ListE::Keyed(MapList::Keys(_, input))) => Some(*input),
            _ => None,
        }
    }

    /// The stateful function that it is.
    pub(crate) fn state(&self) -> Option<u16> {
        match self.expr.as_ref()? {
            Expr::Bool(BoolE::State(slot) | BoolE::AsOf(slot, _))
            | Expr::Int(IntE::State(slot) | IntE::AsOf(slot, _))
            | Expr::Num(NumE::State(slot) | NumE::AsOf(slot, _))
            | Expr::Duration(NumE::State(slot))
            | Expr::Text(TextE::State(slot) | TextE::AsOf(slot, _))
            | Expr::List(_, ListE::State(slot)) => Some(*slot),
            _ => None,
        }
    }
}

/// What is shown of a term: of a keyed input its keys, of the whole message of a key nothing.
fn shown(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Map(elem, input) => Some(Expr::List(*elem, ListE::Keyed(MapList::Keys(*elem, *input)))),
        Expr::Entry(_) => None,
        other => Some(other.clone()),
    }
}

/// From the first to the last byte of a term.
fn extent(text: &str, (anchor, length): (usize, usize), terms: &[Branch]) -> (usize, usize) {
    let bytes = text.as_bytes();
    let mut start = terms.iter().map(|t| t.span.0).fold(anchor, usize::min);
    let mut end = terms.iter().map(|t| t.span.1).fold((anchor + length).min(text.len()), usize::max);
    match bytes.get(anchor) {
        Some(b'.') => {
            start = start.min(chain_start(bytes, anchor));
            end = end.max(word_end(bytes, anchor + 1));
        }
        Some(b'(') => {
            start = start.min(chain_start(bytes, anchor));
            end = end.max(closing(bytes, anchor));
        }
        Some(b'[') => {
            // An index has something before it, a list has not.
            start = start.min(chain_start(bytes, anchor));
            end = end.max(closing(bytes, anchor));
        }
        _ => {}
    }
    balanced(bytes, start, end)
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn back_over_blanks(bytes: &[u8], mut at: usize) -> usize {
    while at > 0 && bytes[at - 1].is_ascii_whitespace() {
        at -= 1;
    }
    at
}

/// Where a chain such as `a.b(c)[0].d` begins that goes on at `at`.
fn chain_start(bytes: &[u8], at: usize) -> usize {
    let mut start = at;
    let mut open = bytes[at] == b'.';
    loop {
        let here = back_over_blanks(bytes, start);
        match here.checked_sub(1).map(|i| bytes[i]) {
            Some(b) if is_word(b) => {
                let mut word = here;
                while word > 0 && is_word(bytes[word - 1]) {
                    word -= 1;
                }
                // `x in [1, 2]`: a word of the language is no part of a chain.
                if &bytes[word..here] == b"in" {
                    return start;
                }
                start = word;
                let dot = back_over_blanks(bytes, start);
                if dot == 0 || bytes[dot - 1] != b'.' {
                    return start;
                }
                start = dot - 1;
                open = true;
            }
            Some(b')' | b']') if open || bytes[at] == b'[' => {
                start = opening(bytes, here - 1);
                open = false;
            }
            Some(b'"' | b'\'') if open => {
                let quote = bytes[here - 1];
                let mut from = here - 1;
                while from > 0 && bytes[from - 1] != quote {
                    from -= 1;
                }
                return from.saturating_sub(1);
            }
            _ => return start,
        }
    }
}

fn word_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at].is_ascii_whitespace() {
        at += 1;
    }
    while at < bytes.len() && is_word(bytes[at]) {
        at += 1;
    }
    at
}

/// Steps over a text literal that begins at `at`.
fn after_text(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let mut i = at + 1;
    while i < bytes.len() && bytes[i] != quote {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

/// The byte after the bracket that closes the one at `at`.
fn closing(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut i) = (0_i32, at);
    while i < bytes.len() {
        match bytes[i] {
            b'"' | b'\'' => {
                i = after_text(bytes, i);
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
        i += 1;
    }
    bytes.len()
}

/// The bracket that the one at `at` closes.
fn opening(bytes: &[u8], at: usize) -> usize {
    let mut open = Vec::new();
    let mut i = 0;
    while i < at {
        match bytes[i] {
            b'"' | b'\'' => {
                i = after_text(bytes, i);
                continue;
            }
            b'(' | b'[' | b'{' => open.push(i),
            b')' | b']' | b'}' => drop(open.pop()),
            _ => {}
        }
        i += 1;
    }
    open.pop().unwrap_or(0)
}

/// Widens a range until every bracket in it has its partner: `a || b) && c` becomes `(a || b) && c`.
fn balanced(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let (mut start, mut end) = (start, end.min(bytes.len()));
    let mut open = Vec::new();
    let mut i = start;
    while i < end {
        match bytes[i] {
            b'"' | b'\'' => {
                i = after_text(bytes, i);
                continue;
            }
            b'(' | b'[' | b'{' => open.push(i),
            b')' | b']' | b'}' if open.pop().is_none() => start = start.min(opening(bytes, i)),
            _ => {}
        }
        i += 1;
    }
    if let Some(first) = open.first() {
        end = end.max(closing(bytes, *first));
    }
    (start, end)
}
