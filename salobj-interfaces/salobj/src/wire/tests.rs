//! Tests of the wire format: the worked example of the format's description, limits, and the projecting decoder
//! against apache-avro on random schemas, records and damage.

use std::sync::Arc;

use sal_idl::{Field, SalType, Topic, TopicKind};

use super::*;
use crate::value::Value;

mod differential;

fn avro_type(sal_type: SalType) -> &'static str {
    match sal_type {
        SalType::Boolean => "boolean",
        SalType::LongLong | SalType::UnsignedInt => "long",
        SalType::Float => "float",
        SalType::Double => "double",
        SalType::String => "string",
        _ => "int",
    }
}

/// A topic of these fields: name, type, count.
fn topic(name: &str, fields: &[(&str, SalType, usize)]) -> Arc<Topic> {
    let json: Vec<String> = fields
        .iter()
        .map(|(name, t, count)| {
            let t = avro_type(*t);
            let default = match t {
                "string" => "\"\"",
                "boolean" => "false",
                "int" | "long" => "0",
                _ => "0.0",
            };
            if *count > 1 {
                let defaults = vec![default; *count].join(", ");
                format!(r#"{{"name": "{name}", "type": {{"type": "array", "items": "{t}"}}, "default": [{defaults}]}}"#)
            } else {
                format!(r#"{{"name": "{name}", "type": "{t}", "default": {default}}}"#)
            }
        })
        .collect();
    let schema = format!(
        r#"{{"type": "record", "name": "{name}", "namespace": "lsst.sal.Test", "fields": [{}]}}"#,
        json.join(", ")
    );
    let field = |(name, sal_type, count): &(&str, SalType, usize)| Field {
        name: (*name).to_owned(),
        sal_type: *sal_type,
        count: *count,
        units: "unitless".to_owned(),
        description: String::new(),
        nullable: false,
    };
    Arc::new(Topic {
        component: "Test".to_owned(),
        kind: TopicKind::Event,
        sal_name: name.to_owned(),
        description: String::new(),
        fields: fields.iter().map(field).collect(),
        schema_pretty: schema.clone(),
        schema_compact: schema,
        rev_code: String::new(),
    })
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 16).unwrap()).collect()
}

fn summary_state() -> Arc<Topic> {
    use SalType::{Double, Long, String};
    topic(
        "logevent_summaryState",
        &[
            ("salIndex", Long, 1),
            ("private_sndStamp", Double, 1),
            ("private_rcvStamp", Double, 1),
            ("private_efdStamp", Double, 1),
            ("private_kafkaStamp", Double, 1),
            ("private_seqNum", Long, 1),
            ("private_revCode", String, 1),
            ("private_identity", String, 1),
            ("private_origin", Long, 1),
            ("summaryState", Long, 1),
        ],
    )
}

/// A record that Python's salobj wrote.
const EXAMPLE: &str = "00 0000000c 0e c6ed1c8636c0da41 0000000000000000 c6eddc7c36c0da41 c6ed1c8636c0da41 02
    10 3332353937353265 0c 546573743a37 90dd02 0a";

fn example_values() -> Vec<Value> {
    vec![
        Value::Int(7),
        Value::Double(1_795_217_944.452_012_5),
        Value::Double(0.0),
        Value::Double(1_795_217_907.452_012_5),
        Value::Double(1_795_217_944.452_012_5),
        Value::Int(1),
        Value::Text("3259752e".into()),
        Value::Text("Test:7".into()),
        Value::Int(22_344),
        Value::Int(5),
    ]
}

#[test]
fn the_worked_example_decodes_and_encodes_to_the_same_bytes() {
    let bytes = hex(EXAMPLE);
    assert_eq!(bytes.len(), 59);
    let (id, body) = unframe(&bytes).unwrap();
    assert_eq!(id, 12);
    let topic = summary_state();
    let decoder = Decoder::new(Arc::clone(&topic), &topic.schema_compact).unwrap();
    assert_eq!(decoder.decode(body).unwrap(), example_values());
    assert_eq!(Encoder::new(topic).unwrap().encode(12, &example_values()).unwrap(), bytes);
}

#[test]
fn every_truncation_and_any_excess_is_an_error() {
    let bytes = hex(EXAMPLE);
    let topic = summary_state();
    let decoder = Decoder::new(Arc::clone(&topic), &topic.schema_compact).unwrap();
    for length in 0..bytes.len() {
        assert!(decoder.decode_framed(&bytes[..length]).is_err(), "{length} bytes");
    }
    let mut long = bytes;
    long.push(0);
    assert_eq!(decoder.decode_framed(&long), Err(WireError::Trailing(1)));
}

#[test]
fn frames_of_other_kinds_are_named() {
    let told = |bytes: &[u8]| unframe(bytes).unwrap_err().to_string();
    assert!(told(&[]).contains("empty"));
    assert!(told(&[0, 1, 2]).contains("3 bytes"));
    assert!(told(&[1; 20]).contains("GUID"));
    assert!(told(b"{\"json\"}").contains("7b"));
    assert_eq!(unframe(&[0, 0, 0, 1, 2]), Ok((258, &[][..])));
}

#[test]
fn values_outside_the_range_of_their_type_are_refused() {
    use SalType::*;
    let cases: [(SalType, i64, i64); 7] = [
        (Byte, -128, 255),
        (Short, -32_768, 32_767),
        (Int, -2_147_483_648, 2_147_483_647),
        (Long, -2_147_483_648, 2_147_483_647),
        (UnsignedShort, 0, 65_535),
        (UnsignedInt, 0, 4_294_967_295),
        (LongLong, i64::MIN, i64::MAX),
    ];
    for (sal_type, low, high) in cases {
        let topic = topic("logevent_x", &[("x", sal_type, 1)]);
        let encoder = Encoder::new(Arc::clone(&topic)).unwrap();
        let decoder = Decoder::new(Arc::clone(&topic), &topic.schema_compact).unwrap();
        for value in [low, high, 0] {
            let bytes = encoder.encode(1, &[Value::Int(value)]).unwrap();
            assert_eq!(decoder.decode_framed(&bytes).unwrap(), [Value::Int(value)]);
        }
        for value in [low.checked_sub(1), high.checked_add(1)].into_iter().flatten() {
            let error = encoder.encode(1, &[Value::Int(value)]).unwrap_err().to_string();
            assert!(error.contains("field x") && error.contains(&value.to_string()), "{error}");
        }
    }
}

#[test]
fn wrong_types_and_lengths_are_refused_by_name() {
    let topic = topic(
        "logevent_x",
        &[
            ("f", SalType::Float, 1),
            ("a", SalType::Double, 3),
            ("b", SalType::Boolean, 1),
            ("s", SalType::String, 1),
        ],
    );
    let encoder = Encoder::new(topic).unwrap();
    let good = [
        Value::Double(1.5),
        Value::Doubles([1.0, f64::NAN, 3.0].into()),
        Value::Bool(true),
        Value::Text("x".into()),
    ];
    encoder.encode(1, &good).unwrap();
    let refused = |index: usize, value: Value| {
        let mut values = good.clone();
        values[index] = value;
        encoder.encode(1, &values).unwrap_err().to_string()
    };
    assert!(refused(0, Value::Double(1e300)).contains("4-byte"));
    assert!(refused(0, Value::Text("1".into())).contains("field f"));
    assert!(refused(1, Value::Doubles([1.0].into())).contains("3 elements, got 1"));
    assert!(refused(1, Value::Double(1.0)).contains("array"));
    assert!(refused(2, Value::Int(1)).contains("field b"));
    assert!(refused(3, Value::Null).contains("null"));
    let mut values = good.to_vec();
    values.pop();
    assert!(encoder.encode(1, &values).is_err());
    values.push(Value::Text("x".into()));
    values[0] = Value::Int(2);
    values[1] = Value::Ints([1, 2, 3].into());
    encoder.encode(1, &values).unwrap();
}

#[test]
fn resolution_fills_skips_and_widens() {
    let writer = topic(
        "logevent_x",
        &[("gone", SalType::String, 1), ("n", SalType::Int, 1), ("a", SalType::Float, 2)],
    );
    let reader = topic(
        "logevent_x",
        &[
            ("a", SalType::Double, 2),
            ("new", SalType::Int, 3),
            ("n", SalType::Double, 1),
            ("t", SalType::String, 1),
        ],
    );
    let bytes = Encoder::new(Arc::clone(&writer))
        .unwrap()
        .encode(1, &[Value::Text("lost".into()), Value::Int(-3), Value::Doubles([0.5, 2.0].into())])
        .unwrap();
    let decoder = Decoder::new(reader, &writer.schema_compact).unwrap();
    assert_eq!(
        decoder.decode_framed(&bytes).unwrap(),
        [
            Value::Doubles([0.5, 2.0].into()),
            Value::Ints([0, 0, 0].into()),
            Value::Double(-3.0),
            Value::Text("".into())
        ]
    );
}

#[test]
fn what_does_not_resolve_is_refused() {
    let reader = topic("logevent_x", &[("n", SalType::Int, 1)]);
    let told = |writer: Arc<Topic>| {
        Decoder::new(Arc::clone(&reader), &writer.schema_compact).unwrap_err().to_string()
    };
    assert!(told(topic("logevent_y", &[("n", SalType::Int, 1)])).contains("Test.logevent_x"));
    assert!(told(topic("logevent_x", &[("n", SalType::String, 1)])).contains("n"));
    assert!(told(topic("logevent_x", &[("n", SalType::LongLong, 1)])).contains("n"));
    assert!(matches!(Decoder::new(reader, "[1"), Err(WireError::Schema(_))));
}

const CAMERA: &str = r#"{"type": "record", "name": "x", "namespace": "lsst.sal.ATCamera", "fields": [
    {"name": "state", "type": ["null", "int"]}, {"name": "temperatures", "type": {"type": "array", "items": "float"}},
    {"name": "where", "type": {"type": "record", "name": "Where", "fields": [
        {"name": "raft", "type": ["string", "null"]}, {"name": "slots", "type": {"type": "array", "items": "int"}}]}},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["DARK", "FLAT"]}},
    {"name": "map", "type": {"type": "map", "values": "double"}},
    {"name": "again", "type": "Where"}]}"#;

fn camera_body() -> Vec<u8> {
    let mut body = vec![2, 10]; // branch 1, 5
    body.extend([4]); // two floats
    body.extend(1.5_f32.to_le_bytes());
    body.extend((-2.0_f32).to_le_bytes());
    body.extend([0, 0, 6, b'R', b'2', b'2', 5, 6, 2, 4, 6, 0]); // "R22"; 3 ints in a block of 3 bytes
    body.extend([2]); // FLAT
    body.extend([2, 2, b'k']); // one entry
    body.extend(1.0_f64.to_le_bytes());
    body.extend([0, 2, 0]); // end; again: null, no slots
    body
}

#[test]
fn nested_nullable_and_sliced_fields() {
    let body = camera_body();
    let wants = [
        Want::field("where.raft"),
        Want::field("where.slots").select(Select::Slice(1, 9)),
        Want::field("temperatures").select(Select::Element(1)),
        Want::field("temperatures"),
        Want::field("temperatures").select(Select::Element(7)),
        Want::field("kind"),
        Want { kind: Some(Kind::Double), ..Want::field("state") },
        Want::field("again.raft"),
        Want { default: Value::Int(-1), ..Want::field("nowhere.at_all") },
    ];
    let plan = Plan::compile(CAMERA, &wants).unwrap();
    let mut cells = vec![Value::Null; wants.len()];
    let expected = [
        Value::Text("R22".into()),
        Value::Ints([2, 3].into()),
        Value::Double(-2.0),
        Value::Doubles([1.5, -2.0].into()),
        Value::Null,
        Value::Text("FLAT".into()),
        Value::Double(5.0),
        Value::Null,
        Value::Int(-1),
    ];
    for _ in 0..2 {
        plan.decode(&body, &mut cells).unwrap();
        assert_eq!(cells, expected);
    }
    assert_eq!(plan.missing().collect::<Vec<_>>(), [8]);
    for length in 0..body.len() {
        assert!(plan.decode(&body[..length], &mut cells).is_err(), "{length} bytes");
    }
}

#[test]
fn all_problems_of_a_plan_are_told_at_once() {
    let wants = [
        Want::field("where"),
        Want::field("kind.of"),
        Want::field("map"),
        Want { kind: Some(Kind::Text), ..Want::field("state") },
        Want::field("kind").select(Select::Element(0)),
    ];
    let Err(PlanError::Fields(errors)) = Plan::compile(CAMERA, &wants) else { panic!("a plan") };
    for name in ["where: ", "kind.of: ", "map: ", "state: ", "kind: "] {
        assert_eq!(errors.iter().filter(|e| e.starts_with(name)).count(), 1, "{name} in {errors:?}");
    }
    assert!(matches!(Plan::compile("\"int\"", &[]), Err(PlanError::Schema(_))));
}

#[test]
fn hostile_lengths_cost_nothing() {
    let schema = r#"{"type": "record", "name": "x", "fields": [
        {"name": "a", "type": {"type": "array", "items": "double"}},
        {"name": "z", "type": {"type": "array", "items": "null"}},
        {"name": "s", "type": "string"}]}"#;
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let all = Plan::compile(schema, &[Want::field("a"), Want::field("s")]).unwrap();
    let none = Plan::compile(schema, &[]).unwrap();
    let mut cells = [Value::Null, Value::Null];
    let bodies = [huge.to_vec(), [&[0, 0][..], &huge].concat(), [&[0][..], &huge, &[0]].concat()];
    for body in &bodies {
        assert!(all.decode(body, &mut cells).is_err());
        assert!(none.decode(body, &mut []).is_err());
    }
    // Many items of no size are legal, and passed in one step.
    none.decode(&[&[0][..], &huge, &[0, 0]].concat(), &mut []).unwrap();
    let recursive = r#"{"type": "record", "name": "x", "fields": [{"name": "next", "type": ["null", "x"]}]}"#;
    let error = Plan::compile(recursive, &[]).unwrap_err().to_string();
    assert!(error.contains("recursive"), "{error}");
}
