//! From what the rules need to what is read: topic names, starting points, wanted fields.

use std::collections::BTreeMap;
use std::time::Duration;

use salobj::transport::StartAt;
use salobj::wire::{Select, Want};
use salobj::{Tai, Value};

use super::recent::SeriesNeed;
use crate::rules::{History, Part, Source, TopicNeed};

/// Records looked back for the newest sample of each index of an event, as salobj's `LSST_MAX_HISTORY_READ`.
const EVENT_HISTORY: u64 = 500;

/// The same for an event with windows over time: its records are few, and there may be none within the window.
const WINDOWED_EVENT_HISTORY: u64 = 5000;

/// The same for telemetry without windows.
const TELEMETRY_HISTORY: u64 = 50;

/// Windows begin a little earlier than needed: stamps and broker time differ.
pub(super) const MARGIN: Duration = Duration::from_secs(5);

/// Wants that every plan begins with: `salIndex`, `private_sndStamp`.
pub(super) const HEAD: usize = 2;

/// Kafka topic of a need.
pub(super) fn topic_name(subname: &str, need: &TopicNeed) -> String {
    match need.source() {
        Source::Kafka(name, _) => name.to_owned(),
        _ => sal_idl::names::kafka_topic(subname, &need.component, &need.sal_name),
    }
}

/// A need of the analyses alone, as one of the rules: no cells, the history that they want.
pub(crate) fn only_series(series: &SeriesNeed) -> TopicNeed {
    TopicNeed {
        component: series.component.clone(),
        sal_name: series.sal_name.clone(),
        indices: None,
        fields: Vec::new(),
        history: History { span: series.span, count: 0 },
    }
}

/// The cells to decode: index and stamp first, then those that the rules need, then fields of the analyses that are not
/// among them. The second answer has the place of each of the latter among the cells after the head.
pub(crate) fn cells(need: &TopicNeed, series: &[String]) -> (Vec<Want>, Vec<usize>) {
    let mut wants = wants(need);
    let place = |field: &String| {
        let same = |want: &Want| want.path == *field && want.select == Select::All;
        wants.iter().skip(HEAD).position(same).unwrap_or_else(|| {
            wants.push(Want::field(field));
            wants.len() - 1 - HEAD
        })
    };
    let places = series.iter().map(place).collect();
    (wants, places)
}

fn wants(need: &TopicNeed) -> Vec<Want> {
    // A topic that is not SAL has the record's timestamp, unless the rule names a field.
    let stamp = if let Source::Kafka(_, Some(stamp)) = need.source() { stamp } else { "private_sndStamp" };
    let mut wants = vec![
        Want { default: Value::Int(0), ..Want::field("salIndex") },
        Want { default: Value::Double(0.0), ..Want::field(stamp) },
    ];
    wants.extend(need.fields.iter().map(|field| {
        Want::field(&field.name).select(match field.part {
            Part::Whole => Select::All,
            Part::Element(n) => Select::Element(n),
            Part::Slice(from, to) => Select::Slice(from, to),
        })
    }));
    wants
}

/// Where reading of a topic begins so that latched values and windows are filled before anything is judged.
///
/// `noted` is where the last process stood, and `at` when it noted that: without it, everything that is there now is
/// history; with it, history ends where the last process stood.
pub(super) fn start(need: &TopicNeed, noted: Option<&BTreeMap<i32, i64>>, at: Tai) -> StartAt {
    let event = need.sal_name.starts_with("logevent_");
    let windowed = !need.history.span.is_zero();
    if windowed && !event {
        let from = Tai(at.0 - (need.history.span + MARGIN).as_secs_f64());
        return StartAt::Time(from.utc_ms());
    }
    let asked = need.history.count as u64 * 4;
    let back = match (event, windowed) {
        (true, true) => WINDOWED_EVENT_HISTORY,
        (true, false) => EVENT_HISTORY,
        (false, _) => TELEMETRY_HISTORY,
    }
    .max(asked);
    match noted {
        Some(positions) => {
            let earlier = |offset: i64| (offset - back as i64).max(0);
            StartAt::Positions(positions.iter().map(|(p, offset)| (*p, earlier(*offset))).collect())
        }
        None => StartAt::Back(back),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::FieldNeed;

    fn need(sal_name: &str, span_s: u64) -> TopicNeed {
        TopicNeed {
            component: "ESS".into(),
            sal_name: sal_name.into(),
            indices: None,
            fields: vec![FieldNeed { name: "speed".into(), part: Part::Element(3) }],
            history: History { span: Duration::from_secs(span_s), count: 1 },
        }
    }

    #[test]
    fn a_window_of_telemetry_is_read_by_time_from_when_the_last_process_stood() {
        let start = start(&need("airFlow", 300), None, Tai(1_800_000_037.0));
        assert_eq!(start, StartAt::Time(1_799_999_695_000));
    }

    #[test]
    fn events_are_read_some_way_back_from_the_noted_position() {
        let noted = BTreeMap::from([(0, 1200)]);
        assert_eq!(
            start(&need("logevent_summaryState", 0), Some(&noted), Tai(0.0)),
            StartAt::Positions(BTreeMap::from([(0, 700)]))
        );
        assert_eq!(start(&need("logevent_summaryState", 0), None, Tai(0.0)), StartAt::Back(500));
    }

    #[test]
    fn only_what_is_needed_is_wanted() {
        let (wants, places) = cells(&need("airFlow", 0), &["speed".to_owned(), "direction".to_owned()]);
        assert_eq!(places, [1, 2], "the rule has an element, the analysis the whole field");
        assert_eq!(
            wants.iter().map(|w| w.path.as_str()).collect::<Vec<_>>(),
            ["salIndex", "private_sndStamp", "speed", "speed", "direction"]
        );
        assert_eq!(wants[HEAD].select, Select::Element(3));
    }
}
