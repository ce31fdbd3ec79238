//! The projecting decoder against apache-avro: same schema, same bytes, same values, whatever is wanted of them.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

use super::*;

/// A type with a value of it, from which schema and record are made.
#[derive(Debug, Clone)]
enum Node {
    Bool(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Items of one type; the first gives the type if there is any, else int.
    Doubles(Vec<f64>),
    Floats(Vec<f32>),
    Ints(Vec<i32>),
    Longs(Vec<i64>),
    Bools(Vec<bool>),
    Texts(Vec<String>),
    /// A nullable value: null first or last, set or not.
    Nullable(Box<Node>, bool, bool),
    Record(Vec<Node>),
    /// Records in an array; only skipped.
    Records(Vec<(i32, String)>),
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Node::Bool),
        any::<i32>().prop_map(Node::Int),
        any::<i64>().prop_map(Node::Long),
        any::<f32>().prop_map(Node::Float),
        any::<f64>().prop_map(Node::Double),
        ".{0,12}".prop_map(Node::Text),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Node::Bytes),
        prop::collection::vec(any::<f64>(), 0..6).prop_map(Node::Doubles),
        prop::collection::vec(any::<f32>(), 0..6).prop_map(Node::Floats),
        prop::collection::vec(any::<i32>(), 0..6).prop_map(Node::Ints),
        prop::collection::vec(any::<i64>(), 0..6).prop_map(Node::Longs),
        prop::collection::vec(any::<bool>(), 0..6).prop_map(Node::Bools),
        prop::collection::vec(".{0,5}", 0..4).prop_map(Node::Texts),
        prop::collection::vec((any::<i32>(), ".{0,5}"), 0..4).prop_map(Node::Records),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Node::Record),
            (inner, any::<bool>(), any::<bool>()).prop_map(|(n, first, set)| Node::Nullable(
                n.into(),
                first,
                set
            )),
        ]
    })
}

fn record() -> impl Strategy<Value = Node> {
    prop::collection::vec(node(), 1..10).prop_map(Node::Record)
}

impl Node {
    fn schema(&self, serial: &mut usize) -> String {
        let array = |items: &str| format!(r#"{{"type": "array", "items": {items}}}"#);
        match self {
            Node::Bool(_) => r#""boolean""#.to_owned(),
            Node::Int(_) => r#""int""#.to_owned(),
            Node::Long(_) => r#""long""#.to_owned(),
            Node::Float(_) => r#""float""#.to_owned(),
            Node::Double(_) => r#""double""#.to_owned(),
            Node::Text(_) => r#""string""#.to_owned(),
            Node::Bytes(_) => r#""bytes""#.to_owned(),
            Node::Doubles(_) => array(r#""double""#),
            Node::Floats(_) => array(r#""float""#),
            Node::Ints(_) => array(r#""int""#),
            Node::Longs(_) => array(r#""long""#),
            Node::Bools(_) => array(r#""boolean""#),
            Node::Texts(_) => array(r#""string""#),
            Node::Nullable(inner, first, _) => {
                // A union in a union is no Avro.
                let inner = inner.without_union().schema(serial);
                if *first { format!(r#"["null", {inner}]"#) } else { format!(r#"[{inner}, "null"]"#) }
            }
            Node::Record(fields) => {
                *serial += 1;
                let name = format!("r{serial}");
                let fields: Vec<String> = fields
                    .iter()
                    .enumerate()
                    .map(|(n, f)| format!(r#"{{"name": "f{n}", "type": {}}}"#, f.schema(serial)))
                    .collect();
                format!(r#"{{"type": "record", "name": "{name}", "fields": [{}]}}"#, fields.join(", "))
            }
            Node::Records(_) => {
                *serial += 1;
                array(&format!(
                    r#"{{"type": "record", "name": "r{serial}", "fields": [
                        {{"name": "a", "type": "int"}}, {{"name": "b", "type": "string"}}]}}"#
                ))
            }
        }
    }

    fn without_union(&self) -> &Node {
        match self {
            Node::Nullable(inner, _, _) => inner.without_union(),
            other => other,
        }
    }

    fn avro(&self) -> Avro {
        let array = |items: Vec<Avro>| Avro::Array(items);
        match self {
            Node::Bool(v) => Avro::Boolean(*v),
            Node::Int(v) => Avro::Int(*v),
            Node::Long(v) => Avro::Long(*v),
            Node::Float(v) => Avro::Float(*v),
            Node::Double(v) => Avro::Double(*v),
            Node::Text(v) => Avro::String(v.clone()),
            Node::Bytes(v) => Avro::Bytes(v.clone()),
            Node::Doubles(v) => array(v.iter().map(|v| Avro::Double(*v)).collect()),
            Node::Floats(v) => array(v.iter().map(|v| Avro::Float(*v)).collect()),
            Node::Ints(v) => array(v.iter().map(|v| Avro::Int(*v)).collect()),
            Node::Longs(v) => array(v.iter().map(|v| Avro::Long(*v)).collect()),
            Node::Bools(v) => array(v.iter().map(|v| Avro::Boolean(*v)).collect()),
            Node::Texts(v) => array(v.iter().map(|v| Avro::String(v.clone())).collect()),
            Node::Nullable(inner, first, set) => {
                let branch = u32::from(*first == *set);
                let value = if *set { inner.without_union().avro() } else { Avro::Null };
                Avro::Union(branch, Box::new(value))
            }
            Node::Record(fields) => {
                Avro::Record(fields.iter().enumerate().map(|(n, f)| (format!("f{n}"), f.avro())).collect())
            }
            Node::Records(rows) => array(
                rows.iter()
                    .map(|(a, b)| {
                        Avro::Record(vec![
                            ("a".to_owned(), Avro::Int(*a)),
                            ("b".to_owned(), Avro::String(b.clone())),
                        ])
                    })
                    .collect(),
            ),
        }
    }

    /// Dotted names of everything that can be read.
    fn paths(&self, prefix: &str, out: &mut Vec<String>) {
        match self.without_union() {
            Node::Record(fields) => {
                for (n, field) in fields.iter().enumerate() {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    field.paths(&format!("{prefix}{dot}f{n}"), out);
                }
            }
            Node::Bytes(_) | Node::Records(_) => {}
            _ => out.push(prefix.to_owned()),
        }
    }
}

/// The value at a path of a record that apache-avro read.
fn at<'a>(value: &'a Avro, path: &str) -> &'a Avro {
    match value {
        Avro::Union(_, inner) => at(inner, path),
        Avro::Record(fields) if !path.is_empty() => {
            let (head, tail) = path.split_once('.').unwrap_or((path, ""));
            fields.iter().find(|f| f.0 == head).map_or(&Avro::Null, |f| at(&f.1, tail))
        }
        Avro::Null => value,
        other => other,
    }
}

fn ours(value: &Avro, select: Select) -> Value {
    let Avro::Array(all) = value else {
        return match value {
            Avro::Boolean(v) => Value::Bool(*v),
            Avro::Int(v) => Value::Int(i64::from(*v)),
            Avro::Long(v) => Value::Int(*v),
            Avro::Float(v) => Value::Double(f64::from(*v)),
            Avro::Double(v) => Value::Double(*v),
            Avro::String(v) => Value::Text(v.as_str().into()),
            _ => Value::Null,
        };
    };
    let all: Vec<Value> = all.iter().map(|v| ours(v, Select::All)).collect();
    let part = match select {
        Select::All => &all[..],
        Select::Element(n) => return all.get(n).cloned().unwrap_or(Value::Null),
        Select::Slice(from, to) => &all[from.min(all.len())..to.min(all.len()).max(from.min(all.len()))],
    };
    match part.first() {
        Some(Value::Bool(_)) => Value::Bools(part.iter().map(|v| matches!(v, Value::Bool(true))).collect()),
        Some(Value::Int(_)) => {
            Value::Ints(part.iter().map(|v| if let Value::Int(v) = v { *v } else { 0 }).collect())
        }
        Some(Value::Text(_)) => Value::Texts(
            part.iter()
                .filter_map(|v| if let Value::Text(v) = v { Some(Arc::clone(v)) } else { None })
                .collect(),
        ),
        _ => Value::Doubles(part.iter().map(|v| if let Value::Double(v) = v { *v } else { 0.0 }).collect()),
    }
}

/// Equality with NaN equal to itself, and arrays without items equal whatever their kind.
fn same(a: &Value, b: &Value) -> bool {
    let empty = |v: &Value| match v {
        Value::Bools(v) => v.is_empty(),
        Value::Ints(v) => v.is_empty(),
        Value::Doubles(v) => v.is_empty(),
        Value::Texts(v) => v.is_empty(),
        _ => false,
    };
    format!("{a:?}") == format!("{b:?}") || (empty(a) && empty(b))
}

/// The wants of a case: some of the paths, whole or in part, some twice.
fn wants(node: &Node, picks: &[(prop::sample::Index, u8, u8)]) -> Vec<Want> {
    let mut paths = Vec::new();
    node.paths("", &mut paths);
    let pick = |(index, kind, n): &(prop::sample::Index, u8, u8)| {
        let path = index.get(&paths).clone();
        let array = matches!(at(&node.avro(), &path), Avro::Array(_));
        let n = usize::from(*n % 7);
        Want::field(path).select(match kind % 3 {
            1 if array => Select::Element(n),
            2 if array => Select::Slice(n / 2, n),
            _ => Select::All,
        })
    };
    if paths.is_empty() { Vec::new() } else { picks.iter().map(pick).collect() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_reads_what_apache_avro_reads(
        node in record(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        block_size in prop::option::of(1..20_usize),
    ) {
        let text = node.schema(&mut 0);
        let schema = Schema::parse_str(&text).unwrap();
        let writer = GenericDatumWriter::builder(&schema).maybe_target_block_size(block_size).build().unwrap();
        let body = writer.write_value_to_vec(node.avro()).unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let oracle = reader.read_value(&mut &body[..]).unwrap();

        let wants = wants(&node, &picks);
        let plan = Plan::compile(&text, &wants).unwrap();
        let mut cells = vec![Value::Null; wants.len()];
        plan.decode(&body, &mut cells).unwrap();
        for (want, cell) in wants.iter().zip(&cells) {
            let expected = ours(at(&oracle, &want.path), want.select);
            prop_assert!(same(cell, &expected), "{}: {cell:?}, expected {expected:?}", want.path);
        }

        // Cut anywhere: never accepted. One byte too many: never accepted.
        if !body.is_empty() {
            let cut = cut.index(body.len());
            prop_assert!(plan.decode(&body[..cut], &mut cells).is_err());
        }
        let mut longer = body.clone();
        longer.push(0);
        prop_assert_eq!(plan.decode(&longer, &mut cells), Err(WireError::Trailing(1)));

        // Damaged: no panic, and where apache-avro reads all of it, so do we, with the same values.
        let mut damaged = body;
        for (index, byte) in flips {
            if !damaged.is_empty() {
                let at = index.index(damaged.len());
                damaged[at] = byte;
            }
        }
        let outcome = plan.decode(&damaged, &mut cells);
        // apache-avro reserves what a length asks for before it looks: spare it the absurd ones.
        if outcome.is_ok() {
            let mut rest = &damaged[..];
            if let Ok(oracle) = reader.read_value(&mut rest) && rest.is_empty() {
                for (want, cell) in wants.iter().zip(&cells) {
                    let expected = ours(at(&oracle, &want.path), want.select);
                    prop_assert!(same(cell, &expected), "{}: {cell:?}, expected {expected:?}", want.path);
                }
            }
        }
    }
}
