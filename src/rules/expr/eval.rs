//! Evaluation of compiled expressions: three-valued, and without allocation for scalars.
//!
//! Unknown is `None`, for numbers NaN; `Env::why` keeps the first reason.

use std::borrow::Cow;
use std::sync::Arc;

use salobj::{Tai, Value};
use serde_json::Value as Json;

use super::env::{Env, Why};
use super::lists;
use super::tree::*;

pub(crate) fn holds<T: PartialOrd>(cmp: Cmp, a: &T, b: &T) -> bool {
    match cmp {
        Cmp::Lt => a < b,
        Cmp::Le => a <= b,
        Cmp::Gt => a > b,
        Cmp::Ge => a >= b,
        Cmp::Eq => a == b,
        Cmp::Ne => a != b,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Double(v) => Some(*v),
        Value::Int(v) => Some(*v as f64),
        _ => None,
    }
}

impl BoolE {
    /// True, false or `None`.
    #[inline]
    pub(crate) fn get<'a>(&'a self, env: &Env<'a>) -> Option<bool> {
        match self {
            BoolE::Const(v) => Some(*v),
            BoolE::Num(cmp, a, b) => {
                let (a, b) = (a.get(env), b.get(env));
                if a.is_nan() || b.is_nan() { None } else { Some(holds(*cmp, &a, &b)) }
            }
            BoolE::And(a, b) => env.either(a, b, false),
            BoolE::Or(a, b) => env.either(a, b, true),
            BoolE::Not(a) => a.get(env).map(|v| !v),
            BoolE::Cell(at) => truth(env.cell(*at)?, env),
            BoolE::State(slot) => truth(env.state(*slot)?, env),
            BoolE::Int(cmp, a, b) => Some(holds(*cmp, &a.get(env)?, &b.get(env)?)),
            _ => self.get_rare(env),
        }
    }

    fn get_rare<'a>(&'a self, env: &Env<'a>) -> Option<bool> {
        match self {
            BoolE::Local(slot) => truth(&env.local(*slot), env),
            BoolE::Text(cmp, a, b) => Some(holds(*cmp, &a.get(env)?, &b.get(env)?)),
            BoolE::Bool(cmp, a, b) => Some(holds(*cmp, &a.get(env)?, &b.get(env)?)),
            BoolE::Lists(equal, a, b) => Some((lists::equal(&a.get(env)?, &b.get(env)?)?) == *equal),
            BoolE::Dyn(equal, a, b) => {
                Some(lists::json_equal(a.get(env)?.as_ref(), b.get(env)?.as_ref()) == *equal)
            }
            BoolE::InList(x, list) => {
                let list = list.get(env)?;
                let x = x.value(env)?;
                Some(lists::elements(&list).any(|e| lists::same(&e, &x)))
            }
            BoolE::InDyn(x, set) => {
                let set = set.get(env)?;
                let x = x.json(env)?;
                match set.as_ref() {
                    Json::Array(all) => Some(all.iter().any(|e| lists::json_equal(e, &x))),
                    Json::Object(all) => Some(x.as_str().is_some_and(|k| all.contains_key(k))),
                    _ => env.unknown(Why::WrongType),
                }
            }
            BoolE::Contains(a, b) => Some(a.get(env)?.contains(&*b.get(env)?)),
            BoolE::StartsWith(a, b) => Some(a.get(env)?.starts_with(&*b.get(env)?)),
            BoolE::EndsWith(a, b) => Some(a.get(env)?.ends_with(&*b.get(env)?)),
            BoolE::Matches(a, regex) => Some(regex.is_match(&a.get(env)?)),
            BoolE::Known(x) => {
                let before = env.why.get();
                let known = x.is_known(env);
                env.why.set(before);
                Some(known)
            }
            BoolE::Stale(input) => Some(env.now > env.marks[usize::from(*input)].fresh_until),
            BoolE::HasKey(x) => {
                let before = env.why.get();
                let has = x.get(env).is_some();
                env.why.set(before);
                Some(has)
            }
            BoolE::If(c) => if c.cond.get(env)? { &c.then } else { &c.otherwise }.get(env),
            BoolE::Index(list, i) => truth(&lists::index(&list.get(env)?, i.get(env)?, env)?, env),
            BoolE::FromDyn(x) => match x.get(env)?.as_ref() {
                Json::Bool(v) => Some(*v),
                _ => env.unknown(Why::WrongType),
            },
            BoolE::All(over) => over.all(env, false),
            BoolE::Exists(over) => over.all(env, true),
            BoolE::ExistsOne(over) => {
                let mut hits = 0;
                for x in over.elements(env)? {
                    hits += usize::from(env.with_local(over.local, x, || over.body.get(env))?);
                }
                Some(hits == 1)
            }
            BoolE::AsOf(slot, at) => truth(env.as_of(*slot, at)?, env),
            BoolE::Map(x) => x.get(env),
            BoolE::Mask(any, list) => match list.get(env)? {
                Value::Bools(all) => Some(all.contains(any) == *any),
                _ => env.unknown(Why::WrongType),
            },
            BoolE::Const(_)
            | BoolE::Num(..)
            | BoolE::And(..)
            | BoolE::Or(..)
            | BoolE::Not(_)
            | BoolE::Cell(_)
            | BoolE::State(_)
            | BoolE::Int(..) => self.get(env),
        }
    }
}

fn truth(value: &Value, env: &Env<'_>) -> Option<bool> {
    match value {
        Value::Bool(v) => Some(*v),
        _ => env.unknown(Why::WrongType),
    }
}

impl Over<BoolE> {
    /// `exists` if `wanted`, else `all`: decided by the first element with that truth, unknown if one is.
    fn all<'a>(&'a self, env: &Env<'a>, wanted: bool) -> Option<bool> {
        let before = env.why.get();
        let mut unknown = false;
        for x in self.elements(env)? {
            match env.with_local(self.local, x, || self.body.get(env)) {
                Some(v) if v == wanted => {
                    env.why.set(before);
                    return Some(wanted);
                }
                Some(_) => {}
                None => unknown = true,
            }
        }
        if unknown { None } else { Some(!wanted) }
    }
}

impl NumE {
    /// The number; NaN if unknown.
    #[inline]
    pub(crate) fn get<'a>(&'a self, env: &Env<'a>) -> f64 {
        match self {
            NumE::Const(v) => *v,
            NumE::Cell(at) => match env.cell(*at) {
                Some(Value::Double(v)) if v.is_nan() => env.nan(Why::Nan(at.input)),
                Some(value) => number(value).unwrap_or_else(|| env.nan(Why::WrongType)),
                None => f64::NAN,
            },
            NumE::FromInt(x) => x.get(env).map_or(f64::NAN, |v| v as f64),
            NumE::Neg(x) => -x.get(env),
            NumE::Arith(op, ab) => {
                let (a, b) = (ab.0.get(env), ab.1.get(env));
                match op {
                    Arith::Add => a + b,
                    Arith::Sub => a - b,
                    Arith::Mul => a * b,
                    Arith::Div | Arith::Rem if b == 0.0 => env.nan(Why::DivisionByZero),
                    Arith::Div => a / b,
                    Arith::Rem => a % b,
                }
            }
            NumE::Abs(x) => x.get(env).abs(),
            _ => self.get_rare(env),
        }
    }

    fn get_rare<'a>(&'a self, env: &Env<'a>) -> f64 {
        let of = |value: Option<&Value>| value.and_then(number).unwrap_or(f64::NAN);
        match self {
            NumE::Local(slot) => of(Some(&env.local(*slot))),
            NumE::Extreme(max, all) => all
                .iter()
                .map(|x| x.get(env))
                .reduce(|a, b| match (a.is_nan() || b.is_nan(), *max) {
                    (true, _) => f64::NAN,
                    (false, true) => a.max(b),
                    (false, false) => a.min(b),
                })
                .unwrap_or(f64::NAN),
            NumE::Reduce(how, list) => match list.get(env).and_then(|l| lists::reduce(*how, &l)) {
                Some(v) if !v.is_nan() => v,
                _ => env.nan(Why::NoElement),
            },
            NumE::Index(list, i) => {
                let value = list.get(env).and_then(|l| lists::index(&l, i.get(env)?, env));
                of(value.as_ref())
            }
            NumE::If(c) => match c.cond.get(env) {
                Some(true) => c.then.get(env),
                Some(false) => c.otherwise.get(env),
                None => f64::NAN,
            },
            NumE::Parse(x) => match x.get(env).map(|t| t.trim().parse::<f64>()) {
                Some(Ok(v)) => v,
                Some(Err(_)) => env.nan(Why::WrongType),
                None => f64::NAN,
            },
            NumE::FromDyn(x) => match x.get(env).as_deref() {
                Some(Json::Number(n)) => n.as_f64().unwrap_or(f64::NAN),
                Some(Json::Null) => env.nan(Why::NoElement),
                Some(_) => env.nan(Why::WrongType),
                None => f64::NAN,
            },
            NumE::Age(input) => {
                let sent = env.marks[usize::from(*input)].sent;
                if sent == f64::NEG_INFINITY { env.nan(Why::Missing(*input)) } else { env.now - sent }
            }
            NumE::UtcHour => Tai(env.now).utc_hour(),
            NumE::State(slot) => of(env.state(*slot)),
            NumE::AsOf(slot, at) => of(env.as_of(*slot, at)),
            NumE::Map(x) => x.get(env),
            NumE::Const(_)
            | NumE::Cell(_)
            | NumE::FromInt(_)
            | NumE::Neg(_)
            | NumE::Arith(..)
            | NumE::Abs(_) => self.get(env),
        }
    }
}

impl IntE {
    /// The integer.
    pub(crate) fn get<'a>(&'a self, env: &Env<'a>) -> Option<i64> {
        let of = |value: &Value| match value {
            Value::Int(v) => Some(*v),
            _ => env.unknown(Why::WrongType),
        };
        match self {
            IntE::Const(v) => Some(*v),
            IntE::Cell(at) => of(env.cell(*at)?),
            IntE::Local(slot) => of(&env.local(*slot)),
            IntE::Neg(x) => x.get(env)?.checked_neg().or_else(|| env.unknown(Why::Overflow)),
            IntE::Abs(x) => x.get(env)?.checked_abs().or_else(|| env.unknown(Why::Overflow)),
            IntE::Arith(op, ab) => {
                let (a, b) = (ab.0.get(env)?, ab.1.get(env)?);
                let result = match op {
                    Arith::Add => a.checked_add(b),
                    Arith::Sub => a.checked_sub(b),
                    Arith::Mul => a.checked_mul(b),
                    Arith::Div | Arith::Rem if b == 0 => return env.unknown(Why::DivisionByZero),
                    Arith::Div => a.checked_div(b),
                    Arith::Rem => a.checked_rem(b),
                };
                result.or_else(|| env.unknown(Why::Overflow))
            }
            IntE::Extreme(max, all) => {
                let mut best: Option<i64> = None;
                for x in all {
                    let v = x.get(env)?;
                    best = Some(best.map_or(v, |b| if *max { b.max(v) } else { b.min(v) }));
                }
                best
            }
            IntE::Sum(list) => match list.get(env)? {
                Value::Ints(all) => all
                    .iter()
                    .try_fold(0_i64, |sum, v| sum.checked_add(*v))
                    .or_else(|| env.unknown(Why::Overflow)),
                _ => env.unknown(Why::WrongType),
            },
            IntE::ListExtreme(max, list) => match list.get(env)? {
                Value::Ints(all) => if *max { all.iter().max() } else { all.iter().min() }
                    .copied()
                    .or_else(|| env.unknown(Why::NoElement)),
                _ => env.unknown(Why::WrongType),
            },
            IntE::Arg(max, list) => lists::arg(*max, &list.get(env)?).or_else(|| env.unknown(Why::NoElement)),
            IntE::Map(x) => x.get(env),
            IntE::Size(list) => Some(lists::length(&list.get(env)?) as i64),
            IntE::TextSize(text) => Some(text.get(env)?.chars().count() as i64),
            IntE::DynSize(x) => match x.get(env)?.as_ref() {
                Json::String(s) => Some(s.chars().count() as i64),
                Json::Array(a) => Some(a.len() as i64),
                Json::Object(o) => Some(o.len() as i64),
                _ => env.unknown(Why::WrongType),
            },
            IntE::CountTrue(list) => match list.get(env)? {
                Value::Bools(all) => Some(all.iter().filter(|b| **b).count() as i64),
                _ => env.unknown(Why::WrongType),
            },
            IntE::Index(list, i) => of(&lists::index(&list.get(env)?, i.get(env)?, env)?),
            IntE::If(c) => if c.cond.get(env)? { &c.then } else { &c.otherwise }.get(env),
            IntE::Truncate(x) => {
                let v = x.get(env);
                if v.is_nan() {
                    None
                } else if v.abs() < 9.223_372_036_854_775e18 {
                    Some(v as i64)
                } else {
                    env.unknown(Why::Overflow)
                }
            }
            IntE::Parse(text) => text.get(env)?.parse().ok().or_else(|| env.unknown(Why::WrongType)),
            IntE::FromDyn(x) => match x.get(env)?.as_ref() {
                Json::Number(n) if n.is_i64() => n.as_i64(),
                Json::Null => env.unknown(Why::NoElement),
                _ => env.unknown(Why::WrongType),
            },
            IntE::DayObs => Some(i64::from(Tai(env.now).day_obs())),
            IntE::State(slot) => of(env.state(*slot)?),
            IntE::AsOf(slot, at) => of(env.as_of(*slot, at)?),
        }
    }
}

impl TextE {
    /// The text.
    pub(crate) fn get<'a>(&'a self, env: &Env<'a>) -> Option<Arc<str>> {
        let of = |value: &Value| match value {
            Value::Text(v) => Some(v.clone()),
            _ => env.unknown(Why::WrongType),
        };
        match self {
            TextE::Const(v) => Some(v.clone()),
            TextE::Cell(at) => of(env.cell(*at)?),
            TextE::Local(slot) => of(&env.local(*slot)),
            TextE::Concat(a, b) => Some(format!("{}{}", a.get(env)?, b.get(env)?).into()),
            TextE::Index(list, i) => of(&lists::index(&list.get(env)?, i.get(env)?, env)?),
            TextE::If(c) => if c.cond.get(env)? { &c.then } else { &c.otherwise }.get(env),
            TextE::Format(x) => Some(lists::text_of(&x.value(env)?).into()),
            TextE::FromDyn(x) => match x.get(env)?.as_ref() {
                Json::String(s) => Some(s.as_str().into()),
                Json::Null => env.unknown(Why::NoElement),
                _ => env.unknown(Why::WrongType),
            },
            TextE::State(slot) => of(env.state(*slot)?),
            TextE::Map(x) => x.get(env),
            TextE::AsOf(slot, at) => of(env.as_of(*slot, at)?),
        }
    }
}

impl DynE {
    /// The value, borrowed where it lies in the context.
    pub(crate) fn get<'a>(&'a self, env: &Env<'a>) -> Option<Cow<'a, Json>> {
        match self {
            DynE::Const(v) => Some(Cow::Borrowed(v)),
            DynE::Cell(at) => env.cell(*at).map(|v| Cow::Owned(lists::to_json(v))),
            DynE::Parameters => Some(Cow::Owned(Json::Object(env.parameters.clone()))),
            DynE::Tasks => Some(Cow::Owned(Json::Object(env.tasks.clone()))),
            DynE::Trigger => Some(Cow::Owned(Json::Object(env.trigger.clone()))),
            DynE::Field(base, key) => {
                let root = match base.as_ref() {
                    DynE::Parameters => Some(env.parameters),
                    DynE::Tasks => Some(env.tasks),
                    DynE::Trigger => Some(env.trigger),
                    DynE::Const(_) | DynE::Cell(_) | DynE::Field(..) | DynE::Index(..) => None,
                };
                let found = match root {
                    Some(map) => map.get(&**key).map(Cow::Borrowed),
                    None => match base.get(env)? {
                        Cow::Borrowed(v) => v.get(&**key).map(Cow::Borrowed),
                        Cow::Owned(mut v) => v.get_mut(&**key).map(|v| Cow::Owned(v.take())),
                    },
                };
                found.or_else(|| env.unknown(Why::NoKey(key)))
            }
            DynE::Index(base, index) => {
                let base = base.get(env)?;
                let found = match index.json(env)? {
                    Json::Number(n) => n.as_u64().and_then(|i| base.get(usize::try_from(i).ok()?)).cloned(),
                    Json::String(key) => base.get(&key).cloned(),
                    _ => None,
                };
                found.map(Cow::Owned).or_else(|| env.unknown(Why::NoElement))
            }
        }
    }
}

impl Expr {
    /// The value of any type but lists of JSON.
    pub(crate) fn value<'a>(&'a self, env: &Env<'a>) -> Option<Value> {
        match self {
            Expr::Bool(x) => x.get(env).map(Value::Bool),
            Expr::Int(x) => x.get(env).map(Value::Int),
            Expr::Num(x) | Expr::Duration(x) => {
                let v = x.get(env);
                (!v.is_nan()).then_some(Value::Double(v))
            }
            Expr::Text(x) => x.get(env).map(Value::Text),
            Expr::List(_, x) => x.get(env),
            // The check lets neither through.
            Expr::Map(..) | Expr::Entry(_) => env.unknown(Why::WrongType),
            Expr::Dyn(x) => match x.get(env)?.as_ref() {
                Json::Bool(v) => Some(Value::Bool(*v)),
                Json::Number(n) if n.is_i64() => n.as_i64().map(Value::Int),
                Json::Number(n) => n.as_f64().map(Value::Double),
                Json::String(s) => Some(Value::Text(s.as_str().into())),
                Json::Null => env.unknown(Why::NoElement),
                Json::Array(_) | Json::Object(_) => env.unknown(Why::WrongType),
            },
        }
    }

    /// The value as JSON.
    pub(crate) fn json<'a>(&'a self, env: &Env<'a>) -> Option<Json> {
        match self {
            Expr::Dyn(x) => x.get(env).map(Cow::into_owned),
            other => other.value(env).map(|v| lists::to_json(&v)),
        }
    }

    fn is_known<'a>(&'a self, env: &Env<'a>) -> bool {
        match self {
            Expr::Dyn(x) => x.get(env).is_some_and(|v| !v.is_null()),
            other => other.value(env).is_some(),
        }
    }
}

impl ListE {
    /// The list as one of the array values.
    pub(crate) fn get<'a>(&'a self, env: &Env<'a>) -> Option<Value> {
        match self {
            ListE::Const(v) => Some(v.clone()),
            ListE::Cell(at) => env.cell(*at).cloned(),
            ListE::Make(elem, all) => {
                let values: Option<Vec<Value>> = all.iter().map(|x| x.value(env)).collect();
                lists::collect(*elem, values?)
            }
            ListE::Arith(op, ab, elem) => {
                let (a, b) = (ab.0.value(env)?, ab.1.value(env)?);
                lists::arith(*op, &a, &b, *elem).map_err(|w| env.unknown::<()>(w)).ok()
            }
            ListE::Mask(cmp, ab) => {
                let (a, b) = (ab.0.value(env)?, ab.1.value(env)?);
                lists::mask(*cmp, &a, &b).or_else(|| env.unknown(Why::NoElement))
            }
            ListE::Abs(x) => lists::abs(&x.get(env)?).or_else(|| env.unknown(Why::Overflow)),
            ListE::Sort(x) => lists::sort(&x.get(env)?),
            ListE::Slice(x, from, to) => {
                let list = x.get(env)?;
                lists::slice(&list, from.get(env)?, to.get(env)?).or_else(|| env.unknown(Why::NoElement))
            }
            ListE::Concat(a, b) => {
                let (a, b) = (a.get(env)?, b.get(env)?);
                lists::concat(&a, &b).or_else(|| env.unknown(Why::WrongType))
            }
            ListE::Map(elem, over) => {
                let mut out = Vec::new();
                for x in over.elements(env)? {
                    out.push(env.with_local(over.local, x, || over.body.value(env))?);
                }
                lists::collect(*elem, out)
            }
            ListE::Filter(over) => {
                let list = over.elements(env)?;
                let elem = list.elem()?;
                let mut out = Vec::new();
                for x in list {
                    if env.with_local(over.local, x.clone(), || over.body.get(env))? {
                        out.push(x);
                    }
                }
                lists::collect(elem, out)
            }
            ListE::If(c) => if c.cond.get(env)? { &c.then } else { &c.otherwise }.get(env),
            ListE::FromDyn(elem, x) => {
                let json = x.get(env)?;
                lists::from_json(*elem, &json).or_else(|| env.unknown(Why::WrongType))
            }
            ListE::State(slot) => env.state(*slot).cloned(),
            ListE::Keyed(x) => x.get(env),
        }
    }
}
