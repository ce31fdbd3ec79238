//! A storm of 1000 alarms through the core, with a journal on disk: what people get, how long it takes, what it costs.
//!
//! ```text
//!  samples, all in 1 s ──► core (1001 rules) ─┬─ records ─► journal, synced each 100 samples
//!                                             └─ alarm events, notifications: counted
//! ```
//! Three storms, each raised and then ended: a cause that comes first, a cause that comes after its effects, no cause at all. The
//! numbers of messages are checked, in whatever mode this is built: `cargo test --bench storm` is a run to see that it works,
//! `cargo bench --bench storm` measures. Arguments: `--alarms N` (1000), `--rounds N` (1; 5 for a measurement), `--json`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use catcher::alarms::Severity;
use catcher::config::StormsConfig;
use catcher::core::{Core, Event, Input, Output, Settings};
use catcher::journal::{FileJournal, Journal, Record};
use catcher::rules::{Rule, Sample, SourceFile, TopicId, compile};
use clap::Parser;
use salobj::{Tai, Value};

/// Samples whose records are synced together.
const TOGETHER: usize = 100;

#[derive(Parser)]
struct Args {
    /// Alarms that have the one cause.
    #[arg(long, default_value_t = 1000)]
    alarms: usize,
    /// How often each storm is played; the fastest counts.
    #[arg(long)]
    rounds: Option<u32>,
    /// One JSON object at the end.
    #[arg(long)]
    json: bool,
    /// What cargo bench adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    CauseFirst,
    CauseLater,
    NoCause,
}

/// What a storm came to.
#[derive(Debug, Clone, serde::Serialize)]
struct Outcome {
    kind: Kind,
    /// Messages to people while it was raised, and the alarms in them.
    messages: usize,
    notices: usize,
    /// The same until everything was over.
    messages_in_all: usize,
    notices_in_all: usize,
    /// `alarm` events until everything was over.
    alarm_events: usize,
    /// From the first sample to the last message while it was raised, s of the observatory's time.
    settled_after_s: f64,
    /// Raising it, with the journal: s of real time, and alarm events in each of them.
    seconds: f64,
    events_per_second: f64,
    /// What the process grew by, bytes.
    grown_by: i64,
    /// Bytes that went to the journal.
    journal_bytes: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let rounds = args.rounds.unwrap_or(if args.bench { 5 } else { 1 });
    let mut all: Vec<Outcome> = Vec::new();
    for kind in [Kind::CauseFirst, Kind::CauseLater, Kind::NoCause] {
        let mut best: Option<Outcome> = None;
        for _ in 0..rounds.max(1) {
            let outcome = play(kind, args.alarms)?;
            check(&outcome, args.alarms)?;
            if best.as_ref().is_none_or(|best| outcome.seconds < best.seconds) {
                best = Some(outcome);
            }
        }
        all.extend(best);
    }
    if args.json {
        println!("{}", serde_json::json!({"alarms": args.alarms, "storms": all}));
        return Ok(());
    }
    println!("storm of {} alarms              cause first   cause later   no cause", args.alarms);
    let row = |name: &str, of: &dyn Fn(&Outcome) -> String| {
        println!("{name:<28}{:>14}{:>14}{:>11}", of(&all[0]), of(&all[1]), of(&all[2]));
    };
    row("messages, raised", &|o| o.messages.to_string());
    row("alarms in them", &|o| o.notices.to_string());
    row("messages until it is over", &|o| o.messages_in_all.to_string());
    row("settled after (s)", &|o| format!("{:.1}", o.settled_after_s));
    row("alarm events", &|o| o.alarm_events.to_string());
    row("alarm events per second", &|o| format!("{:.0}", o.events_per_second));
    row("grown by (kB)", &|o| (o.grown_by / 1024).to_string());
    row("journal (kB)", &|o| (o.journal_bytes / 1024).to_string());
    Ok(())
}

/// What must come out, exactly, with the usual configuration.
fn check(o: &Outcome, alarms: usize) -> anyhow::Result<()> {
    let site = StormsConfig::default();
    let own = site.notices_per_minute as usize;
    // One at a time as long as there are tokens, then all that wait as one.
    let (messages, notices) = match o.kind {
        Kind::CauseFirst | Kind::CauseLater => (1, 1),
        Kind::NoCause => (own.min(alarms) + usize::from(alarms > own), alarms),
    };
    ensure!((o.messages, o.notices) == (messages, notices), "{o:?}, not {messages} messages about {notices}");
    ensure!((o.messages_in_all, o.notices_in_all) == (2 * messages, 2 * notices), "each end is told: {o:?}");
    let events = match o.kind {
        // Raised; the cause ends, which each shows; ended.
        Kind::CauseFirst => 3 * alarms + 2,
        // That the cause has come is shown, too.
        Kind::CauseLater => 4 * alarms + 2,
        Kind::NoCause => 2 * alarms,
    };
    ensure!(o.alarm_events == events, "{o:?}, not {events} events");
    Ok(())
}

/// A core with its journal, and what it sends.
struct Bed {
    core: Core,
    journal: FileJournal,
    now: Tai,
    /// Between samples: all alarms come up within a second, which is less than a cause is waited for.
    gap_s: f64,
    cells: Vec<Value>,
    speed: usize,
    offset: i64,
    out: Vec<Output>,
    records: Vec<Record>,
    messages: usize,
    notices: usize,
    last_message: Tai,
    alarm_events: usize,
    journal_bytes: usize,
    _folder: tempfile::TempDir,
}

fn rules(kind: Kind, alarms: usize) -> anyhow::Result<Vec<Arc<Rule>>> {
    let mut text = String::from("rules:\n");
    let mut rule = |name: &str, index: usize, more: &str| {
        writeln!(
            text,
            "  - name: {name}\n    inputs: {{speed: {{topic: \"ESS:{index}.tel_airFlow\", field: speed}}}}\n    alarm: {{value: speed, levels: {{serious: 10.0}}, reason: \"speed {{{{ value }}}}\"{more}}}"
        )
    };
    let cause = if kind == Kind::NoCause { "" } else { ", inhibit_by: Power" };
    rule("Power", 1, "")?;
    for n in 0..alarms {
        rule(&format!("Effect.{n:05}"), n + 2, cause)?;
    }
    let file = SourceFile { name: "storm.yaml".into(), text };
    compile(&file, &sal_idl::Library::embedded())
        .map_err(|all| anyhow::anyhow!(all.iter().map(|d| d.render(false)).collect::<String>()))
}

impl Bed {
    fn new(kind: Kind, alarms: usize) -> anyhow::Result<Bed> {
        let folder = tempfile::tempdir()?;
        let (journal, _) = FileJournal::open(folder.path())?;
        let now = Tai(1_900_000_000.0);
        let mut core = Core::new(now);
        let mut out = Vec::new();
        let storms = StormsConfig::default().storms().map_err(|wrong| anyhow::anyhow!(wrong.join("; ")))?;
        let settings = Settings { storms, ..Settings::default() };
        core.step(Input::Configure { rules: rules(kind, alarms)?, settings }, now, &mut out);
        core.step(Input::Enable, now, &mut out);
        out.clear();
        let needs = &core.subscriptions().topics;
        ensure!(needs.len() == 1, "one topic");
        let cells = vec![Value::Null; needs[0].fields.len()];
        let speed = needs[0].fields.iter().position(|field| field.name == "speed");
        let speed = speed.ok_or_else(|| anyhow::anyhow!("the field is not read"))?;
        Ok(Bed {
            core,
            journal,
            now,
            gap_s: 1.0 / alarms.max(1) as f64,
            cells,
            speed,
            offset: 0,
            out,
            records: Vec::new(),
            messages: 0,
            notices: 0,
            last_message: now,
            alarm_events: 0,
            journal_bytes: 0,
            _folder: folder,
        })
    }

    /// One sample, a moment after the last one.
    fn sample(&mut self, sal_index: usize, speed: f64) {
        self.now = Tai(self.now.0 + self.gap_s);
        self.offset += 1;
        self.cells[self.speed] = Value::Double(speed);
        let sample = Sample {
            topic: TopicId(0),
            sal_index: sal_index as i64,
            sent: self.now,
            received: self.now,
            partition: 0,
            offset: self.offset,
            cells: &self.cells,
        };
        self.core.step(Input::Sample(&sample), self.now, &mut self.out);
        self.take();
    }

    fn take(&mut self) {
        for output in self.out.drain(..) {
            match output {
                Output::Publish(Event::Alarm(alarm)) => {
                    // What the event's writer would do.
                    drop(alarm.fields());
                    self.alarm_events += 1;
                }
                Output::Notify(bundle) => {
                    self.messages += 1;
                    self.notices += bundle.0.len();
                    self.last_message = self.now;
                }
                Output::Record(record) => self.records.push(record),
                _ => {}
            }
        }
    }

    fn sync(&mut self) -> anyhow::Result<()> {
        self.core.step(Input::Checkpoint, self.now, &mut self.out);
        self.take();
        let bytes =
            self.records.iter().map(|r| r.key.len() + r.value.as_ref().map_or(0, |v| v.to_string().len()));
        self.journal_bytes += bytes.sum::<usize>();
        self.journal.append(&self.records)?;
        self.records.clear();
        Ok(())
    }

    fn effects(&mut self, alarms: usize, speed: f64) -> anyhow::Result<()> {
        for n in 0..alarms {
            self.sample(n + 2, speed);
            if n % TOGETHER == TOGETHER - 1 {
                self.sync()?;
            }
        }
        self.sync()
    }

    /// Time goes by: every deadline in its turn.
    fn wait(&mut self, seconds: f64) -> anyhow::Result<()> {
        let until = Tai(self.now.0 + seconds);
        while let Some(due) = self.core.next_deadline().filter(|due| *due <= until) {
            if due > self.now {
                self.now = due;
            }
            self.core.step(Input::Tick, self.now, &mut self.out);
            self.take();
        }
        self.now = until;
        self.sync()
    }
}

fn play(kind: Kind, alarms: usize) -> anyhow::Result<Outcome> {
    let mut bed = Bed::new(kind, alarms)?;
    let (before, start, begun) = (resident_bytes(), Instant::now(), bed.now);
    if kind == Kind::CauseFirst {
        bed.sample(1, 20.0);
    }
    bed.effects(alarms, 20.0)?;
    if kind == Kind::CauseLater {
        bed.sample(1, 20.0);
        bed.sync()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let events = bed.alarm_events;
    bed.wait(120.0)?;
    let grown_by = resident_bytes() - before;
    let (messages, notices) = (bed.messages, bed.notices);
    let settled_after_s = bed.last_message - begun;
    let standing = bed.core.alarms().show().iter().filter(|a| a.severity > Severity::None).count();
    ensure!(standing == alarms + usize::from(kind != Kind::NoCause), "{standing} alarms stand");
    if kind != Kind::NoCause {
        let tree = bed.core.alarms().tree("Power", usize::MAX);
        ensure!(tree.is_some_and(|tree| tree.size() == alarms + 1), "the tree has them all");
        bed.sample(1, 5.0);
    }
    bed.effects(alarms, 5.0)?;
    bed.wait(120.0)?;
    Ok(Outcome {
        kind,
        messages,
        notices,
        messages_in_all: bed.messages,
        notices_in_all: bed.notices,
        alarm_events: bed.alarm_events,
        settled_after_s,
        seconds,
        events_per_second: events as f64 / seconds.max(1e-9),
        grown_by,
        journal_bytes: bed.journal_bytes,
    })
}

/// Resident memory of this process, bytes; 0 where /proc does not say.
fn resident_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|n| n.parse::<i64>().ok()).unwrap_or(0) * 4096
}
