//! Hvac and GenericBoolean: a list of conditions on the fields of a topic.

use serde_json::{Value as Json, json};

use super::super::schema::{FieldKind, SchemaSource};
use super::super::yaml::{Fields, Node, Problems, Yaml};
use super::build::{Made, list, map, number_text, seconds_text, text};
use super::read;

/// A condition and what goes with it.
struct Limit {
    severity: &'static str,
    condition: String,
    hold: f64,
    reason: String,
}

impl Limit {
    fn node(&self) -> Node {
        let mut entries = vec![("levels", map([(self.severity, text(&self.condition))]))];
        if self.hold > 0.0 {
            entries.push(("hold", text(seconds_text(self.hold))));
        }
        entries.push(("reason", text(&self.reason)));
        map(entries)
    }
}

/// The topics that a rule reads, by the names of their inputs.
struct Topics<'a> {
    names: Vec<String>,
    schemas: &'a dyn SchemaSource,
}

impl Topics<'_> {
    fn input(at: usize) -> String {
        if at == 0 { "x".to_owned() } else { format!("x{}", at + 1) }
    }

    /// A field as it stands in an expression, and whether it is true or false.
    fn field(&self, name: &str, node: &Node, problems: &Problems<'_>) -> Option<(String, bool)> {
        for (i, topic) in self.names.iter().enumerate() {
            let sal_name = topic.strip_prefix("tel_").map(str::to_owned);
            let sal_name = sal_name.or_else(|| topic.strip_prefix("evt_").map(|t| format!("logevent_{t}")));
            let schema = sal_name.and_then(|s| self.schemas.topic("HVAC", &s).ok());
            if let Some(field) = schema.as_ref().and_then(|s| s.field(name)) {
                return Some((format!("{}.{name}", Topics::input(i)), field.kind == FieldKind::Bool));
            }
        }
        problems.add(node.span, format!("no topic of this rule has a field \"{name}\""));
        None
    }

    /// The field as a number.
    fn number(&self, name: &str, node: &Node, problems: &Problems<'_>) -> Option<String> {
        let (field, truth) = self.field(name, node, problems)?;
        Some(if truth { format!("({field} ? 1.0 : 0.0)") } else { field })
    }
}

fn severity_and_span(f: &mut Fields<'_, '_>, problems: &Problems<'_>) -> (Option<&'static str>, f64) {
    let severity = f.get("severity").and_then(|n| read::severity(n, "severity", problems));
    if severity.is_none() {
        problems.add(f.span(), "`severity` is missing");
    }
    (severity, f.get("time_span").and_then(|n| read::number(n, "time_span", problems)).unwrap_or(0.0))
}

/// `limit_type` and `limit_value`.
fn limit(f: &mut Fields<'_, '_>, problems: &Problems<'_>) -> Option<(bool, f64)> {
    let value = f.get("limit_value").and_then(|n| read::number(n, "limit_value", problems));
    let upper = match f.get("limit_type") {
        Some(Node { value: Yaml::Text(t), .. }) if t == "upper" => Some(true),
        Some(Node { value: Yaml::Text(t), .. }) if t == "lower" => Some(false),
        _ => None,
    };
    if upper.is_none() || value.is_none() {
        problems.add(f.span(), "a limit needs `limit_type`, upper or lower, and `limit_value`");
    }
    Some((upper?, value?))
}

fn beyond(upper: bool) -> (&'static str, &'static str) {
    if upper { (">", "higher") } else { ("<", "lower") }
}

/// The rule of a configuration of Hvac.
pub(super) fn hvac(config: &Node, problems: &Problems<'_>, schemas: &dyn SchemaSource) -> Option<Made> {
    let before = problems.count();
    let mut f = Fields::of(config, "a configuration", problems)?;
    let span = f.span();
    let name = f.get("rule_name").and_then(|n| read::text(n, "rule_name", problems));
    let names: Vec<String> = f
        .get("callback_names")
        .map(|n| read::list(n, "callback_names", problems))
        .unwrap_or_default()
        .iter()
        .filter_map(|n| read::text(n, "callback_names", problems))
        .collect();
    if name.is_none() || names.is_empty() {
        problems.add(span, "`rule_name` and `callback_names` are needed");
    }
    let topics = Topics { names, schemas };
    let mut limits = Vec::new();
    let mut items = Vec::new();
    for node in
        f.get("individual_limits").map(|n| read::list(n, "individual_limits", problems)).unwrap_or_default()
    {
        limits.extend(individual(node, &topics, &mut items, problems));
    }
    for node in
        f.get("difference_limits").map(|n| read::list(n, "difference_limits", problems)).unwrap_or_default()
    {
        limits.extend(difference(node, &topics, problems));
    }
    for node in
        f.get("stale_value_limits").map(|n| read::list(n, "stale_value_limits", problems)).unwrap_or_default()
    {
        limits.extend(stale(node, &topics, &mut items, problems));
    }
    f.finish();
    if limits.is_empty() && problems.count() == before {
        problems.add(span, "there is no limit");
    }
    if problems.count() > before {
        return None;
    }
    let mut values = vec![("name".to_owned(), json!(name?))];
    // Rules with one limit differ by the item, others by the topic.
    if let ([one], [item]) = (limits.as_mut_slice(), items.as_slice()) {
        one.condition = one.condition.replace(&format!("x.{item}"), "x.$(item)");
        one.reason = one.reason.replace(item.as_str(), "$(item)");
        values.push(("item".to_owned(), json!(item)));
    }
    let mut inputs = Vec::new();
    for (i, topic) in topics.names.iter().enumerate() {
        let parameter = if i == 0 { "topic".to_owned() } else { format!("topic{}", i + 1) };
        inputs.push((Topics::input(i), map([("topic", text(format!("HVAC.$({parameter})")))])));
        values.push((parameter, Json::from(topic.as_str())));
    }
    let mut alarm = vec![("conditions", list(limits.iter().map(Limit::node).collect()))];
    if limits.len() > 1 {
        alarm.push(("join", text("all")));
    }
    let rule = map([
        ("name", text("HVAC.$(name)")),
        ("inputs", map(inputs.iter().map(|(k, n)| (k.as_str(), n.clone())))),
        ("alarm", map(alarm)),
    ]);
    Some(Made::new(rule, values, span))
}

fn individual(
    node: &Node,
    topics: &Topics<'_>,
    items: &mut Vec<String>,
    problems: &Problems<'_>,
) -> Option<Limit> {
    let mut f = Fields::of(node, "a limit", problems)?;
    let item = f.get("item_name").and_then(|n| read::text(n, "item_name", problems));
    let limit = limit(&mut f, problems);
    let (severity, hold) = severity_and_span(&mut f, problems);
    f.finish();
    let (item, (upper, value)) = (item?, limit?);
    let (field, truth) = topics.field(&item, node, problems)?;
    let (sign, word) = beyond(upper);
    let condition = match (truth, upper) {
        // A truth as a number: below 1 is false, above 0 is true.
        (true, false) if value > 0.0 && value <= 1.0 => format!("!{field}"),
        (true, true) if (0.0..1.0).contains(&value) => field.clone(),
        (true, _) => format!("({field} ? 1.0 : 0.0) {sign} {}", number_text(value)),
        (false, _) => format!("{field} {sign} {}", number_text(value)),
    };
    items.push(item.clone());
    let round = if truth { "" } else { " | round(2)" };
    let reason = format!("{item} {{{{ {field}{round} }}}} is {word} than {value}");
    Some(Limit { severity: severity?, condition, hold, reason })
}

fn difference(node: &Node, topics: &Topics<'_>, problems: &Problems<'_>) -> Option<Limit> {
    let mut f = Fields::of(node, "a limit", problems)?;
    let first = f.get("first_item_name").and_then(|n| read::text(n, "first_item_name", problems));
    let second = f.get("second_item_name").and_then(|n| read::text(n, "second_item_name", problems));
    let limit = limit(&mut f, problems);
    let (severity, hold) = severity_and_span(&mut f, problems);
    f.finish();
    let (first, second, (upper, value)) = (first?, second?, limit?);
    let (a, b) = (topics.number(&first, node, problems), topics.number(&second, node, problems));
    let (sign, word) = beyond(upper);
    let condition = format!("{} - {} {sign} {}", a?, b?, number_text(value));
    Some(Limit {
        severity: severity?,
        condition,
        hold,
        reason: format!("{first} - {second} is {word} than {value}"),
    })
}

fn stale(
    node: &Node,
    topics: &Topics<'_>,
    items: &mut Vec<String>,
    problems: &Problems<'_>,
) -> Option<Limit> {
    let mut f = Fields::of(node, "a limit", problems)?;
    let item = f.get("item_name").and_then(|n| read::text(n, "item_name", problems));
    let samples = f.get("num_samples").map_or(Some(5), |n| read::integer(n, "num_samples", problems));
    let message = f.get("message").and_then(|n| read::text(n, "message", problems));
    let (severity, hold) = severity_and_span(&mut f, problems);
    f.finish();
    let (item, samples) = (item?, samples?);
    let (field, _) = topics.field(&item, node, problems)?;
    items.push(item.clone());
    // So many equal samples are one less that equal the one before.
    let condition = format!("consecutive({field} == prev({field}), {})", (samples - 1).max(1));
    let reason = message.filter(|m| !m.is_empty()).unwrap_or_else(|| {
        format!("The {item} value has remained unchanged for {samples} consecutive samples.")
    });
    Some(Limit { severity: severity?, condition, hold, reason })
}

/// The rule of a configuration of GenericBoolean.
pub(super) fn generic_boolean(config: &Node, problems: &Problems<'_>) -> Option<Made> {
    let before = problems.count();
    let mut f = Fields::of(config, "a configuration", problems)?;
    let span = f.span();
    let mut word = |key: &'static str| f.get(key).and_then(|n| read::text(n, key, problems));
    let (rule, remote, topic) = (word("rule_name"), word("remote_name"), word("callback_name"));
    let index = f.get("remote_index").map_or(Some(0), |n| read::integer(n, "remote_index", problems));
    let severity = f.get("severity").and_then(|n| read::severity(n, "severity", problems));
    let mut limits = Vec::new();
    for node in f.get("alarm_items").map(|n| read::list(n, "alarm_items", problems)).unwrap_or_default() {
        let Some(mut item) = Fields::of(node, "an entry of `alarm_items`", problems) else { continue };
        let name = item.get("item_name").and_then(|n| read::text(n, "item_name", problems));
        let bad = !matches!(item.get("alarm_value").map(|n| &n.value), Some(Yaml::Bool(false)));
        item.finish();
        let (Some(name), Some(severity)) = (name, severity) else { continue };
        let condition = if bad { format!("x.{name}") } else { format!("!x.{name}") };
        limits.push(Limit { severity, condition, hold: 0.0, reason: format!("{name} is {bad}") });
    }
    f.finish();
    if limits.is_empty() || rule.is_none() || remote.is_none() || topic.is_none() {
        problems.add(
            span,
            "`rule_name`, `remote_name`, `callback_name`, `alarm_items` and `severity` are needed",
        );
    }
    if problems.count() > before {
        return None;
    }
    let (remote, index, topic) = (remote?, index?, topic?);
    let csc = if index > 0 { format!("{remote}:{index}") } else { remote };
    let alarm = vec![("conditions", list(limits.iter().map(Limit::node).collect()))];
    let node = map([
        ("name", text(format!("{}.{csc}.{topic}", rule?))),
        ("inputs", map([("x", map([("topic", text(format!("{csc}.{topic}")))]))])),
        ("alarm", map(alarm)),
    ]);
    Some(Made::new(node, Vec::new(), span))
}
