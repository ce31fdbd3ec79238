//! `script_queue`: a SAL script, run by the ScriptQueue.

use super::super::Work;
use super::keys::{KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::expr::scope::ResultType;
use crate::rules::template::Template;
use crate::rules::yaml::{Node, Yaml};

pub(super) const BACKEND: Backend = Backend {
    key: "script_queue",
    about: "A SAL script, run by the ScriptQueue; the site says which queues and scripts.",
    form: Form::Keys(
        &[
            KeySpec::needed("queue", Kind::Whole(1, i32::MAX as i64), "MainTel 1, AuxTel 2, OCS 3"),
            KeySpec::needed("path", Kind::Text, "the script, e.g. catcher/trigger_rule.py"),
            KeySpec::may(
                "standard",
                Kind::Flag,
                "a standard script (true, if not given), or an external one",
            ),
            KeySpec::may("config", Kind::Any, "its configuration: a mapping, or text that is one in YAML"),
            KeySpec::may("description", Kind::Text, "why it is run; without: the rule and the run"),
            KeySpec::may("location", Kind::Word(&["first", "last", "before", "after"]), "last, if not given"),
            KeySpec::may(
                "relative_to",
                Kind::Whole(1, i32::MAX as i64),
                "index of the script that `before` or `after` means",
            ),
            KeySpec::may("log_level", Kind::Whole(0, 100), "Python's level: 10 debug, 20 info; 0 leaves it"),
            KeySpec::may(
                "pause_checkpoint",
                Kind::Text,
                "checkpoints at which it pauses, a regular expression",
            ),
            KeySpec::may(
                "stop_checkpoint",
                Kind::Text,
                "checkpoints at which it stops, a regular expression",
            ),
            KeySpec::may(
                "wait_idle",
                Kind::Duration,
                "how long a queue that is observing or paused is waited for; without: not at all",
            ),
        ],
        Some(check),
    ),
    result: |_, _| {
        Some(vec![
            ("script_index", ResultType::Int),
            ("outcome", ResultType::Text),
            ("reason", ResultType::Text),
            ("group_id", ResultType::Text),
            ("last_checkpoint", ResultType::Text),
            ("checkpoints", ResultType::Int),
            ("run_time", ResultType::Number(Some("s".into()))),
        ])
    },
    commands: true,
};

fn check(work: &Work<'_>, node: &Node) {
    let problems = work.problems;
    let text = |key: &str| node.get(key).and_then(|n| Some((n, n.scalar_text(&problems.source)?)));
    if let Some((at, location)) = text("location") {
        let relative = matches!(location.trim(), "before" | "after");
        if relative && node.get("relative_to").is_none() {
            let help = "give the index of that script as `relative_to`".to_owned();
            problems.add_help(at.span, format!("{} which script?", location.trim()), help);
        }
    }
    if let Some(at) = node.get("relative_to")
        && text("location").is_none_or(|(_, l)| matches!(l.trim(), "first" | "last"))
    {
        problems.add(at.span, "`relative_to` belongs to `location: before` or `after`");
    }
    if let Some((at, path)) = text("path")
        && (path.starts_with('/') || path.split('/').any(|part| part == ".."))
    {
        problems.add(at.span, "`path` is relative to the folder of the scripts, and stays inside of it");
    }
    for key in ["pause_checkpoint", "stop_checkpoint"] {
        if let Some((at, pattern)) = text(key)
            && !Template::is_one(&pattern)
            && regex::Regex::new(&pattern).is_err()
        {
            problems.add(at.span, format!("`{key}` is no regular expression; \".*\" stands for all"));
        }
    }
    if let Some(config) = node.get("config") {
        let good = match &config.value {
            Yaml::Map(_) | Yaml::Null => true,
            Yaml::Text(text) => {
                Template::is_one(text)
                    || text.trim().is_empty()
                    || matches!(serde_saphyr::from_str(text), Ok(serde_json::Value::Object(_)))
            }
            _ => false,
        };
        if !good {
            let help = "write config: {name: value}".to_owned();
            problems.add_help(config.span, "`config` must be a mapping", help);
        }
    }
}
