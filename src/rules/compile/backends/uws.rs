//! `uws`: a job of the OCPS backend service.

use super::super::Work;
use super::keys::{KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::expr::scope::ResultType;
use crate::rules::template::Template;
use crate::rules::yaml::{Node, Yaml};

pub(super) const BACKEND: Backend = Backend {
    key: "uws",
    about: "A job of the OCPS backend service, without the OCPS. The site lists which.",
    form: Form::Keys(
        &[
            KeySpec::may(
                "job",
                Kind::Name,
                "its name in the site's backends.uws.jobs; not needed where there is one only",
            ),
            KeySpec::may(
                "environment",
                Kind::Map,
                "variables of the job, e.g. {PIPELINE_URL: ..., DATA_QUERY: ...}",
            ),
            KeySpec::may("replicas", Kind::Whole(1, 100), "containers that run the same"),
            KeySpec::may(
                "outputs",
                Kind::Texts,
                "patterns (*, ?) of the result files that are kept; all, if left out",
            ),
            KeySpec::may("read", Kind::Text, "a result file of JSON that becomes result.values"),
        ],
        Some(check),
    ),
    result: |_, _| {
        Some(vec![
            ("job_id", ResultType::Text),
            ("run_id", ResultType::Text),
            ("phase", ResultType::Text),
            ("outcome", ResultType::Text),
            ("duration_s", ResultType::Dyn),
            ("files", ResultType::Dyn),
            ("left_out", ResultType::Dyn),
            ("values", ResultType::Dyn),
        ])
    },
    commands: true,
};

fn check(work: &Work<'_>, node: &Node) {
    let Some(Node { value: Yaml::Map(entries), .. }) = node.get("environment") else { return };
    for (key, value) in entries {
        let plain = key.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain {
            let help = "letters, digits and _ only".to_owned();
            work.problems.add_help(key.span, format!("\"{}\" is no name of a variable", key.name), help);
        }
        match value.scalar_text(&work.problems.source) {
            None => {
                work.problems.add(value.span, format!("variable {} must be one text or number", key.name))
            }
            // What is filled in is checked when it is.
            Some(text) if Template::is_one(&text) => {}
            Some(text) => {
                if let Some(bad) = text.chars().find(|c| matches!(c, '"' | '\\') || c.is_control()) {
                    let message =
                        format!("variable {} contains {bad:?}, which would break the job", key.name);
                    work.problems.add_help(value.span, message, "use single quotes inside".to_owned());
                }
            }
        }
    }
}
