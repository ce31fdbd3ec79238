//! `every` and `cron`: offset, and times that were missed.

use serde_json::json;

use super::bench::{Bench, compiled};
use crate::rules::*;

fn rule(trigger: &str) -> String {
    format!(
        r#"
rules:
  - name: Hourly
    inputs: {{wind: {{topic: "ESS:301.tel_airFlow", field: speed, initial: 1.0}}}}
    trigger: {{{trigger}}}
    tasks:
      job: {{ocps: {{index: 1, pipeline: a.yaml, data_query: "at {{{{ trigger.at | utc_iso }}}}"}}}}
"#
    )
}

/// What was decided on, with the time that it stands for.
fn told(bench: &mut Bench) -> Vec<String> {
    let told = bench.effects.iter().map(|e| match e {
        Effect::StartRun(r) => format!("start {}", r.occurrence),
        Effect::QueueRun(r) => format!("queue {}", r.occurrence),
        Effect::SkipRun { occurrence, reason, .. } => format!("skip {occurrence}: {reason}"),
        other => format!("{other:?}"),
    });
    let told = told.map(|t| t.replace("2026-01-01T", "").replace(":00.000Z", "")).collect();
    bench.take();
    told
}

fn ended(bench: &mut Bench) {
    bench.step_ended("Hourly", "job", json!({"exit_code": 0}));
}

#[test]
fn a_cron_rule_runs_at_its_times() {
    let mut bench = Bench::new(&rule(r#"cron: "0 30 * * * *", when: "wind > 0.5""#));
    bench.at(1799.0);
    assert!(told(&mut bench).is_empty());
    bench.at(1800.0);
    assert_eq!(told(&mut bench), ["start t:00:30"]);
    ended(&mut bench);
    bench.at(2.0 * 3600.0);
    assert_eq!(told(&mut bench), ["start t:01:30"]);
}

#[test]
fn an_offset_delays_the_look_and_not_the_time() {
    for trigger in [r#"cron: "0 0 * * * *", offset: 5m"#, "every: 1h, offset: 5m"] {
        let mut bench = Bench::new(&rule(trigger));
        bench.at(301.0);
        assert_eq!(told(&mut bench), ["start t:00:00"], "{trigger}: its look was still to come");
        ended(&mut bench);
        bench.at(3600.0 + 299.0);
        assert!(told(&mut bench).is_empty(), "{trigger}");
        bench.at(3600.0 + 300.0);
        let Some(Effect::StartRun(run)) = bench.effects.first().cloned() else { panic!("{trigger}") };
        assert_eq!(run.context.at.0 - run.at.0, 300.0);
        assert_eq!(
            run.rule.render("job", &run.context).unwrap()["data_query"],
            "at 2026-01-01T01:00:00.000Z"
        );
        assert_eq!(told(&mut bench), ["start t:01:00"], "{trigger}");
    }
}

/// The rules sleep from 00:10 to 05:10: five times of `0 30 * * * *` are missed.
fn after_a_sleep(trigger: &str) -> Bench {
    let mut bench = Bench::new(&rule(trigger));
    bench.at(600.0).take();
    bench.engine.sleep();
    bench.now = bench.start + std::time::Duration::from_secs(5 * 3600 + 600);
    bench.engine.step(Input::Tick, bench.now, &mut bench.effects);
    assert!(bench.effects.is_empty(), "nothing happens in its sleep");
    bench.engine.wake(bench.now);
    bench.engine.step(Input::Tick, bench.now, &mut bench.effects);
    bench
}

#[test]
fn what_was_missed_is_left_out_made_up_once_or_made_up_wholly() {
    let cron = r#"cron: "0 30 * * * *""#;
    let mut bench = after_a_sleep(cron);
    let skip = "5 scheduled time(s) up to this one were missed and are not made up for";
    assert_eq!(told(&mut bench), [format!("skip t:04:30: {skip}")]);
    bench.at(5.0 * 3600.0 + 1800.0);
    assert_eq!(told(&mut bench), ["start t:05:30"], "and it goes on");

    let mut bench = after_a_sleep(&format!("{cron}, catch_up: once"));
    assert_eq!(told(&mut bench), ["start t:04:30"]);

    let mut bench = after_a_sleep(&format!("{cron}, catch_up: all"));
    let all = ["start t:00:30", "queue t:01:30", "queue t:02:30", "queue t:03:30", "queue t:04:30"];
    assert_eq!(told(&mut bench), all, "max_concurrent is kept");
    ended(&mut bench);
    assert_eq!(told(&mut bench), ["start t:01:30"]);
}

/// influxdb#21689: what is made up keeps to `max_concurrent` and `overlap`.
#[test]
fn what_is_made_up_keeps_to_the_limits_of_the_rule() {
    let cron = r#"cron: "0 30 * * * *", catch_up: all"#;
    let mut bench = after_a_sleep(&format!("{cron}, max_concurrent: 2"));
    let told_2 = told(&mut bench);
    assert_eq!(told_2.iter().filter(|t| t.starts_with("start")).count(), 2, "{told_2:?}");
    let mut bench = after_a_sleep(&format!("{cron}, overlap: skip"));
    let told_skip = told(&mut bench);
    assert_eq!(told_skip[0], "start t:00:30");
    assert!(told_skip[1..].iter().all(|t| t.contains("overlap is skip")), "{told_skip:?}");
    let mut bench = after_a_sleep(&format!("{cron}, max_event_age: 90m"));
    let old = told(&mut bench);
    assert_eq!(old.iter().filter(|t| t.contains("max_event_age is 5400 s")).count(), 4, "{old:?}");
    assert_eq!(old.last().unwrap(), "start t:04:30");
    let mut bench = after_a_sleep(&format!("{cron}, cooldown: 1m"));
    assert_eq!(told(&mut bench).iter().filter(|t| t.contains("in cooldown")).count(), 4);
}

#[test]
fn what_is_made_up_is_bounded_and_the_rest_is_told() {
    let many = "every: 10s, catch_up: all}\n    budget: {runs_per_hour: 5000, commands_per_minute: 5000";
    let mut bench = after_a_sleep(many);
    let told = told(&mut bench);
    assert!(told[0].contains("too many to be made up for"), "{}", told[0]);
    assert_eq!(told.len(), 1001);
    assert!(told.last().unwrap().contains("t:05:10"));
}

/// What waits has not commanded anything; what begins counts, also if it is made up.
#[test]
fn what_is_made_up_counts_against_the_budget_when_it_begins() {
    let trigger = "every: 5m, catch_up: all}\n    budget: {commands_per_minute: 30";
    let times = 60;
    let mut bench = after_a_sleep(trigger);
    let first = told(&mut bench);
    assert_eq!(first.len(), times, "{first:?}");
    assert!(first.iter().all(|t| t.starts_with("queue")), "{first:?}");
    // One every three seconds is within the budget.
    for run in 0..times {
        bench.at(bench.now.0 - bench.start.0 + 3.0);
        ended(&mut bench);
        let told = told(&mut bench);
        assert!(told.iter().any(|t| t.starts_with("start")), "run {run}: {told:?}");
    }
    // All at once is not.
    let mut bench = after_a_sleep(trigger);
    told(&mut bench);
    for _ in 0..30 {
        ended(&mut bench);
        assert_eq!(told(&mut bench).len(), 1);
    }
    ended(&mut bench);
    let over = told(&mut bench);
    assert!(over[0].contains("31 commands within a minute, the budget allows 30"), "{over:?}");
    // One waited before the sleep.
    let skipped = over.iter().filter(|t| t.ends_with("the rule is quarantined")).count();
    assert_eq!(skipped, times + 1 - 30, "{over:?}");
    assert_eq!(bench.engine.status("Hourly").unwrap().queued, 0);
}

#[test]
fn a_period_says_nothing_of_what_it_missed() {
    let mut bench = after_a_sleep("every: 1h");
    assert!(told(&mut bench).is_empty());
    bench.at(6.0 * 3600.0);
    assert_eq!(told(&mut bench), ["start t:06:00"]);
}

#[test]
fn a_late_look_while_awake_takes_the_newest_time() {
    for (trigger, expected) in [("every: 1m", "start t:00:10"), (r#"cron: "0 */5 * * * *""#, "start t:00:10")]
    {
        let mut bench = Bench::new(&rule(trigger));
        bench.now = bench.start + std::time::Duration::from_secs(630);
        bench.engine.step(Input::Tick, bench.now, &mut bench.effects);
        let all = told(&mut bench);
        assert_eq!(all.last().unwrap(), expected, "{trigger}");
        assert_eq!(all.iter().filter(|t| t.starts_with("start")).count(), 1, "{trigger}");
    }
}

/// influxdb#17323: a start that is late neither loses nor doubles a time, also over a restart.
#[test]
fn a_restart_neither_loses_nor_doubles_a_time() {
    let text = rule(r#"cron: "0 30 * * * *", catch_up: all"#);
    let mut bench = Bench::new(&text);
    bench.at(2000.0);
    assert_eq!(told(&mut bench), ["start t:00:30"]);
    let saved = bench.engine.checkpoint("Hourly").unwrap();
    for (down_s, expected) in [
        (10.0, vec![]),
        (3600.0, vec!["queue t:01:30"]),
        (3.0 * 3600.0, vec!["queue t:01:30", "queue t:02:30", "queue t:03:30"]),
    ] {
        let now = salobj::Tai(bench.now.0 + down_s);
        let mut engine = Engine::new(&compiled(&text), now);
        engine.sleep();
        assert!(engine.restore("Hourly", &saved));
        engine.wake(now);
        let mut again = Bench::new(&text);
        engine.step(Input::Tick, now, &mut again.effects);
        assert_eq!(told(&mut again), expected, "down for {down_s} s");
    }
}

#[test]
fn run_ids_follow_from_the_time() {
    let ids = |from_s: f64| {
        let mut bench = Bench::new(&rule(r#"cron: "0 30 * * * *""#));
        bench.at(from_s).at(1800.0);
        let Some(Effect::StartRun(run)) = bench.effects.first().cloned() else { panic!() };
        run.run_id
    };
    assert_eq!(ids(10.0), ids(1000.0));
}
