//! ATCameraDewar: medians against up to five sets of levels, data that are missing or come back.

use serde_json::{Value as Json, json};

use super::super::yaml::{Fields, Node, Problems, Yaml};
use super::build::{Made, list, map, number, number_text, seconds_text, text};
use super::read;

/// Key in the configuration, input, field, severity and level by default, value that means nothing.
struct Set {
    key: &'static str,
    input: &'static str,
    field: &'static str,
    above: bool,
    warning: f64,
    critical: f64,
}

const SETS: &[Set] = &[
    Set { key: "ccd_temp", input: "ccd", field: "tempCCD", above: false, warning: -95.16, critical: -97.0 },
    Set { key: "ccd_temp", input: "ccd", field: "tempCCD", above: true, warning: -93.16, critical: -91.0 },
    Set {
        key: "cold_plate_temp",
        input: "plate",
        field: "tempColdPlate",
        above: true,
        warning: -108.0,
        critical: -104.0,
    },
    Set {
        key: "cryo_head_temp",
        input: "head",
        field: "tempCryoHead",
        above: true,
        warning: -140.0,
        critical: -128.0,
    },
    Set { key: "vacuum", input: "vacuum", field: "vacuum", above: true, warning: 1.0e-6, critical: 6.0e-6 },
];

/// Every key, so that each can be asked for by a static name.
const LEVELS: &[&str] = &[
    "min_warning_ccd_temp",
    "min_serious_ccd_temp",
    "min_critical_ccd_temp",
    "max_warning_ccd_temp",
    "max_serious_ccd_temp",
    "max_critical_ccd_temp",
    "max_warning_cold_plate_temp",
    "max_serious_cold_plate_temp",
    "max_critical_cold_plate_temp",
    "max_warning_cryo_head_temp",
    "max_serious_cryo_head_temp",
    "max_critical_cryo_head_temp",
    "max_warning_vacuum",
    "max_serious_vacuum",
    "max_critical_vacuum",
];

/// The rule of a configuration.
pub(super) fn dewar(config: &Node, problems: &Problems<'_>) -> Option<Made> {
    let before = problems.count();
    let mut f = Fields::of(config, "a configuration", problems)?;
    let span = f.span();
    // A level that is written as null is none; one that is not written has its default.
    let mut level = |name: &str, default: Option<f64>| {
        let key = LEVELS.iter().find(|k| **k == name)?;
        match f.entry(key) {
            None => default,
            Some((_, node)) if node.value == Yaml::Null => None,
            Some((_, node)) => read::number(node, key, problems),
        }
    };
    let mut sets = Vec::new();
    for set in SETS {
        let side = if set.above { "max" } else { "min" };
        let of = [("warning", Some(set.warning)), ("serious", None), ("critical", Some(set.critical))];
        let levels: Vec<(&str, f64)> = of
            .into_iter()
            .filter_map(|(severity, default)| {
                Some((severity, level(&format!("{side}_{severity}_{}", set.key), default)?))
            })
            .collect();
        if levels.is_empty() {
            problems.add(span, format!("{side} {} needs one level at least", set.key));
        }
        sets.push((set, levels));
    }
    let mut value = |key: &'static str, default: f64| {
        f.get(key).and_then(|n| read::number(n, key, problems)).unwrap_or(default)
    };
    let windows = (value("temperature_window", 180.0), value("vacuum_window", 600.0));
    let hysteresis = (value("temperature_hysteresis", 0.4), value("vacuum_hysteresis", 0.2e-6));
    let (least, age) = (value("min_values", 10.0), seconds_text(value("max_data_age", 60.0)));
    f.finish();
    if problems.count() > before {
        return None;
    }
    let (rule, parts) = rule(&sets, windows, hysteresis, least, &age);
    Some(Made::new(rule, Vec::new(), span).with_parts(parts))
}

fn rule(
    sets: &[(&Set, Vec<(&str, f64)>)],
    windows: (f64, f64),
    hysteresis: (f64, f64),
    least: f64,
    age: &str,
) -> (Node, Vec<(String, Json)>) {
    let longest = seconds_text(windows.0.max(windows.1));
    let median = |field: &str, window: f64| {
        map([
            ("topic", text("ATCamera.tel_vacuum")),
            ("field", text(field)),
            ("window", text(seconds_text(window))),
            ("reduce", text("median")),
        ])
    };
    let count = map([
        ("topic", text("ATCamera.tel_vacuum")),
        ("field", text("vacuum")),
        ("window", text(&longest)),
        ("reduce", text("count")),
    ]);
    let mut inputs = vec![("data", map([("topic", text("ATCamera.tel_vacuum"))])), ("messages", count)];
    for (set, _) in sets {
        if !inputs.iter().any(|(name, _)| *name == set.input) {
            let window = if set.input == "vacuum" { windows.1 } else { windows.0 };
            inputs.push((set.input, median(set.field, window)));
        }
    }
    let back = format!("fell(absent(data, {age}))");
    let ends = format!("counter({back}, false, !{back})");
    let enough = format!("messages - double(count_in({back}, {longest})) >= {}", number_text(least));
    let parts = vec![
        ("going", json!(format!("!absent(data, {age}) && {ends} == 0"))),
        ("ended", json!(format!("{ends} == 1"))),
        ("enough", json!(enough)),
    ];
    let parts = parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect();
    let mut conditions = Vec::new();
    for (set, levels) in sets {
        let sign = if set.above { 1.0 } else { -1.0 };
        let harmless = levels.iter().map(|l| l.1 * sign).fold(f64::INFINITY, f64::min) * sign - sign * 1000.0;
        let hysteresis = if set.input == "vacuum" { hysteresis.1 } else { hysteresis.0 };
        let digits = if set.input == "vacuum" { 7 } else { 2 };
        let mut entries = vec![
            ("value", text(format!("$(going) && $(enough) ? {} : {}", set.input, number_text(harmless)))),
            ("levels", map(levels.iter().map(|(severity, level)| (*severity, number(*level))))),
        ];
        if !set.above {
            entries.push(("direction", text("below")));
        }
        entries.push(("hysteresis", number(hysteresis)));
        let side = if set.above { "high" } else { "low" };
        entries
            .push(("reason", text(format!("{} {{{{ value | round({digits}) }}}} is too {side}", set.field))));
        conditions.push(map(entries));
    }
    let mut special = |severity: &str, condition: String, reason: String| {
        conditions.push(map([("levels", map([(severity, text(condition))])), ("reason", text(reason))]));
    };
    special("serious", format!("absent(data, {age})"), format!("No data seen in {age}"));
    special("warning", "$(ended)".to_owned(), "Data stream returning".to_owned());
    special(
        "warning",
        "$(going) && !($(enough)) && counter($(enough), false, false) > 0".to_owned(),
        format!("There are not enough data: less than {least}"),
    );
    let rule = map([
        ("name", text("ATCameraDewar")),
        ("inputs", map(inputs)),
        ("alarm", map([("conditions", list(conditions))])),
    ]);
    (rule, parts)
}
