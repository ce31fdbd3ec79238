//! kill -9 of the Catcher at random instants.
//!
//! ```text
//!  this process: broker or connection to one, simulators of everything that rules start work on, a Remote of the Catcher
//!       │ trigger, acknowledge, cancel                  ▲ acks, events, submissions by run
//!       ▼                                               │
//!  child process: the Catcher ──kill -9──► again, on the same journal ──kill -9──► ...
//! ```
//! On a real broker (CATCHER_TEST_KAFKA_BROKER) the child is `catcher run 1`; on the mock broker it is this program, started
//! once more ([`process`]).
//!
//! * [`nothing_is_lost_and_nothing_done_twice`]: an OCPS job and an acknowledgement are under way. Afterwards every acknowledged
//!   `trigger` has a run that came to an end, no job was commanded twice, the alarm is as the last acknowledged command left it,
//!   and its history has every change once. `CATCHER_KILLS` says how often (5; 200 is the figure of the requirements).
//! * [`states`]: work is under way on every backend, in every state.
//!
//! `CATCHER_KILL_SEED` repeats a run's random instants, `CATCHER_TEST_PROGRAM` names another program than the one just built.

mod bus;
mod catcher;
mod ledger;
mod observatory;
mod process;
mod states;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use salobj::{SummaryState, Value};

use catcher::Catcher;
use ledger::Ledger;
use observatory::Observatory;

/// State of a run that went well.
const SUCCEEDED: i64 = 4;

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(120);

const CONFIG: &str = "\
auto_acknowledge_delay_s: 0
auto_unacknowledge_delay_s: 0
allowed_commands:
  - {component: OCPS, indices: [1], commands: [execute, abort_job]}
instances:
  - {sal_index: 1, rules: [kill.yaml]}
";

const RULES: &str = r#"rules:
  - name: Kill.Job
    description: One OCPS job for each trigger by hand
    parameters: {n: "0"}
    trigger: {manual: true}
    tasks:
      job:
        ocps: {index: 1, pipeline: "true.yaml", data_query: "job={{ parameters.n }}"}
        timeout: 100s
  - name: Kill.Alarm
    description: An alarm that stands all the time
    inputs:
      wind: {topic: "ESS:301.tel_airFlow", field: speed}
    alarm:
      value: wind
      levels: {critical: 10.0}
      reason: "Wind {{ value }} m/s"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_done_twice() {
    let kills: u32 = number("CATCHER_KILLS").unwrap_or(5);
    let seed = number("CATCHER_KILL_SEED").unwrap_or_else(rand::random);
    eprintln!("{kills} kills, CATCHER_KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let observatory = Observatory::start().await;
    let enabled = async |origin| observatory.wait_for_state(SummaryState::Enabled, origin).await;
    let mut catcher = Catcher::new(CONFIG, RULES);
    let mut ledger = Ledger::default();
    catcher.start(observatory.bus(), &[], enabled).await;
    observatory.blow().await;

    for kill in 1..=kills {
        let remote = &observatory.catcher;
        let job = format!("{kill}");
        let parameters = serde_json::json!({"n": job}).to_string();
        let acknowledge = kill % 2 == 1;
        let trigger = async {
            let fields = [("ruleName", text("Kill.Job")), ("parameters", text(&parameters))];
            remote.command("trigger").expect("in the interface").start(&fields, PATIENCE, true).await
        };
        let alarm = async {
            let fields = [
                ("alarmName", text("Kill.Alarm")),
                ("severity", Value::Int(4)),
                ("acknowledgedBy", text("tester")),
            ];
            let (name, fields) =
                if acknowledge { ("acknowledge", &fields[..]) } else { ("unacknowledge", &fields[..1]) };
            remote.command(name).expect("in the interface").start(fields, PATIENCE, true).await
        };
        // Both commands and the kill race; what was not answered before the kill has an unknown outcome.
        // Every second kill falls into the moments in which the commands are worked on, the others into the job's life.
        let window_us = if random.random_bool(0.5) { 60_000 } else { 1_500_000 };
        let until_kill = Duration::from_micros(random.random_range(0..window_us));
        let mut triggered = None;
        let mut answered = None;
        {
            tokio::pin!(trigger, alarm);
            let deadline = tokio::time::sleep(until_kill);
            tokio::pin!(deadline);
            loop {
                tokio::select! {
                    () = &mut deadline => break,
                    ack = &mut trigger, if triggered.is_none() => triggered = Some(ack.expect("a trigger by hand is possible")),
                    ack = &mut alarm, if answered.is_none() => answered = Some(ack.expect("an alarm can be acknowledged")),
                }
            }
            catcher.kill();
        }
        ledger.triggered(&job, triggered.map(|ack| ack.result));
        ledger.alarm(acknowledge, answered.is_some());
        catcher.start(observatory.bus(), &[], enabled).await;
        // As of now: the alarm was published when the CSC was enabled again.
        let acknowledged = observatory.alarm_acknowledged(catcher.origin()).await;
        ledger.check_alarm(acknowledged, kill);
        ledger.check_history(&catcher.history(), acknowledged, kill);
        // Not after each: runs shall live through several kills, too.
        if kill % 10 == 0 || kill == kills {
            observatory.wait_for_runs(&ledger.run_ids()).await;
        }
    }
    let outcomes = observatory.outcomes(&ledger.run_ids());
    let failed: Vec<_> = outcomes.iter().filter(|(_, state, _)| *state != SUCCEEDED).collect();
    assert!(failed.is_empty(), "runs that did not succeed: {failed:?}");
    ledger.check_jobs(&observatory.jobs_commanded().await);
    catcher.kill();
    eprintln!("{}", ledger.summary());
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}
