//! Topics that are not SAL, on a broker and a registry: those in process, or real ones where the environment names them.

use std::sync::Arc;
use std::time::Duration;

use sal_idl::Library;
use salobj::Clock;
use salobj::transport::{TopicSpec, Transport, WriterKind};
use salobj_testbed::Testbed;

use super::*;
use crate::alarms::Severity;
use crate::intake::bus_schemas::BusSchemas;
use crate::rules::{Effect, Engine, Input, SourceFile, compile};

const LIMIT: Duration = Duration::from_secs(60);

const METRIC: &str = r#"{"type": "record", "name": "metric", "namespace": "lsst.square", "fields": [
    {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "run", "type": {"type": "record", "name": "run", "fields": [{"name": "visit", "type": "long"}]}},
    {"name": "value", "type": ["null", "double"], "default": null, "units": "arcsec"},
    {"name": "band", "type": {"type": "enum", "name": "band", "symbols": ["g", "r"]}}]}"#;

fn long(mut number: u64, out: &mut Vec<u8>) {
    number <<= 1;
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Avro, as any other producer writes it.
fn metric(schema: u32, utc_ms: i64, value: Option<f64>, band: u64) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(schema.to_be_bytes());
    long(utc_ms as u64, &mut bytes);
    long(4711, &mut bytes);
    long(u64::from(value.is_some()), &mut bytes);
    bytes.extend(value.iter().flat_map(|v| v.to_le_bytes()));
    long(band, &mut bytes);
    bytes
}

/// Everything that comes until `enough` says so.
async fn read(
    intake: &mut Intake,
    engine: &mut Engine,
    mut enough: impl FnMut(&Intake, &[Effect]) -> bool,
) -> Vec<Effect> {
    let mut out = Vec::new();
    let reading = async {
        while !enough(intake, &out) {
            intake.wait().await;
            intake
                .drain(|sample, live| {
                    let input = if live { Input::Sample(sample) } else { Input::History(sample) };
                    engine.step(input, sample.received, &mut out);
                })
                .await;
        }
    };
    tokio::time::timeout(LIMIT, reading).await.expect("it comes in time");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_sal_feeds_a_rule() {
    let bed = Testbed::for_tests().await.unwrap();
    let subname = bed.env().topic_subname.clone();
    let bus: Arc<dyn Transport> = bed.transport();
    let name = format!("{subname}.square.metric");
    bus.create_topics(&[TopicSpec { name: name.clone(), compacted: false }]).await.unwrap();
    let id = bus.register_schema(&format!("{name}-value"), METRIC).await.unwrap();
    let text = format!(
        "rules:\n  - name: Seeing\n    inputs:\n      seeing: {{kafka: {name}, field: value, stamp: timestamp, filter: \"band == 'r'\"}}\n      \
         visit: {{kafka: {name}, field: run.visit, stamp: timestamp}}\n    \
         alarm: {{value: seeing, levels: {{warning: 1.5}}, reason: \"{{{{ value }}}} in {{{{ visit }}}}\"}}\n"
    );
    let schemas = BusSchemas::new(Arc::new(Library::embedded()), Arc::clone(&bus), subname.clone());
    schemas.learn(&text).await;
    let rules = compile(&SourceFile { name: "seeing.yaml".into(), text }, &schemas)
        .unwrap_or_else(|all| panic!("{all:?}"));
    let clock = Clock::System;
    let mut engine = Engine::new(&rules, clock.now());
    let writer = bus.writer(WriterKind::Plain).unwrap();
    let ms = clock.now().utc_ms() - 5000;
    writer.write(&name, Vec::new(), metric(id, ms, Some(3.0), 1)).await.unwrap();
    let meter = Arc::new(Meter::default());
    let group = format!("{subname}-other-topics");
    let mut intake = Intake::new(Arc::clone(&bus), clock.clone(), subname, group, Arc::clone(&meter));
    intake.subscribe(engine.subscriptions(), &Positions::default()).await.unwrap();
    let past = read(&mut intake, &mut engine, |intake, _| intake.caught_up()).await;
    assert!(past.is_empty(), "the past raises nothing: {past:?}");
    engine.history_done();
    let mut out = Vec::new();
    engine.reevaluate_all(clock.now(), &mut out);
    let said = |effects: &[Effect]| {
        let newest = effects.iter().rev().find_map(|e| match e {
            Effect::SetSeverity { severity, reason, .. } => Some((*severity, reason.clone())),
            _ => None,
        });
        newest.unwrap_or_default()
    };
    assert_eq!(said(&out), (Severity::Warning, "3.0 in 4711".to_owned()), "what was there is known");
    let explained = engine.explain("Seeing", None, clock.now()).unwrap();
    let age = explained.inputs[0].age_s.unwrap();
    assert!((4.0..120.0).contains(&age), "by its own stamp: {age}");
    assert_eq!(explained.inputs[0].topic, format!("kafka {name}"));
    // Another band, and one without a value, change nothing; then it is good again.
    for (value, band) in [(Some(1.0), 0), (None, 1), (Some(1.0), 1)] {
        writer.write(&name, Vec::new(), metric(id, clock.now().utc_ms(), value, band)).await.unwrap();
    }
    let cleared = |e: &Effect| matches!(e, Effect::SetSeverity { severity: Severity::None, .. });
    let live = read(&mut intake, &mut engine, |_, out| out.iter().any(cleared)).await;
    let severities = live.iter().filter(|e| matches!(e, Effect::SetSeverity { .. })).count();
    assert_eq!(severities, 1, "{live:?}");
    assert_eq!(meter.decode_errors.load(Ordering::Relaxed), 0);
    let unknown = live.iter().filter(|e| matches!(e, Effect::RuleError { error: Some(_), .. })).count();
    assert_eq!(unknown, 1, "a message without a value: {live:?}");
    intake.close().await;
}
