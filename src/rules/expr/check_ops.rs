//! Types of operators: promotion, units, conditions, comparisons, lists.

use std::sync::Arc;

use cel::common::ast::{ComprehensionExpr, Expr as Ast, IdedExpr, operators as op};
use salobj::Value;

use super::check::{Checker, Typed, to_num};
use super::lists;
use super::maps::{MapBool, MapList};
use super::tree::*;
use super::units;

impl Checker<'_, '_> {
    /// A condition; a value of unknown type is taken for one.
    pub(super) fn truth(&mut self, at: &IdedExpr) -> Option<BoolE> {
        match self.expr(at)?.expr {
            Expr::Bool(x) => Some(x),
            Expr::Dyn(x) => Some(BoolE::FromDyn(Box::new(x))),
            other => self.wrong(at, format!("a condition is wanted here, this is {}", other.type_name())),
        }
    }

    pub(super) fn num(&mut self, at: &IdedExpr) -> Option<(NumE, Option<Arc<str>>)> {
        let typed = self.expr(at)?;
        match typed.expr {
            Expr::Num(x) => Some((x, typed.unit)),
            Expr::Int(x) => Some((to_num(x), typed.unit)),
            Expr::Dyn(x) => Some((NumE::FromDyn(Box::new(x)), None)),
            other => self.wrong(at, format!("a number is wanted here, this is {}", other.type_name())),
        }
    }

    pub(super) fn int(&mut self, at: &IdedExpr) -> Option<IntE> {
        match self.expr(at)?.expr {
            Expr::Int(x) => Some(x),
            Expr::Dyn(x) => Some(IntE::FromDyn(Box::new(x))),
            other => self.wrong(at, format!("an integer is wanted here, this is {}", other.type_name())),
        }
    }

    pub(super) fn text(&mut self, at: &IdedExpr) -> Option<TextE> {
        match self.expr(at)?.expr {
            Expr::Text(x) => Some(x),
            Expr::Dyn(x) => Some(TextE::FromDyn(Box::new(x))),
            other => self.wrong(at, format!("text is wanted here, this is {}", other.type_name())),
        }
    }

    pub(super) fn logic(
        &mut self,
        a: &IdedExpr,
        b: &IdedExpr,
        make: fn(Box<BoolE>, Box<BoolE>) -> BoolE,
    ) -> Option<Typed> {
        let (a, b) = (self.truth(a), self.truth(b));
        Some(Expr::Bool(make(Box::new(a?), Box::new(b?))).into())
    }

    pub(super) fn negate(&mut self, at: &IdedExpr, a: &IdedExpr) -> Option<Typed> {
        let typed = self.expr(a)?;
        let expr = match typed.expr {
            Expr::Int(IntE::Const(v)) if v != i64::MIN => Expr::Int(IntE::Const(-v)),
            Expr::Int(x) => Expr::Int(IntE::Neg(Box::new(x))),
            Expr::Num(NumE::Const(v)) => Expr::Num(NumE::Const(-v)),
            Expr::Num(x) => Expr::Num(NumE::Neg(Box::new(x))),
            Expr::Dyn(x) => Expr::Num(NumE::Neg(Box::new(NumE::FromDyn(Box::new(x))))),
            other => return self.wrong(at, format!("`-` is for numbers, this is {}", other.type_name())),
        };
        Some(Typed { expr, unit: typed.unit })
    }

    /// Both units are known and differ: a mistake, with the conversion offered.
    pub(super) fn units_agree(&mut self, at: &IdedExpr, a: &Typed, b: &Typed) -> Option<()> {
        let (Some(x), Some(y)) = (&a.unit, &b.unit) else { return Some(()) };
        if units::same(x, y) {
            return Some(());
        }
        let help = match units::conversion(y, x) {
            Some(how) => format!("convert the right side: {how} (from {y} to {x})"),
            None => format!("{x} and {y} are not of one kind"),
        };
        self.wrong_help(at, format!("unit clash: {x} on the left, {y} on the right"), Some(help))
    }

    pub(super) fn conditional(
        &mut self,
        at: &IdedExpr,
        c: &IdedExpr,
        a: &IdedExpr,
        b: &IdedExpr,
    ) -> Option<Typed> {
        let (cond, a, b) = (self.truth(c), self.expr(a), self.expr(b));
        let (cond, a, b) = (cond?, a?, b?);
        self.units_agree(at, &a, &b)?;
        let unit = a.unit.clone().or_else(|| b.unit.clone());
        macro_rules! either {
            ($kind:path, $tree:path, $x:expr, $y:expr) => {
                $kind($tree(Box::new(If { cond, then: $x, otherwise: $y })))
            };
        }
        let expr = match unify(a.expr, b.expr) {
            Some((Expr::Bool(x), Expr::Bool(y))) => either!(Expr::Bool, BoolE::If, x, y),
            Some((Expr::Int(x), Expr::Int(y))) => either!(Expr::Int, IntE::If, x, y),
            Some((Expr::Num(x), Expr::Num(y))) => either!(Expr::Num, NumE::If, x, y),
            Some((Expr::Duration(x), Expr::Duration(y))) => either!(Expr::Duration, NumE::If, x, y),
            Some((Expr::Text(x), Expr::Text(y))) => either!(Expr::Text, TextE::If, x, y),
            Some((Expr::List(e, x), Expr::List(f, y))) if e == f => {
                Expr::List(e, ListE::If(Box::new(If { cond, then: x, otherwise: y })))
            }
            _ => return self.wrong(at, "both branches of `? :` must be of one type"),
        };
        Some(Typed { expr, unit })
    }

    pub(super) fn arith(&mut self, at: &IdedExpr, op: Arith, a: &IdedExpr, b: &IdedExpr) -> Option<Typed> {
        let (a, b) = (self.expr(a), self.expr(b));
        let (a, b) = (a?, b?);
        let additive = matches!(op, Arith::Add | Arith::Sub);
        if additive {
            self.units_agree(at, &a, &b)?;
        }
        let unit = match (&a.unit, &b.unit) {
            (Some(x), Some(_)) if additive => Some(x.clone()),
            _ => None,
        };
        let names = (a.expr.type_name(), b.expr.type_name());
        let numeric = |e: Elem| matches!(e, Elem::Int | Elem::Double);
        let expr = match (a.expr, b.expr) {
            (Expr::List(e, x), Expr::List(f, y)) if numeric(e) && numeric(f) => {
                let elem = if e == Elem::Int && f == Elem::Int { Elem::Int } else { Elem::Double };
                Expr::List(elem, ListE::Arith(op, Box::new((Expr::List(e, x), Expr::List(f, y))), elem))
            }
            (Expr::List(e, x), Expr::List(f, y)) if e == f && op == Arith::Add => {
                Expr::List(e, ListE::Concat(Box::new(x), Box::new(y)))
            }
            (Expr::List(e, x), y @ (Expr::Int(_) | Expr::Num(_))) if numeric(e) => {
                let elem = if e == Elem::Int && matches!(y, Expr::Int(_)) { Elem::Int } else { Elem::Double };
                Expr::List(elem, ListE::Arith(op, Box::new((Expr::List(e, x), y)), elem))
            }
            (x @ (Expr::Int(_) | Expr::Num(_)), Expr::List(e, y)) if numeric(e) => {
                let elem = if e == Elem::Int && matches!(x, Expr::Int(_)) { Elem::Int } else { Elem::Double };
                Expr::List(elem, ListE::Arith(op, Box::new((x, Expr::List(e, y))), elem))
            }
            (Expr::Dyn(x), Expr::Dyn(y)) => {
                let (x, y) = (NumE::FromDyn(Box::new(x)), NumE::FromDyn(Box::new(y)));
                Expr::Num(NumE::Arith(op, Box::new((x, y))))
            }
            (x, y) => match unify(x, y) {
                Some((Expr::Int(x), Expr::Int(y))) => Expr::Int(IntE::Arith(op, Box::new((x, y)))),
                Some((Expr::Num(x), Expr::Num(y))) if op != Arith::Rem => {
                    Expr::Num(NumE::Arith(op, Box::new((x, y))))
                }
                Some((Expr::Num(_), Expr::Num(_))) => return self.wrong(at, "`%` is for integers"),
                Some((Expr::Duration(x), Expr::Duration(y))) if additive => {
                    Expr::Duration(NumE::Arith(op, Box::new((x, y))))
                }
                Some((Expr::Text(x), Expr::Text(y))) if op == Arith::Add => {
                    Expr::Text(TextE::Concat(Box::new(x), Box::new(y)))
                }
                _ => {
                    let sign = ["+", "-", "*", "/", "%"][op as usize];
                    return self.wrong(at, format!("`{sign}` does not go with {} and {}", names.0, names.1));
                }
            },
        };
        Some(Typed { expr, unit })
    }

    pub(super) fn compare(&mut self, at: &IdedExpr, cmp: Cmp, a: &IdedExpr, b: &IdedExpr) -> Option<Typed> {
        let (a, b) = (self.expr(a), self.expr(b));
        let (a, b) = (a?, b?);
        self.units_agree(at, &a, &b)?;
        let names = (a.expr.type_name(), b.expr.type_name());
        let order = !matches!(cmp, Cmp::Eq | Cmp::Ne);
        let in_seconds = |t: &Typed| t.unit.as_deref().is_some_and(units::is_seconds);
        let (a_seconds, b_seconds) = (in_seconds(&a), in_seconds(&b));
        let expr = match (a.expr, b.expr) {
            (Expr::List(e, x), Expr::List(f, y)) if !order && comparable(e, f) => {
                Expr::Bool(BoolE::Lists(cmp == Cmp::Eq, Box::new(x), Box::new(y)))
            }
            (Expr::List(e, x), Expr::List(f, y)) if comparable(e, f) => {
                Expr::List(Elem::Bool, ListE::Mask(cmp, Box::new((Expr::List(e, x), Expr::List(f, y)))))
            }
            (Expr::List(e, x), y) if goes_with(e, &y) => {
                Expr::List(Elem::Bool, ListE::Mask(cmp, Box::new((Expr::List(e, x), y))))
            }
            (x, Expr::List(e, y)) if goes_with(e, &x) => {
                Expr::List(Elem::Bool, ListE::Mask(cmp, Box::new((x, Expr::List(e, y)))))
            }
            (Expr::Dyn(x), Expr::Dyn(y)) if order => {
                Expr::Bool(BoolE::Num(cmp, NumE::FromDyn(Box::new(x)), NumE::FromDyn(Box::new(y))))
            }
            (Expr::Dyn(x), Expr::Dyn(y)) => Expr::Bool(BoolE::Dyn(cmp == Cmp::Eq, Box::new(x), Box::new(y))),
            (Expr::Duration(x), Expr::Num(y)) if b_seconds => Expr::Bool(BoolE::Num(cmp, x, y)),
            (Expr::Num(x), Expr::Duration(y)) if a_seconds => Expr::Bool(BoolE::Num(cmp, x, y)),
            (x, y) => match unify(x, y) {
                Some((Expr::Int(x), Expr::Int(y))) => Expr::Bool(BoolE::Int(cmp, x, y)),
                Some((Expr::Num(x), Expr::Num(y)) | (Expr::Duration(x), Expr::Duration(y))) => {
                    Expr::Bool(BoolE::Num(cmp, x, y))
                }
                Some((Expr::Text(x), Expr::Text(y))) => Expr::Bool(BoolE::Text(cmp, x, y)),
                Some((Expr::Bool(x), Expr::Bool(y))) => {
                    Expr::Bool(BoolE::Bool(cmp, Box::new(x), Box::new(y)))
                }
                _ => {
                    let help = match names {
                        ("a duration", "a number" | "an integer")
                        | ("a number" | "an integer", "a duration") => {
                            Some("write the limit as a duration, e.g. 30s".to_owned())
                        }
                        _ => None,
                    };
                    return self.wrong_help(
                        at,
                        format!("{} cannot be compared with {}", names.0, names.1),
                        help,
                    );
                }
            },
        };
        Some(expr.into())
    }

    pub(super) fn contained(&mut self, at: &IdedExpr, x: &IdedExpr, set: &IdedExpr) -> Option<Typed> {
        let (element, set) = (self.expr(x), self.raw(set));
        let (element, set) = (element?, set?);
        if let Expr::Map(kind, input) = set.expr {
            let key = self.key(x, element.expr, kind)?;
            return Some(Expr::Bool(BoolE::Map(Box::new(MapBool::Has(input, key)))).into());
        }
        self.units_agree(at, &element, &set)?;
        let (a, b) = (element.expr.type_name(), set.expr.type_name());
        Some(Typed::from(Expr::Bool(match (element.expr, set.expr) {
            (x, Expr::List(e, list)) if goes_with(e, &x) => BoolE::InList(Box::new(x), Box::new(list)),
            (x, Expr::Dyn(set)) => BoolE::InDyn(Box::new(x), Box::new(set)),
            _ => return self.wrong(at, format!("`in` does not go with {a} and {b}")),
        })))
    }

    /// A list written out.
    pub(super) fn list(&mut self, at: &IdedExpr, elements: &[IdedExpr]) -> Option<Typed> {
        let typed: Vec<Option<Typed>> = elements.iter().map(|e| self.expr(e)).collect();
        let typed: Vec<Typed> = typed.into_iter().collect::<Option<_>>()?;
        if typed.is_empty() {
            return self.wrong(at, "an empty list has no type");
        }
        let elem_of = |e: &Expr| match e {
            Expr::Bool(_) => Some(Elem::Bool),
            Expr::Int(_) => Some(Elem::Int),
            Expr::Num(_) => Some(Elem::Double),
            Expr::Text(_) => Some(Elem::Text),
            Expr::Duration(_) | Expr::List(..) | Expr::Dyn(_) | Expr::Map(..) | Expr::Entry(_) => None,
        };
        let mut elem = elem_of(&typed[0].expr);
        let unit = typed[0].unit.clone();
        for x in &typed[1..] {
            elem = match (elem, elem_of(&x.expr)) {
                (Some(a), Some(b)) if a == b => Some(a),
                (Some(Elem::Int | Elem::Double), Some(Elem::Int | Elem::Double)) => Some(Elem::Double),
                _ => None,
            };
        }
        let Some(elem) = elem else {
            return self
                .wrong(at, "the elements of a list must be numbers, texts or truths, all of one type");
        };
        let exprs: Vec<Expr> = typed
            .into_iter()
            .map(|t| match (elem, t.expr) {
                (Elem::Double, Expr::Int(x)) => Expr::Num(to_num(x)),
                (_, x) => x,
            })
            .collect();
        if exprs.iter().all(Expr::is_const) {
            let values = exprs.iter().filter_map(const_value).collect();
            if let Some(value) = lists::collect(elem, values) {
                return Some(Typed { expr: Expr::List(elem, ListE::Const(value)), unit });
            }
        }
        Some(Typed { expr: Expr::List(elem, ListE::Make(elem, exprs)), unit })
    }

    pub(super) fn index(&mut self, at: &IdedExpr, base: &IdedExpr, index: &IdedExpr) -> Option<Typed> {
        let list = self.raw(base)?;
        let unit = list.unit.clone();
        let expr = match list.expr {
            Expr::Map(kind, input) => return self.entry(input, kind, index),
            Expr::Dyn(base) => Expr::Dyn(DynE::Index(Box::new(base), Box::new(self.expr(index)?.expr))),
            Expr::List(elem, list) => {
                let i = Box::new(self.int(index)?);
                if let IntE::Const(v) = *i
                    && v < 0
                {
                    return self.wrong(at, "elements are counted from 0");
                }
                let list = Box::new(list);
                match elem {
                    Elem::Bool => Expr::Bool(BoolE::Index(list, i)),
                    Elem::Int => Expr::Int(IntE::Index(list, i)),
                    Elem::Double => Expr::Num(NumE::Index(list, i)),
                    Elem::Text => Expr::Text(TextE::Index(list, i)),
                }
            }
            other => return self.wrong(at, format!("{} has no elements", other.type_name())),
        };
        Some(Typed { expr, unit })
    }

    /// What the parser made of `all`, `exists`, `exists_one`, `map` and `filter`.
    pub(super) fn comprehension(&mut self, at: &IdedExpr, c: &ComprehensionExpr) -> Option<Typed> {
        let range = self.raw(&c.iter_range)?;
        let (elem, list) = match range.expr {
            Expr::List(elem, list) => (elem, list),
            Expr::Map(elem, input) => (elem, ListE::Keyed(MapList::Keys(elem, input))),
            other => {
                return self.wrong(at, format!("{} has no elements to look over", other.type_name()));
            }
        };
        let Ast::Call(step) = &c.loop_step.expr else { return self.wrong(at, "this loop is not known") };
        let local = self.locals.len() as u16;
        self.locals.push((c.iter_var.clone(), elem));
        let typed = match (step.func_name.as_str(), step.args.as_slice()) {
            (op::LOGICAL_AND, [_, body]) => {
                self.truth(body).map(|body| Expr::Bool(BoolE::All(Box::new(Over { list, local, body }))))
            }
            (op::LOGICAL_OR, [_, body]) => {
                self.truth(body).map(|body| Expr::Bool(BoolE::Exists(Box::new(Over { list, local, body }))))
            }
            (op::CONDITIONAL, [cond, then, _]) => self.conditional_step(at, c, local, elem, list, cond, then),
            (op::ADD, [_, item]) => self.mapped(at, local, list, item),
            _ => self.wrong(at, "this loop is not known"),
        };
        self.locals.pop();
        Some(Typed { expr: typed?, unit: None })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one macro expansion")]
    fn conditional_step(
        &mut self,
        at: &IdedExpr,
        c: &ComprehensionExpr,
        local: u16,
        elem: Elem,
        list: ListE,
        cond: &IdedExpr,
        then: &IdedExpr,
    ) -> Option<Expr> {
        let body = self.truth(cond)?;
        let over = Box::new(Over { list, local, body });
        let Ast::Call(add) = &then.expr else { return self.wrong(at, "this loop is not known") };
        let Some(Ast::List(item)) = add.args.get(1).map(|a| &a.expr) else {
            return Some(Expr::Bool(BoolE::ExistsOne(over)));
        };
        let filtered = ListE::Filter(over);
        match item.elements.as_slice() {
            [one] if matches!(&one.expr, Ast::Ident(n) if *n == c.iter_var) => {
                Some(Expr::List(elem, filtered))
            }
            [one] => self.mapped_one(at, local, filtered, one),
            _ => self.wrong(at, "this loop is not known"),
        }
    }

    fn mapped(&mut self, at: &IdedExpr, local: u16, list: ListE, item: &IdedExpr) -> Option<Expr> {
        match &item.expr {
            Ast::List(l) if l.elements.len() == 1 => self.mapped_one(at, local, list, &l.elements[0]),
            _ => self.wrong(at, "this loop is not known"),
        }
    }

    fn mapped_one(&mut self, at: &IdedExpr, local: u16, list: ListE, item: &IdedExpr) -> Option<Expr> {
        let body = self.expr(item)?.expr;
        let elem = match &body {
            Expr::Bool(_) => Elem::Bool,
            Expr::Int(_) => Elem::Int,
            Expr::Num(_) => Elem::Double,
            Expr::Text(_) => Elem::Text,
            other => return self.wrong(at, format!("`map` cannot make {}", other.type_name())),
        };
        Some(Expr::List(elem, ListE::Map(elem, Box::new(Over { list, local, body }))))
    }
}

fn comparable(a: Elem, b: Elem) -> bool {
    let numeric = |e| matches!(e, Elem::Int | Elem::Double);
    a == b || (numeric(a) && numeric(b))
}

fn goes_with(elem: Elem, x: &Expr) -> bool {
    matches!(
        (elem, x),
        (Elem::Int | Elem::Double, Expr::Int(_) | Expr::Num(_))
            | (Elem::Bool, Expr::Bool(_))
            | (Elem::Text, Expr::Text(_))
            | (_, Expr::Dyn(_))
    )
}

/// Brings two expressions to one type: integers beside numbers become numbers, values of unknown type become what the
/// other side is. Two of unknown type are left so; `None` if it cannot be.
pub(super) fn unify(a: Expr, b: Expr) -> Option<(Expr, Expr)> {
    Some(match (a, b) {
        (Expr::Int(x), Expr::Num(y)) => (Expr::Num(to_num(x)), Expr::Num(y)),
        (Expr::Num(x), Expr::Int(y)) => (Expr::Num(x), Expr::Num(to_num(y))),
        (Expr::Dyn(x), y) if !matches!(y, Expr::Dyn(_)) => {
            let (x, y) = as_type_of(x, y)?;
            (x, y)
        }
        (x, Expr::Dyn(y)) if !matches!(x, Expr::Dyn(_)) => {
            let (y, x) = as_type_of(y, x)?;
            (x, y)
        }
        (Expr::List(e, x), Expr::List(f, y)) => (e == f).then_some((Expr::List(e, x), Expr::List(f, y)))?,
        (x, y) => (std::mem::discriminant(&x) == std::mem::discriminant(&y)).then_some((x, y))?,
    })
}

/// A value of unknown type read as the type of the other side. Beside an integer it may be any number.
fn as_type_of(x: DynE, other: Expr) -> Option<(Expr, Expr)> {
    let x = Box::new(x);
    Some(match other {
        Expr::Bool(y) => (Expr::Bool(BoolE::FromDyn(x)), Expr::Bool(y)),
        Expr::Int(y) => (Expr::Num(NumE::FromDyn(x)), Expr::Num(to_num(y))),
        Expr::Num(y) => (Expr::Num(NumE::FromDyn(x)), Expr::Num(y)),
        Expr::Text(y) => (Expr::Text(TextE::FromDyn(x)), Expr::Text(y)),
        Expr::List(e, y) => (Expr::List(e, ListE::FromDyn(e, x)), Expr::List(e, y)),
        Expr::Duration(_) | Expr::Dyn(_) | Expr::Map(..) | Expr::Entry(_) => return None,
    })
}

fn const_value(expr: &Expr) -> Option<Value> {
    match expr {
        Expr::Bool(BoolE::Const(v)) => Some(Value::Bool(*v)),
        Expr::Int(IntE::Const(v)) => Some(Value::Int(*v)),
        Expr::Num(NumE::Const(v)) => Some(Value::Double(*v)),
        Expr::Text(TextE::Const(v)) => Some(Value::Text(v.clone())),
        _ => None,
    }
}
