//! Storms: causes, flapping, limits; what is kept back, and that nothing is lost by it.

mod properties;

use std::collections::BTreeMap;
use std::time::Duration;

use super::at;
use crate::alarms::*;

/// The usual configuration of a site, shorter.
fn storms() -> StormConfig {
    StormConfig {
        notices_per_minute: 6,
        notices_per_minute_of_rule: 3,
        flap_changes: 6,
        flap_window: Duration::from_secs(60),
        calm_after: Duration::from_secs(100),
        wait_for_cause: Duration::from_secs(5),
        settle_after_cause: Duration::from_secs(30),
    }
}

fn causes(patterns: &[&str]) -> AlarmConfig {
    let inhibit = |text: &&str| Inhibit { alarms: Glob::new(*text), from: Severity::Warning };
    AlarmConfig { inhibit_by: patterns.iter().map(inhibit).collect(), ..AlarmConfig::default() }
}

/// A book, the time, and what was told.
struct World {
    book: Book,
    now: f64,
    told: Vec<(f64, Bundle)>,
    /// What the journal has beside the alarms.
    storm: StormRecord,
    incidents: BTreeMap<String, Incident>,
    config: StormConfig,
}

impl World {
    fn new(config: StormConfig) -> World {
        let mut book = Book::new();
        book.configure_storms(config);
        book.set_incident_owner(Some("Catcher:1".into()));
        World {
            book,
            now: 0.0,
            told: Vec::new(),
            storm: StormRecord::default(),
            incidents: BTreeMap::new(),
            config,
        }
    }

    /// Alarms of rules of their names, with these causes.
    fn with(mut self, names: &[&str], patterns: &[&str]) -> World {
        for name in names {
            self.book.ensure(name, name, "r", &causes(patterns));
        }
        self
    }

    fn set(&mut self, name: &str, severity: Severity) {
        self.book.set_severity(name, Finding::new(severity, "why"), at(self.now)).unwrap();
        self.collect();
    }

    fn collect(&mut self) {
        self.told.extend(self.book.take_notices().into_iter().map(|bundle| (self.now, bundle)));
        if let Some(storm) = self.book.take_unsaved_storm() {
            self.storm = storm;
        }
        for (id, incident) in self.book.take_unsaved_incidents() {
            match incident {
                Some(incident) => drop(self.incidents.insert(id, incident)),
                None => drop(self.incidents.remove(&id)),
            }
        }
    }

    /// As the core loop does it: every deadline in its turn.
    fn wait(&mut self, seconds: f64) {
        let until = self.now + seconds;
        let mut rounds = 0;
        while let Some(due) = self.book.next_deadline().filter(|due| *due <= at(until)) {
            self.now = (due - at(0.0)).max(self.now);
            self.book.tick(at(self.now));
            self.collect();
            rounds += 1;
            assert!(rounds < 10_000, "it ticks for ever");
        }
        self.now = until;
        self.book.see(at(until));
    }

    /// The process ends and begins again with what the journal has.
    fn restart(&mut self) {
        let json = serde_json::to_string(&(self.book.export(), &self.storm)).unwrap();
        let (alarms, storm): (BTreeMap<String, AlarmRecord>, StormRecord) =
            serde_json::from_str(&json).unwrap();
        let mut book = Book::new();
        book.freeze();
        book.import(alarms);
        book.import_incidents(self.incidents.clone());
        book.import_storm(storm);
        book.configure_storms(self.config);
        book.set_incident_owner(Some("Catcher:1".into()));
        book.thaw(at(self.now));
        self.book = book;
        self.collect();
    }

    /// The notices since the last call: alarm, what, severity.
    fn notices(&mut self) -> Vec<(String, Told, Severity)> {
        let told = std::mem::take(&mut self.told);
        told.into_iter().flat_map(|(_, b)| b.0).map(|n| (n.alarm, n.what, n.severity)).collect()
    }

    fn cause(&self, name: &str) -> String {
        self.book.get(name).unwrap().inhibited_by.as_deref().unwrap_or_default().to_owned()
    }
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("Heartbeat.{i:04}")).collect()
}

#[test]
fn one_cause_of_a_thousand_alarms_is_one_notice_and_a_tree() {
    let names = names(1000);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(storms()).with(&["Power"], &[]).with(&names, &["Power*"]);
    // Half of them come up before their cause does, within the moment that is waited for it.
    for name in &names[..500] {
        world.set(name, Severity::Critical);
    }
    world.wait(4.0);
    world.set("Power", Severity::Serious);
    for name in &names[500..] {
        world.set(name, Severity::Critical);
    }
    world.wait(3600.0);
    assert_eq!(world.notices(), [("Power".to_owned(), Told::Raised, Severity::Serious)]);
    let trees = world.book.trees(5000);
    assert_eq!((trees.len(), trees[0].alarm.as_str(), trees[0].inhibits.len()), (1, "Power", 1000));
    let short = world.book.tree("Power", 10).unwrap();
    assert_eq!((short.size(), short.inhibits.len(), short.more), (1001, 9, 991));
    assert!(short.to_string().ends_with("└─ 991 more"), "{short}");
    let shown = world.book.get(names[0]).unwrap();
    assert_eq!(
        (shown.severity, shown.max_severity),
        (Severity::Critical, Severity::Critical),
        "monitoring goes on"
    );
    assert_eq!(shown.shown_reason(), "why [inhibited by Power]");
    assert_eq!(AlarmSnapshot::cause_of(&shown.shown_reason()), Some("Power"));
    let counts = world.book.kept_back();
    assert_eq!((counts.inhibited, counts.may_have_cause, counts.told, counts.messages), (1000, 500, 1, 1));
    let log = world.book.take_log();
    let first = "not told, inhibited by Power: Heartbeat.0000, ";
    assert!(
        log.iter().any(|line| line.starts_with(first) && line.ends_with(" and 990 more (1000 times ever)")),
        "{log:#?}"
    );
    assert!(log.len() <= 3, "sums: {log:#?}");

    // All of them end with their cause: that is one notice too.
    world.set("Power", Severity::None);
    for name in &names {
        world.set(name, Severity::None);
    }
    world.wait(3600.0);
    assert_eq!(world.notices(), [("Power".to_owned(), Told::Cleared, Severity::Serious)]);
    assert!(world.book.trees(10).is_empty());
}

#[test]
fn what_outlives_its_cause_is_told_and_what_goes_with_it_is_not() {
    let mut world = World::new(storms()).with(&["Power"], &[]).with(&["A", "B"], &["Power"]);
    world.set("Power", Severity::Serious);
    world.set("A", Severity::Warning);
    world.set("B", Severity::Warning);
    drop(world.notices());
    world.set("Power", Severity::None);
    let line = world.told[0].1.summary();
    assert_eq!(line, "over: Power (was SERIOUS); 2 alarms that it inhibited go on");
    drop(world.notices());
    assert_eq!(world.cause("A"), "");
    world.wait(29.0);
    world.set("B", Severity::None);
    assert_eq!(world.notices(), [], "it may go too");
    world.wait(2.0);
    assert_eq!(world.notices(), [("A".to_owned(), Told::Raised, Severity::Warning)]);
    world.set("Power", Severity::Warning);
    assert_eq!(world.cause("A"), "Power");
    drop(world.notices());
    world.set("A", Severity::None);
    assert_eq!(
        world.notices(),
        [("A".to_owned(), Told::Cleared, Severity::Warning)],
        "an end is never kept back"
    );
}

#[test]
fn a_cause_that_comes_too_late_keeps_back_what_is_worse_than_what_was_told() {
    let mut world = World::new(storms()).with(&["Power"], &[]).with(&["A"], &["Power"]);
    world.set("A", Severity::Warning);
    assert_eq!(world.notices(), [], "it is waited for a cause");
    world.wait(5.0);
    assert_eq!(world.notices(), [("A".to_owned(), Told::Raised, Severity::Warning)]);
    world.set("Power", Severity::Critical);
    world.set("A", Severity::Critical);
    assert_eq!(world.notices(), [("Power".to_owned(), Told::Raised, Severity::Critical)]);
    world.book.remove("Power");
    world.collect();
    assert_eq!(world.notices(), [("Power".to_owned(), Told::Cleared, Severity::Critical)], "removed is over");
    world.wait(30.0);
    assert_eq!(world.notices(), [("A".to_owned(), Told::Raised, Severity::Critical)]);
}

#[test]
fn nobody_is_called_while_there_is_a_cause() {
    let escalated = |patterns: &[&str]| AlarmConfig {
        escalate: Some(Escalate::new("team", Duration::from_secs(10)).unwrap()),
        ..causes(patterns)
    };
    let mut world = World::new(storms()).with(&["Power"], &[]);
    world.book.ensure("A", "A", "r", &escalated(&["Power"]));
    world.set("Power", Severity::Warning);
    world.set("A", Severity::Critical);
    world.wait(60.0);
    assert!(world.book.take_incident_calls().is_empty());
    assert!(world.book.get("A").unwrap().timestamp_escalate > 0.0, "its time has come all the same");
    world.restart();
    world.wait(60.0);
    assert!(world.book.take_incident_calls().is_empty());
    world.set("Power", Severity::None);
    world.wait(29.0);
    assert!(world.book.take_incident_calls().is_empty());
    world.wait(1.0);
    let calls = world.book.take_incident_calls();
    assert_eq!((calls.len(), calls[0].incident.closing), (1, false));
    world.book.incident_answer(&calls[0].id, IncidentAnswer::Opened);
    // What is open stays open.
    world.set("Power", Severity::Warning);
    assert_eq!(world.cause("A"), "Power");
    assert!(world.book.take_incident_calls().is_empty());
    world.book.acknowledge("A", Severity::Critical, "eve", at(world.now)).unwrap();
    assert!(world.book.take_incident_calls()[0].incident.closing);
}

#[test]
fn causes_have_causes_and_only_those_bad_enough_count() {
    let mut world =
        World::new(storms()).with(&["Site"], &[]).with(&["Power"], &["Site"]).with(&["Dome"], &["Power"]);
    let from = Inhibit { alarms: Glob::new("Dome"), from: Severity::Serious };
    world.book.ensure(
        "Shutter",
        "Shutter",
        "r",
        &AlarmConfig { inhibit_by: vec![from], ..AlarmConfig::default() },
    );
    for name in ["Site", "Power", "Dome", "Shutter"] {
        world.set(name, Severity::Warning);
    }
    assert_eq!(world.cause("Shutter"), "", "a warning of Dome is no cause");
    world.set("Dome", Severity::Serious);
    assert_eq!(world.book.causes("Shutter"), ["Dome", "Power", "Site"]);
    let tree = world.book.tree("Site", 100).unwrap().to_string();
    assert_eq!(tree, "WARNING Site\n└─ WARNING Power\n   └─ SERIOUS Dome\n      └─ WARNING Shutter");
    world.wait(100.0);
    assert_eq!(world.notices(), [("Site".to_owned(), Told::Raised, Severity::Warning)]);
    // Without the one in the middle there are two roots.
    world.set("Power", Severity::None);
    assert_eq!(world.book.trees(100).len(), 1, "Dome and below; Site inhibits nothing");
    world.wait(30.0);
    assert_eq!(world.notices(), [("Dome".to_owned(), Told::Raised, Severity::Serious)]);
}

#[test]
fn of_alarms_in_a_circle_one_is_told() {
    let mut world = World::new(storms()).with(&["A"], &["B"]).with(&["B"], &["C"]).with(&["C"], &["A"]);
    for name in ["A", "B", "C"] {
        world.set(name, Severity::Warning);
    }
    world.wait(100.0);
    assert_eq!(world.notices().len(), 1);
    assert_eq!(world.book.trees(10)[0].size(), 3);
}

#[test]
fn the_alarms_of_one_rule_are_not_each_others_cause() {
    let mut world = World::new(StormConfig::default());
    for name in ["Camera.1", "Camera.2"] {
        world.book.ensure(name, "Camera", "r", &causes(&["Camera.*"]));
        world.set(name, Severity::Warning);
    }
    assert_eq!(world.notices().len(), 2);
}

#[test]
fn an_end_that_makes_an_alarm_flap_is_kept_back_until_it_is_calm() {
    use Severity::{Critical, None, Warning};
    let mut world =
        World::new(StormConfig { notices_per_minute: 0, notices_per_minute_of_rule: 0, ..storms() });
    world.book.ensure("A", "A", "r", &AlarmConfig::default());
    for severity in [Warning, Critical, Warning, Critical, Warning, None] {
        world.set("A", severity);
    }
    let kept = world.book.hush("A").unwrap().kept_back.unwrap();
    assert_eq!(kept.why, Why::Flapping);
    world.wait(200.0);
    let told: Vec<Told> = world.notices().into_iter().map(|(_, what, _)| what).collect();
    assert_eq!(told, [Told::Raised, Told::Raised, Told::Flapping, Told::Cleared]);
}

#[test]
fn a_flapping_alarm_is_told_once_until_it_is_calm_or_worse() {
    use Severity::{Critical, None, Warning};
    let mut world =
        World::new(StormConfig { notices_per_minute: 0, notices_per_minute_of_rule: 0, ..storms() });
    let mut world = {
        world.book.ensure("A", "A", "r", &AlarmConfig::default());
        world
    };
    let told =
        |world: &mut World| world.notices().into_iter().map(|(_, what, s)| (what, s)).collect::<Vec<_>>();
    let wave = |world: &mut World, periods: usize| {
        for _ in 0..periods {
            for severity in [Warning, None] {
                world.set("A", severity);
                world.wait(1.0);
            }
        }
    };
    wave(&mut world, 2);
    assert_eq!(told(&mut world), [(Told::Raised, Warning), (Told::Cleared, Warning)].repeat(2));
    wave(&mut world, 500);
    assert_eq!(told(&mut world), [(Told::Raised, Warning), (Told::Flapping, Warning)]);
    assert_eq!(world.book.get("A").unwrap().shown_reason(), "why [flapping]");
    world.restart();
    world.set("A", Critical);
    world.set("A", None);
    assert_eq!(told(&mut world), [(Told::Raised, Critical)], "it got worse");
    world.wait(99.0);
    assert_eq!(told(&mut world), []);
    world.restart();
    world.wait(1.0);
    assert_eq!(told(&mut world), [(Told::Cleared, Critical)], "calm, and over");
    assert!(!world.book.get("A").unwrap().flapping);
    wave(&mut world, 3);
    world.set("A", Warning);
    drop(told(&mut world));
    world.wait(1000.0);
    assert_eq!(told(&mut world), [(Told::Calm, Warning)], "calm, and it lasts");
    world.set("A", None);
    assert_eq!(told(&mut world), [(Told::Cleared, Warning)]);
    assert_eq!(world.book.hush("A").unwrap().kept_back, Option::None);
}

#[test]
fn what_is_too_much_goes_out_as_one() {
    let names = names(40);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(storms()).with(&names, &[]);
    for name in &names {
        world.set(name, Severity::Warning);
    }
    assert_eq!(world.told.len(), 6, "as many as are allowed");
    assert_eq!(world.book.hush(names[39]).unwrap().kept_back.unwrap().why, Why::TooMany);
    // One of those that wait goes, one gets worse.
    world.set(names[39], Severity::None);
    world.set(names[38], Severity::Critical);
    world.wait(10.0);
    assert_eq!(world.told.len(), 7);
    let (when, sum) = &world.told[6];
    assert_eq!((*when, sum.0.len()), (10.0, 33));
    assert_eq!(sum.summary(), "CRITICAL Heartbeat.0038: why and 32 more");
    assert!(sum.lines(3, Notice::line).ends_with("\n30 more"));
    // Their ends come out in the same way, and none is missing.
    world.wait(60.0);
    for name in &names {
        world.set(name, Severity::None);
    }
    world.wait(60.0);
    let bundles = world.told.len();
    assert!((14..=16).contains(&bundles), "{bundles}");
    let ends = world.notices().into_iter().filter(|(_, what, _)| *what == Told::Cleared).count();
    assert_eq!(ends, 39);
    let counts = world.book.kept_back();
    assert_eq!((counts.told, counts.messages), (78, bundles as u64));
}

#[test]
fn a_rule_has_a_limit_of_its_own_and_does_not_hold_up_others() {
    let mut world = World::new(StormConfig { notices_per_minute: 100, ..storms() });
    for n in 0..10 {
        world.book.ensure(&format!("Detector.{n}"), "Detector", "r", &AlarmConfig::default());
        world.set(&format!("Detector.{n}"), Severity::Warning);
    }
    let own = AlarmConfig { notices_per_minute: Some(1), ..AlarmConfig::default() };
    for n in 0..3 {
        world.book.ensure(&format!("Rare.{n}"), "Rare", "r", &own);
        world.set(&format!("Rare.{n}"), Severity::Warning);
    }
    let mut world = world.with(&["Other"], &[]);
    world.set("Other", Severity::Serious);
    assert_eq!(world.told.iter().map(|(_, b)| b.0.len()).sum::<usize>(), 3 + 1 + 1);
    assert_eq!(world.told.last().unwrap().1.0[0].alarm, "Other");
    world.told.clear();
    world.wait(59.0);
    assert_eq!(world.told.iter().map(|(t, b)| (*t, b.0.len())).collect::<Vec<_>>(), [(20.0, 7)]);
    world.wait(2.0);
    assert_eq!(world.told.last().map(|(t, b)| (*t, b.0.len())), Some((60.0, 2)));
}

#[test]
fn the_limits_and_what_waits_survive_a_restart() {
    let names = names(20);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(storms()).with(&names, &[]);
    for name in &names {
        world.set(name, Severity::Warning);
    }
    for _ in 0..5 {
        world.wait(1.0);
        world.restart();
    }
    assert_eq!(world.told.len(), 6, "a restart gives no new tokens");
    world.wait(5.0);
    assert_eq!((world.told.len(), world.told[6].1.0.len()), (7, 14));
    assert_eq!(world.book.kept_back().told, 20);
}

#[test]
fn an_alarm_that_is_removed_outside_enabled_has_its_end_told() {
    let mut world = World::new(storms()).with(&["A", "B"], &[]);
    world.set("A", Severity::Warning);
    drop(world.notices());
    world.book.freeze();
    world.book.remove("A");
    world.book.remove("B");
    world.collect();
    assert_eq!(world.notices(), [("A".to_owned(), Told::Cleared, Severity::Warning)]);
}

#[test]
fn a_record_of_before_storms_is_read() {
    let mut world = World::new(storms()).with(&["A"], &["B"]);
    world.set("A", Severity::Warning);
    let mut json = serde_json::to_value(world.book.export()).unwrap();
    let record = json["A"].as_object_mut().unwrap();
    assert!(record.remove("hush").is_some());
    for key in ["inhibit_by", "notices_per_minute"] {
        record["config"].as_object_mut().unwrap().remove(key);
    }
    let records: BTreeMap<String, AlarmRecord> = serde_json::from_value(json).unwrap();
    assert!(records["A"].hush.is_nothing() && records["A"].config.inhibit_by.is_empty());
    assert_eq!(serde_json::from_str::<StormRecord>("{}").unwrap(), StormRecord::default());
}
