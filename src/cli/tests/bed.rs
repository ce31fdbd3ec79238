//! Servers with messages on them, and commands run on these servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::FromArgMatches;
use sal_idl::{Library, names};
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::transport::{TopicSpec, Transport, WriterKind};
use salobj::wire::{Encoder, default_value, frame};
use salobj::{Clock, Tai, Value};
use salobj_testbed::Testbed;
use serde_json::Value as Json;

use crate::cli::outside::{Bus, Outside};
use crate::cli::{Cli, Command, replay, rules, whole};

/// A topic that is not SAL: a fault and a double.
pub(super) const METRIC: &str = r#"{"type": "record", "name": "metric", "fields": [
    {"name": "value", "type": "double", "units": "arcsec"}, {"name": "band", "type": "string"}]}"#;

pub(super) struct Bed {
    pub(super) testbed: Testbed,
    library: Library,
    ids: BTreeMap<String, u32>,
    pub(super) outside: Arc<Outside>,
    pub(super) folder: tempfile::TempDir,
    /// Two hours ago: what is written has stamps from then on.
    pub(super) start: Tai,
}

impl Bed {
    pub(super) async fn start() -> Bed {
        Bed::with_variables(|_| None).await
    }

    /// The environment has these variables, for the EFD.
    pub(super) async fn with_variables(
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Bed {
        let testbed = Testbed::for_tests().await.unwrap();
        let (env, options) = (testbed.env().clone(), testbed.options());
        let connect = move || {
            Ok(Bus { transport: Arc::new(KafkaTransport::new(&env, options.clone())?), env: env.clone() })
        };
        let now = Clock::System.now();
        Bed {
            library: Library::embedded(),
            ids: BTreeMap::new(),
            outside: Arc::new(Outside::other(connect, variable)),
            folder: tempfile::tempdir().unwrap(),
            start: Tai((now.0 - 7200.0).round()),
            testbed,
        }
    }

    /// A file in the folder of the test; its path.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn subname(&self) -> &str {
        &self.testbed.env().topic_subname
    }

    /// UTC of so many seconds after the start.
    pub(super) fn utc(&self, at: f64) -> String {
        Tai(self.start.0 + at).utc_iso()
    }

    /// A topic of ours that is not SAL.
    pub(super) fn metric(&self) -> String {
        format!("other.{}.metric", self.subname())
    }

    async fn id(&mut self, topic: &str, schema: &str) -> u32 {
        if let Some(id) = self.ids.get(topic) {
            return *id;
        }
        let bus = self.testbed.transport();
        bus.create_topics(&[TopicSpec { name: topic.to_owned(), compacted: false }]).await.unwrap();
        let id = bus.register_schema(&names::subject(topic), schema).await.unwrap();
        self.ids.insert(topic.to_owned(), id);
        id
    }

    /// A writer whose records have the stamp of so many seconds after the start (its clock stands nearly still); now, without.
    fn writer(&self, at: Option<f64>) -> Arc<dyn salobj::transport::Writer> {
        let clock = at.map_or(Clock::System, |at| Clock::scaled(Tai(self.start.0 + at), 1e-9));
        let options = KafkaOptions { clock, ..self.testbed.options() };
        KafkaTransport::new(self.testbed.env(), options).unwrap().writer(WriterKind::Plain).unwrap()
    }

    /// A SAL message, sent so many seconds after the start; now, without.
    pub(super) async fn send(
        &mut self,
        component: &str,
        sal_name: &str,
        at: Option<f64>,
        fields: &[(&str, Value)],
    ) {
        let topic = self.library.component(component).unwrap().topic(sal_name).unwrap().clone();
        let name = names::kafka_topic(self.subname(), component, sal_name);
        let id = self.id(&name, &topic.schema_compact).await;
        let stamp = at.map_or_else(|| Clock::System.now(), |at| Tai(self.start.0 + at));
        let value = |field: &sal_idl::Field| match fields.iter().find(|(n, _)| *n == field.name) {
            Some((_, value)) => value.clone(),
            None if field.name == "private_sndStamp" => Value::Double(stamp.0),
            None => default_value(field),
        };
        let values: Vec<Value> = topic.fields.iter().map(value).collect();
        let bytes = Encoder::new(topic).unwrap().encode(id, &values).unwrap();
        self.writer(at).write(&name, Vec::new(), bytes).await.unwrap();
    }

    pub(super) async fn wind(&mut self, at: Option<f64>, speed: f64) {
        let fields = [("salIndex", Value::Int(301)), ("speed", Value::Double(speed))];
        self.send("ESS", "airFlow", at, &fields).await;
    }

    /// A message of [`Bed::metric`].
    pub(super) async fn send_metric(&mut self, at: Option<f64>, value: f64, band: &str) {
        let name = self.metric();
        let id = self.id(&name, METRIC).await;
        let mut bytes = frame(id).to_vec();
        bytes.extend(value.to_le_bytes());
        bytes.push(band.len() as u8 * 2);
        bytes.extend(band.as_bytes());
        self.writer(at).write(&name, Vec::new(), bytes).await.unwrap();
    }

    /// Runs a command as the program does; true if it found everything as it should be, and what it printed.
    pub(super) async fn run(&self, args: &[&str]) -> Result<(bool, String), String> {
        let outside = Arc::clone(&self.outside);
        let command = command(args);
        let run = tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let done = match command {
                Command::Rules(command) => rules::act(command, &outside, &mut out),
                Command::Replay(args) => replay::play(&args, &outside, &mut out),
                other => panic!("{other:?}"),
            };
            done.map(|good| (good, String::from_utf8(out).unwrap())).map_err(|e| format!("{e:#}"))
        });
        run.await.unwrap()
    }

    /// The same, where everything is as it should be.
    pub(super) async fn good(&self, args: &[&str]) -> String {
        let (good, text) = self.run(args).await.unwrap_or_else(|e| panic!("{args:?}: {e}"));
        assert!(good, "{args:?}: {text}");
        text
    }

    /// The JSON lines that a command prints.
    pub(super) async fn lines(&self, args: &[&str]) -> Vec<Json> {
        let text = self.good(args).await;
        text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }

    /// What happened in a replay that prints JSON: `seconds word severity`, seconds after the start.
    pub(super) fn told(&self, lines: &[Json]) -> Vec<String> {
        let all = lines.iter().filter(|l| l["what"] == "severity");
        all.map(|l| {
            format!("{:.1} {}", l["at"].as_f64().unwrap() - self.start.0, l["severity"].as_str().unwrap())
        })
        .collect()
    }
}

/// A command line, parsed.
pub(super) fn command(args: &[&str]) -> Command {
    let args = [&["catcher"], args].concat();
    let matches = whole().try_get_matches_from(&args).unwrap_or_else(|e| panic!("{args:?}: {e}"));
    Cli::from_arg_matches(&matches).unwrap().command
}
