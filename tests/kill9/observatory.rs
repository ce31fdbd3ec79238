//! What is around the Catcher: the bus, an OCPS and a weather station in this process, and a client that looks on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::{Library, names};
use salobj::transport::{ReadEvent, StartAt, Transport as _};
use salobj::wire::{Decoder, unframe};
use salobj::{
    CommandHandler, CommandRequest, CommandResult, Controller, EventWriter, Remote, RemoteOptions,
    SummaryState, Value,
};

use crate::bus::Bus;
use crate::{PATIENCE, text};

/// States of a run that are final: SUCCEEDED, FAILED, ABORTED, TIMED_OUT, SKIPPED.
const FINAL: std::ops::RangeInclusive<i64> = 4..=8;

/// Everything that is not the Catcher.
pub(crate) struct Observatory {
    bus: Bus,
    /// A client of the Catcher.
    pub(crate) catcher: Remote,
    weather: Controller,
    _ocps: Controller,
    seen: Arc<Mutex<Seen>>,
}

/// What the client saw.
#[derive(Default)]
struct Seen {
    /// Newest summary state and the process that published it.
    state: Option<(i64, i64)>,
    /// Newest severity of the alarm.
    severity: i64,
    /// Newest `acknowledged` of the alarm, and the process that published it.
    acknowledged: Option<(bool, i64)>,
    /// Runs seen in a final state: which, and their error text.
    finished: BTreeMap<String, (i64, String)>,
}

impl Observatory {
    /// Starts all of it.
    pub(crate) async fn start() -> Observatory {
        let bus = Bus::start().await;
        let library = Library::embedded();
        let component = |name: &str| library.component(name).expect("embedded");
        let domain = |origin| bus.domain(origin);

        let ocps = Controller::new(&domain(1), component("OCPS"), 1).expect("a controller");
        let event = |name: &str| ocps.event(name).expect("in the interface");
        let handler = Ocps { state: event("summaryState"), result: event("job_result") };
        handler.state.set(&[("summaryState", Value::Int(SummaryState::Enabled.value()))]).expect("it fits");
        let handler = Arc::new(handler);
        ocps.start(handler.clone()).await.expect("the OCPS starts");
        handler.state.write().expect("it can be published");
        let heartbeat = event("heartbeat");
        ocps.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            loop {
                second.tick().await;
                heartbeat.write().expect("it can be published");
            }
        });

        let weather = Controller::write_only(&domain(2), component("ESS"), 301).expect("a controller");
        weather.start(Arc::new(Deaf)).await.expect("the weather station starts");

        let options = RemoteOptions::include(["summaryState", "alarm", "task"]);
        let catcher = Remote::open(&domain(3), component("Catcher"), 1, options).await.expect("a remote");
        let seen = Arc::new(Mutex::new(Seen::default()));
        Observatory::watch(&catcher, &seen);
        Observatory { bus, catcher, weather, _ocps: ocps, seen }
    }

    fn watch(catcher: &Remote, seen: &Arc<Mutex<Seen>>) {
        let on = |name: &str, note: fn(&mut Seen, &salobj::Sample)| {
            let seen = Arc::clone(seen);
            let reader = catcher.event(name).expect("in the interface");
            reader
                .callback(move |sample| {
                    note(&mut seen.lock().expect("nobody panics while holding it"), &sample);
                    std::future::ready(())
                })
                .expect("nobody else reads it");
        };
        on("summaryState", |seen, sample| seen.state = Some((sample.i64("summaryState"), sample.origin())));
        on("alarm", |seen, sample| {
            if sample.str("alarmName") == "Kill.Alarm" {
                seen.severity = sample.i64("severity");
                seen.acknowledged = Some((sample.bool("acknowledged"), sample.origin()));
            }
        });
        on("task", |seen, sample| {
            let state = sample.i64("state");
            if sample.str("step").is_empty() && FINAL.contains(&state) {
                let earlier = seen.finished.get(sample.str("taskId"));
                let error = sample.str("error").to_owned();
                assert!(
                    earlier.is_none_or(|earlier| earlier.0 == state),
                    "it ended as {earlier:?}, now as {state} {error}"
                );
                seen.finished.insert(sample.str("taskId").to_owned(), (state, error));
            }
        });
    }

    /// The bus.
    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Wind above the limit of the rule, until the alarm is there.
    pub(crate) async fn blow(&self) {
        let wind = self.weather.telemetry("airFlow").expect("in the interface");
        wind.set_write(&[("speed", Value::Double(50.0))]).expect("it can be published");
        assert!(self.until(|seen| seen.severity == 4).await, "the wind raised no alarm");
    }

    /// True when the process `origin` has published this state; false if that does not come.
    pub(crate) async fn wait_for_state(&self, state: SummaryState, origin: i64) -> bool {
        self.until(|seen| seen.state == Some((state.value(), origin))).await
    }

    /// Whether the alarm is acknowledged, as the process `origin` published it last.
    pub(crate) async fn alarm_acknowledged(&self, origin: i64) -> bool {
        let of = |seen: &Seen| seen.acknowledged.filter(|(_, by)| *by == origin);
        assert!(self.until(|seen| of(seen).is_some()).await, "the alarm was not published");
        of(&self.seen()).expect("it was just seen").0
    }

    /// Until all these runs were seen in a final state; the Catcher is asked to show its runs again and again.
    pub(crate) async fn wait_for_runs(&self, ids: &[String]) {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let missing: Vec<_> = {
                let seen = self.seen();
                ids.iter().filter(|id| !seen.finished.contains_key(*id)).cloned().collect()
            };
            if missing.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "runs that did not end: {missing:?}");
            let show = self.catcher.command("showTasks").expect("in the interface");
            show.start(&[], PATIENCE, true).await.expect("the runs can be shown");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Final states of these runs, with their error texts.
    pub(crate) fn outcomes(&self, ids: &[String]) -> Vec<(String, i64, String)> {
        let seen = self.seen();
        let outcome =
            |id: &String| seen.finished.get(id).map(|(state, error)| (id.clone(), *state, error.clone()));
        ids.iter().filter_map(outcome).collect()
    }

    /// How often the OCPS was commanded for each job, by the records of its command topic.
    pub(crate) async fn jobs_commanded(&self) -> BTreeMap<String, usize> {
        let component = Library::embedded().component("OCPS").expect("embedded");
        let topic = component.topic("cmd_execute").expect("in the interface");
        let name = names::kafka_topic(&self.bus.bed().env().topic_subname, "OCPS", &topic.sal_name);
        let decoder = Decoder::new(topic.clone(), &topic.schema_compact).expect("its own schema");
        let query =
            topic.fields.iter().position(|field| field.name == "data_query").expect("in the interface");
        let transport = self.bus.bed().transport();
        let mut reader =
            transport.reader("kill9_audit", &[(name, StartAt::Beginning)]).await.expect("a reader");
        let mut jobs = BTreeMap::new();
        loop {
            match tokio::time::timeout(PATIENCE, reader.next()).await.expect("the topic can be read") {
                ReadEvent::Record(record) => {
                    let value = record.value.expect("commands are no tombstones");
                    let (_, body) = unframe(&value).expect("framed");
                    let values = decoder.decode(body).expect("our own schema");
                    let Value::Text(query) = &values[query] else { panic!("data_query is text") };
                    *jobs.entry(query.trim_start_matches("job=").to_owned()).or_default() += 1;
                }
                ReadEvent::CaughtUp { .. } => break,
                ReadEvent::Assigned { .. } | ReadEvent::Trouble(_) => {}
            }
        }
        reader.close().await;
        jobs
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while holding it")
    }

    async fn until(&self, holds: impl Fn(&Seen) -> bool) -> bool {
        let look = async {
            while !holds(&self.seen()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.is_ok()
    }
}

/// An OCPS that takes half a second for each job.
struct Ocps {
    state: EventWriter,
    result: EventWriter,
}

#[async_trait]
impl CommandHandler for Ocps {
    async fn handle(&self, request: CommandRequest) -> CommandResult {
        let job_id = format!("{}-{}", request.sample.str("data_query"), request.sample.seq_num());
        let answer = serde_json::json!({ "job_id": job_id }).to_string();
        request.in_progress(Duration::from_secs(600), &answer)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let fields = [
            ("job_id", text(&job_id)),
            ("exit_code", Value::Int(0)),
            ("result", text(r#"{"result": true}"#)),
        ];
        self.result.set_write(&fields)?;
        Ok(None)
    }

    fn parallel(&self, command: &str) -> bool {
        command == "execute"
    }
}

/// Takes no commands.
struct Deaf;

#[async_trait]
impl CommandHandler for Deaf {
    async fn handle(&self, _: CommandRequest) -> CommandResult {
        Err(salobj::CommandError::expected("this weather station takes no commands"))
    }
}
