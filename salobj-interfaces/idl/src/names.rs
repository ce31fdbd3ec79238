//! Names on the bus: Kafka topics, registry subjects, message keys, `name[:index]`.

use crate::model::TopicKind;

/// Kafka topic: `lsst.<subname>.<component>.<sal_name>`, e.g. `lsst.sal.Test.logevent_summaryState`.
pub fn kafka_topic(subname: &str, component: &str, sal_name: &str) -> String {
    format!("lsst.{subname}.{component}.{sal_name}")
}

/// Subject of a Kafka topic's value in the schema registry.
pub fn subject(kafka_topic: &str) -> String {
    format!("{kafka_topic}-value")
}

/// Parts of a SAL topic's Kafka name: subname, component, SAL topic name. `None` if it is no such name.
pub fn parse_kafka_topic(kafka_topic: &str) -> Option<(&str, &str, &str)> {
    let mut parts = kafka_topic.strip_prefix("lsst.")?.splitn(3, '.');
    let found = (parts.next()?, parts.next()?, parts.next()?);
    let whole = !found.0.is_empty() && !found.1.is_empty() && !found.2.is_empty() && !found.2.contains('.');
    whole.then_some(found)
}

/// Message key of a record.
///
/// `index` is the index of the writer's own side (a Remote opened with 0 has 0 in its keys), `None` for a component
/// that is not indexed. Telemetry has an empty key, which is not the same as none.
pub fn key(component: &str, index: Option<i32>, sal_name: &str) -> Vec<u8> {
    if TopicKind::of(sal_name) == TopicKind::Telemetry {
        return Vec::new();
    }
    match index {
        Some(index) => format!(r#"{{ "name": "{component}", "index": {index}, "topic": "{sal_name}" }}"#),
        None => format!(r#"{{ "name": "{component}", "topic": "{sal_name}" }}"#),
    }
    .into_bytes()
}

/// `Test:7`, or `Watcher` for a component that is not indexed (`None`).
pub fn name_index(component: &str, index: Option<i32>) -> String {
    index.map_or_else(|| component.to_owned(), |index| format!("{component}:{index}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let topic = kafka_topic("sal", "Test", "logevent_summaryState");
        assert_eq!(topic, "lsst.sal.Test.logevent_summaryState");
        assert_eq!(subject(&topic), "lsst.sal.Test.logevent_summaryState-value");
        assert_eq!(parse_kafka_topic(&topic), Some(("sal", "Test", "logevent_summaryState")));
        for other in
            ["lsst.sal.Test", "lsst.sal.Test.", "lsst.square.metrics.a.b", "other.sal.Test.x", "lsst..Test.x"]
        {
            assert_eq!(parse_kafka_topic(other), None, "{other}");
        }
        assert_eq!(
            (name_index("Test", Some(7)), name_index("Watcher", None)),
            ("Test:7".into(), "Watcher".into())
        );
    }

    #[test]
    fn keys() {
        let text = |c, i, t| String::from_utf8(key(c, i, t)).expect("keys are text");
        assert_eq!(
            text("Watcher", None, "logevent_alarm"),
            r#"{ "name": "Watcher", "topic": "logevent_alarm" }"#
        );
        let command = r#"{ "name": "Test", "index": 7, "topic": "command_start" }"#;
        assert_eq!(text("Test", Some(7), "command_start"), command);
        assert_eq!(text("Test", Some(0), "ackcmd"), r#"{ "name": "Test", "index": 0, "topic": "ackcmd" }"#);
        assert_eq!(text("Test", Some(7), "scalars"), "");
    }
}
