//! Decoding one record: the whole of it against only the fields that a rule needs. `cargo bench --bench decode`.
//!
//! Three records of the real mix: a small event, one like the ESS's telemetry, one with hundreds of doubles.

#![expect(clippy::expect_used, reason = "the interfaces are compiled in and the values are made from them")]

use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use sal_idl::{Field, Library, SalType, Topic};
use salobj::Value;
use salobj::wire::{Decoder, Encoder, Kind, Plan, Want, unframe};

/// `component.sal_name` and the one field that a rule reads.
const RECORDS: &[(&str, &str, &str, Kind)] = &[
    ("ATCamera", "logevent_endReadout", "requestedExposureTime", Kind::Double),
    ("ESS", "airFlow", "speed", Kind::Double),
    ("ATMCS", "mount_AzEl_Encoders", "elevationCalculatedAngle", Kind::Double),
];

fn main() {
    divan::main();
}

/// Every field by apache-avro's general reader, made once.
#[divan::bench(args = 0..RECORDS.len())]
fn apache_avro(bencher: Bencher<'_, '_>, record: usize) {
    let (topic, value) = encoded(record);
    let schema = apache_avro::Schema::parse_str(&topic.schema_compact).expect("its own schema");
    let reader = GenericDatumReader::builder(&schema).build().expect("a sound schema");
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let (_, mut body) = unframe(black_box(&value)).expect("framed");
        reader.read_value(&mut body).expect("sound")
    });
}

/// Every field into a value, as a Remote does it.
#[divan::bench(args = 0..RECORDS.len())]
fn whole_record(bencher: Bencher<'_, '_>, record: usize) {
    let (topic, value) = encoded(record);
    let decoder = Decoder::new(topic.clone(), &topic.schema_compact).expect("its own schema");
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| decoder.decode_framed(black_box(&value)).expect("sound"));
}

/// The stamp and one field into cells that are used again, as the intake does it.
#[divan::bench(args = 0..RECORDS.len())]
fn needed_fields(bencher: Bencher<'_, '_>, record: usize) {
    let (topic, value) = encoded(record);
    let (_, _, field, kind) = RECORDS[record];
    let wants = [
        Want { kind: Some(Kind::Double), ..Want::field("private_sndStamp") },
        Want { kind: Some(kind), ..Want::field(field) },
    ];
    let plan = Plan::compile(&topic.schema_compact, &wants).expect("the fields are there");
    let mut cells = vec![Value::Null; plan.cells()];
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let (_, body) = unframe(black_box(&value)).expect("framed");
        plan.decode(body, &mut cells).expect("sound");
        black_box(&cells);
    });
}

fn encoded(record: usize) -> (Arc<Topic>, Vec<u8>) {
    let (component, sal_name, _, _) = RECORDS[record];
    let interface = Library::embedded().component(component).expect("embedded");
    let topic = interface.topic(sal_name).expect("in the interface").clone();
    let values: Vec<Value> = topic.fields.iter().map(value).collect();
    let bytes =
        Encoder::new(topic.clone()).expect("a sound schema").encode(1, &values).expect("fitting values");
    (topic, bytes)
}

fn value(field: &Field) -> Value {
    match field.sal_type {
        SalType::Boolean if field.count == 1 => Value::Bool(true),
        SalType::Boolean => Value::Bools(vec![true; field.count].into()),
        SalType::Float | SalType::Double if field.count == 1 => Value::Double(12.345),
        SalType::Float | SalType::Double => Value::Doubles(vec![12.345; field.count].into()),
        SalType::String => Value::Text("AT_O_20261121_000123".into()),
        _ if field.count == 1 => Value::Int(12345),
        _ => Value::Ints(vec![12345; field.count].into()),
    }
}
