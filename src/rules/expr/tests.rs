//! Expressions by example, and against the cel crate's own interpreter.

mod explain;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use proptest::prelude::*;
use sal_idl::{EnumItem, Enumeration};
use salobj::Value;
use serde_json::{Map, json};

use super::scope::{Allowed, Cells, InputScope, Scope, Shape};
use super::*;
use crate::rules::flow::Part;
use crate::rules::schema::{FieldKind, FieldSchema, TopicSchema};

/// Inputs x (double, m/s), y (double, km/h), n, m (int), b, c (bool), s (text), xs (doubles), ns (ints), late (double,
/// stale), msg (a message).
struct Bench {
    inputs: Vec<InputScope>,
    cells: Cells,
    stateful: RefCell<Vec<Stateful>>,
    values: Vec<Value>,
    marks: Vec<Mark>,
}

impl Bench {
    fn new() -> Bench {
        let cells = Cells::default();
        let mut inputs = Vec::new();
        let mut values = Vec::new();
        let one = |name: &str,
                   kind,
                   list,
                   unit: Option<&str>,
                   value: Value,
                   inputs: &mut Vec<InputScope>,
                   values: &mut Vec<Value>| {
            let cell = cells.of(inputs.len() as u16, name, Part::Whole);
            values.push(value);
            let unit = unit.map(Arc::from);
            let shape = Shape::One { cell, kind, list, unit };
            inputs.push(InputScope { name: name.into(), shape, has_max_age: name == "late" });
        };
        use FieldKind::*;
        one("x", Double, false, Some("m/s"), Value::Double(4.0), &mut inputs, &mut values);
        one("y", Double, false, Some("km/h"), Value::Double(2.0), &mut inputs, &mut values);
        one("n", Int, false, None, Value::Int(7), &mut inputs, &mut values);
        one("m", Int, false, None, Value::Int(-3), &mut inputs, &mut values);
        one("b", Bool, false, None, Value::Bool(true), &mut inputs, &mut values);
        one("c", Bool, false, None, Value::Bool(false), &mut inputs, &mut values);
        one("s", Text, false, None, Value::Text("seeing".into()), &mut inputs, &mut values);
        one("xs", Double, true, None, Value::Doubles([1.0, 5.0, 3.0].into()), &mut inputs, &mut values);
        one("ns", Int, true, None, Value::Ints([1, 2, 3, 4].into()), &mut inputs, &mut values);
        one("late", Double, false, None, Value::Double(1.0), &mut inputs, &mut values);
        one("nan", Double, false, None, Value::Double(f64::NAN), &mut inputs, &mut values);
        let field = |name: &str, kind| FieldSchema { name: name.into(), kind, count: None, unit: None };
        let schema = TopicSchema {
            component: "ATCamera".into(),
            sal_name: "logevent_endReadout".into(),
            indexed: false,
            fields: vec![
                field("imageName", Text),
                field("exposureTime", Double),
                field("private_sndStamp", Double),
            ],
            untyped: Default::default(),
        };
        for name in ["imageName", "exposureTime", "private_sndStamp"] {
            cells.of(inputs.len() as u16, name, Part::Whole);
        }
        inputs.push(InputScope {
            name: "msg".into(),
            shape: Shape::Message(Arc::new(schema), None),
            has_max_age: false,
        });
        let mut marks = vec![Mark { sent: 90.0, received: 90.0, fresh_until: f64::INFINITY }; inputs.len()];
        marks[9].fresh_until = 95.0;
        Bench { inputs, cells, stateful: RefCell::default(), values, marks }
    }

    fn check(&self, text: &str) -> Result<Outlined, Vec<Mistake>> {
        let state = |name: &str, value| EnumItem { name: name.into(), value };
        let enums = [Enumeration {
            name: "SummaryState".into(),
            items: vec![state("ENABLED", 2), state("FAULT", 3)],
        }];
        let parameters = json!({"limit": 3.5, "count": 2, "pipeline": "isr.yaml", "list": [1, 2]});
        let tasks = [
            scope::TaskScope {
                name: "jitter".into(),
                result: Some(vec![
                    ("rms", scope::ResultType::Number(Some("arcsec".into()))),
                    ("n", scope::ResultType::Int),
                ]),
            },
            scope::TaskScope { name: "free".into(), result: None },
        ];
        let scope = Scope {
            inputs: &self.inputs,
            cells: &self.cells,
            stateful: &self.stateful,
            enums: &enums,
            parameters: parameters.as_object().unwrap(),
            tasks: &tasks,
            allowed: Allowed { state: true, tasks: true, trigger: true, fields: false },
            read: Cell::new(0),
            reads_tasks: Cell::new(false),
            clocked: Cell::new(false),
            expires: Cell::new(false),
        };
        check(text, &scope)
    }

    fn json(&self, text: &str) -> (serde_json::Value, Option<String>) {
        let checked = self.check(text).unwrap_or_else(|m| panic!("{text}: {m:?}"));
        self.run(&checked, |checked, env, names| {
            let value = checked.typed.expr.json(env).unwrap_or(json!("unknown"));
            (value, env.why.get().map(|w| w.say(names)))
        })
    }

    /// Calls with everything that an evaluation sees.
    fn run<T>(&self, checked: &Outlined, f: impl for<'a> FnOnce(&'a Outlined, &Env<'a>, &[&str]) -> T) -> T {
        let parameters: Map<_, _> = json!({"limit": 3.5, "count": 2, "pipeline": "isr.yaml", "list": [1, 2]})
            .as_object()
            .unwrap()
            .clone();
        let tasks: Map<_, _> =
            json!({"jitter": {"state": "succeeded", "result": {"rms": 0.7, "n": 100, "z": null}}, "free": {"result": {"a": {"b": 4}}}})
                .as_object()
                .unwrap()
                .clone();
        let trigger = Map::new();
        let mut values = self.values.clone();
        values.extend([Value::Text("AT_O_1".into()), Value::Double(30.0), Value::Null]);
        let env = Env {
            cells: &values,
            marks: &self.marks,
            tables: &[],
            memory: &[],
            now: 100.0,
            parameters: &parameters,
            tasks: &tasks,
            trigger: &trigger,
            locals: RefCell::default(),
            why: Cell::new(None),
        };
        let names: Vec<&str> = self.inputs.iter().map(|i| i.name.as_str()).collect();
        f(checked, &env, &names)
    }
}

#[test]
fn values_of_expressions() {
    let bench = Bench::new();
    for (text, expected) in corpus() {
        let (value, why) = bench.json(text);
        assert_eq!(value, expected, "{text}: {why:?}");
    }
}

/// Expressions and what they give.
fn corpus() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("x > 3", json!(true)),
        ("n / 2 + 1", json!(4)),
        ("-n % 4", json!(-3)),
        ("x * 2 + n", json!(15.0)),
        ("b && !c ? 'yes' : 'no'", json!("yes")),
        ("n in [1, 7]", json!(true)),
        ("s in ['a', 'seeing']", json!(true)),
        ("s + '!' == 'seeing!' && size(s) == 6 && s.startsWith('see') && s.matches('^s.*g$')", json!(true)),
        ("xs * 2.0 + 1.0", json!([3.0, 11.0, 7.0])),
        ("sort(xs)[0] + xs[1]", json!(6.0)),
        ("count(xs > 2.0)", json!(2)),
        ("median(xs) == 3.0 && ptp(xs) == 4.0 && mean(xs) == 3.0 && sum(ns) == 10", json!(true)),
        ("argmax(xs)", json!(1)),
        ("concat(xs, xs)[4]", json!(5.0)),
        ("slice(ns, 1, 3)", json!([2, 3])),
        ("ns.all(i, i > 0) && ns.exists(i, i == 4) && ns.exists_one(i, i > 3)", json!(true)),
        ("ns.filter(i, i % 2 == 0).map(i, i * 10)", json!([20, 40])),
        ("abs(m) + max(n, 3, 2) + min(ns)", json!(11)),
        ("int(x / 3.0) + int('12')", json!(13)),
        ("string(n) + string(1.5)", json!("71.5")),
        ("SummaryState.FAULT == 3", json!(true)),
        (
            "parameters.limit < x && parameters.count == 2 && parameters.pipeline.endsWith('.yaml')",
            json!(true),
        ),
        ("parameters.list[1] == 2", json!(true)),
        (
            "tasks.jitter.result.rms > 0.5 && tasks.jitter.state == 'succeeded' && tasks.jitter.result.n == 100",
            json!(true),
        ),
        ("tasks.free.result.a.b + 1 == 5", json!(true)),
        ("has(tasks.free.result.a) && !has(tasks.free.result.zz)", json!(true)),
        ("age(x) > 5s && age(x) < 1m", json!(true)),
        ("known(x) && !known(late) && stale(late)", json!(true)),
        ("10m + 30s > 5m", json!(true)),
        ("utc_hour() >= 0.0", json!(true)),
    ]
}

#[test]
fn deviations_from_cel() {
    let bench = Bench::new();
    for (text, expected, why) in [
        // Integers are promoted beside a double.
        ("n > 6.5", json!(true), None),
        ("n + 0.5", json!(7.5), None),
        // Elementwise arithmetic; concat() concatenates.
        ("xs + xs", json!([2.0, 10.0, 6.0]), None),
        // Missing, stale, NaN and errors are unknown, with the reason.
        ("msg.private_sndStamp > 1.0", json!("unknown"), Some("input \"msg\" has no value")),
        ("late > 0.0", json!("unknown"), Some("input \"late\" is older than its max_age")),
        ("nan > 0.0", json!("unknown"), Some("input \"nan\" is not a number (NaN)")),
        ("n / 0", json!("unknown"), Some("division by zero")),
        ("x / 0.0", json!("unknown"), Some("division by zero")),
        ("n + 9223372036854775807", json!("unknown"), Some("overflow")),
        ("xs[3]", json!("unknown"), Some("index out of range, or no value")),
        ("tasks.free.result.zz > 1.0", json!("unknown"), Some("there is no \"zz\"")),
        // Three-valued logic, in either order; `? :` looks at the branch taken only.
        ("false && late > 0.0", json!(false), None),
        ("late > 0.0 && c", json!(false), None),
        ("late > 0.0 || b", json!(true), None),
        ("b || late > 0.0", json!(true), None),
        ("late > 0.0 && b", json!("unknown"), Some("input \"late\" is older than its max_age")),
        ("!(late > 0.0)", json!("unknown"), Some("input \"late\" is older than its max_age")),
        ("b ? x : late", json!(4.0), None),
        ("c ? x : late", json!("unknown"), Some("input \"late\" is older than its max_age")),
    ] {
        assert_eq!(bench.json(text), (expected, why.map(str::to_owned)), "{text}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let bench = Bench::new();
    for (text, at, message, help) in [
        ("wnd > 3.0", "wnd", "there is no input \"wnd\"", "inputs"),
        ("x > 'a'", ">", "a number cannot be compared with text", ""),
        (
            "x > y",
            ">",
            "unit clash: m/s on the left, km/h on the right",
            "x * 0.2777777777778 (from km/h to m/s)",
        ),
        ("n == SummaryState.FALT", ".", "enumeration SummaryState has no constant \"FALT\"", "\"FAULT\""),
        ("msg.imagName == ''", ".", "has no field \"imagName\"", "did you mean \"imageName\"?"),
        ("msg == 3", "msg", "\"msg\" is a whole message", "write msg.<field>"),
        ("x.speed > 3.0", ".", "is a single value and has no field \"speed\"", "whole message"),
        ("hold(x > 3.0, 30)", "30", "a duration is wanted here", "30s"),
        ("hld(x > 3.0, 30s)", "(", "there is no function \"hld\"", "did you mean \"hold\"?"),
        ("tasks.jiter.result.rms > 1.0", ".", "the rule has no task \"jiter\"", "jitter"),
        ("tasks.jitter.result.rsm > 1.0", ".", "has no \"rsm\"", "rms"),
        ("parameters.limt > 1.0", ".", "no parameter \"limt\"", "limit"),
        ("x && b", "x", "a condition is wanted here, this is a number", ""),
        ("mean(x) > 1.0", "(", "mean() needs a list of numbers", "window"),
        ("age(x) > 30", ">", "a duration cannot be compared with an integer", "30s"),
        ("stale(x)", "x", "stale() needs an input with max_age", "max_age"),
        ("x > (3.0", "", "not a CEL expression", ""),
        ("s.matches('(')", "'('", "not a regular expression", ""),
        ("hold(x > 3.0, 30s) && zz", "zz", "there is no input \"zz\"", ""),
    ] {
        let mistakes = bench.check(text).expect_err(text);
        let first = &mistakes[0];
        assert!(first.message.contains(message), "{text}: {first:?}");
        assert!(first.help.as_deref().unwrap_or("").contains(help), "{text}: {first:?}");
        let (from, len) = first.span;
        assert!(text[from..from + len].starts_with(at), "{text}: {:?}", &text[from..from + len]);
    }
    assert_eq!(bench.check("wnd > 3.0 && zz == 'a'").unwrap_err().len(), 2, "all mistakes at once");
}

/// Expressions that both evaluators understand.
fn numeric(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (-20_i64..20).prop_map(|v| if v < 0 { format!("({v})") } else { v.to_string() }),
        Just("n".to_owned()),
        Just("m".to_owned())
    ];
    leaf.prop_recursive(depth, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop_oneof!["\\+", "-", "\\*", "/", "%"], inner.clone())
                .prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (condition_of(inner.clone()), inner.clone(), inner.clone())
                .prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
            inner.clone().prop_map(|a| format!("(-{a})")),
            Just("size(s)".to_owned()),
            inner.prop_map(|a| format!("ns[0 + {a}]")),
        ]
    })
    .boxed()
}

fn double() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (-8.0_f64..8.0).prop_map(|v| if v < 0.0 { format!("({v:?})") } else { format!("{v:?}") }),
        Just("x".to_owned()),
        Just("y".to_owned())
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop_oneof!["\\+", "-", "\\*"], inner.clone())
                .prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            inner.prop_map(|a| format!("(-{a})")),
        ]
    })
    .boxed()
}

fn condition_of(number: impl Strategy<Value = String> + Clone + 'static) -> BoxedStrategy<String> {
    let comparison = (number.clone(), prop_oneof!["<", "<=", ">", ">=", "==", "!="], number.clone())
        .prop_map(|(a, o, b)| format!("({a} {o} {b})"));
    let leaf = prop_oneof![
        comparison,
        Just("b".to_owned()),
        Just("c".to_owned()),
        Just("s.contains('ee')".to_owned()),
        Just("(s == 'seeing')".to_owned()),
        number.clone().prop_map(|a| format!("({a} in ns)")),
        number.prop_map(|a| format!("ns.exists(i, i == {a})")),
    ];
    leaf.prop_recursive(3, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("(!{a})")),
        ]
    })
    .boxed()
}

/// Texts.
fn text() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("s".to_owned()),
        "[a-cé]{0,3}".prop_map(|t| format!("'{t}'")),
        "[see]{1,4}".prop_map(|t| format!("\"{t}\"")),
        numeric(1).prop_map(|n| format!("string({n})")),
    ];
    leaf.prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
            (condition_of(numeric(1)), inner.clone(), inner)
                .prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        ]
    })
    .boxed()
}

/// What is asked of texts.
fn about_texts() -> BoxedStrategy<String> {
    prop_oneof![
        (text(), prop_oneof!["==", "!="], text()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        (text(), prop_oneof!["contains", "startsWith", "endsWith"], text())
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        (text(), numeric(1)).prop_map(|(a, n)| format!("(size({a}) > {n})")),
        text().prop_map(|a| format!("({a} in ['a', s, 'ab'])")),
        text().prop_map(|a| format!("{a}.matches('^[a-s]*e')")),
    ]
    .boxed()
}

/// Lists of integers.
fn list() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("ns".to_owned()),
        prop::collection::vec(numeric(1), 1..4).prop_map(|all| format!("[{}]", all.join(", "))),
    ];
    leaf.prop_recursive(2, 6, 1, |inner| {
        prop_oneof![
            (inner.clone(), 0..5).prop_map(|(l, k)| format!("{l}.filter(i, i > {k})")),
            (inner.clone(), -2..3).prop_map(|(l, k)| format!("{l}.map(i, i * ({k}))")),
            (condition_of(numeric(1)), inner.clone(), inner)
                .prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        ]
    })
    .boxed()
}

/// What is asked of lists.
fn about_lists() -> BoxedStrategy<String> {
    let macros = prop_oneof!["all", "exists", "exists_one"];
    prop_oneof![
        (list(), numeric(1)).prop_map(|(l, n)| format!("(size({l}) <= {n})")),
        (numeric(1), list()).prop_map(|(n, l)| format!("({n} in {l})")),
        (list(), macros, -1..5).prop_map(|(l, f, k)| format!("{l}.{f}(i, i > {k})")),
        (list(), numeric(1), numeric(1)).prop_map(|(l, i, n)| format!("({l}[0 + {i}] == {n})")),
    ]
    .boxed()
}

fn cel_says(text: &str) -> serde_json::Value {
    let program = cel::Program::compile(text).unwrap();
    let mut context = cel::Context::default();
    context.add_variable_from_value("x", 4.0);
    context.add_variable_from_value("y", 2.0);
    context.add_variable_from_value("n", 7_i64);
    context.add_variable_from_value("m", -3_i64);
    context.add_variable_from_value("b", true);
    context.add_variable_from_value("c", false);
    context.add_variable_from_value("s", "seeing");
    context.add_variable_from_value("ns", vec![1_i64, 2, 3, 4]);
    match program.execute(&context) {
        Ok(cel::Value::Bool(v)) => json!(v),
        Ok(cel::Value::Int(v)) => json!(v),
        Ok(cel::Value::Float(v)) => json!(v),
        Ok(cel::Value::String(v)) => json!(*v),
        Ok(cel::Value::List(all)) => all
            .iter()
            .map(|v| if let cel::Value::Int(v) = v { json!(v) } else { panic!("{text}: {v:?}") })
            .collect(),
        Ok(other) => panic!("{text}: {other:?}"),
        Err(_) => json!("unknown"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn integers_as_cel(text in numeric(3)) {
        prop_assert_eq!(Bench::new().json(&text).0, cel_says(&text), "{}", text);
    }

    #[test]
    fn doubles_as_cel(text in double()) {
        // Units of x and y clash on purpose elsewhere; here they are made plain numbers.
        let plain = text.replace('x', "(x * 1.0)").replace('y', "(y * 1.0)");
        prop_assert_eq!(Bench::new().json(&plain).0, cel_says(&plain), "{}", plain);
    }

    #[test]
    fn conditions_as_cel(text in condition_of(numeric(2))) {
        prop_assert_eq!(Bench::new().json(&text).0, cel_says(&text), "{}", text);
    }

    #[test]
    fn conditions_on_doubles_as_cel(text in condition_of(double())) {
        let plain = text.replace("ns.exists(i, i ==", "ns.exists(i, double(i) ==").replace(" in ns)", " in [1.0, 2.0, 4.0])");
        let plain = plain.replace('x', "(x * 1.0)").replace("e(x * 1.0)ists", "exists").replace('y', "(y * 1.0)");
        prop_assert_eq!(Bench::new().json(&plain).0, cel_says(&plain), "{}", plain);
    }

    #[test]
    fn texts_as_cel(text in prop_oneof![text(), about_texts()]) {
        prop_assert_eq!(Bench::new().json(&text).0, cel_says(&text), "{}", text);
    }

    #[test]
    fn lists_as_cel(text in prop_oneof![list(), about_lists()]) {
        prop_assert_eq!(Bench::new().json(&text).0, cel_says(&text), "{}", text);
    }

    #[test]
    fn conversions_as_cel(number in numeric(2), real in double()) {
        let real = real.replace('x', "(x * 1.0)").replace('y', "(y * 1.0)");
        for text in [format!("int({real})"), format!("double({number}) + {real}"), format!("int(string({number}))")] {
            prop_assert_eq!(Bench::new().json(&text).0, cel_says(&text), "{}", text);
        }
    }
}
#[test]
fn terms_behind_letters_of_several_bytes_are_found() {
    let bench = Bench::new();
    let text = "(s == 'ééé' ? 'éé' : 'ébc') != s && n > (-1)";
    let mistake = &bench.check("s == 'ééé' && nobody > 1").unwrap_err()[0];
    assert_eq!(mistake.span, ("s == 'ééé' && ".len(), "nobody".len()));
    let mistake = &bench.check("s == 'ééé' && ) > 1").unwrap_err()[0];
    assert_eq!(mistake.span.0, "s == 'ééé' && ".len(), "{mistake:?}");
    let root = bench.check(text).unwrap().outline.root;
    let spans: Vec<&str> = root.terms.iter().map(|t| &text[t.span.0..t.span.1]).collect();
    assert_eq!(spans, ["(s == 'ééé' ? 'éé' : 'ébc') != s", "n > (-1)"]);
}
