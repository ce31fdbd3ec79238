//! The compiled form of an expression: one tree for each type, so that evaluation needs no look at types and, for
//! scalars, no allocation.

use std::sync::Arc;

use regex::Regex;
use salobj::Value;
use serde_json::Value as Json;

use super::maps::{KeyedRef, MapBool, MapInt, MapList, MapNum, MapText};

/// Where a value is: a cell of the rule, and the input it belongs to (for missing and stale).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CellRef {
    pub(crate) cell: u16,
    pub(crate) input: u16,
}

/// Comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cmp {
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
}

/// Arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

/// Looking over the elements of a list.
#[derive(Debug, Clone)]
pub(crate) struct Over<B> {
    pub(crate) list: ListE,
    /// Slot of the element's name.
    pub(crate) local: u16,
    pub(crate) body: B,
}

/// `c ? a : b`.
#[derive(Debug, Clone)]
pub(crate) struct If<E> {
    pub(crate) cond: BoolE,
    pub(crate) then: E,
    pub(crate) otherwise: E,
}

/// A true-or-false expression.
#[derive(Debug, Clone)]
pub(crate) enum BoolE {
    Const(bool),
    Cell(CellRef),
    Map(Box<MapBool>),
    /// Of a mask: one of them, or all.
    Mask(bool, Box<ListE>),
    Local(u16),
    Not(Box<BoolE>),
    And(Box<BoolE>, Box<BoolE>),
    Or(Box<BoolE>, Box<BoolE>),
    Num(Cmp, NumE, NumE),
    Int(Cmp, IntE, IntE),
    Text(Cmp, TextE, TextE),
    Bool(Cmp, Box<BoolE>, Box<BoolE>),
    Lists(bool, Box<ListE>, Box<ListE>),
    Dyn(bool, Box<DynE>, Box<DynE>),
    InList(Box<Expr>, Box<ListE>),
    InDyn(Box<Expr>, Box<DynE>),
    Contains(Box<TextE>, Box<TextE>),
    StartsWith(Box<TextE>, Box<TextE>),
    EndsWith(Box<TextE>, Box<TextE>),
    Matches(Box<TextE>, Regex),
    Known(Box<Expr>),
    Stale(u16),
    HasKey(Box<DynE>),
    If(Box<If<BoolE>>),
    Index(Box<ListE>, Box<IntE>),
    FromDyn(Box<DynE>),
    All(Box<Over<BoolE>>),
    Exists(Box<Over<BoolE>>),
    ExistsOne(Box<Over<BoolE>>),
    State(u16),
    AsOf(u16, Box<NumE>),
}

/// A double; NaN is unknown. Durations are seconds.
#[derive(Debug, Clone)]
pub(crate) enum NumE {
    Const(f64),
    Cell(CellRef),
    Map(Box<MapNum>),
    Local(u16),
    FromInt(Box<IntE>),
    Neg(Box<NumE>),
    Arith(Arith, Box<(NumE, NumE)>),
    Abs(Box<NumE>),
    Extreme(bool, Vec<NumE>),
    Reduce(Reduce, Box<ListE>),
    Index(Box<ListE>, Box<IntE>),
    If(Box<If<NumE>>),
    Parse(Box<TextE>),
    FromDyn(Box<DynE>),
    Age(u16),
    UtcHour,
    State(u16),
    AsOf(u16, Box<NumE>),
}

/// A number out of a numeric list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reduce {
    Sum,
    Mean,
    Median,
    Min,
    Max,
    Ptp,
    Std,
    Rms,
}

/// An integer.
#[derive(Debug, Clone)]
pub(crate) enum IntE {
    Const(i64),
    Cell(CellRef),
    Map(Box<MapInt>),
    Local(u16),
    Neg(Box<IntE>),
    Arith(Arith, Box<(IntE, IntE)>),
    Abs(Box<IntE>),
    Extreme(bool, Vec<IntE>),
    Sum(Box<ListE>),
    ListExtreme(bool, Box<ListE>),
    /// Where the largest or smallest is.
    Arg(bool, Box<ListE>),
    Size(Box<ListE>),
    TextSize(Box<TextE>),
    DynSize(Box<DynE>),
    CountTrue(Box<ListE>),
    Index(Box<ListE>, Box<IntE>),
    If(Box<If<IntE>>),
    Truncate(Box<NumE>),
    Parse(Box<TextE>),
    FromDyn(Box<DynE>),
    DayObs,
    State(u16),
    AsOf(u16, Box<NumE>),
}

/// A text.
#[derive(Debug, Clone)]
pub(crate) enum TextE {
    Const(Arc<str>),
    Cell(CellRef),
    Map(Box<MapText>),
    Local(u16),
    Concat(Box<TextE>, Box<TextE>),
    Index(Box<ListE>, Box<IntE>),
    If(Box<If<TextE>>),
    Format(Box<Expr>),
    FromDyn(Box<DynE>),
    State(u16),
    AsOf(u16, Box<NumE>),
}

/// A list of scalars of one type.
#[derive(Debug, Clone)]
pub(crate) enum ListE {
    Const(Value),
    Cell(CellRef),
    Keyed(MapList),
    Make(Elem, Vec<Expr>),
    /// Elementwise; either side may be a single number.
    Arith(Arith, Box<(Expr, Expr)>, Elem),
    /// Elementwise comparison: a mask.
    Mask(Cmp, Box<(Expr, Expr)>),
    Abs(Box<ListE>),
    Sort(Box<ListE>),
    Slice(Box<ListE>, Box<IntE>, Box<IntE>),
    Concat(Box<ListE>, Box<ListE>),
    Map(Elem, Box<Over<Expr>>),
    Filter(Box<Over<BoolE>>),
    If(Box<If<ListE>>),
    FromDyn(Elem, Box<DynE>),
    State(u16),
}

/// A value whose type is only known when it is there.
#[derive(Debug, Clone)]
pub(crate) enum DynE {
    Const(Json),
    Cell(CellRef),
    Parameters,
    Tasks,
    Trigger,
    Field(Box<DynE>, Arc<str>),
    Index(Box<DynE>, Box<Expr>),
}

/// The element type of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elem {
    Bool,
    Int,
    Double,
    Text,
}

/// An expression of any type.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Bool(BoolE),
    Int(IntE),
    Num(NumE),
    /// Seconds, but a type of its own.
    Duration(NumE),
    Text(TextE),
    List(Elem, ListE),
    Dyn(DynE),
    /// A keyed input, and the type of its keys: to be indexed and looked over only.
    Map(Elem, u16),
    /// The message of a key: one of its fields is to be named.
    Entry(Box<KeyedRef>),
}

impl Expr {
    /// The name of its type, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Expr::Bool(_) => "true or false",
            Expr::Int(_) => "an integer",
            Expr::Num(_) => "a number",
            Expr::Duration(_) => "a duration",
            Expr::Text(_) => "text",
            Expr::List(Elem::Bool, _) => "a list of true or false",
            Expr::List(Elem::Int, _) => "a list of integers",
            Expr::List(Elem::Double, _) => "a list of numbers",
            Expr::List(Elem::Text, _) => "a list of texts",
            Expr::Dyn(_) => "a value of unknown type",
            Expr::Map(..) => "a keyed input",
            Expr::Entry(_) => "a whole message",
        }
    }

    /// True for an expression that is the same at any time.
    pub(crate) fn is_const(&self) -> bool {
        matches!(
            self,
            Expr::Bool(BoolE::Const(_))
                | Expr::Int(IntE::Const(_))
                | Expr::Num(NumE::Const(_))
                | Expr::Duration(NumE::Const(_))
                | Expr::Text(TextE::Const(_))
                | Expr::List(_, ListE::Const(_))
        )
    }
}
