//! kill -9 in every state of every backend: one Catcher works on all of them at once, so each kill counts for each.
//!
//! ```text
//!  a number ─► one run of every rule ─► (some are cancelled) ─► kill -9 at a random instant
//!                                        ─► journal + other sides: in which state was each run? ─► started again
//! ```
//! At the end every number has one run of every rule, every run has come to an end, and nothing was submitted twice: exactly once
//! where the other side can be asked after a restart; at most once, with an outcome that is told as unknown, where it cannot.
//!
//! `CATCHER_KILLS_PER_STATE` says how often each state of each backend must be met (20 is the figure of the requirements); without
//! it there are as many kills as half a minute has: that nothing is submitted twice and everything ends is asked then, not the spread of
//! the kills, nor that each outcome is the expected one; `CATCHER_KILL_SECONDS` ends it earlier. `CATCHER_KILL_TABLE` names a file for the
//! table as JSON. The batch system is HTCondor or SLURM, by the seed.

mod csc;
mod journal;
mod kinds;
mod sides;
mod table;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sal_idl::Library;
use salobj::{Remote, RemoteOptions, SummaryState};

use crate::bus::Bus;
use crate::catcher::Catcher;
use crate::{PATIENCE, number, text};
use journal::{Run, Runs};
use kinds::{KINDS, kind};
use sides::{At, Sides};
use table::{Outcome, State, Table};
use tokio::time::Instant;

/// For all kills, where nothing is asked of them.
const SHORT: Duration = Duration::from_secs(30);
/// Within so many kills all states have to be met.
const MOST_KILLS: i64 = 3000;
/// Between a trigger and the kill, at most. Runs live through several kills.
const LONGEST: Duration = Duration::from_millis(2200);

/// A client of the Catcher: sees its state, cancels runs.
struct Client {
    remote: Remote,
    /// Newest summary state and the process that published it.
    state: Arc<Mutex<Option<(i64, i64)>>>,
}

impl Client {
    async fn open(bus: &Bus) -> Client {
        let component = Library::embedded().component("Catcher").expect("embedded");
        let options = RemoteOptions::include(["summaryState"]);
        let remote = Remote::open(&bus.domain(1), component, 1, options).await.expect("a remote");
        let state = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&state);
        let reader = remote.event("summaryState").expect("in the interface");
        reader
            .callback(move |sample| {
                *seen.lock().expect("nobody panics while holding it") =
                    Some((sample.i64("summaryState"), sample.origin()));
                std::future::ready(())
            })
            .expect("nobody else reads it");
        Client { remote, state }
    }

    async fn wait_enabled(&self, origin: i64) -> bool {
        let wanted = Some((SummaryState::Enabled.value(), origin));
        let look = async {
            while *self.state.lock().expect("nobody panics while holding it") != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.is_ok()
    }

    /// Asks for the end of these runs; answers do not matter, the process may die over them.
    async fn cancel(&self, runs: &[String]) {
        let all = runs.iter().map(|id| async move {
            let fields = [("taskId", text(id)), ("reason", text("enough"))];
            let cancel = self.remote.command("cancelTask").expect("in the interface");
            drop(cancel.start(&fields, PATIENCE, true).await);
        });
        futures::future::join_all(all).await;
    }
}

/// The state of a run at the moment of the kill; nothing if it had not begun, or was over.
fn state(run: &Run, count: usize, at: At) -> Option<State> {
    let memo = run.step.memo.as_ref();
    let known = match run.kind.as_str() {
        "uws" | "noteburst" => memo.is_some_and(|m| !m["job_id"].is_null()),
        "batch" => memo.is_some_and(|m| !m["cluster"].is_null()),
        "influx_task" => memo.is_some_and(|m| !m["watched"].is_null()),
        "ocps" => memo.is_some_and(|m| !m["known"]["job_id"].is_null()),
        "script_queue" => memo.is_some_and(|m| !m["known"]["script"].is_null()),
        "sal" => at != At::Waiting,
        "http_keyed" | "http_plain" | "slack" => false,
        _ => true,
    };
    Some(match run.step.state.as_str() {
        _ if run.is_over() => return None,
        _ if run.stopping => State::Stopping,
        "retrying" => State::Retrying,
        _ if !run.step.dispatched => return None,
        _ if run.step.attempt > 1 && (count == 0 || memo.is_none()) => State::Retrying,
        _ if !kind(&run.kind).acts => State::Running,
        _ if memo.is_none() => State::Unrecorded,
        _ if count == 0 => State::Recorded,
        _ if !known => State::Unanswered,
        _ => match at {
            At::Nothing | At::Waiting => State::Queued,
            At::Running => State::Running,
            At::Ended => State::Finishing,
        },
    })
}

/// How a run ended, and whether it may have.
fn outcome(run: &Run, count: usize, cancelled: bool) -> Outcome {
    let kind = kind(&run.kind);
    let unknown = run.state == "failed" && run.error.contains("not known");
    match run.state.as_str() {
        "succeeded" if !kind.acts || count == 1 => Outcome::Succeeded,
        "aborted" if cancelled && count <= 1 => Outcome::Cancelled,
        "failed" if unknown && !kind.looks_up && count <= 1 => Outcome::Unknown,
        _ => Outcome::Wrong,
    }
}

/// When to kill, and whether to cancel runs before.
struct Plan {
    cancel_at: Option<Duration>,
    kill_at: Duration,
}

fn plan(random: &mut StdRng, lacking: &[State]) -> Plan {
    let some = |random: &mut StdRng, most: Duration| most.mul_f64(random.random());
    let wanted = lacking.get(random.random_range(0..lacking.len().max(1))).copied();
    let (cancel_at, kill_at) = match wanted {
        // Where the window is short, it is aimed at.
        Some(State::Unrecorded) => (None, some(random, Duration::from_millis(150))),
        Some(State::Recorded | State::Unanswered) => (None, some(random, Duration::from_millis(600))),
        Some(State::Stopping) => {
            let cancel = Duration::from_millis(300) + some(random, LONGEST / 2);
            // Most end at once.
            let most = if random.random() { 100 } else { 800 };
            (Some(cancel), cancel + some(random, Duration::from_millis(most)))
        }
        _ if random.random_bool(0.1) => {
            let cancel = some(random, LONGEST / 2);
            (Some(cancel), cancel + some(random, Duration::from_millis(500)))
        }
        _ => (None, some(random, LONGEST)),
    };
    Plan { cancel_at, kill_at }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_each_state_of_each_backend() {
    let goal: Option<u32> = number("CATCHER_KILLS_PER_STATE");
    let limit = Duration::from_secs(number("CATCHER_KILL_SECONDS").unwrap_or(4 * 3600));
    let seed: u64 = number("CATCHER_KILL_SEED").unwrap_or_else(rand::random);
    eprintln!("goal {goal:?} kills in each state, CATCHER_KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let bus = Bus::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sides = Sides::start(&bus, folder.path(), seed.is_multiple_of(2)).await;
    let client = Client::open(&bus).await;
    let mut catcher = Catcher::new(&sides.config(), &kinds::rules());
    let (mut runs, mut table) = (Runs::default(), Table::default());
    let (mut cancelled, mut n) = (BTreeSet::new(), 0);
    let begun = Instant::now();
    catcher.start(&bus, &sides.variables(), async |origin| client.wait_enabled(origin).await).await;

    loop {
        let lacking = table.lacking(goal.unwrap_or(2));
        let enough = match goal {
            Some(_) => lacking.is_empty() || n >= MOST_KILLS || begun.elapsed() > limit,
            None => begun.elapsed() > SHORT,
        };
        if enough {
            break;
        }
        n += 1;
        let states: Vec<State> = lacking.iter().map(|(_, state)| *state).collect();
        let Plan { cancel_at, kill_at } = plan(&mut random, &states);
        sides.trigger(n);
        let start = Instant::now();
        let seen = RefCell::new(&mut runs);
        let story = async {
            if let Some(at) = cancel_at {
                tokio::time::sleep_until(start + at).await;
                let some: Vec<String> = {
                    let mut runs = seen.borrow_mut();
                    runs.read(catcher.folder());
                    let going = runs.all().filter(|run| !run.is_over()).map(|run| run.id.clone());
                    going.filter(|_| random.random_bool(0.6)).collect()
                };
                cancelled.extend(some.iter().cloned());
                client.cancel(&some).await;
            }
            std::future::pending::<()>().await;
        };
        let pages = async {
            loop {
                tokio::time::sleep(Duration::from_millis(700)).await;
                sides.finish_pages();
            }
        };
        // The journal keeps the last 20 ended runs whole: each has to be seen while it is one of them.
        let looks = async {
            loop {
                tokio::time::sleep(Duration::from_millis(150)).await;
                seen.borrow_mut().read(catcher.folder());
            }
        };
        tokio::select! {
            () = story => {}
            () = pages => {}
            () = looks => {}
            () = tokio::time::sleep_until(start + kill_at) => {}
        }
        catcher.kill();
        look(&mut runs, &catcher, &sides, &mut table);
        catcher.start(&bus, &sides.variables(), async |origin| client.wait_enabled(origin).await).await;
        if n % 20 == 0 {
            let few: Vec<_> = lacking.iter().take(8).map(|(kind, state)| (kind.name, *state)).collect();
            let (seconds, most) = (begun.elapsed().as_secs(), lacking.len());
            eprintln!("{n} kills in {seconds} s; {most} states to be met more often: {few:?}");
        }
    }

    let missing = wait_for_all(&mut runs, &catcher, &sides, n).await;
    catcher.kill();
    let became = |id: &str| {
        let run = runs.get(id)?;
        let (count, _) = sides.seen(run);
        Some((count, outcome(run, count, cancelled.contains(id))))
    };
    table.fill(became);
    eprintln!("{n} kills in {:.0} s\n{}", begun.elapsed().as_secs_f64(), table.text());
    if let Some(path) = std::env::var_os("CATCHER_KILL_TABLE") {
        table.write(path.as_ref());
    }
    let wrong: Vec<String> = runs
        .all()
        .filter_map(|run| match became(&run.id) {
            Some((count, Outcome::Wrong)) => Some(format!(
                "{} {} {} submitted {count} times: {} {}",
                run.kind, run.n, run.id, run.state, run.error
            )),
            _ => None,
        })
        .collect();
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "what did not end, or began twice, or never; the log:\n{}",
        catcher.said()
    );
    let lost: Vec<i64> = (1..=n).filter(|n| unseen(&runs, *n)).collect();
    eprintln!("runs that ended otherwise than expected: {wrong:#?}");
    assert_eq!(lost, Vec::<i64>::new(), "numbers that triggered nothing");
    if let Some(goal) = goal {
        assert_eq!(wrong, Vec::<String>::new());
        let lacking: Vec<_> = table.lacking(goal).iter().map(|(kind, state)| (kind.name, *state)).collect();
        assert_eq!(lacking, [], "states that {n} kills did not meet {goal} times");
    }
}

/// No rule was triggered by that number: it was published just before a kill, and not found after it.
fn unseen(runs: &Runs, n: i64) -> bool {
    runs.all().all(|run| run.n != n)
}

/// Says of each run in which state the kill fell.
fn look(runs: &mut Runs, catcher: &Catcher, sides: &Sides, table: &mut Table) {
    runs.read(catcher.folder());
    for run in runs.all() {
        let (count, at) = sides.seen(run);
        assert!(count <= 1, "{} {} was submitted {count} times: {run:?}", run.kind, run.n);
        if let Some(state) = state(run, count, at) {
            let early = state == State::Unrecorded && count > 0 && kind(&run.kind).acts;
            assert!(!early, "submitted before it was in the journal: {run:?}");
            table.note(kind(&run.kind), state, &run.id);
        }
    }
}

/// Until every number has one run of every rule and all are over; what does not come to pass.
async fn wait_for_all(runs: &mut Runs, catcher: &Catcher, sides: &Sides, numbers: i64) -> Vec<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        sides.finish_pages();
        runs.read(catcher.folder());
        let mut seen: BTreeMap<(&str, i64), usize> = BTreeMap::new();
        for run in runs.all() {
            *seen.entry((&run.kind, run.n)).or_default() += 1;
        }
        let all = KINDS.iter().flat_map(|kind| (1..=numbers).map(move |n| (kind.name, n)));
        // All rules saw a number, or none did: see `unseen`.
        let odd = all.filter(|key| seen.get(key) != Some(&1) && !unseen(runs, key.1));
        let odd = odd.map(|(kind, n)| format!("{kind} {n}: {} runs", seen.get(&(kind, n)).unwrap_or(&0)));
        let going = runs.all().filter(|run| !run.is_over()).map(|run| format!("{run:?}"));
        let missing: Vec<String> = odd.chain(going).collect();
        if missing.is_empty() || Instant::now() > end {
            return missing;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
