//! Classes whose rules are a shipped example with other values: which key of the Watcher's configuration is which parameter
//! of the example's template.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::super::diagnose::{SourceFile, suggest};
use super::super::yaml::{Node, Problems, Span, Yaml, parse};
use super::build::{Made, fill, seconds_text};
use super::read;

/// How a value of the Watcher's becomes one of the example's.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// `Name` or `Name:index`, as `Name:index`.
    Csc,
    /// A text as it is.
    Text,
    /// A number as it is.
    Number,
    /// Seconds.
    Seconds,
    /// A severity by number or name.
    Severity,
    /// Names of summary states.
    States,
    /// An event such as `evt_azEnabled`: its name, and its name with a capital.
    Event,
    /// Minutes, as samples of 20 a second.
    Samples,
    /// `Name:index` of which only the index counts.
    Index,
    /// Which alerts of a camera: all, or one.
    Alert,
    /// Of no use here: rules are judged when something comes, not at polls.
    Nothing,
}

/// A key of the Watcher's configuration, the parameter, the kind, and whether it must be there.
type Entry = (&'static str, &'static str, Kind, bool);

/// A class of the Watcher.
pub(super) struct Class {
    name: &'static str,
    example: &'static str,
    keys: &'static [Entry],
}

macro_rules! example {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config_schema/examples/watcher/", $name, ".yaml"))
    };
}

const SEVERITY: Entry = ("severity", "severity", Kind::Severity, false);
const POLL: Entry = ("poll_interval", "", Kind::Nothing, false);

const CLASSES: &[Class] = &[
    Class {
        name: "Enabled",
        example: example!("enabled"),
        keys: &[
            ("name", "csc", Kind::Csc, true),
            ("disabled_severity", "disabled", Kind::Severity, false),
            ("standby_severity", "standby", Kind::Severity, false),
            ("offline_severity", "offline", Kind::Severity, false),
            ("fault_severity", "fault", Kind::Severity, false),
        ],
    },
    Class {
        name: "Heartbeat",
        example: example!("heartbeat"),
        keys: &[
            ("name", "csc", Kind::Csc, true),
            ("timeout", "timeout", Kind::Seconds, false),
            ("alarm_severity", "severity", Kind::Severity, false),
        ],
    },
    Class {
        name: "Telemetry",
        example: example!("telemetry"),
        keys: &[
            ("name", "csc", Kind::Csc, true),
            ("callback_name", "topic", Kind::Text, true),
            ("summary_states", "states", Kind::States, true),
            ("timeout", "timeout", Kind::Seconds, false),
            ("alarm_severity", "severity", Kind::Severity, false),
        ],
    },
    Class {
        name: "Clock",
        example: example!("clock"),
        keys: &[("name", "csc", Kind::Csc, true), ("threshold", "threshold", Kind::Number, false)],
    },
    Class { name: "ATeStop", example: example!("at_estop"), keys: &[] },
    Class { name: "MTVibrationRotator", example: example!("mt_vibration_rotator"), keys: &[] },
    Class { name: "MTCCWFollowingRotator", example: example!("mt_ccw_following_rotator"), keys: &[] },
    Class { name: "MTOutClosedLoopControl", example: example!("mt_out_closed_loop_control"), keys: &[] },
    Class { name: "MTDomeCapacitorBanks", example: example!("mtdome_capacitor_banks"), keys: &[] },
    Class { name: "MTCameraAlert", example: example!("mt_camera_alert"), keys: &[] },
    Class {
        name: "CameraAlert",
        example: example!("mt_camera_alert"),
        keys: &[("camera", "camera", Kind::Text, true), ("alertId", "which", Kind::Alert, true)],
    },
    Class {
        name: "PowerGeneratorRunning",
        example: example!("power_generator_running"),
        keys: &[("name", "csc", Kind::Csc, true), SEVERITY],
    },
    Class {
        name: "PowerGeneratorFail",
        example: example!("power_generator_fail"),
        keys: &[
            ("name_primary", "primary", Kind::Csc, true),
            ("name_secondary", "secondary", Kind::Csc, true),
            ("severity_individual_fail", "one", Kind::Severity, false),
            ("severity_both_fail", "both", Kind::Severity, false),
        ],
    },
    Class {
        name: "PowerOutage",
        example: example!("power_outage"),
        keys: &[
            ("name", "csc", Kind::Csc, true),
            ("min_num_zeros_schneider", "zeros", Kind::Number, true),
            ("generator_startup_time", "startup", Kind::Seconds, true),
        ],
    },
    Class {
        name: "ScriptFailed",
        example: example!("script_failed"),
        // The Watcher asks for a severity and does not use it.
        keys: &[("index", "index", Kind::Number, true), ("severity", "", Kind::Nothing, false)],
    },
    Class {
        name: "MTAirCompressorsState",
        example: example!("mt_air_compressors_state"),
        keys: &[
            ("one_severity", "one", Kind::Severity, false),
            ("both_severity", "both", Kind::Severity, false),
        ],
    },
    Class {
        name: "MTAirCompressorsPressure",
        example: example!("mt_air_compressors_pressure"),
        keys: &[
            ("one_severity", "one", Kind::Severity, false),
            ("both_severity", "both", Kind::Severity, false),
            ("minimal_pressure", "minimum", Kind::Number, false),
        ],
    },
    Class { name: "MTM1M3ThermalFans", example: example!("mt_m1m3_thermal_fans"), keys: &[SEVERITY] },
    Class {
        name: "MTM1M3Temperature",
        example: example!("mt_m1m3_temperature"),
        keys: &[
            ("temperature_change_interval", "interval", Kind::Seconds, true),
            ("m1m3_temperature_difference_threshold", "difference", Kind::Number, true),
            ("m1m3_temperature_change_threshold", "change", Kind::Number, true),
        ],
    },
    Class {
        name: "MTM1M3EGWFlow",
        example: example!("mt_m1m3_egw_flow"),
        keys: &[
            ("minimal_flow_rate", "minimum", Kind::Number, false),
            ("alarm_delay", "delay", Kind::Seconds, false),
            SEVERITY,
        ],
    },
    Class {
        name: "MTMountAzimuth",
        example: example!("mt_mount_azimuth"),
        keys: &[
            ("time_range_start", "from", Kind::Number, true),
            ("time_range_end", "to", Kind::Number, true),
            ("mtmount_azimuth_low_threshold", "low", Kind::Number, true),
            ("mtmount_azimuth_high_threshold", "high", Kind::Number, true),
        ],
    },
    Class {
        name: "MTHexapodOvercurrent",
        example: example!("mt_hexapod_overcurrent"),
        keys: &[
            ("name", "index", Kind::Index, true),
            ("threshold_current", "current", Kind::Number, false),
            ("time_window", "samples", Kind::Samples, false),
            SEVERITY,
        ],
    },
    Class {
        name: "MTForceError",
        example: example!("mt_force_error"),
        keys: &[
            ("force_error_axial", "axial", Kind::Number, false),
            ("force_error_tangent", "tangent", Kind::Number, false),
            ("max_num_axial", "most_axial", Kind::Number, false),
            ("max_num_tangent", "most_tangent", Kind::Number, false),
            ("threshold_mtmount_acceleration", "acceleration", Kind::Number, false),
            POLL,
            SEVERITY,
        ],
    },
    Class {
        name: "MTTotalForceMoment",
        example: example!("mt_total_force_moment"),
        keys: &[
            ("fx", "fx", Kind::Number, false),
            ("fy", "fy", Kind::Number, false),
            ("fz", "fz", Kind::Number, false),
            ("mx", "mx", Kind::Number, false),
            ("my", "my", Kind::Number, false),
            ("mz", "mz", Kind::Number, false),
            POLL,
            SEVERITY,
        ],
    },
    Class {
        name: "MTMirrorTemperature",
        example: example!("mt_mirror_temperature"),
        keys: &[
            ("ring", "ring", Kind::Number, false),
            ("intake", "intake", Kind::Number, false),
            ("gradient", "gradient", Kind::Number, false),
            POLL,
            SEVERITY,
        ],
    },
    Class {
        name: "MTTangentLinkTemperature",
        example: example!("mt_tangent_link_temperature"),
        keys: &[
            ("buffer", "buffer", Kind::Number, false),
            ("timeout", "timeout", Kind::Seconds, false),
            POLL,
            SEVERITY,
        ],
    },
    Class {
        name: "MTDomeSubsystemEnabled",
        example: example!("mtdome_subsystem_enabled"),
        keys: &[
            ("event_name", "", Kind::Event, true),
            ("subsystem_name", "part", Kind::Text, true),
            ("csc_state", "states", Kind::States, true),
            ("severity", "severity", Kind::Severity, true),
        ],
    },
];

/// The class of that name.
pub(super) fn find(name: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|c| c.name == name)
}

/// Every class that is known, for "did you mean".
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let made = [
        "Humidity",
        "OverTemperature",
        "UnderPressure",
        "DewPointDepression",
        "ATCameraDewar",
        "Hvac",
        "GenericBoolean",
    ];
    CLASSES.iter().map(|c| c.name).chain(made)
}

impl Class {
    /// The rule of one configuration.
    pub(super) fn rule(&self, config: &Node, problems: &Problems<'_>) -> Option<Made> {
        let Yaml::Map(given) = &config.value else {
            problems
                .add(config.span, format!("a configuration must be a mapping, this is {}", config.kind()));
            return None;
        };
        let before = problems.count();
        let (rule, mut values) = self.example();
        for (key, node) in given {
            let Some((name, parameter, kind, _)) = self.keys.iter().find(|(name, ..)| *name == key.name)
            else {
                let help = suggest(&key.name, self.keys.iter().map(|(name, ..)| *name), "known keys");
                problems.add_help(key.span, format!("{} has no key `{}`", self.name, key.name), help);
                continue;
            };
            for (parameter, value) in convert(*kind, parameter, name, node, problems) {
                match values.iter_mut().find(|(k, _)| *k == parameter) {
                    Some((_, old)) => *old = value,
                    None => values.push((parameter, value)),
                }
            }
        }
        let span: Span = given.first().map_or(config.span, |(k, _)| k.span);
        for (name, ..) in
            self.keys.iter().filter(|(name, _, _, needed)| *needed && config.get(name).is_none())
        {
            problems.add(span, format!("`{name}` is missing"));
        }
        (problems.count() == before).then(|| Made::new(rule, values, span))
    }

    /// The example's first rule without its tests, and the parameters of its template. What the example is an instance of is
    /// left out: parameters have the defaults of the class.
    fn example(&self) -> (Node, Vec<(String, Json)>) {
        let file = SourceFile { name: String::new(), text: self.example.to_owned() };
        let source: Arc<str> = self.example.into();
        let root = parse(&file, &source).expect("the shipped examples are checked by tests");
        let Some(Node { value: Yaml::List(rules), .. }) = root.get("rules") else {
            unreachable!("it is a rule file")
        };
        let mut rule = rules[0].clone();
        let mut values = match rule.get("template").map(Node::json) {
            Some(Json::Object(all)) => all.into_iter().collect(),
            _ => Vec::new(),
        };
        if let Yaml::Map(entries) = &mut rule.value {
            entries.retain(|(k, _)| {
                !matches!(k.name.as_str(), "description" | "template" | "instances" | "tests")
            });
        }
        if self.name == "CameraAlert" {
            rule = fill(&rule, &[("class".to_owned(), json!("CameraAlert"))]);
        }
        // Parameters that only the example itself gives.
        let given = rules[0].get("instances").map(Node::json).and_then(|all| all.get(0).cloned());
        for (name, value) in &mut values {
            let known = self
                .keys
                .iter()
                .any(|(_, parameter, kind, _)| parameter == name || made_of(*kind).contains(&name.as_str()));
            if value.is_null() && !known {
                *value = given.as_ref().and_then(|g| g.get(name.as_str())).cloned().unwrap_or_default();
            }
        }
        (rule, values)
    }
}

/// Parameters that a kind makes beside the one that is named.
fn made_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Event => &["event", "topic"],
        Kind::Alert => &["which", "filter"],
        _ => &[],
    }
}

fn convert(
    kind: Kind,
    parameter: &str,
    key: &str,
    node: &Node,
    problems: &Problems<'_>,
) -> Vec<(String, Json)> {
    let one = |value: Option<Json>| value.map(|v| vec![(parameter.to_owned(), v)]).unwrap_or_default();
    match kind {
        Kind::Csc => one(read::csc(node, problems).map(|(name, index)| json!(format!("{name}:{index}")))),
        Kind::Text => one(read::text(node, key, problems).map(Json::from)),
        Kind::Number => one(match node.value {
            Yaml::Int(v) => Some(json!(v)),
            _ => read::number(node, key, problems).map(|v| json!(v)),
        }),
        Kind::Seconds => one(read::number(node, key, problems).map(|v| json!(seconds_text(v)))),
        Kind::Severity => one(read::severity(node, key, problems).map(|v| json!(v))),
        Kind::States => {
            let all = read::list(node, key, problems).iter().filter_map(|n| read::text(n, key, problems));
            let all: Vec<String> = all.map(|s| format!("SummaryState.{s}")).collect();
            one(Some(json!(format!("[{}]", all.join(", ")))))
        }
        Kind::Event => {
            let Some(text) = read::text(node, key, problems) else { return Vec::new() };
            let Some(topic) = text.strip_prefix("evt_").filter(|t| !t.is_empty()) else {
                problems.add(node.span, format!("\"{text}\" is no event: it begins with evt_"));
                return Vec::new();
            };
            let (first, rest) = topic.split_at(topic.chars().next().map_or(0, char::len_utf8));
            let capital = first.to_uppercase() + rest;
            vec![("event".to_owned(), json!(capital)), ("topic".to_owned(), json!(topic))]
        }
        Kind::Samples => {
            one(read::number(node, key, problems).map(|minutes| json!((minutes * 1200.0) as i64)))
        }
        Kind::Index => one(read::csc(node, problems).map(|(_, index)| json!(index))),
        Kind::Alert => {
            let Some(alert) = read::text(node, key, problems) else { return Vec::new() };
            // The name of the event stands for all alerts.
            let filter = match alert.as_str() {
                "evt_alertRaised" => "true".to_owned(),
                _ => format!("alertId == {}", super::build::quoted(&alert)),
            };
            vec![("which".to_owned(), json!(alert)), ("filter".to_owned(), json!(filter))]
        }
        Kind::Nothing => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_one_of_the_example() {
        for class in CLASSES {
            let (_, values) = class.example();
            for (key, parameter, kind, _) in class.keys {
                let mut all = vec![*parameter];
                all.extend(made_of(*kind));
                for parameter in all.into_iter().filter(|p| !p.is_empty()) {
                    assert!(values.iter().any(|(k, _)| k == parameter), "{} {key} {parameter}", class.name);
                }
            }
            for (name, value) in values {
                let given = class
                    .keys
                    .iter()
                    .any(|(_, p, k, needed)| *needed && (*p == name || made_of(*k).contains(&name.as_str())));
                assert!(given || !value.is_null(), "{}: {name} has no value", class.name);
            }
        }
    }
}
