//! The rule files of `config_schema/examples/watcher` against what ts_watcher 1.24 itself did: for each of its classes the recorded
//! messages, and the severity at every step. `tests/interop/watcher_rule_traces.py` made the traces and says what is in them.
//!
//! Where the two differ, `tests/data/watcher/differences.yaml` says why. A difference that is not listed is a failure, and so is a
//! listed one that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use salobj::{Tai, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::alarms::Severity;
use crate::core::{Core, Input, Settings};
use crate::rules::{
    FieldKind, FieldNeed, FieldSchema, Part, Rule, Sample, SchemaSource, SourceFile, TestCase, compile,
};
use crate::rules::{TopicId, TopicSchema};

/// The classes of ts_watcher 1.24.
const CLASSES: usize = 33;
/// Least number of steps for each class.
const STEPS: usize = 200;
/// A deadline so little after a step counts as before it, seconds: the traces have rounded times.
const SAME_S: f64 = 1e-5;

static LIBRARY: LazyLock<sal_idl::Library> = LazyLock::new(sal_idl::Library::embedded);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    alarm: Option<String>,
    #[serde(rename = "config")]
    _config: Option<Json>,
    #[serde(default)]
    t: f64,
    #[serde(default)]
    enable: bool,
    #[serde(default, rename = "p")]
    _polled: bool,
    m: Option<String>,
    #[serde(default)]
    f: Map<String, Json>,
    n: Option<u32>,
    #[serde(default)]
    dt: f64,
    s: Option<i64>,
    #[serde(default)]
    r: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Differences {
    /// Classes whose rule file is still to be written.
    #[serde(default)]
    not_yet: BTreeSet<String>,
    differences: Vec<Difference>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    class: String,
    /// Which trace of the file, from 1.
    trace: usize,
    /// `12` or `15-18`, from 1 in the trace.
    steps: Vec<String>,
    reason: String,
}

/// Steps of one trace at which both differ, with what was seen.
type Differing = BTreeMap<usize, String>;

#[test]
fn every_rule_class_does_what_the_watcher_did() {
    let folder = data_folder();
    let listed = differences(&folder);
    let mut classes = 0;
    let (rules, mut wrong) = rulebook();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Some(class) = name.strip_suffix(".jsonl.gz") else { continue };
        classes += 1;
        if listed.not_yet.contains(class) {
            println!("{class}: not yet");
            continue;
        }
        let lines = lines(&file);
        let traces: Vec<&[Line]> = lines.split(|line| line.alarm.is_some()).skip(1).collect();
        assert!(traces.iter().map(|t| t.len()).sum::<usize>() >= STEPS, "{class} is short");
        let alarms = lines.iter().filter_map(|line| line.alarm.as_deref());
        for (number, (alarm, steps)) in alarms.zip(traces).enumerate() {
            let Some(rule) = rules.get(alarm) else {
                wrong += &format!("{class}: no file has a rule {alarm:?}\n");
                continue;
            };
            let seen = Play::new(rule.clone()).run(steps);
            let expected = listed.of(class, number + 1);
            report(class, number + 1, &seen, &expected, &mut wrong);
            println!("{class} {}: {} steps, {} listed differences", number + 1, steps.len(), expected.len());
        }
    }
    assert_eq!(classes, CLASSES, "every class has its traces");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_wrong_trace_is_noticed() {
    const RULE: &str = r#"
rules:
  - name: State
    inputs: {state: {topic: "ESS:301.evt_summaryState", field: summaryState}}
    alarm: {levels: {serious: "state == 4", critical: "state == 3 || state > 5"}}
"#;
    let rule = || super::rules(RULE).remove(0);
    let mut steps: Vec<Line> = lines(&data_folder().join("Enabled.jsonl.gz")).into_iter().skip(1).collect();
    assert!(Play::new(rule()).run(&steps).is_empty(), "unchanged it is met");
    let at = steps.iter().position(|step| step.s == Some(4)).unwrap();
    steps[at].s = Some(3);
    let seen = Play::new(rule()).run(&steps);
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [at + 1]);
    let mut text = String::new();
    report("State", 1, &seen, &BTreeSet::new(), &mut text);
    assert!(text.contains("differs at steps"), "{text}");
    text.clear();
    report("State", 1, &Differing::new(), &BTreeSet::from([7]), &mut text);
    assert!(text.contains("listed as different, but equal: steps [\"7\"]"), "{text}");
}

impl Differences {
    /// The listed steps of one trace.
    fn of(&self, class: &str, trace: usize) -> BTreeSet<usize> {
        let mine = self.differences.iter().filter(|d| d.class == class && d.trace == trace);
        let mut all = BTreeSet::new();
        for difference in mine {
            assert!(difference.reason.len() > 20, "{class}: a difference needs its reason");
            for range in &difference.steps {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                for step in first..=last {
                    assert!(all.insert(step), "{class} trace {trace}: step {step} is listed twice");
                }
            }
        }
        all
    }
}

/// Appends what is not as listed.
fn report(class: &str, trace: usize, seen: &Differing, listed: &BTreeSet<usize>, wrong: &mut String) {
    let new: Vec<usize> = seen.keys().copied().filter(|step| !listed.contains(step)).collect();
    if !new.is_empty() {
        *wrong += &format!("{class}, trace {trace}: differs at steps {}\n", ranges(&new));
        for step in new.iter().take(12) {
            *wrong += &format!("    step {step}: {}\n", seen[step]);
        }
    }
    let gone: Vec<usize> = listed.iter().copied().filter(|step| !seen.contains_key(step)).collect();
    if !gone.is_empty() {
        *wrong +=
            &format!("{class}, trace {trace}: listed as different, but equal: steps {}\n", ranges(&gone));
    }
}

/// `["3", "5-9"]`, as the list of differences has them.
fn ranges(steps: &[usize]) -> String {
    let mut all: Vec<(usize, usize)> = Vec::new();
    for &step in steps {
        match all.last_mut() {
            Some((_, last)) if *last + 1 == step => *last = step,
            _ => all.push((step, step)),
        }
    }
    let texts = all.iter().map(|(a, b)| if a == b { format!("\"{a}\"") } else { format!("\"{a}-{b}\"") });
    format!("[{}]", texts.collect::<Vec<_>>().join(", "))
}

fn data_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/watcher")
}

fn differences(folder: &Path) -> Differences {
    let text = std::fs::read_to_string(folder.join("differences.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn lines(file: &Path) -> Vec<Line> {
    let bytes = std::fs::read(file).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{file:?}: {e}: {line}")))
        .collect()
}

/// The rules of the folder, by name, and what is wrong with its files.
fn rulebook() -> (BTreeMap<String, Arc<Rule>>, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config_schema/examples/watcher");
    let (mut all, mut wrong) = (BTreeMap::new(), String::new());
    for file in std::fs::read_dir(&folder).into_iter().flatten() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let source = SourceFile { name: name.clone(), text: std::fs::read_to_string(&path).unwrap() };
        match compile(&source, &*LIBRARY) {
            Ok(rules) => all.extend(rules.into_iter().map(|rule| (rule.name.clone(), rule))),
            Err(found) => {
                wrong
                    .extend(found.iter().map(|d| format!("{name}:{}:{}: {}\n", d.line, d.column, d.message)));
            }
        }
    }
    (all, wrong)
}

/// One rule in the core, fed with a trace.
struct Play {
    core: Core,
    now: Tai,
    offset: i64,
    /// The topics seen so far.
    schemas: BTreeMap<String, Arc<TopicSchema>>,
}

impl Play {
    fn new(rule: Arc<Rule>) -> Play {
        let now = TestCase::start();
        let mut play = Play { core: Core::new(now), now, offset: 0, schemas: BTreeMap::new() };
        play.step(Input::Configure { rules: vec![rule], settings: Settings::default() });
        play
    }

    fn step(&mut self, input: Input<'_>) {
        self.core.step(input, self.now, &mut Vec::new());
    }

    /// The steps at which the severity is not the recorded one.
    fn run(mut self, steps: &[Line]) -> Differing {
        let mut differing = Differing::new();
        for (number, line) in steps.iter().enumerate() {
            self.advance(line.t);
            if line.enable {
                self.step(Input::Enable);
            }
            if let Some(topic) = &line.m {
                for i in 0..line.n.unwrap_or(1) {
                    self.advance(line.t + f64::from(i) * line.dt);
                    self.send(topic, &line.f);
                }
            }
            let (severity, reason) = self.severity();
            if let Some(theirs) = line.s
                && theirs != i64::from(severity)
            {
                let topic = line.m.as_deref().unwrap_or("(time)");
                let text = format!(
                    "{:.1} s, {topic} {}: Catcher {severity} {reason:?}, Watcher {theirs} {:?}",
                    line.t,
                    shortened(&line.f),
                    line.r
                );
                differing.insert(number + 1, text);
            }
        }
        differing
    }

    fn advance(&mut self, t: f64) {
        let until = Tai(TestCase::start().0 + t);
        while let Some(due) = self.core.next_deadline().filter(|due| due.0 <= until.0 + SAME_S) {
            self.now = Tai(due.0.max(self.now.0));
            self.step(Input::Tick);
        }
        self.now = Tai(until.0.max(self.now.0));
    }

    /// The worst of the rule's alarms: it may have one for each key.
    fn severity(&self) -> (Severity, String) {
        let worst = self.core.alarms().show().into_iter().max_by_key(|a| a.severity);
        worst.map_or((Severity::None, String::new()), |a| (a.severity, a.reason))
    }

    fn send(&mut self, name: &str, fields: &Map<String, Json>) {
        let (component, attribute) = name.split_once('.').unwrap();
        let (component, index) = component.split_once(':').unwrap_or((component, "0"));
        let sal_name = match attribute.split_once('_').unwrap() {
            ("evt", name) => format!("logevent_{name}"),
            (_, name) => name.to_owned(),
        };
        let known = self.schemas.entry(name.to_owned());
        let schema = known.or_insert_with(|| LIBRARY.topic(component, &sal_name).unwrap()).clone();
        for field in fields.keys() {
            assert!(
                field == "private_sndStamp" || schema.field(field).is_some(),
                "{name} has no field {field}"
            );
        }
        let topics = &self.core.subscriptions().topics;
        let found = topics.iter().position(|t| t.component == component && t.sal_name == sal_name);
        // The rule may do without a topic that the Watcher's reads.
        let Some(at) = found else { return };
        let sal_index: i64 = index.parse().unwrap();
        if topics[at].indices.as_ref().is_some_and(|wanted| !wanted.contains(&sal_index)) {
            return;
        }
        let sent = fields.get("private_sndStamp").map_or(self.now, |s| Tai(TestCase::start().0 + number(s)));
        self.offset += 1;
        let (received, offset) = (self.now, self.offset);
        let message = Message { schema: &schema, fields, sent, received, sal_index, offset };
        let needs = &self.core.subscriptions().topics[at].fields;
        let cells: Vec<Value> = needs.iter().map(|need| message.cell(need)).collect();
        let topic = TopicId(at as u32);
        self.step(Input::Sample(&Sample {
            topic,
            sal_index,
            sent,
            received,
            partition: 0,
            offset,
            cells: &cells,
        }));
    }
}

struct Message<'a> {
    schema: &'a TopicSchema,
    fields: &'a Map<String, Json>,
    sent: Tai,
    received: Tai,
    sal_index: i64,
    offset: i64,
}

impl Message<'_> {
    /// What the rule gets of a field: what was sent, or the default.
    fn cell(&self, need: &FieldNeed) -> Value {
        let schema = match need.name.as_str() {
            "private_seqNum" => return Value::Int(self.offset),
            "private_sndStamp" => return Value::Double(self.sent.0),
            "private_rcvStamp" => return Value::Double(self.received.0),
            "salIndex" => return Value::Int(self.sal_index),
            name => self.schema.field(name).unwrap(),
        };
        let given = match (self.fields.get(&need.name), schema.count) {
            (Some(given), _) if need.name == "timestamp" => json!(TestCase::start().0 + number(given)),
            (Some(given), _) => given.clone(),
            (None, None) => Json::Null,
            (None, Some(count)) => Json::Array(vec![Json::Null; count]),
        };
        match (&given, need.part) {
            (Json::Array(all), Part::Element(i)) => scalar(schema, &all[i]),
            (Json::Array(all), Part::Slice(a, b)) => list(schema, &all[a..b]),
            (Json::Array(all), Part::Whole) => list(schema, all),
            (one, _) => scalar(schema, one),
        }
    }
}

fn number(value: &Json) -> f64 {
    match value {
        Json::String(text) if text == "nan" => f64::NAN,
        Json::Null => 0.0,
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is no number")),
    }
}

/// A value of the field's type; null is the default.
fn scalar(schema: &FieldSchema, value: &Json) -> Value {
    let wrong = format!("{} cannot be {value}", schema.name);
    match (schema.kind, value) {
        (FieldKind::Bool, Json::Null) => Value::Bool(false),
        (FieldKind::Bool, value) => Value::Bool(value.as_bool().expect(&wrong)),
        (FieldKind::Int, Json::Null) => Value::Int(0),
        (FieldKind::Int, value) => Value::Int(value.as_i64().expect(&wrong)),
        (FieldKind::Double, value) => Value::Double(number(value)),
        (FieldKind::Text, Json::Null) => Value::Text("".into()),
        (FieldKind::Text, value) => Value::Text(value.as_str().expect(&wrong).into()),
    }
}

fn list(schema: &FieldSchema, all: &[Json]) -> Value {
    let scalars: Vec<Value> = all.iter().map(|value| scalar(schema, value)).collect();
    macro_rules! list {
        ($list:ident, $one:ident) => {
            Value::$list(
                scalars
                    .iter()
                    .filter_map(|v| if let Value::$one(v) = v { Some(v.clone()) } else { None })
                    .collect(),
            )
        };
    }
    match schema.kind {
        FieldKind::Bool => list!(Bools, Bool),
        FieldKind::Int => list!(Ints, Int),
        FieldKind::Double => list!(Doubles, Double),
        FieldKind::Text => list!(Texts, Text),
    }
}

fn shortened(fields: &Map<String, Json>) -> String {
    let text: String = Json::Object(fields.clone()).to_string();
    if text.len() > 160 { format!("{}...", &text[..160]) } else { text }
}
