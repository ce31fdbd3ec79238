//! From the merged mapping to a checked [`CatcherConfig`]: every problem at once.

use std::collections::BTreeSet;

use super::CatcherConfig;

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} problem(s) in the configuration:\n{}", .0.len(), .0.join("\n"))]
pub struct ConfigProblems(
    /// One line each: where, what, and what to do.
    pub Vec<String>,
);

/// Reads and checks a merged configuration for one SAL index. What the schema can say has been checked by salobj
/// already; here the schema is applied again (a caller may come from elsewhere) and then what no schema can say.
pub fn load(merged: &serde_json::Value, sal_index: i32) -> Result<CatcherConfig, ConfigProblems> {
    let schema: serde_json::Value =
        serde_saphyr::from_str(super::SCHEMA).expect("our own schema is valid YAML");
    let validator = jsonschema::validator_for(&schema).expect("our own schema is a valid schema");
    let mut problems: Vec<String> = validator
        .iter_errors(merged)
        .map(|e| format!("at {}: {e}", place(&e.instance_path().to_string())))
        .collect();
    let parsed = if problems.is_empty() {
        serde_json::from_value::<CatcherConfig>(merged.clone()).map_err(|e| problems.push(e.to_string())).ok()
    } else {
        None
    };
    if let Some(config) = &parsed {
        semantic(config, sal_index, &mut problems);
    }
    match parsed {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigProblems(problems)),
    }
}

fn place(path: &str) -> &str {
    if path.is_empty() { "the top level" } else { path }
}

fn semantic(config: &CatcherConfig, sal_index: i32, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for instance in &config.instances {
        if !seen.insert(instance.sal_index) {
            problems
                .push(format!("at instances: sal_index {} stands twice; keep one entry", instance.sal_index));
        }
    }
    if config.instance(sal_index).is_none() {
        let known: Vec<_> = seen.iter().map(i32::to_string).collect();
        problems.push(format!(
            "at instances: no entry with sal_index {sal_index} (there are: {}); add one",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ));
    }
    for (n, allowed) in config.allowed_commands.iter().enumerate() {
        problems.extend(allowed.problems().iter().map(|p| format!("at allowed_commands[{n}]: {p}")));
    }
    for (key, limits) in [
        ("max_concurrent_steps", &config.max_concurrent_steps),
        ("max_steps_per_minute", &config.max_steps_per_minute),
    ] {
        for (backend, _) in limits.iter().filter(|(_, limit)| **limit == 0) {
            problems.push(format!("at {key}.{backend}: 0 would stop the backend; use at least 1"));
        }
    }
    for (n, window) in config.mute_windows.iter().enumerate() {
        let wrong = window.window().err().into_iter().flatten();
        problems.extend(wrong.map(|problem| format!("at mute_windows[{n}]: {problem}")));
    }
    let wrong = config.storms.storms().err().into_iter().flatten();
    problems.extend(wrong.map(|problem| format!("at storms.{problem}")));
    if let Some(queues) = &config.backends.script_queue {
        problems.extend(queues.problems().iter().map(|p| format!("at backends.script_queue: {p}")));
    }
    if !config.report_url.is_empty() && !config.report_url.starts_with("http") {
        problems.push(format!("at report_url: '{}' is not an http(s) address", config.report_url));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::allows;
    use crate::tasks::steps::Intent;

    fn good() -> serde_json::Value {
        serde_json::json!({
            "instances": [{"sal_index": 1, "rules": ["*.yaml"]}],
            "auto_acknowledge_delay_s": 30.0, "auto_unacknowledge_delay_s": 0.0,
            "allowed_commands": [{"component": "OCPS", "indices": [1], "commands": ["execute", "abort_job"]}],
        })
    }

    #[test]
    fn a_good_one_loads_and_answers_for_its_allow_list() {
        let config = load(&good(), 1).unwrap();
        let allows = |component, index| {
            let fields = &[];
            let intent = Intent { component, index, command: "execute", fields, complete: true };
            allows(&config.allowed_commands, &intent).is_ok()
        };
        assert!(allows("OCPS", 1));
        assert!(!allows("OCPS", 2));
        assert!(!allows("MTMount", 1));
    }

    #[test]
    fn five_mistakes_are_told_at_once() {
        let mut bad = good();
        bad["instances"] = serde_json::json!([{"sal_index": 0, "rules": 3}]);
        bad["auto_acknowledge_delay_s"] = (-1.0).into();
        bad["auto_unacknowledge_delay_s"] = "never".into();
        bad["colour"] = "red".into();
        let problems = load(&bad, 1).unwrap_err().0;
        assert!(problems.len() >= 5, "{problems:#?}");
        for word in ["sal_index", "rules", "auto_acknowledge_delay_s", "auto_unacknowledge_delay_s", "colour"]
        {
            assert!(problems.iter().any(|p| p.contains(word)), "{word} is missing in {problems:#?}");
        }
    }

    #[test]
    fn the_sample_sites_are_valid() {
        let read = |name: &str| -> serde_json::Value {
            let path = format!("{}/config_schema/sites/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
            serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        let mut merged = read("_init");
        for (key, value) in read("_summit").as_object().unwrap() {
            merged[key] = value.clone();
        }
        assert_eq!(load(&merged, 2).unwrap().instance(2).unwrap().disabled_rules, ["Wind.Forecast"]);
        assert!(load(&merged, 1).unwrap().efd.is_some());
    }

    #[test]
    fn what_no_schema_can_say_is_told_too() {
        let mut bad = good();
        bad["instances"] = serde_json::json!([{"sal_index": 2, "rules": []}, {"sal_index": 2, "rules": []}]);
        bad["report_url"] = "ftp://x".into();
        bad["mute_windows"] = serde_json::json!([
            {"alarms": "Dome", "start": "noon", "end": "2026-12-01T12:00:00", "reason": "x"},
            {"alarms": "(", "start": "2026-12-01T10:00:00", "end": "2026-12-01T12:00:00", "reason": "x"},
            {"alarms": "Dome", "start": "2026-12-01T10:00:00Z", "end": "2026-12-01T12:00:00Z", "reason": "fine",
             "repeat": "weekly"},
        ]);
        bad["storms"] = serde_json::json!({"flap_changes": 1, "calm_after_s": -3.0, "wait_for_cause_s": 1e6});
        let problems = load(&bad, 1).unwrap_err().0;
        assert_eq!(problems.len(), 8, "{problems:#?}");
        assert!(
            problems.iter().any(|p| p == "at storms.calm_after_s: -3 is not between 0 and 86400"),
            "{problems:#?}"
        );
    }
}
