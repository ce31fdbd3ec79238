//! The figures: by hand, and by other ways of counting.

use proptest::prelude::*;
use salobj::Tai;

use super::at;
use super::properties::config_of;
use crate::alarms::health::{FLOOD, TEN_MINUTES_S};
use crate::alarms::{AlarmConfig, Escalate, Why};
use crate::alarms::{AlarmTransition, Book, Cause, Finding, Health, Move, Severity, Standing, Tally, Timer};

const RULE: Cause = Cause::Finding { run_id: String::new() };

/// Makes transitions of one alarm after the other, each from where the last one has ended.
#[derive(Debug, Default)]
struct Story {
    ends: std::collections::HashMap<String, Standing>,
    all: Vec<AlarmTransition>,
}

impl Story {
    fn step(&mut self, alarm: &str, when: f64, cause: Cause, change: impl FnOnce(&mut Standing)) {
        let before = self.ends.get(alarm).cloned().unwrap_or_default();
        let mut after = before.clone();
        change(&mut after);
        if after.severity != before.severity {
            after.since = Some(at(when));
        }
        after.max_severity = after.max_severity.max(after.severity);
        self.ends.insert(alarm.to_owned(), after.clone());
        self.all.push(AlarmTransition {
            id: self.all.len() as u64 + 1,
            at: at(when),
            alarm: alarm.to_owned(),
            rule: "R".into(),
            revision: "r".into(),
            moves: Move::between(&before, &after),
            reason: String::new(),
            before,
            after,
            cause,
            evidence: None,
        });
    }

    fn severity(&mut self, alarm: &str, when: f64, severity: Severity) {
        self.step(alarm, when, RULE, |s| s.severity = severity);
    }

    fn raise(&mut self, alarm: &str, when: f64) {
        self.severity(alarm, when, Severity::Warning);
    }

    fn clear(&mut self, alarm: &str, when: f64) {
        self.severity(alarm, when, Severity::None);
    }

    fn acknowledge(&mut self, alarm: &str, when: f64, by_hand: bool) {
        let cause = if by_hand {
            Cause::Command { command: "acknowledge".into(), user: "eve".into(), identity: String::new() }
        } else {
            Cause::Deadline { timer: Timer::AutoAcknowledge }
        };
        self.step(alarm, when, cause, |s| s.acknowledged = true);
    }

    fn health(&mut self, from: f64, to: f64) -> Health {
        self.between(at(from), at(to))
    }

    fn between(&mut self, from: Tai, to: Tai) -> Health {
        self.all.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
        let mut tally = Tally::new(Some(from), to);
        self.all.iter().for_each(|t| tally.add(t));
        tally.finish()
    }
}

#[test]
fn a_quiet_hour_by_hand() {
    let mut story = Story::default();
    story.raise("A", 100.0);
    story.severity("A", 200.0, Severity::Critical);
    story.severity("A", 300.0, Severity::Serious);
    story.clear("A", 400.0);
    story.raise("B", 1000.0);
    story.clear("B", 1001.0);
    let health = story.health(0.0, 3600.0);
    assert_eq!((health.transitions, health.annunciated, health.by_severity), (6, 3, [2, 0, 1]));
    // Three in six times ten minutes; two of them within ten minutes.
    assert_eq!((health.per_ten_minutes_mean, health.per_ten_minutes_max), (0.5, 2));
    assert_eq!((health.flood_s, health.flood_share, health.floods.len()), (0.0, 0.0, 0));
    let top: Vec<_> = health.top.iter().map(|o| (&*o.alarm, o.count, o.share)).collect();
    assert_eq!(top, [("A", 2, 2.0 / 3.0), ("B", 1, 1.0 / 3.0)]);
    assert_eq!(health.top_share, 1.0);
    assert!(health.chattering.is_empty() && health.standing.is_empty());
    assert_eq!(health.acknowledged.waiting, 2, "nobody acknowledged either");
    let periods: Vec<_> =
        health.periods.iter().map(|p| (&*p.alarm, p.severity, p.from - at(0.0), p.to - at(0.0))).collect();
    assert_eq!(
        periods,
        [
            ("A", Severity::Warning, 100.0, 200.0),
            ("A", Severity::Critical, 200.0, 300.0),
            ("A", Severity::Serious, 300.0, 400.0),
            ("B", Severity::Warning, 1000.0, 1001.0),
        ]
    );
}

/// Twelve alarms, one each ten seconds: the eleventh, at 100 s, begins a flood. With the twelfth, at 110 s, the flood lasts
/// until the second alarm (at 10 s) is ten minutes old.
#[test]
fn a_flood_by_hand() {
    let mut story = Story::default();
    for i in 0..12 {
        story.raise(&format!("A{i:02}"), 10.0 * f64::from(i));
    }
    let health = story.health(0.0, 6100.0);
    let floods: Vec<_> = health.floods.iter().map(|(a, b)| (*a - at(0.0), *b - at(0.0))).collect();
    assert_eq!((floods, health.flood_s), (vec![(100.0, 610.0)], 510.0));
    assert_eq!(health.flood_share, 510.0 / 6100.0);
    assert_eq!((health.per_ten_minutes_max, health.top.len()), (12, 10));
    assert_eq!(health.top_share, 10.0 / 12.0);
    // Eleven are a flood, ten are none; and the range ends it.
    assert_eq!(Story::health(&mut story, 10.0, 6100.0).flood_s, 500.0);
    assert_eq!(Story::health(&mut story, 20.0, 6100.0).flood_s, 0.0);
    assert_eq!(Story::health(&mut story, 0.0, 300.0).flood_s, 200.0);
}

#[test]
fn two_floods_are_two() {
    let mut story = Story::default();
    for i in 0..11 {
        story.raise(&format!("A{i}"), f64::from(i));
        story.raise(&format!("B{i}"), 5000.0 + f64::from(i));
    }
    let health = story.health(0.0, 7000.0);
    let floods: Vec<_> = health.floods.iter().map(|(a, b)| (*a - at(0.0), *b - at(0.0))).collect();
    assert_eq!(floods, [(10.0, 600.0), (5010.0, 5600.0)]);
    assert_eq!(health.flood_s, 2.0 * 590.0);
}

#[test]
fn chattering_is_three_in_a_minute() {
    let mut story = Story::default();
    let mut pulse = |alarm: &str, times: &[f64]| {
        for time in times {
            story.raise(alarm, *time);
            story.clear(alarm, time + 1.0);
        }
    };
    pulse("twice", &[0.0, 59.0]);
    pulse("slow", &[0.0, 40.0, 80.0, 120.0]);
    pulse("three", &[100.0, 130.0, 160.0, 500.0]);
    // Four in a minute, then two more that still make three with one before.
    pulse("many", &[10.0, 20.0, 30.0, 40.0, 85.0, 95.0, 300.0]);
    let health = story.health(0.0, 1000.0);
    let chattering: Vec<_> =
        health.chattering.iter().map(|c| (&*c.alarm, c.raises, c.most_a_minute)).collect();
    assert_eq!(chattering, [("many", 6, 4), ("three", 3, 3)]);
}

#[test]
fn more_than_a_day_is_standing() {
    const DAY: f64 = 86_400.0;
    let mut story = Story::default();
    story.raise("over", 0.0);
    story.severity("over", 1000.0, Severity::Serious);
    story.clear("over", 1.5 * DAY);
    story.raise("exactly", 0.0);
    story.clear("exactly", DAY);
    story.raise("broken", 0.0);
    story.clear("broken", 0.9 * DAY);
    story.raise("broken", 0.9 * DAY + 1.0);
    story.raise("still", 0.5 * DAY);
    let health = story.health(0.25 * DAY, 2.0 * DAY);
    let standing: Vec<_> =
        health.standing.iter().map(|s| (&*s.alarm, s.until.map(|t| t - at(0.0)), s.length_s / DAY)).collect();
    assert_eq!(standing[0], ("over", Some(1.5 * DAY), 1.5));
    assert_eq!(standing[1], ("still", None, 1.5));
    assert_eq!(standing.len(), 3, "{standing:?}");
    assert_eq!((standing[2].0, standing[2].1), ("broken", None), "the second time, until now");
    // What was over before the range is not of it.
    assert_eq!(
        story.health(1.6 * DAY, 1.7 * DAY).standing.iter().map(|s| &*s.alarm).collect::<Vec<_>>(),
        ["still"]
    );
}

/// The history may begin with an alarm that stood before.
#[test]
fn what_stood_before_the_first_transition_is_known_from_it() {
    let mut story = Story::default();
    story.ends.insert(
        "A".into(),
        Standing {
            severity: Severity::Serious,
            max_severity: Severity::Serious,
            since: Some(at(-200_000.0)),
            ..Standing::default()
        },
    );
    story.clear("A", 50.0);
    let health = story.health(0.0, 100.0);
    assert_eq!(health.standing[0].length_s, 200_050.0);
    assert_eq!(health.annunciated, 0);
}

#[test]
fn the_time_to_acknowledge_by_hand() {
    let mut story = Story::default();
    for (i, delay) in [10.0, 20.0, 30.0, 400.0].into_iter().enumerate() {
        let alarm = format!("A{i}");
        story.raise(&alarm, 1000.0 * i as f64);
        story.acknowledge(&alarm, 1000.0 * i as f64 + delay, true);
    }
    // From the first that was not acknowledged, though it got worse meanwhile and went away.
    story.raise("worse", 5000.0);
    story.severity("worse", 5050.0, Severity::Critical);
    story.clear("worse", 5060.0);
    story.acknowledge("worse", 5100.0, true);
    story.raise("time", 6000.0);
    story.clear("time", 6001.0);
    story.acknowledge("time", 6100.0, false);
    story.raise("waits", 7000.0);
    let acknowledged = story.health(0.0, 8000.0).acknowledged;
    assert_eq!((acknowledged.count, acknowledged.automatic, acknowledged.waiting), (5, 1, 1));
    // 10, 20, 30, 100, 400: the middle, and the fifth of five.
    assert_eq!((acknowledged.median_s, acknowledged.p95_s), (Some(30.0), Some(400.0)));
    let acknowledged = story.health(0.0, 2100.0).acknowledged;
    assert_eq!((acknowledged.count, acknowledged.median_s, acknowledged.p95_s), (3, Some(20.0), Some(30.0)));
    let acknowledged = story.health(0.0, 1100.0).acknowledged;
    assert_eq!((acknowledged.median_s, acknowledged.p95_s), (Some(15.0), Some(20.0)));
    let acknowledged = story.health(7500.0, 8000.0).acknowledged;
    assert_eq!(
        (acknowledged.count, acknowledged.median_s, acknowledged.p95_s, acknowledged.waiting),
        (0, None, None, 1)
    );
}

#[test]
fn of_twenty_the_nineteenth_is_the_95th_of_a_hundred() {
    let mut story = Story::default();
    for i in 1..=20 {
        let alarm = format!("A{i}");
        story.raise(&alarm, 0.0);
        story.acknowledge(&alarm, f64::from(i), true);
    }
    let acknowledged = story.health(0.0, 100.0).acknowledged;
    assert_eq!((acknowledged.median_s, acknowledged.p95_s), (Some(10.5), Some(19.0)));
}

#[test]
fn a_muted_alarm_is_not_annunciated_but_may_chatter() {
    let mut story = Story::default();
    let mute = Cause::Command { command: "mute".into(), user: "joe".into(), identity: String::new() };
    story.step("A", 0.0, mute, |s| s.muted_severity = Severity::Warning);
    for i in 0..3 {
        story.raise("A", 10.0 + f64::from(i));
        story.clear("A", 10.5 + f64::from(i));
    }
    story.severity("A", 20.0, Severity::Serious);
    let health = story.health(0.0, 100.0);
    assert_eq!(
        (health.annunciated, health.hidden, health.chattering.len()),
        (1, 3, 1),
        "it is muted up to warning"
    );
}

/// Kept back for a cause it is not seen; when the cause goes, it is. A notice that waits for its turn is of an alarm that is.
#[test]
fn an_alarm_with_a_cause_is_annunciated_when_the_cause_goes() {
    let mut story = Story::default();
    story.step("A", 0.0, RULE, |s| {
        s.severity = Severity::Serious;
        s.kept_back = Some(Why::Inhibited);
    });
    assert_eq!((story.health(0.0, 10.0).annunciated, story.health(0.0, 10.0).hidden), (0, 1));
    story.step("A", 20.0, Cause::Storm, |s| s.kept_back = Some(Why::CauseGone));
    story.step("A", 40.0, Cause::Storm, |s| s.kept_back = Some(Why::TooMany));
    story.step("A", 50.0, Cause::Storm, |s| s.kept_back = None);
    story.acknowledge("A", 100.0, true);
    let health = story.health(0.0, 200.0);
    assert_eq!((health.annunciated, health.by_severity, health.hidden), (1, [0, 1, 0], 1));
    assert_eq!(health.acknowledged.median_s, Some(60.0));
}

/// What the book really does, and not what a test makes up.
#[test]
fn the_figures_of_a_real_book() {
    let config = AlarmConfig {
        escalate: Some(Escalate::new("team", std::time::Duration::from_secs(60)).unwrap()),
        ..AlarmConfig::default()
    };
    let mut book = Book::new();
    let mut tally = Tally::new(None, at(2000.0));
    let mut take = |book: &mut Book, when: f64| {
        for mut transition in book.take_transitions() {
            transition.at = at(when);
            tally.add(&transition);
        }
    };
    book.ensure("A", "R", "r", &config);
    for (when, severity) in [(0.0, 4), (10.0, 1), (20.0, 4), (100.0, 4)] {
        let severity = Severity::try_from(severity).unwrap();
        book.tick(at(when));
        book.set_severity("A", Finding::new(severity, "x"), at(when)).unwrap();
        take(&mut book, when);
    }
    book.acknowledge("A", Severity::Critical, "eve", at(300.0)).unwrap();
    take(&mut book, 300.0);
    let health = tally.finish();
    assert_eq!((health.from, health.annunciated, health.by_severity), (at(0.0), 2, [0, 0, 2]));
    assert_eq!(
        (health.acknowledged.count, health.acknowledged.median_s),
        (1, Some(300.0)),
        "from the first of the two"
    );
    assert_eq!(health.per_ten_minutes_mean, 2.0 * 600.0 / 2000.0);
}

/// Any story: alarms that rise and fall at random.
fn story() -> impl Strategy<Value = Story> {
    let step = (0..12usize, 0.0..90.0f64, prop::sample::select(Severity::ALL.to_vec()), 0..10u8);
    proptest::collection::vec(step, 0..120).prop_map(|steps| {
        let mut story = Story::default();
        let mut now = 0.0;
        for (alarm, gap, severity, what) in steps {
            now += gap;
            let alarm = format!("A{alarm}");
            if what == 0 {
                story.acknowledge(&alarm, now, true);
            } else {
                story.severity(&alarm, now, severity);
            }
        }
        story
    })
}

proptest! {
    #![proptest_config(config_of(256))]

    /// Every figure again, counted in the slowest way.
    #[test]
    fn figures_are_those_of_slow_counting(mut story in story(), from in 0..3000u32, length in 1..6000u32) {
        let (from, length) = (f64::from(from), f64::from(length));
        let to = from + length;
        let health = story.health(from, to);
        let rises: Vec<f64> = story
            .all
            .iter()
            .filter(|t| t.annunciates() && (from..=to).contains(&(t.at - at(0.0))))
            .map(|t| t.at - at(0.0))
            .collect();
        prop_assert_eq!(health.annunciated, rises.len());
        prop_assert_eq!(health.by_severity.iter().sum::<usize>(), rises.len());
        prop_assert_eq!(health.bins.iter().map(|b| b.1).sum::<usize>(), rises.len());
        prop_assert!(health.top.windows(2).all(|w| w[0].count >= w[1].count), "the most first");
        prop_assert!((health.per_ten_minutes_mean * length / TEN_MINUTES_S - rises.len() as f64).abs() < 1e-6);
        let within = |time: f64| rises.iter().filter(|r| **r <= time && time - **r < TEN_MINUTES_S).count();
        let most = rises.iter().map(|r| within(*r)).max().unwrap_or(0);
        prop_assert_eq!(health.per_ten_minutes_max, most);
        prop_assert_eq!(health.flood_s > 0.0, most > FLOOD && rises.iter().any(|r| within(*r) > FLOOD && *r < to));
        // Between two instants at which anything can change, the middle tells.
        let mut moments: Vec<f64> = rises.iter().flat_map(|r| [*r, *r + TEN_MINUTES_S]).chain([from, to]).collect();
        moments.retain(|m| (from..=to).contains(m));
        moments.sort_by(f64::total_cmp);
        let flood: f64 = moments.windows(2).filter(|w| within((w[0] + w[1]) / 2.0) > FLOOD).map(|w| w[1] - w[0]).sum();
        prop_assert!((health.flood_s - flood).abs() < 1e-3, "{} is not {}", health.flood_s, flood);
        prop_assert!(health.floods.windows(2).all(|w| w[0].1.0 < w[1].0.0), "in order and apart");
        prop_assert!((0.0..=1.0).contains(&health.flood_share) && (0.0..=1.0 + 1e-9).contains(&health.top_share));
        let (median, p95) = (health.acknowledged.median_s, health.acknowledged.p95_s);
        prop_assert!(median.zip(p95).is_none_or(|(m, p)| 0.0 <= m && m <= p));
        for alarm in &health.top {
            let own: Vec<_> = health.periods.iter().filter(|p| p.alarm == alarm.alarm).collect();
            prop_assert!(own.windows(2).all(|w| w[0].to.0 <= w[1].from.0), "one severity at a time");
            prop_assert!(own.iter().all(|p| p.from.0 >= health.from.0 && p.to.0 <= to + at(0.0).0 + 1e-6));
        }
    }

    /// Two halves make the whole where counting is additive.
    #[test]
    fn halves_add_up(mut story in story(), cut in 1.0..3000.0f64) {
        let whole = story.health(0.0, 20_000.0);
        let first = story.health(0.0, cut);
        // From the next instant that there is.
        let second = story.between(Tai(at(cut).0.next_up()), at(20_000.0));
        let all = |f: fn(&Health) -> usize| (f(&whole), f(&first) + f(&second));
        for (one, sum) in [all(|h| h.annunciated), all(|h| h.transitions), all(|h| h.hidden), all(|h| h.acknowledged.count)] {
            prop_assert_eq!(one, sum);
        }
        prop_assert!(first.flood_s + second.flood_s <= whole.flood_s + 1e-3);
    }
}
