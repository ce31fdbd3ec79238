//! Rules as trees: made, changed, and what is known of each.

use serde_json::Value as Json;

use super::super::yaml::{Key, Node, Span, Yaml};

/// One rule that came of the configuration.
#[derive(Debug, Clone)]
pub(super) struct Made {
    /// Name of its alarm.
    pub(super) alarm: String,
    /// The rule; `$(x)` stands for what may differ from its like.
    pub(super) rule: Node,
    /// What stands there, in the order of an instance.
    pub(super) values: Vec<(String, Json)>,
    /// Parts of expressions that are needed more than once: parameters of the template that no instance gives.
    pub(super) parts: Vec<(String, Json)>,
    /// Components that it reads.
    pub(super) remotes: Vec<(String, i64)>,
    /// Its place in the configuration.
    pub(super) span: Span,
}

impl Made {
    /// A rule, with its name and its components worked out.
    pub(super) fn new(rule: Node, values: Vec<(String, Json)>, span: Span) -> Made {
        let filled = fill(&rule, &values);
        let alarm = text_at(&filled, "name").to_owned();
        let mut remotes = Vec::new();
        if let Some(Node { value: Yaml::Map(inputs), .. }) = filled.get("inputs") {
            for (_, input) in inputs {
                let component = text_at(input, "topic").split('.').next().unwrap_or("");
                let (name, index) = component.split_once(':').unwrap_or((component, "0"));
                let remote = (name.to_owned(), index.parse().unwrap_or(0));
                if !remotes.contains(&remote) {
                    remotes.push(remote);
                }
            }
        }
        Made { alarm, rule, values, parts: Vec::new(), remotes, span }
    }

    /// With parts that stand as `$(name)` in its expressions.
    pub(super) fn with_parts(mut self, parts: Vec<(String, Json)>) -> Made {
        self.parts = parts;
        self
    }

    /// Delays and escalation go into the alarm.
    pub(super) fn finish_alarm(
        &mut self,
        (acknowledge, unacknowledge): &(Option<String>, Option<String>),
        escalate: Option<(&str, &str)>,
    ) {
        let Yaml::Map(entries) = &mut self.rule.value else { return };
        let Some((_, Node { value: Yaml::Map(alarm), .. })) =
            entries.iter_mut().find(|(k, _)| k.name == "alarm")
        else {
            return;
        };
        alarm.retain(|(k, _)| k.name != "escalate");
        let mut add = |name: &str, node: Node| alarm.push((key(name), node));
        if let Some(delay) = acknowledge {
            add("auto_acknowledge", text(delay));
        }
        if let Some(delay) = unacknowledge {
            add("auto_unacknowledge", text(delay));
        }
        if let Some((responder, delay)) = escalate {
            add("escalate", map([("responder", text(responder)), ("delay", text(delay))]));
        }
    }

    /// A second rule of a component is called after its topic, too. False if it has none.
    pub(super) fn rename_by_topic(&mut self) -> bool {
        let is_telemetry = self.alarm.starts_with("Telemetry.");
        let Some((_, Json::String(topic))) = self.values.iter().find(|(k, _)| k == "topic") else {
            return false;
        };
        if !is_telemetry {
            return false;
        }
        self.alarm = format!("{}.{topic}", self.alarm);
        set(&mut self.rule, "name", text("Telemetry.$(csc).$(topic)"));
        true
    }
}

/// A duration in seconds, as rule files write it.
pub(super) fn seconds_text(seconds: f64) -> String {
    format!("{seconds}s")
}

/// A number as an expression has it.
pub(super) fn number_text(number: f64) -> String {
    format!("{number:?}")
}

/// A text in an expression.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

pub(super) fn key(name: &str) -> Key {
    Key { span: (0, 0), name: name.to_owned() }
}

fn node(value: Yaml) -> Node {
    Node { span: (0, 0), value }
}

pub(super) fn text(text: impl Into<String>) -> Node {
    node(Yaml::Text(text.into()))
}

pub(super) fn number(number: f64) -> Node {
    node(Yaml::Float(number))
}

pub(super) fn list(all: Vec<Node>) -> Node {
    node(Yaml::List(all))
}

pub(super) fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    node(Yaml::Map(entries.into_iter().map(|(k, n)| (key(k), n)).collect()))
}

/// A value of an instance.
pub(super) fn value(json: &Json) -> Node {
    node(match json {
        Json::Bool(v) => Yaml::Bool(*v),
        Json::Number(n) => n.as_i64().map_or(Yaml::Float(n.as_f64().unwrap_or(f64::NAN)), Yaml::Int),
        Json::String(text) => Yaml::Text(text.clone()),
        _ => Yaml::Null,
    })
}

/// Puts an entry at its place, or at the end.
pub(super) fn set(node: &mut Node, name: &str, value: Node) {
    if let Yaml::Map(entries) = &mut node.value {
        match entries.iter_mut().find(|(k, _)| k.name == name) {
            Some((_, old)) => *old = value,
            None => entries.push((key(name), value)),
        }
    }
}

/// The text of an entry, or nothing.
pub(super) fn text_at<'n>(node: &'n Node, name: &str) -> &'n str {
    match node.get(name) {
        Some(Node { value: Yaml::Text(text), .. }) => text,
        _ => "",
    }
}

/// The rule with these values in it; other parameters stay.
pub(super) fn fill(node: &Node, values: &[(String, Json)]) -> Node {
    let value = match &node.value {
        Yaml::Text(text) => match values.iter().find(|(k, _)| *text == format!("$({k})")) {
            Some((_, v)) => return Node { span: node.span, ..value(v) },
            None => Yaml::Text(fill_text(text, values)),
        },
        Yaml::List(all) => Yaml::List(all.iter().map(|n| fill(n, values)).collect()),
        Yaml::Map(entries) => Yaml::Map(
            entries
                .iter()
                .map(|(k, n)| (Key { name: fill_text(&k.name, values), span: k.span }, fill(n, values)))
                .collect(),
        ),
        other => other.clone(),
    };
    Node { span: node.span, value }
}

fn fill_text(text: &str, values: &[(String, Json)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in values {
        let sign = format!("$({name})");
        if text.contains(&sign) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text = text.replace(&sign, &value);
        }
    }
    text
}
