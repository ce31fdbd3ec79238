//! Types of functions and methods.

use cel::common::ast::{Expr as Ast, IdedExpr, LiteralValue};

use super::check::{Checker, Typed, to_num};
use super::memory::{Kind, Stateful};
use super::outline::Branch;
use super::prepass::parse_duration;
use super::scope::{FUNCTIONS, METHODS, Shape};
use super::tree::*;
use crate::rules::diagnose::suggest;

impl Checker<'_, '_> {
    pub(super) fn function(&mut self, at: &IdedExpr, name: &str, args: &[IdedExpr]) -> Option<Typed> {
        if let [x] = args
            && let Some(typed) = self.of_map(at, name, x)
        {
            return typed;
        }
        match (name, args) {
            ("known", [x]) => {
                self.scope.expires.set(true);
                let x = self.expr_or_message(x)?;
                Some(Expr::Bool(BoolE::Known(Box::new(x))).into())
            }
            ("age", [x]) => {
                let input = self.input(x)?;
                self.scope.clocked.set(true);
                Some(Expr::Duration(NumE::Age(input)).into())
            }
            ("stale", [x]) => {
                let input = self.input(x)?;
                if !self.scope.inputs[usize::from(input)].has_max_age {
                    let help = Some("give the input a max_age, or ask age(input) > 30s".to_owned());
                    return self.wrong_help(x, "stale() needs an input with max_age", help);
                }
                self.scope.expires.set(true);
                Some(Expr::Bool(BoolE::Stale(input)).into())
            }
            ("utc_hour", []) => {
                self.scope.clocked.set(true);
                Some(Expr::Num(NumE::UtcHour).into())
            }
            ("day_obs", []) => {
                self.scope.clocked.set(true);
                Some(Expr::Int(IntE::DayObs).into())
            }
            ("abs", [x]) => self.absolute(at, x),
            ("sort" | "sum" | "mean" | "median" | "ptp" | "std" | "rms" | "argmax" | "argmin", [x]) => {
                self.reduce(at, name, x)
            }
            ("min" | "max", [x]) => self.reduce(at, name, x),
            ("min" | "max", [_, ..]) => self.extreme(at, name == "max", args),
            ("slice", [x, from, to]) => {
                let Typed { expr, unit } = self.expr(x)?;
                let Expr::List(elem, list) = expr else {
                    return self.wrong(x, format!("slice() needs a list, this is {}", expr.type_name()));
                };
                let (from, to) = (self.int(from), self.int(to));
                let list = ListE::Slice(Box::new(list), Box::new(from?), Box::new(to?));
                Some(Typed { expr: Expr::List(elem, list), unit })
            }
            ("concat", [a, b]) => {
                let (x, y) = (self.expr(a), self.expr(b));
                let (x, y) = (x?, y?);
                self.units_agree(at, &x, &y)?;
                match (x.expr, y.expr) {
                    (Expr::List(e, p), Expr::List(f, q)) if e == f => {
                        let expr = Expr::List(e, ListE::Concat(Box::new(p), Box::new(q)));
                        Some(Typed { expr, unit: x.unit })
                    }
                    _ => self.wrong(at, "concat() needs two lists of one type"),
                }
            }
            ("any_of" | "all_of", [x]) => match self.expr(x)?.expr {
                Expr::List(Elem::Bool, list) => {
                    Some(Expr::Bool(BoolE::Mask(name == "any_of", Box::new(list))).into())
                }
                other => self.wrong(
                    x,
                    format!("{name}() needs a list of true or false, this is {}", other.type_name()),
                ),
            },
            ("count", [x]) => match self.expr(x)?.expr {
                Expr::List(Elem::Bool, list) => Some(Expr::Int(IntE::CountTrue(Box::new(list))).into()),
                other => self.wrong(
                    x,
                    format!("count() needs a list of true or false, this is {}", other.type_name()),
                ),
            },
            ("size", [x]) => self.size(x),
            ("int", [x]) => match self.expr(x)?.expr {
                Expr::Int(x) => Some(Expr::Int(x).into()),
                Expr::Num(x) => Some(Expr::Int(IntE::Truncate(Box::new(x))).into()),
                Expr::Text(x) => Some(Expr::Int(IntE::Parse(Box::new(x))).into()),
                Expr::Dyn(x) => Some(Expr::Int(IntE::Truncate(Box::new(NumE::FromDyn(Box::new(x))))).into()),
                other => self.wrong(x, format!("int() cannot take {}", other.type_name())),
            },
            ("double", [x]) => {
                let Typed { expr, unit } = self.expr(x)?;
                let expr = match expr {
                    Expr::Int(x) => Expr::Num(to_num(x)),
                    Expr::Num(x) => Expr::Num(x),
                    Expr::Text(x) => Expr::Num(NumE::Parse(Box::new(x))),
                    Expr::Dyn(x) => Expr::Num(NumE::FromDyn(Box::new(x))),
                    other => return self.wrong(x, format!("double() cannot take {}", other.type_name())),
                };
                Some(Typed { expr, unit })
            }
            ("string", [x]) => match self.expr(x)?.expr {
                Expr::Text(x) => Some(Expr::Text(x).into()),
                x @ (Expr::Int(_) | Expr::Num(_) | Expr::Bool(_) | Expr::Dyn(_)) => {
                    Some(Expr::Text(TextE::Format(Box::new(x))).into())
                }
                other => self.wrong(x, format!("string() cannot take {}", other.type_name())),
            },
            ("duration", [x]) => self.seconds(x).map(|s| Expr::Duration(NumE::Const(s)).into()),
            _ => self.stateful(at, name, args),
        }
    }

    fn expr_or_message(&mut self, at: &IdedExpr) -> Option<Expr> {
        if let Ast::Ident(name) = &at.expr {
            let scope = self.scope;
            if let Some(i) = scope.inputs.iter().position(|x| x.name == *name)
                && let Shape::Message(schema, _) = &scope.inputs[i].shape
                && let Some(stamp) = schema.field("private_sndStamp")
            {
                let span = self.span(at);
                self.terms.push(Branch::input(i as u16, (span.0, span.0 + span.1)));
                return Some(self.field(i, stamp, crate::rules::flow::Part::Whole).expr);
            }
        }
        Some(self.expr(at)?.expr)
    }

    /// The name of an input.
    fn input(&mut self, at: &IdedExpr) -> Option<u16> {
        let scope = self.scope;
        if let Ast::Ident(name) = &at.expr
            && let Some(i) = scope.inputs.iter().position(|x| x.name == *name)
        {
            scope.read.set(scope.read.get() | 1 << i.min(63));
            let span = self.span(at);
            self.terms.push(Branch::input(i as u16, (span.0, span.0 + span.1)));
            return Some(i as u16);
        }
        let help = match &at.expr {
            Ast::Ident(name) => suggest(name, scope.inputs.iter().map(|i| i.name.as_str()), "inputs"),
            _ => None,
        };
        self.wrong_help(at, "the name of an input is wanted here", help)
    }

    fn absolute(&mut self, at: &IdedExpr, x: &IdedExpr) -> Option<Typed> {
        let Typed { expr, unit } = self.expr(x)?;
        let expr = match expr {
            Expr::Int(x) => Expr::Int(IntE::Abs(Box::new(x))),
            Expr::Num(x) => Expr::Num(NumE::Abs(Box::new(x))),
            Expr::Dyn(x) => Expr::Num(NumE::Abs(Box::new(NumE::FromDyn(Box::new(x))))),
            Expr::List(e @ (Elem::Int | Elem::Double), x) => Expr::List(e, ListE::Abs(Box::new(x))),
            other => return self.wrong(at, format!("abs() needs a number, this is {}", other.type_name())),
        };
        Some(Typed { expr, unit })
    }

    fn reduce(&mut self, at: &IdedExpr, name: &str, x: &IdedExpr) -> Option<Typed> {
        let Typed { expr, unit } = self.expr(x)?;
        let (elem, list) = match expr {
            Expr::List(e @ (Elem::Int | Elem::Double), list) => (e, list),
            Expr::List(Elem::Text, list) if name == "sort" => (Elem::Text, list),
            Expr::Dyn(x) => (Elem::Double, ListE::FromDyn(Elem::Double, Box::new(x))),
            other => {
                let mut help = None;
                if matches!(other, Expr::Num(_) | Expr::Int(_))
                    && !matches!(name, "sort" | "argmax" | "argmin")
                {
                    help = Some(format!("over time: give the input `window: 5m, reduce: {name}`"));
                }
                let message = format!("{name}() needs a list of numbers, this is {}", other.type_name());
                return self.wrong_help(at, message, help);
            }
        };
        let list = Box::new(list);
        let expr = match (name, elem) {
            ("sort", _) => Expr::List(elem, ListE::Sort(list)),
            ("argmax" | "argmin", _) => Expr::Int(IntE::Arg(name == "argmax", list)),
            ("sum", Elem::Int) => Expr::Int(IntE::Sum(list)),
            ("min", Elem::Int) => Expr::Int(IntE::ListExtreme(false, list)),
            ("max", Elem::Int) => Expr::Int(IntE::ListExtreme(true, list)),
            ("sum", _) => Expr::Num(NumE::Reduce(Reduce::Sum, list)),
            ("min", _) => Expr::Num(NumE::Reduce(Reduce::Min, list)),
            ("max", _) => Expr::Num(NumE::Reduce(Reduce::Max, list)),
            ("mean", _) => Expr::Num(NumE::Reduce(Reduce::Mean, list)),
            ("median", _) => Expr::Num(NumE::Reduce(Reduce::Median, list)),
            ("ptp", _) => Expr::Num(NumE::Reduce(Reduce::Ptp, list)),
            ("std", _) => Expr::Num(NumE::Reduce(Reduce::Std, list)),
            _ => Expr::Num(NumE::Reduce(Reduce::Rms, list)),
        };
        let unit = if matches!(name, "argmax" | "argmin") { None } else { unit };
        Some(Typed { expr, unit })
    }

    fn extreme(&mut self, at: &IdedExpr, max: bool, args: &[IdedExpr]) -> Option<Typed> {
        let all: Vec<Option<Typed>> = args.iter().map(|a| self.expr(a)).collect();
        let all: Vec<Typed> = all.into_iter().collect::<Option<_>>()?;
        for other in &all[1..] {
            self.units_agree(at, &all[0], other)?;
        }
        let unit = all[0].unit.clone();
        if all.iter().all(|t| matches!(t.expr, Expr::Int(_))) {
            let ints = all.into_iter().filter_map(|t| if let Expr::Int(x) = t.expr { Some(x) } else { None });
            return Some(Typed { expr: Expr::Int(IntE::Extreme(max, ints.collect())), unit });
        }
        let mut nums = Vec::new();
        for (arg, t) in args.iter().zip(all) {
            nums.push(match t.expr {
                Expr::Num(x) => x,
                Expr::Int(x) => to_num(x),
                Expr::Dyn(x) => NumE::FromDyn(Box::new(x)),
                other => {
                    return self
                        .wrong(arg, format!("a number is wanted here, this is {}", other.type_name()));
                }
            });
        }
        Some(Typed { expr: Expr::Num(NumE::Extreme(max, nums)), unit })
    }

    fn size(&mut self, x: &IdedExpr) -> Option<Typed> {
        Some(Typed::from(Expr::Int(match self.expr(x)?.expr {
            Expr::List(_, list) => IntE::Size(Box::new(list)),
            Expr::Text(text) => IntE::TextSize(Box::new(text)),
            Expr::Dyn(x) => IntE::DynSize(Box::new(x)),
            other => {
                return self.wrong(x, format!("size() needs a list or text, this is {}", other.type_name()));
            }
        })))
    }

    /// A duration that is known now.
    fn seconds(&mut self, at: &IdedExpr) -> Option<f64> {
        let text = match &at.expr {
            Ast::Literal(LiteralValue::String(s)) => Some(s.inner().to_owned()),
            Ast::Call(c) if c.func_name == "duration" => match c.args.first().map(|a| &a.expr) {
                Some(Ast::Literal(LiteralValue::String(s))) => Some(s.inner().to_owned()),
                _ => None,
            },
            _ => None,
        };
        match text.as_deref().and_then(parse_duration) {
            Some(seconds) => Some(seconds),
            None => {
                self.wrong_help(at, "a duration is wanted here", Some("write it as 30s, 10m or 1h30m".into()))
            }
        }
    }

    fn stateful(&mut self, at: &IdedExpr, name: &str, args: &[IdedExpr]) -> Option<Typed> {
        const STATEFUL: &[(&str, usize)] = &[
            ("hold", 2),
            ("consecutive", 2),
            ("count_in", 2),
            ("rose", 1),
            ("fell", 1),
            ("changed", 1),
            ("prev", 1),
            ("unchanged_for", 1),
            ("elapsed", 1),
            ("counter", 3),
            ("absent", 2),
            ("then", 3),
            ("as_of", 2),
        ];
        let Some((_, count)) = STATEFUL.iter().find(|(n, _)| *n == name) else {
            return match FUNCTIONS.iter().find(|(n, _)| *n == name) {
                Some((_, usage)) => {
                    self.wrong_help(at, format!("{name}() takes other arguments"), Some((*usage).into()))
                }
                None => self.no_function(at, name),
            };
        };
        let usage = FUNCTIONS.iter().find(|(n, _)| *n == name).map(|(_, u)| (*u).to_owned());
        if args.len() != *count {
            return self.wrong_help(
                at,
                format!("{name}() takes {count} argument(s), not {}", args.len()),
                usage,
            );
        }
        if !self.scope.allowed.state {
            return self.wrong(at, format!("{name}() remembers, and cannot be used at this place"));
        }
        if !self.locals.is_empty() {
            return self
                .wrong(at, format!("{name}() remembers, and cannot be used inside all, map and the like"));
        }
        let outer = self.scope.read.replace(0);
        let mut counted = 0;
        let typed = self.stateful_parts(name, args, &mut counted);
        let inner = self.scope.read.get();
        self.scope.read.set(outer | inner);
        let (kind, make, unit) = typed?;
        if matches!(name, "unchanged_for" | "elapsed") {
            self.scope.clocked.set(true);
        }
        let mut all = self.scope.stateful.borrow_mut();
        let slot = all.len() as u16;
        let counted = if name == "counter" { counted } else { inner };
        all.push(Stateful { kind, inputs: inner, counted });
        Some(Typed { expr: make(slot), unit })
    }

    #[expect(clippy::type_complexity, reason = "three parts of one answer, used once")]
    fn stateful_parts(
        &mut self,
        name: &str,
        args: &[IdedExpr],
        counted: &mut u64,
    ) -> Option<(Kind, Box<dyn Fn(u16) -> Expr>, Option<std::sync::Arc<str>>)> {
        let truth: fn(u16) -> Expr = |s| Expr::Bool(BoolE::State(s));
        let int: fn(u16) -> Expr = |s| Expr::Int(IntE::State(s));
        let duration: fn(u16) -> Expr = |s| Expr::Duration(NumE::State(s));
        let (kind, make): (Kind, fn(u16) -> Expr) = match name {
            "hold" => {
                let (cond, d) = (self.truth(&args[0]), self.seconds(&args[1]));
                (Kind::Hold(cond?, d?), truth)
            }
            "consecutive" => {
                let cond = self.truth(&args[0])?;
                match self.int(&args[1])? {
                    IntE::Const(n) if n > 0 => (Kind::Consecutive(cond, n), truth),
                    _ => return self.wrong(&args[1], "a positive integer is wanted here"),
                }
            }
            "count_in" => {
                let (cond, d) = (self.truth(&args[0]), self.seconds(&args[1]));
                (Kind::CountIn(cond?, d?), int)
            }
            "rose" => (Kind::Rose(self.truth(&args[0])?), truth),
            "fell" => (Kind::Fell(self.truth(&args[0])?), truth),
            "changed" => (Kind::Changed(self.expr(&args[0])?.expr), truth),
            "unchanged_for" => (Kind::UnchangedFor(self.expr(&args[0])?.expr), duration),
            "elapsed" => (Kind::Elapsed(self.truth(&args[0])?), duration),
            "counter" => {
                let (up, down) = (self.truth(&args[0]), self.truth(&args[1]));
                *counted = self.scope.read.get();
                let reset = self.truth(&args[2]);
                (Kind::Counter(up?, down?, reset?), int)
            }
            "absent" => {
                let (input, d) = (self.input(&args[0]), self.seconds(&args[1]));
                (Kind::Absent(input?, d?), truth)
            }
            "then" => {
                let (a, b, d) = (self.truth(&args[0]), self.truth(&args[1]), self.seconds(&args[2]));
                (Kind::Then(a?, b?, d?), truth)
            }
            _ => return self.remembered_value(name, args),
        };
        Some((kind, Box::new(make), None))
    }

    /// `prev(x)` and `as_of(x, t)`: values of x's own type.
    #[expect(clippy::type_complexity, reason = "as above")]
    fn remembered_value(
        &mut self,
        name: &str,
        args: &[IdedExpr],
    ) -> Option<(Kind, Box<dyn Fn(u16) -> Expr>, Option<std::sync::Arc<str>>)> {
        let Typed { expr, unit } = self.expr(&args[0])?;
        let shape = expr.clone();
        if name == "prev" {
            let make = move |s| match &shape {
                Expr::Bool(_) => Expr::Bool(BoolE::State(s)),
                Expr::Int(_) => Expr::Int(IntE::State(s)),
                Expr::Duration(_) => Expr::Duration(NumE::State(s)),
                Expr::Num(_) | Expr::Dyn(_) => Expr::Num(NumE::State(s)),
                Expr::Text(_) => Expr::Text(TextE::State(s)),
                Expr::List(e, _) => Expr::List(*e, ListE::State(s)),
                // The check lets neither through.
                other @ (Expr::Map(..) | Expr::Entry(_)) => other.clone(),
            };
            return Some((Kind::Prev(expr), Box::new(make), unit));
        }
        let inputs = self.scope.read.get();
        if inputs.count_ones() != 1 {
            return self.wrong(&args[0], "as_of() needs a value of exactly one input");
        }
        let input = inputs.trailing_zeros() as u16;
        let (time, _) = self.num(&args[1])?;
        let make: Box<dyn Fn(u16) -> Expr> = match &shape {
            Expr::Bool(_) => Box::new(move |s| Expr::Bool(BoolE::AsOf(s, Box::new(time.clone())))),
            Expr::Int(_) => Box::new(move |s| Expr::Int(IntE::AsOf(s, Box::new(time.clone())))),
            Expr::Num(_) => Box::new(move |s| Expr::Num(NumE::AsOf(s, Box::new(time.clone())))),
            Expr::Text(_) => Box::new(move |s| Expr::Text(TextE::AsOf(s, Box::new(time.clone())))),
            other => return self.wrong(&args[0], format!("as_of() cannot remember {}", other.type_name())),
        };
        Some((Kind::Past(expr, input), make, unit))
    }

    pub(super) fn method(
        &mut self,
        at: &IdedExpr,
        name: &str,
        target: &IdedExpr,
        args: &[IdedExpr],
    ) -> Option<Typed> {
        match (name, args) {
            ("size", []) => self.size(target),
            ("contains" | "startsWith" | "endsWith", [x]) => {
                let (a, b) = (self.text(target), self.text(x));
                let (a, b) = (Box::new(a?), Box::new(b?));
                Some(Typed::from(Expr::Bool(match name {
                    "contains" => BoolE::Contains(a, b),
                    "startsWith" => BoolE::StartsWith(a, b),
                    _ => BoolE::EndsWith(a, b),
                })))
            }
            ("matches", [x]) => {
                let text = self.text(target)?;
                let Ast::Literal(LiteralValue::String(pattern)) = &x.expr else {
                    return self.wrong(x, "the pattern of matches() must be written as a text");
                };
                match regex::Regex::new(pattern.inner()) {
                    Ok(regex) => Some(Expr::Bool(BoolE::Matches(Box::new(text), regex)).into()),
                    Err(e) => {
                        let text = e.to_string();
                        let last = text.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
                        self.wrong(x, format!("not a regular expression: {last}"))
                    }
                }
            }
            _ => {
                let help = suggest(name, METHODS.iter().copied(), "methods");
                self.wrong_help(
                    at,
                    format!("there is no method \"{name}\" with {} argument(s)", args.len()),
                    help,
                )
            }
        }
    }
}
