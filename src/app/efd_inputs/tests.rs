//! An EFD that answers what it is told, and a core that only listens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::*;
use crate::app::core_loop::Request;
use crate::core::Input;
use crate::outputs::efd::{Column, EfdError, Point, Table};

#[derive(Debug, Default)]
struct FakeEfd {
    away: AtomicBool,
    hangs: AtomicBool,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    seen: Mutex<Vec<SeriesQuery>>,
    asked: Mutex<Vec<TextQuery>>,
}

#[async_trait]
impl Efd for FakeEfd {
    async fn query(&self, query: &SeriesQuery) -> Result<Table, EfdError> {
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        self.seen.lock().unwrap().push(query.clone());
        if self.hangs.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(EfdError::Unavailable { server: "efd".into(), detail: "refused".into() });
        }
        let cells = vec![Value::Double(1.0), Value::Double(3.0)];
        let times = vec![query.from, query.to];
        Ok(Table { times, columns: vec![Column { name: "speed".into(), cells }], truncated: false })
    }
    async fn ask(&self, query: &TextQuery) -> Result<Table, EfdError> {
        self.asked.lock().unwrap().push(query.clone());
        if query.flux.is_none() {
            return Err(EfdError::BadQuery { detail: "this is no Flux".into() });
        }
        let cells = vec![Value::Double(2.0), Value::Null, Value::Double(4.0)];
        let times = vec![query.at; 3];
        Ok(Table { times, columns: vec![Column { name: "speed".into(), cells }], truncated: false })
    }
    async fn write(&self, _: &[Point]) -> Result<(), EfdError> {
        Ok(())
    }
    async fn health(&self) -> Result<String, EfdError> {
        Ok("fake".into())
    }
    fn describe(&self) -> String {
        "fake".into()
    }
}

fn query() -> String {
    EfdQuery {
        of: EfdOf::Topic { component: "ESS".into(), sal_name: "airFlow".into(), index: Some(301) },
        columns: vec![EfdColumn { name: "speed".into(), text: false, unit: None }],
        range_s: 3600.0,
        every_s: 60.0,
    }
    .text()
}

struct Bench {
    efd: Arc<FakeEfd>,
    wanted: watch::Sender<BTreeSet<String>>,
    requests: mpsc::Receiver<Request>,
}

fn bench() -> Bench {
    bench_of(query())
}

fn bench_of(query: String) -> Bench {
    let (requests_in, requests) = mpsc::channel(10);
    let efd = Arc::new(FakeEfd::default());
    let (wanted, receiver) = watch::channel(BTreeSet::from([query]));
    let part = EfdInputs {
        wanted: receiver,
        core: CoreHandle::new(requests_in),
        efd: Arc::clone(&efd) as Arc<dyn Efd>,
        clock: Clock::scaled(Tai::from_utc_unix(1_800_000_000.0), 1.0),
    };
    tokio::spawn(part.run());
    Bench { efd, wanted, requests }
}

impl Bench {
    async fn answer(&mut self) -> Result<BTreeMap<String, Value>, String> {
        match self.requests.recv().await.unwrap() {
            Request::Tell(Input::Table { columns, .. }) => Ok(columns),
            Request::Tell(Input::TableFailed { reason, .. }) => Err(reason),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_is_asked_at_once_and_then_in_its_period() {
    let mut bench = bench();
    let begun = tokio::time::Instant::now();
    let first = bench.answer().await.unwrap();
    assert_eq!(first["mean(speed)"], Value::Double(2.0));
    assert!(begun.elapsed() < Duration::from_secs(1));
    bench.answer().await.unwrap();
    bench.answer().await.unwrap();
    let elapsed = begun.elapsed().as_secs_f64();
    assert!((119.0..121.0).contains(&elapsed), "{elapsed}");
    let seen = bench.efd.seen.lock().unwrap();
    assert_eq!(seen[0].to.0 - seen[0].from.0, 3600.0);
    assert_eq!((seen[0].measurement.as_str(), seen[0].sal_index), ("lsst.sal.ESS.airFlow", Some(301)));
}

#[tokio::test(start_paused = true)]
async fn an_efd_that_is_away_or_hangs_is_told_and_asked_again() {
    let mut bench = bench();
    bench.answer().await.unwrap();
    bench.efd.away.store(true, Ordering::SeqCst);
    let error = bench.answer().await.unwrap_err();
    assert!(error.contains("refused"), "{error}");
    bench.efd.away.store(false, Ordering::SeqCst);
    bench.efd.hangs.store(true, Ordering::SeqCst);
    let error = bench.answer().await.unwrap_err();
    assert!(error.contains("no answer within 30 s"), "{error}");
    bench.efd.hangs.store(false, Ordering::SeqCst);
    bench.answer().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_query_is_under_way_once_and_ends_when_nobody_wants_it() {
    let mut bench = bench();
    bench.efd.hangs.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(25)).await;
    bench.wanted.send_modify(|_| {});
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.efd.most_at_once.load(Ordering::SeqCst), 1);
    bench.wanted.send_replace(BTreeSet::new());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(bench.requests.try_recv().is_err(), "nobody wants the answer");
    assert_eq!(bench.efd.seen.lock().unwrap().len(), 1);
}

fn text_query(flux: Option<&str>, influxql: Option<&str>) -> String {
    let of = EfdOf::Text { flux: flux.map(str::to_owned), influxql: influxql.map(str::to_owned) };
    let columns = vec![EfdColumn { name: "speed".into(), text: false, unit: None }];
    EfdQuery { of, columns, range_s: 600.0, every_s: 60.0 }.text()
}

#[tokio::test(start_paused = true)]
async fn a_query_in_the_words_of_a_rule_is_asked_with_the_times_filled_in() {
    let mut bench = bench_of(text_query(Some("range(start: {{ from }}, stop: {{ to }})"), None));
    let answer = bench.answer().await.unwrap();
    assert_eq!((&answer["mean(speed)"], &answer["count(speed)"]), (&Value::Double(3.0), &Value::Double(2.0)));
    let asked = bench.efd.asked.lock().unwrap();
    let text = asked[0].flux.as_deref().unwrap();
    assert_eq!(text, "range(start: 2027-01-15T07:50:00.000Z, stop: 2027-01-15T08:00:00.000Z)");
    assert_eq!(asked[0].columns, [TextColumn { name: "speed".into(), text: false }]);
}

#[tokio::test(start_paused = true)]
async fn what_the_database_says_of_a_query_is_told() {
    let mut bench = bench_of(text_query(None, Some("SELECT x FROM y")));
    let error = bench.answer().await.unwrap_err();
    assert_eq!(error, "EFD query: this is no Flux");
}
