//! Humidity, OverTemperature, UnderPressure, DewPointDepression: the worst of some sensors of ESS against levels.

use serde_json::{Value as Json, json};

use super::super::schema::SchemaSource;
use super::super::yaml::{Fields, Node, Problems};
use super::build::{Made, list, map, number, number_text, quoted, seconds_text, text};
use super::read;

/// A sensor: where its data are, and which elements of them count.
#[derive(Debug, Clone, PartialEq)]
struct Sensor {
    component: String,
    index: i64,
    topic: String,
    field: String,
    name: String,
    indices: Option<Vec<i64>>,
}

/// What is looked at: an input, whether its values are arrays.
struct Source {
    name: String,
    input: Node,
    array: bool,
}

/// Levels with their periods and messages, from the worst down.
type Levels = Vec<(&'static str, f64, f64, String)>;

/// What the classes have in common.
struct Common {
    levels: Levels,
    hysteresis: f64,
    age: String,
}

fn common(f: &mut Fields<'_, '_>, hysteresis: f64, problems: &Problems<'_>) -> Common {
    let mut levels = Levels::new();
    let keys = [
        ("critical", "critical_level", "critical_period", "critical_msg"),
        ("serious", "serious_level", "serious_period", "serious_msg"),
        ("warning", "warning_level", "warning_period", "warning_msg"),
    ];
    for (severity, level, period, message) in keys {
        let level = f.get(level).and_then(|n| read::number(n, level, problems));
        let period = f.get(period).and_then(|n| read::number(n, period, problems)).unwrap_or(0.0);
        let message = f.get(message).and_then(|n| read::text(n, message, problems)).unwrap_or_default();
        if let Some(level) = level {
            levels.push((severity, level, period, message));
        }
    }
    if levels.is_empty() {
        problems.add(f.span(), "one of `warning_level`, `serious_level` and `critical_level` is needed");
    }
    let mut seconds = |key: &'static str, default: f64| {
        f.get(key).and_then(|n| read::number(n, key, problems)).unwrap_or(default)
    };
    let hysteresis = seconds("hysteresis", hysteresis);
    let age = seconds_text(seconds("max_data_age", 120.0));
    seconds("poll_interval", 60.0);
    Common { levels, hysteresis, age }
}

/// Sensors of one key of the configuration.
fn sensors(
    node: Option<&Node>,
    (key, topic, field): (&'static str, &str, &str),
    problems: &Problems<'_>,
) -> Vec<Sensor> {
    let mut all = Vec::new();
    for node in node.map(|n| read::list(n, key, problems)).unwrap_or_default() {
        let Some(mut f) = Fields::of(node, "a sensor", problems) else { continue };
        let word = |f: &mut Fields<'_, '_>, key: &'static str, default: &str| {
            f.get(key).and_then(|n| read::text(n, key, problems)).unwrap_or_else(|| default.to_owned())
        };
        let index = f.get("sal_index").and_then(|n| read::integer(n, "sal_index", problems));
        if index.is_none() {
            problems.add(f.span(), "`sal_index` is missing");
        }
        let one = Sensor {
            // The last three are of configurations newer than ts_watcher 1.24.
            component: word(&mut f, "sal_name", "ESS"),
            topic: word(&mut f, "sal_topic", topic),
            field: word(&mut f, "sal_field", field),
            index: index.unwrap_or(0),
            name: String::new(),
            indices: None,
        };
        for name in f.get("sensor_names").map(|n| read::list(n, "sensor_names", problems)).unwrap_or_default()
        {
            let name = read::text(name, "sensor_names", problems).unwrap_or_default();
            all.push(Sensor { name, ..one.clone() });
        }
        for info in f.get("sensor_info").map(|n| read::list(n, "sensor_info", problems)).unwrap_or_default() {
            let Some(mut i) = Fields::of(info, "an entry of `sensor_info`", problems) else { continue };
            let name = i.get("sensor_name").and_then(|n| read::text(n, "sensor_name", problems));
            let indices = i.get("indices").map(|n| {
                read::list(n, "indices", problems)
                    .iter()
                    .filter_map(|n| read::integer(n, "indices", problems))
                    .collect()
            });
            i.finish();
            all.push(Sensor { name: name.unwrap_or_default(), indices, ..one.clone() });
        }
        f.finish();
    }
    all
}

/// Runs of elements that follow each other: `[0, 1, 2, 5]` is 0 to 2 and 5.
fn runs(indices: &[i64]) -> Vec<(i64, i64)> {
    let mut sorted = indices.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for i in sorted {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            _ => runs.push((i, i)),
        }
    }
    runs
}

/// The inputs for some sensors, called `name`, `name2`, ...; what differs from rule to rule goes to `values`.
fn sources(
    name: &str,
    sensors: &[Sensor],
    (age, window): (&str, Option<f64>),
    schemas: &dyn SchemaSource,
    values: &mut Vec<(String, Json)>,
) -> Vec<Source> {
    // Sensors of which the same is read share an input.
    let mut groups: Vec<(Sensor, String, bool, Vec<&Sensor>)> = Vec::new();
    for sensor in sensors {
        let sal_name = sensor.topic.trim_start_matches("tel_");
        let array = schemas
            .topic(&sensor.component, sal_name)
            .ok()
            .and_then(|s| s.field(&sensor.field).map(|f| f.count.is_some()))
            .unwrap_or(false);
        let parts: Vec<(String, bool)> = match &sensor.indices {
            None => vec![(sensor.field.clone(), array)],
            Some(indices) => runs(indices)
                .into_iter()
                .map(|(a, b)| match a == b {
                    true => (format!("{}[{a}]", sensor.field), false),
                    false => (format!("{}[{a}:{}]", sensor.field, b + 1), true),
                })
                .collect(),
        };
        for (field, array) in parts {
            let like = |s: &Sensor| s.component == sensor.component && s.topic == sensor.topic;
            match groups.iter_mut().find(|(s, f, ..)| like(s) && *f == field) {
                Some((.., all)) => all.push(sensor),
                None => groups.push((sensor.clone(), field, array, vec![sensor])),
            }
        }
    }
    let mut sources = Vec::new();
    for (i, (like, field, array, all)) in groups.into_iter().enumerate() {
        let name = if i == 0 { name.to_owned() } else { format!("{name}{}", i + 1) };
        let one_index = all.iter().all(|s| s.index == like.index);
        let index = if one_index { like.index.to_string() } else { "*".to_owned() };
        let filter: Vec<String> = all
            .iter()
            .map(|s| match one_index {
                true => format!("sensorName == {}", quoted(&s.name)),
                false => format!("salIndex == {} && sensorName == {}", s.index, quoted(&s.name)),
            })
            .collect();
        let mut value = |what: &str, text: String| {
            let parameter = format!("{name}_{what}");
            if !values.iter().any(|(k, _)| *k == parameter) {
                values.push((parameter.clone(), json!(text)));
            }
            super::build::text(format!("$({parameter})"))
        };
        value("index", index);
        let mut input = vec![
            ("topic", text(format!("{}:$({name}_index).{}", like.component, like.topic))),
            ("field", value("field", field)),
            ("filter", value("sensors", filter.join(" || "))),
            ("by", text("sensorName")),
            ("max_age", text(age)),
        ];
        if let Some(window) = window {
            input.extend([("window", text(seconds_text(window))), ("reduce", text("ptp"))]);
        }
        let name = if window.is_some() { format!("{name}_change") } else { name };
        sources.push(Source { name, input: map(input), array });
    }
    sources
}

/// The largest or smallest of all that is known; unknown if nothing is.
fn extreme(sources: &[Source], largest: bool) -> String {
    let word = if largest { "max" } else { "min" };
    let one = |s: &Source| {
        let n = &s.name;
        match s.array {
            false => format!("{word}_of({n})"),
            true => format!(
                "{word}({n}.filter(k, {n}[k].exists(x, known(x))).map(k, {word}({n}[k].filter(x, known(x)))))"
            ),
        }
    };
    sources
        .iter()
        .map(one)
        .reduce(|a, b| format!("(known({a}) ? (known({b}) ? {word}({a}, {b}) : {a}) : {b})"))
        .unwrap_or_default()
}

/// A value for silence: SERIOUS if there is such a level, as the Watcher has it, which counts when data come back.
fn silent(levels: &Levels, above: bool) -> Option<f64> {
    let of = |severity: &str| levels.iter().find(|(s, ..)| *s == severity).map(|l| l.1);
    let sign = if above { 1.0 } else { -1.0 };
    of("serious").map(|serious| match of("critical") {
        Some(critical) => (serious + critical) / 2.0,
        None => serious + sign * (1.0 + serious.abs()),
    })
}

/// `levels` of a condition.
fn levels_node(levels: &Levels) -> Node {
    map(levels.iter().rev().map(|(severity, ..)| (*severity, text(format!("$({severity})")))))
}

/// The levels as what stands in a rule.
fn level_values(levels: &Levels) -> impl Iterator<Item = (String, Json)> {
    levels.iter().rev().map(|(severity, level, ..)| ((*severity).to_owned(), json!(level)))
}

/// The messages of the levels, by what the value is beyond.
fn messages(levels: &Levels, above: bool) -> String {
    let with: Vec<_> = levels.iter().filter(|l| !l.3.is_empty()).collect();
    if with.is_empty() {
        return String::new();
    }
    let sign = if above { ">" } else { "<" };
    let mut out = String::new();
    for (i, (_, level, _, message)) in with.iter().enumerate() {
        let last = i + 1 == with.len();
        out += &match (i, last) {
            (0, true) => message.clone(),
            (0, false) => format!("{{% if value {sign} {level} %}}{message}"),
            (_, false) => format!("{{% elif value {sign} {level} %}}{message}"),
            (_, true) => format!("{{% else %}}{message}"),
        };
    }
    if with.len() > 1 {
        out += "{% endif %}";
    }
    out + " "
}

/// The alarm: one condition if silence can be a value of its own, else one for each period and one for silence.
fn alarm(
    c: &Common,
    above: bool,
    found: &str,
    by_period: &[(f64, String)],
    what: &str,
    none: &str,
    first: &str,
) -> Node {
    let age = &c.age;
    let mut conditions = Vec::new();
    let single = by_period.len() == 1;
    for (period, value) in by_period {
        let levels: Levels = c.levels.iter().filter(|l| l.2 == *period).cloned().collect();
        let above = above || *period > 0.0;
        let serious = silent(&levels, above);
        let hysteresis = if *period > 0.0 { 0.0 } else { c.hysteresis };
        let told = format!("{}{what}", messages(&levels, above));
        let harmless = if above { "-1.0e9" } else { "1.0e9" };
        let (value, reason) = match serious {
            Some(serious) if single => (
                format!(
                    "known({found}) ? {value} : elapsed(true) >= {age} ? {} : {harmless}",
                    number_text(serious),
                ),
                format!("{{% if {first} %}}{told}{{% else %}}{none}{{% endif %}}"),
            ),
            _ => (format!("known({found}) ? {value} : {harmless}"), told),
        };
        let mut entries = vec![("value", text(value)), ("levels", levels_node(&levels))];
        if !above {
            entries.push(("direction", text("below")));
        }
        if hysteresis > 0.0 {
            entries.push(("hysteresis", number(hysteresis)));
        }
        entries.push(("reason", text(reason)));
        if single && serious.is_some() {
            return map(entries);
        }
        conditions.push(map(entries));
    }
    let silence = format!("!known({found}) && elapsed(true) >= {age}");
    conditions.push(map([("levels", map([("serious", text(silence))])), ("reason", text(none))]));
    map([("conditions", list(conditions))])
}

/// Humidity, OverTemperature and UnderPressure.
pub(super) fn threshold(
    class: &str,
    config: &Node,
    problems: &Problems<'_>,
    schemas: &dyn SchemaSource,
) -> Option<Made> {
    let (key, topic, field, unit, above, hysteresis) = match class {
        "Humidity" => ("humidity_sensors", "tel_relativeHumidity", "relativeHumidityItem", "%", true, 0.5),
        "OverTemperature" => ("temperature_sensors", "tel_temperature", "temperatureItem", "C", true, 1.0),
        _ => ("pressure_sensors", "tel_pressure", "pressureItem", "Pa", false, 1.0),
    };
    let before = problems.count();
    let mut f = Fields::of(config, "a configuration", problems)?;
    let span = f.span();
    let name = f.get("name").and_then(|n| read::text(n, "name", problems));
    let node = f.get(key);
    let sensors = sensors(node, (key, topic, field), problems);
    let c = common(&mut f, hysteresis, problems);
    f.finish();
    if name.is_none() || sensors.is_empty() {
        problems.add(span, format!("`name` and `{key}` are needed"));
    }
    if problems.count() > before {
        return None;
    }
    let mut values = vec![("name".to_owned(), json!(name?))];
    values.extend(level_values(&c.levels));
    let now = sources("x", &sensors, (&c.age, None), schemas, &mut values);
    let found = extreme(&now, above);
    let mut periods: Vec<f64> = c.levels.iter().map(|l| l.2).collect();
    periods.sort_by(f64::total_cmp);
    periods.dedup();
    let mut inputs: Vec<(String, Node)> = now.iter().map(|s| (s.name.clone(), s.input.clone())).collect();
    let mut by_period = Vec::new();
    for period in periods {
        if period == 0.0 {
            by_period.push((period, found.clone()));
            continue;
        }
        let mut windows = sources("x", &sensors, (&c.age, Some(period)), schemas, &mut values);
        for source in &mut windows {
            source.name = format!("{}_{}", source.name, period as i64);
        }
        by_period.push((period, extreme(&windows, true)));
        inputs.extend(windows.into_iter().map(|s| (s.name, s.input)));
    }
    // Long expressions are written once.
    let mut parts = Vec::new();
    let mut part = |name: &str, text: &str| match text.len() > 30 {
        true => {
            parts.push((name.to_owned(), json!(text)));
            format!("$({name})")
        }
        false => text.to_owned(),
    };
    let whole = found.clone();
    let found = part("worst", &found);
    for (_, value) in &mut by_period {
        if *value == whole {
            value.clone_from(&found);
        }
    }
    let alarm = alarm(
        &c,
        above,
        &found,
        &by_period,
        &format!("{field} {{{{ value | round(2) }}}} {unit}"),
        &format!("No {topic} data seen for {}", c.age),
        "x",
    );
    let rule = map([
        ("name", text(format!("{class}.$(name)"))),
        ("inputs", map(inputs.iter().map(|(k, n)| (k.as_str(), n.clone())))),
        ("alarm", alarm),
    ]);
    Some(Made::new(rule, values, span).with_parts(parts).with_remotes(&sensors))
}

/// DewPointDepression.
pub(super) fn dew_point(config: &Node, problems: &Problems<'_>, schemas: &dyn SchemaSource) -> Option<Made> {
    let before = problems.count();
    let mut f = Fields::of(config, "a configuration", problems)?;
    let span = f.span();
    let name = f.get("name").and_then(|n| read::text(n, "name", problems));
    let (dew, warm) = (f.get("dew_point_sensors"), f.get("temperature_sensors"));
    let dew = sensors(dew, ("dew_point_sensors", "tel_dewPoint", "dewPointItem"), problems);
    let warm = sensors(warm, ("temperature_sensors", "tel_temperature", "temperatureItem"), problems);
    let mut c = common(&mut f, 0.2, problems);
    f.finish();
    if name.is_none() || dew.is_empty() || warm.is_empty() {
        problems.add(span, "`name`, `dew_point_sensors` and `temperature_sensors` are needed");
    }
    if problems.count() > before {
        return None;
    }
    for (severity, _, _, message) in &mut c.levels {
        let said = if *severity == "warning" { "Check for condensation:" } else { "Close the dome:" };
        *message = said.to_owned();
    }
    // Serious and critical say the same.
    if c.levels.iter().any(|l| l.0 == "serious") {
        c.levels.iter_mut().filter(|l| l.0 == "critical").for_each(|l| l.3.clear());
    }
    let mut values = vec![("name".to_owned(), json!(name?))];
    values.extend(level_values(&c.levels));
    let dews = sources("dew", &dew, (&c.age, None), schemas, &mut values);
    let warms = sources("t", &warm, (&c.age, None), schemas, &mut values);
    let depression = format!("{} - {}", extreme(&warms, false), extreme(&dews, true));
    let parts = vec![("depression".to_owned(), json!(depression))];
    let alarm = alarm(
        &c,
        false,
        "$(depression)",
        &[(0.0, "$(depression)".to_owned())],
        "dew point depression {{ value | round(2) }} C",
        &format!("No dew point or temperature data seen for at least {}", c.age),
        "dew and t",
    );
    let inputs = dews.iter().chain(&warms).map(|s| (s.name.as_str(), s.input.clone()));
    let rule = map([("name", text("DewPointDepression.$(name)")), ("inputs", map(inputs)), ("alarm", alarm)]);
    let all: Vec<Sensor> = dew.into_iter().chain(warm).collect();
    Some(Made::new(rule, values, span).with_parts(parts).with_remotes(&all))
}

impl Made {
    /// The components of these sensors, whatever the inputs read.
    fn with_remotes(mut self, sensors: &[Sensor]) -> Made {
        self.remotes = sensors.iter().map(|s| (s.component.clone(), s.index)).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn elements_that_follow_each_other_are_read_together() {
        assert_eq!(runs(&[5, 0, 1, 2, 2]), [(0, 2), (5, 5)]);
        assert!(runs(&[]).is_empty());
    }
}
