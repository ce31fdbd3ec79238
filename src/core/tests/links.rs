//! Rules that read what other rules find, in the core.

use super::*;

const RULES: &str = r#"
rules:
  - name: Level
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 15.0, critical: 25.0}}
  - name: Middle
    inputs: {level: {alarm: Level}}
    alarm: {levels: {serious: "level.severity >= AlarmSeverity.CRITICAL"}}
  - name: Last
    inputs: {middle: {alarm: Middle}, level: {alarm: Level}}
    alarm: {levels: {warning: "middle.severity > 1 && !level.acknowledged"}, reason: "{{ middle.reason }}!"}
  - name: Work
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    trigger: {when: "wind > 20.0"}
    tasks: {job: {ocps: {index: 1, pipeline: a.yaml, data_query: "x"}}}
  - name: OnWork
    inputs: {job: {task: Work.job}}
    trigger: {each: job, when: "job.exit_code != 0"}
    tasks: {more: {ocps: {index: 1, pipeline: "{{ job.exit_code }}.yaml", data_query: "x"}}}
  - name: Code
    inputs: {code: {task: Work.job, field: exit_code}}
    alarm: {value: code, levels: {warning: 0.5}}
"#;

fn finish_all(world: &mut World, exit_code: i64) {
    for _ in 0..5 {
        world.end_first(exit_code);
    }
}

#[test]
fn what_follows_from_an_alarm_is_told_in_the_same_step() {
    let mut world = World::enabled(RULES);
    world.wind(5.0);
    assert_eq!((world.severity("Middle"), world.severity("Last")), (1, 1));
    world.wind(30.0);
    assert_eq!((world.severity("Level"), world.severity("Middle"), world.severity("Last")), (4, 3, 2));
    let order: Vec<String> = world
        .take_events()
        .into_iter()
        .filter_map(|e| if let Event::Alarm(a) = e { (!a.nominal()).then_some(a.alarm_name) } else { None })
        .collect();
    assert_eq!(order, ["Level", "Middle", "Last"]);
    let acknowledge = Command::Acknowledge { alarm: "Level".into(), severity: 4, user: "me".into() };
    world.command(acknowledge).unwrap();
    assert_eq!(world.severity("Last"), 1, "an acknowledgement is heard too");
    world.wind(5.0);
    assert_eq!((world.severity("Middle"), world.severity("Last")), (1, 1));
}

#[test]
fn a_result_is_a_message_to_those_who_read_it() {
    let mut world = World::enabled(RULES);
    world.wind(5.0);
    world.wind(30.0);
    assert_eq!(world.sent.len(), 1);
    world.end_first(3);
    assert_eq!(world.severity("Code"), 2);
    assert_eq!(world.sent.len(), 2, "a run of OnWork");
    assert_eq!(world.going[0].params["pipeline"], "3.yaml");
    let run = world.core.runs().active().next().unwrap();
    assert!(run.header.occurrence.starts_with("m:@task.Work.job:0:"), "{}", run.header.occurrence);
    finish_all(&mut world, 0);
    world.wind(5.0);
    world.wind(30.0);
    finish_all(&mut world, 0);
    assert_eq!((world.severity("Code"), world.sent.len()), (1, 3), "a good result starts nothing");
}

#[test]
fn what_was_found_before_is_known_after_a_restart_and_to_new_rules() {
    let mut world = World::enabled(RULES);
    world.wind(5.0);
    world.wind(30.0);
    world.end_first(3);
    finish_all(&mut world, 0);
    world.take_events();
    world.restart();
    world.step(Input::Enable);
    assert_eq!((world.severity("Code"), world.severity("Middle"), world.severity("Last")), (2, 3, 2));
    assert_eq!(world.sent.len(), 2, "the past starts nothing");
    let late = "rules:\n  - name: Late\n    inputs: {code: {task: Work.job}, level: {alarm: Level}}\n    \
                alarm: {levels: {serious: \"code.exit_code == 3 && level.maxSeverity == 4\"}}\n";
    world.add(late, true).unwrap();
    assert_eq!(world.severity("Late"), 3);
}

#[test]
fn outside_enabled_nothing_follows() {
    let mut world = World::enabled(RULES);
    world.wind(5.0);
    world.step(Input::Disable);
    world.wind(30.0);
    assert_eq!(world.severity("Middle"), 1);
    world.step(Input::Enable);
    assert_eq!((world.severity("Level"), world.severity("Middle"), world.severity("Last")), (4, 3, 2));
}

#[test]
fn links_are_checked_when_rules_come_and_go() {
    let mut world = World::enabled(RULES);
    let rule = |name: &str, reads: &str| {
        format!(
            "rules:\n  - name: {name}\n    inputs: {{x: {{alarm: {reads}}}}}\n    alarm: {{levels: {{warning: \"x.severity > 1\"}}}}\n"
        )
    };
    let refused = world.add(&rule("New", "Nobody"), true).unwrap_err();
    assert!(refused.contains("there is no alarm \"Nobody\""), "{refused}");
    assert!(world.core.rules().get("New").is_none(), "nothing has changed");
    world.add(&rule("New", "Last"), true).unwrap();
    let refused = world.add(&rule("Level", "New"), true).unwrap_err();
    assert!(refused.contains("in a circle"), "{refused}");
    world.add(&rule("Newer", "New"), true).unwrap();
    let remove = |world: &mut World, rule: &str| world.command(Command::RemoveRule { rule: rule.into() });
    let refused = remove(&mut world, "New").unwrap_err();
    assert!(refused.contains("is read by rule 'Newer' (input 'x')"), "{refused}");
    remove(&mut world, "Newer").unwrap();
    remove(&mut world, "New").unwrap();
    world.add(&rule("New", "Last"), true).unwrap();
    world.configured.retain(|r| r.name != "Last");
    world.configure();
    let error = world.core.rules().get("New").unwrap().error();
    assert!(error.contains("there is no alarm \"Last\""), "{error}");
}

const EFD: &str = r#"
rules:
  - name: Drift
    inputs:
      avg: {efd: {topic: "ESS:301.tel_airFlow", field: speed, range: 1h}, every: 5m, reduce: mean}
      past: {efd: {topic: "ESS:301.tel_airFlow", fields: [speed, direction], range: 1h}, every: 5m}
    alarm:
      levels:
        warning: "avg > 10.0"
        serious: "size(past.speed) > 2 && past.speed[size(past.speed) - 1] > 20.0 && max(past.direction) > 1.0"
"#;

#[test]
fn an_answer_of_the_efd_is_the_value_until_it_is_too_old() {
    let mut world = World::enabled(EFD);
    let queries: Vec<String> = world.core.queries().map(str::to_owned).collect();
    assert_eq!(queries.len(), 2);
    let answer = |world: &mut World, columns: &[(&str, Value)]| {
        for query in world.core.queries().map(str::to_owned).collect::<Vec<_>>() {
            let columns = columns.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
            world.step(Input::Table { query, columns });
        }
    };
    let list = |v: &[f64]| Value::Doubles(v.into());
    answer(
        &mut world,
        &[("mean(speed)", Value::Double(12.0)), ("speed", list(&[1.0, 2.0])), ("direction", list(&[0.0]))],
    );
    assert_eq!(world.severity("Drift"), 2);
    answer(
        &mut world,
        &[
            ("mean(speed)", Value::Double(12.0)),
            ("speed", list(&[1.0, 2.0, 21.0])),
            ("direction", list(&[0.0, 3.0])),
        ],
    );
    assert_eq!(world.severity("Drift"), 3);
    let query = queries[0].clone();
    world.step(Input::TableFailed { query: query.clone(), reason: "connection refused".into() });
    let error = |world: &World| world.core.rules().get("Drift").unwrap().error();
    assert!(error(&world).contains("the EFD does not answer: connection refused"), "{}", error(&world));
    assert_eq!(world.severity("Drift"), 3, "silence changes nothing");
    answer(
        &mut world,
        &[("mean(speed)", Value::Double(2.0)), ("speed", list(&[1.0])), ("direction", list(&[0.0]))],
    );
    assert_eq!((world.severity("Drift"), error(&world).as_str()), (1, ""));
    answer(
        &mut world,
        &[("mean(speed)", Value::Double(12.0)), ("speed", list(&[1.0])), ("direction", list(&[0.0]))],
    );
    world.wait(16.0 * 60.0);
    assert_eq!(world.severity("Drift"), 2, "stale is unknown");
}
