//! Against a server that does what LOVE-manager does (groups, `initial_state` on subscription, password or token), and
//! what it does on a bad day.

mod config;
mod failures;
mod protocol;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use salobj::env::Secret;
use salobj::{Clock, Tai};
use serde_json::{Value as Json, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::*;
use crate::alarms::Severity;

pub(crate) const PASSWORD: &str = "pass word&1";

/// What the server does with a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Does {
    /// What LOVE-manager does.
    Serve,
    /// Takes the TCP connection, and never answers.
    Hang,
    /// Answers with this status.
    Refuse(u16),
    /// Serves, and drops the connection without a word after so many messages.
    CloseAfter(usize),
    /// Lets the client in, and never reads nor writes.
    Deaf,
}

/// What one group gets: channels that LOVE-manager would write to.
type Group = Vec<mpsc::UnboundedSender<Json>>;

#[derive(Default)]
struct Groups {
    members: BTreeMap<String, Group>,
    /// Every data message that came.
    data: Vec<Json>,
    /// Paths and queries of the handshakes.
    asked: Vec<String>,
}

/// A LOVE-manager: it does with each connection what comes next in its list, the last over and over.
pub(crate) struct FakeManager {
    pub(crate) address: SocketAddr,
    groups: Arc<Mutex<Groups>>,
}

impl FakeManager {
    pub(crate) async fn start(script: &[Does]) -> FakeManager {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let groups = Arc::new(Mutex::new(Groups::default()));
        let (script, shared) = (script.to_vec(), Arc::clone(&groups));
        tokio::spawn(async move {
            for n in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, script[n.min(script.len() - 1)], Arc::clone(&shared)));
            }
        });
        FakeManager { address, groups }
    }

    /// As a site would write it.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/love/manager/producers/ws/subscription", self.address)
    }

    pub(crate) fn data(&self) -> Vec<Json> {
        self.groups.lock().unwrap().data.clone()
    }

    fn asked(&self) -> Vec<String> {
        self.groups.lock().unwrap().asked.clone()
    }

    fn members(&self, group: &str) -> usize {
        self.groups
            .lock()
            .unwrap()
            .members
            .get(group)
            .map_or(0, |m| m.iter().filter(|c| !c.is_closed()).count())
    }

    /// A browser that subscribes to both streams of alarms.
    pub(crate) fn browser(&self) -> Browser {
        let (channel, inbox) = mpsc::unbounded_channel();
        for stream in ["stream", "alarm"] {
            join(&self.groups, "event", "Catcher", "1", stream, &channel);
        }
        Browser { inbox, alarms: BTreeMap::new() }
    }
}

/// What LOVE-frontend makes of the messages: `alarm` adds or replaces one by its name, `stream` replaces all.
pub(crate) struct Browser {
    inbox: mpsc::UnboundedReceiver<Json>,
    pub(crate) alarms: BTreeMap<String, Json>,
}

impl Browser {
    /// Takes messages until the alarms are so.
    pub(crate) async fn until(&mut self, what: &str, so: impl Fn(&BTreeMap<String, Json>) -> bool) {
        let wait = async {
            while !so(&self.alarms) {
                let message = self.inbox.recv().await.unwrap();
                let streams = &message["data"][0]["data"];
                if let Some(all) = streams["stream"]["alarms"].as_object() {
                    self.alarms = all.iter().map(|(name, alarm)| (name.clone(), alarm.clone())).collect();
                } else {
                    let alarm = &streams["alarm"][0];
                    self.alarms.insert(alarm["name"]["value"].as_str().unwrap().to_owned(), alarm.clone());
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "it is not so after 20 s: {what}; there is {:?}", self.alarms.keys());
    }
}

#[expect(clippy::result_large_err, reason = "the type of the handshake is the library's")]
async fn serve(stream: TcpStream, does: Does, groups: Arc<Mutex<Groups>>) {
    if does == Does::Hang {
        return std::future::pending().await;
    }
    let asked = Arc::clone(&groups);
    let let_in = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        asked.lock().unwrap().asked.push(request.uri().to_string());
        let refuse = |status: u16| {
            let mut answer = ErrorResponse::new(None);
            *answer.status_mut() = status.try_into().unwrap();
            answer
        };
        let query = request.uri().query().unwrap_or_default();
        let path = request.uri().path().trim_start_matches("/love/");
        let place = path.starts_with("manager") && path.trim_end_matches('/').ends_with("/ws/subscription");
        match does {
            Does::Refuse(status) => Err(refuse(status)),
            _ if !place => Err(refuse(404)),
            _ if query != "password=pass+word%261" && query != "token=t0ken" => Err(refuse(403)),
            _ => Ok(response),
        }
    };
    let Ok(mut socket) = accept_hdr_async(stream, let_in).await else { return };
    if does == Does::Deaf {
        return std::future::pending().await;
    }
    let (channel, mut inbox) = mpsc::unbounded_channel();
    let mut messages = 0;
    loop {
        tokio::select! {
            Some(out) = inbox.recv() => drop(socket.send(Message::text(Json::to_string(&out))).await),
            frame = socket.next() => {
                let Some(Ok(frame)) = frame else { return };
                let Message::Text(text) = frame else { continue };
                receive(&groups, &channel, serde_json::from_str(&text).unwrap());
                messages += 1;
                if does == Does::CloseAfter(messages) {
                    return;
                }
            }
        }
    }
}

/// A message of a client, as LOVE-manager's consumer takes it.
fn receive(groups: &Mutex<Groups>, channel: &mpsc::UnboundedSender<Json>, message: Json) {
    let text = |key: &str| match &message[key] {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    if message["option"] == "subscribe" {
        let (category, csc, index, stream) =
            (text("category"), text("csc"), text("salindex"), text("stream"));
        join(groups, &category, &csc, &index, &stream, channel);
        let told = format!("Successfully subscribed to {category}-{csc}-{index}-{stream}");
        drop(channel.send(json!({"data": told})));
        return;
    }
    let mut groups = groups.lock().unwrap();
    groups.data.push(message.clone());
    let category = message["category"].as_str().unwrap();
    for entry in message["data"].as_array().unwrap() {
        let (csc, index) = (entry["csc"].as_str().unwrap(), &entry["salindex"]);
        for (stream, payload) in entry["data"].as_object().unwrap() {
            let data = json!([{"csc": csc, "salindex": index, "data": {stream: payload}}]);
            send(
                &groups,
                &format!("{category}-{csc}-{index}-{stream}"),
                &json!({"category": category, "data": data}),
            );
        }
    }
}

fn join(
    groups: &Mutex<Groups>,
    category: &str,
    csc: &str,
    index: &str,
    stream: &str,
    channel: &mpsc::UnboundedSender<Json>,
) {
    let mut groups = groups.lock().unwrap();
    groups.members.entry(format!("{category}-{csc}-{index}-{stream}")).or_default().push(channel.clone());
    if category == "event" {
        let index = index.parse::<i64>().map_or(json!(index), Json::from);
        let data = json!([{"csc": csc, "salindex": index, "data": {"event_name": stream}}]);
        let ask =
            json!({"category": "initial_state", "data": data, "subscription": "initial_state-all-all-all"});
        send(&groups, &format!("initial_state-{csc}-all-all"), &ask);
    }
}

fn send(groups: &Groups, group: &str, message: &Json) {
    for channel in groups.members.get(group).into_iter().flatten() {
        drop(channel.send(message.clone()));
    }
}

/// Alarms that a test changes as it likes.
#[derive(Default)]
struct Alarms(Mutex<BTreeMap<String, AlarmSnapshot>>);

#[async_trait]
impl AllAlarms for Alarms {
    async fn all(&self) -> Result<Vec<AlarmSnapshot>, String> {
        Ok(self.0.lock().unwrap().values().cloned().collect())
    }
}

/// A producer that runs, and what it is told.
struct Bench {
    alarms: Arc<Alarms>,
    tap: Tap,
    running: tokio::task::JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Short pauses.
fn quick() -> LinkOptions {
    let ms = Duration::from_millis;
    LinkOptions { first_pause: ms(5), longest_pause: ms(50), list_gap: ms(20), ..LinkOptions::default() }
}

fn manager(url: &str) -> Manager {
    let whole = format!("{url}/?password=pass+word%261");
    Manager { address: Secret::new(whole), shown: url.to_owned() }
}

fn face() -> Face {
    let component = sal_idl::Library::embedded().component("Catcher").unwrap();
    Face::new(component.topic("evt_alarm").unwrap(), 1, 4711)
}

impl Bench {
    fn start(url: &str, options: LinkOptions) -> Bench {
        let (tap, queue) = Tap::new();
        let alarms = Arc::new(Alarms::default());
        let all = Arc::clone(&alarms) as Arc<dyn AllAlarms>;
        let (clock, manager) = (Clock::System, manager(url));
        let mut producer = Producer { face: face(), all, queue, tap: tap.clone(), clock, options };
        let running = tokio::spawn(async move { producer.run(&manager).await });
        Bench { alarms, tap, running }
    }

    /// An alarm changes: the core has it, then it is published.
    fn set(&self, name: &str, severity: Severity, reason: &str) {
        let alarm =
            AlarmSnapshot { severity, max_severity: severity, reason: reason.to_owned(), ..nominal(name) };
        self.alarms.0.lock().unwrap().insert(name.to_owned(), alarm.clone());
        self.tap.alarm(&alarm);
    }

    fn count(&self, counter: impl Fn(&Figures) -> &AtomicU64) -> u64 {
        counter(self.tap.figures()).load(Ordering::Relaxed)
    }
}

pub(super) fn nominal(name: &str) -> AlarmSnapshot {
    let book = {
        let mut book = crate::alarms::Book::new();
        book.ensure(name, "rule", "r1", &crate::alarms::AlarmConfig::default());
        book
    };
    book.get(name).unwrap()
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(),
        "it is not so after 20 s: {what}"
    );
}

/// Value of a field of an alarm of LOVE.
pub(crate) fn value<'j>(alarm: &'j Json, field: &str) -> &'j Json {
    &alarm[field]["value"]
}

pub(crate) fn severity_is(alarms: &BTreeMap<String, Json>, name: &str, severity: i64) -> bool {
    alarms.get(name).is_some_and(|alarm| *value(alarm, "severity") == severity)
}
