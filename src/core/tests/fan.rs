//! A run for each detector, over a restart; runs once more; runs that end with ENABLED; the list of failed runs.

use super::*;
use crate::tasks::runs::{KEEP_FAILED, KEEP_FINISHED};
use crate::tasks::state::TaskState;

const FOCAL_PLANE: &str = r#"
rules:
  - name: Edge
    priority: high
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    parameters: {detectors: 189}
    trigger: {when: "wind > 10.0"}
    tasks:
      isr:
        foreach: "{{ range(parameters.detectors) | list }}"
        max_parallel: 64
        allow_failures: 10%
        ocps: {index: 1, pipeline: "isr.yaml", data_query: "detector={{ item }} AND wind={{ wind }}"}
      sum:
        needs: [isr]
        ocps: {index: 1, pipeline: "sum.yaml", data_query: "{{ tasks.isr.result.succeeded }} of {{ tasks.isr.result.n }}"}
    alarm: {value: "tasks.isr.result.failed", levels: {warning: 0.5, serious: 18.5}, reason: "{{ value | round }} detectors failed"}
"#;

/// One that ends with ENABLED, and one that does not.
const TWO: &str = r#"
rules:
  - name: Edge
    on_disable: cancel
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    parameters: {pipeline: a.yaml}
    trigger: {when: "wind > 10.0", max_concurrent: 500}
    tasks: {job: {ocps: {index: 1, pipeline: "{{ parameters.pipeline }}"}}}
  - name: Other
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    trigger: {when: "wind > 10.0"}
    tasks: {job: {ocps: {index: 1, pipeline: b.yaml}}}
"#;

fn only_run(world: &World) -> String {
    let runs: Vec<&str> = world.core.runs().active().map(|r| r.id()).collect();
    assert_eq!(runs.len(), 1);
    runs[0].to_owned()
}

#[test]
fn a_job_for_each_detector_is_one_run_with_a_restart_in_its_middle() {
    let mut world = World::enabled(FOCAL_PLANE);
    world.wind(5.0);
    world.wind(12.0);
    let id = only_run(&world);
    assert_eq!(world.going.len(), 64);
    assert_eq!(world.going[63].params["data_query"], "detector=63 AND wind=12.0");
    assert!(world.going.iter().all(|call| call.priority == crate::rules::Priority::High));
    for _ in 0..100 {
        world.end_first(0);
    }
    let largest = world.journal[&format!("run/{id}")].to_string().len();
    assert!(largest < 10_000, "a change of an item writes the item: {largest}");
    assert_eq!(world.journal.keys().filter(|k| k.starts_with(&format!("item/{id}/"))).count(), 189);
    world.restart();
    assert_eq!(world.going.len(), 64, "those that were under way");
    world.step(Input::Enable);
    for n in 0..89 {
        if n < 10 {
            let first = world.going[0].id.clone();
            world.end(&first, Err(StepError::permanent("no data")));
        } else {
            world.end_first(0);
        }
    }
    let job = world.going.iter().find(|call| call.id.step == "sum").unwrap();
    assert_eq!(job.params["data_query"], "179 of 189");
    let mut sent: Vec<String> = world.sent.iter().map(ToString::to_string).collect();
    sent.sort();
    sent.dedup();
    assert_eq!((sent.len(), world.sent.len()), (190, 190), "each was sent once");
    world.end_first(0);
    let run = world.core.runs().get(&id).unwrap();
    assert_eq!((run.state, world.severity("Edge")), (TaskState::Succeeded, 2));
    let events = world.take_events();
    assert!(events.iter().any(|e| matches!(e, Event::Task(t) if t.step == "isr[188]" && t.state == 4)));
    let Some(Event::Result(result)) = events.iter().rev().find(|e| matches!(e, Event::Result(_))) else {
        panic!()
    };
    assert_eq!(result.result["isr"]["result"]["failed"], 10);
    // Out of the last runs, out of the journal.
    for n in 0..=KEEP_FINISHED {
        world.wind(5.0);
        world.wind(12.0 + n as f64);
        let next = only_run(&world);
        world.command(Command::CancelTask { task_id: next, reason: String::new() }).unwrap();
    }
    let left = world.journal.keys().filter(|k| k.starts_with(&format!("item/{id}/"))).count();
    assert_eq!(left, 0);
}

fn sender(seq_num: i64) -> Sender {
    Sender { identity: "me".into(), origin: 7, seq_num }
}

fn rerun(world: &mut World, id: &str, seq_num: i64) -> Answer {
    world.command(Command::RerunTask { task_id: id.into(), reason: "again".into(), sender: sender(seq_num) })
}

#[test]
fn a_run_is_run_again_as_a_new_one_that_names_it() {
    let mut world = World::enabled(RULES);
    world.wind(5.0);
    world.wind(12.0);
    let id = only_run(&world);
    assert!(rerun(&mut world, &id, 1).unwrap_err().contains("cancel it first"));
    assert!(rerun(&mut world, "ffff", 1).unwrap_err().contains("no run"));
    let first = world.going[0].id.clone();
    world.end(&first, Err(StepError::permanent("no")));
    world.wind(3.0);
    let again = rerun(&mut world, &id, 2).unwrap();
    assert_ne!(again, id);
    assert_eq!(rerun(&mut world, &id, 2).unwrap(), again, "the same command, seen twice, starts one run");
    let call = world.going[0].clone();
    assert_eq!(call.params["data_query"], "wind 12.0", "on the inputs that it had");
    assert_eq!(world.going.len(), 1);
    world.end_first(1);
    let run = world.core.runs().get(&again).unwrap();
    assert_eq!((run.state, run.header.parent.as_deref()), (TaskState::Succeeded, Some(id.as_str())));
    assert_eq!(run.context.trigger["kind"], "rerun");
    assert_eq!(world.core.runs().get(&id).unwrap().state, TaskState::Failed, "the old one stays as it was");
    assert_eq!(world.severity("Edge"), 2, "its result is judged");
    let named = |e: &Event| matches!(e, Event::Task(t) if t.task_id == again && t.parent_task_id == id);
    assert!(world.take_events().iter().any(named));
    world.command(Command::DisableRule { rule: "Edge".into(), reason: String::new() }).unwrap();
    assert!(rerun(&mut world, &again, 3).unwrap_err().contains("disabled"));
}

#[test]
fn leaving_enabled_ends_the_runs_of_rules_that_say_so() {
    let mut world = World::enabled(TWO);
    world.wind(5.0);
    world.wind(12.0);
    assert_eq!(world.going.len(), 2);
    world.step(Input::Disable);
    let states: Vec<(String, TaskState)> =
        world.core.runs().finished().map(|r| (r.header.rule.clone(), r.state)).collect();
    assert_eq!(states, [("Edge".to_owned(), TaskState::Aborted)]);
    assert_eq!(world.going.len(), 1, "the other goes on");
    assert_eq!(world.going[0].rule, "Other");
}

#[test]
fn failed_runs_stay_until_somebody_deals_with_them() {
    let mut world = World::enabled(TWO.split("  - name: Other").next().unwrap());
    let mut ids = Vec::new();
    for n in 0..(KEEP_FINISHED + KEEP_FAILED + 5) {
        world.wind(5.0);
        world.wind(12.0);
        let going = world.going.iter().find(|call| call.rule == "Edge").unwrap().id.clone();
        ids.push(going.run_id.clone());
        world.end(&going, Err(StepError::permanent("no")));
        world.wait(60.0 + n as f64);
    }
    let failed = |world: &World| world.core.runs().failed().count();
    assert_eq!(failed(&world), KEEP_FAILED);
    world.restart();
    world.step(Input::Enable);
    assert_eq!(failed(&world), KEEP_FAILED, "over a restart, too");
    assert!(rerun(&mut world, &ids[0], 1).unwrap_err().contains("too long ago"));
    let old = ids[10].clone();
    assert!(world.core.runs().failed().any(|r| r.id() == old));
    assert!(rerun(&mut world, &old, 2).is_ok());
    assert_eq!(failed(&world), KEEP_FAILED - 1, "it was run again");
    let said =
        world.command(Command::CancelTask { task_id: ids[11].clone(), reason: String::new() }).unwrap();
    assert!(said.contains("off the list"), "{said}");
    assert_eq!(failed(&world), KEEP_FAILED - 2);
    let recent = ids[ids.len() - 1].clone();
    world.command(Command::CancelTask { task_id: recent.clone(), reason: String::new() }).unwrap();
    let again = world.command(Command::CancelTask { task_id: recent, reason: String::new() }).unwrap_err();
    assert!(again.contains("has ended"), "{again}");
}
