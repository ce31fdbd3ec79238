//! Random alarms, causes, mutes, restarts: people are told all that is to be told, once, and not too much at a time.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Severity(usize, Severity),
    Acknowledge(usize),
    Mute(usize),
    Unmute(usize),
    Disable,
    Restart,
    Remove(usize),
}

const NAMES: [&str; 6] = ["Site", "Power", "A", "B", "C.1", "C.2"];

fn config_of(name: &str) -> (&str, AlarmConfig) {
    match name {
        "Site" => ("Site", causes(&[])),
        "Power" => ("Power", causes(&["Site"])),
        "C.1" | "C.2" => ("C", causes(&["A", "C.*"])),
        other => (other, causes(&["Pow*", "S?te"])),
    }
}

fn op() -> impl Strategy<Value = Op> {
    let severity = prop::sample::select(Severity::ALL.to_vec());
    prop_oneof![
        14 => (0..6usize, severity).prop_map(|(n, s)| Op::Severity(n, s)),
        2 => (0..6usize).prop_map(Op::Acknowledge),
        1 => (0..6usize).prop_map(Op::Mute),
        1 => (0..6usize).prop_map(Op::Unmute),
        1 => Just(Op::Disable),
        1 => Just(Op::Restart),
        1 => (0..6usize).prop_map(Op::Remove),
    ]
}

/// What people believe of the alarms, from what they were told.
#[derive(Default)]
struct People {
    open: BTreeMap<String, Severity>,
    sent: Vec<f64>,
}

impl People {
    fn hear(&mut self, world: &mut World, removed: bool) -> Result<(), TestCaseError> {
        for (when, bundle) in std::mem::take(&mut world.told) {
            prop_assert!(!bundle.0.is_empty());
            if !removed {
                self.sent.push(when);
            }
            for n in bundle.0 {
                let before = self.open.get(&n.alarm).copied().unwrap_or_default();
                match n.what {
                    Told::Raised => prop_assert!(n.severity > before, "{} is told twice", n.alarm),
                    Told::Flapping => prop_assert!(n.severity >= before),
                    Told::Cleared => {
                        prop_assert!(before > Severity::None, "{} ends and was not told", n.alarm)
                    }
                    Told::Calm => prop_assert!(n.severity > Severity::None && before >= n.severity),
                    Told::NotEscalated => prop_assert!(false, "nobody is called here"),
                }
                match n.what {
                    Told::Raised | Told::Flapping => drop(self.open.insert(n.alarm, n.severity)),
                    Told::Cleared => drop(self.open.remove(&n.alarm)),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn check(world: &World, people: &People) -> Result<(), TestCaseError> {
    let mut records = world.book.export();
    for shown in world.book.show() {
        let name = &shown.alarm_name;
        let record = records.remove(name).unwrap();
        let believed = people.open.get(name).copied().unwrap_or_default();
        prop_assert_eq!(record.told, believed, "{}: the record has what people were told", name);
        if let Some(cause) = &record.hush.inhibited_by {
            prop_assert!(shown.severity > Severity::None);
            prop_assert!(world.book.get(cause).unwrap().severity > Severity::None, "a cause is active");
            prop_assert!(!world.book.causes(name).contains(name));
        }
        let to_tell = shown.severity > believed && !shown.acknowledged;
        let end_to_tell = shown.severity == Severity::None && believed > Severity::None;
        if to_tell || end_to_tell {
            prop_assert!(record.hush.kept_back.is_some(), "{} is not told and nobody knows why", name);
        }
        if end_to_tell {
            let why = record.hush.kept_back.unwrap().why;
            prop_assert!(matches!(why, Why::Flapping | Why::TooMany), "an end is kept back: {:?}", why);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::alarms::tests::properties::config_of(256))]

    /// Whatever happens: who was told of a beginning is told of the end; nothing is told twice; why something is not told is known;
    /// messages are no more than allowed; and when all has come to rest people know all that is to be known.
    #[test]
    fn nothing_is_lost_and_nothing_is_told_twice(ops in prop::collection::vec((op(), prop_oneof![Just(0.0), 0.1..8.0f64, 20.0..90.0f64]), 1..80)) {
        let mut world = World::new(storms());
        let mut people = People::default();
        let ensure = |world: &mut World| for name in NAMES {
            let (rule, config) = config_of(name);
            world.book.ensure(name, rule, "r", &config);
        };
        ensure(&mut world);
        for (op, gap) in &ops {
            world.wait(*gap);
            people.hear(&mut world, false)?;
            let now = at(world.now);
            match op {
                Op::Severity(n, severity) => world.set(NAMES[*n], *severity),
                Op::Acknowledge(n) => drop(world.book.acknowledge(NAMES[*n], Severity::Critical, "eve", now)),
                Op::Mute(n) => drop(world.book.mute(NAMES[*n], 40.0, Severity::Serious, "joe", now)),
                Op::Unmute(n) => drop(world.book.unmute(NAMES[*n], now)),
                Op::Disable => {
                    world.book.freeze();
                    world.now += 3.0;
                    world.book.thaw(at(world.now));
                }
                Op::Restart => world.restart(),
                Op::Remove(n) => {
                    world.collect();
                    people.hear(&mut world, false)?;
                    world.book.remove(NAMES[*n]);
                    world.collect();
                    people.hear(&mut world, true)?;
                    prop_assert!(!people.open.contains_key(NAMES[*n]), "a removed alarm is over");
                    ensure(&mut world);
                }
            }
            world.collect();
            people.hear(&mut world, false)?;
            check(&world, &people)?;
        }
        for (i, from) in people.sent.iter().enumerate() {
            let within = people.sent[i..].iter().filter(|t| **t - from < 60.0).count();
            prop_assert!(within <= 12, "{} messages in a minute", within);
        }
        // The causes end, and time goes by.
        world.set("Site", Severity::None);
        world.set("Power", Severity::None);
        world.wait(2000.0);
        people.hear(&mut world, false)?;
        for shown in world.book.show() {
            let believed = people.open.get(&shown.alarm_name).copied().unwrap_or_default();
            if shown.severity == Severity::None {
                prop_assert_eq!(believed, Severity::None, "{}: its end is told", shown.alarm_name);
            } else if !shown.acknowledged && shown.inhibited_by.is_none() {
                prop_assert!(believed >= shown.severity, "{} outlives its cause and is told", shown.alarm_name);
            }
        }
    }
}
