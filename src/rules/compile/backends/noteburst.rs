//! `noteburst`: a notebook executed on the science platform.

use super::super::Work;
use super::keys::{KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::expr::scope::ResultType;
use crate::rules::yaml::{Node, Yaml};

pub(super) const BACKEND: Backend = Backend {
    key: "noteburst",
    about: "A notebook of the site, executed on the science platform and kept with a page made of it.",
    form: Form::Keys(
        &[
            KeySpec::needed(
                "notebook",
                Kind::Name,
                "its path below the site's folder of notebooks, e.g. night/seeing.ipynb",
            ),
            KeySpec::may(
                "parameters",
                Kind::Map,
                "values that replace those of the cell tagged `parameters`",
            ),
            KeySpec::may("kernel_name", Kind::Text, "its kernel; lsst, if left out"),
            KeySpec::may(
                "enable_retry",
                Kind::Flag,
                "whether noteburst tries again after an error of the platform; true",
            ),
        ],
        Some(notebook),
    ),
    result: |_, _| {
        Some(vec![
            ("job_id", ResultType::Text),
            ("outcome", ResultType::Text),
            ("started", ResultType::Dyn),
            ("finished", ResultType::Dyn),
            ("files", ResultType::Dyn),
            ("values", ResultType::Dyn),
            ("error", ResultType::Dyn),
        ])
    },
    commands: true,
};

/// Path and parameters of a notebook.
pub(super) fn notebook(work: &Work<'_>, node: &Node) {
    if let Some(path) = node.get("notebook")
        && let Some(text) = path.scalar_text(&work.problems.source)
        && (!text.ends_with(".ipynb") || text.starts_with('/') || text.split('/').any(|part| part == ".."))
    {
        let help = "e.g. night/seeing.ipynb".to_owned();
        work.problems.add_help(
            path.span,
            "`notebook` is the path of an .ipynb file below the site's folder",
            help,
        );
    }
    parameters(work, node);
}

/// The names of parameters are names of Python.
pub(super) fn parameters(work: &Work<'_>, node: &Node) {
    let Some(Node { value: Yaml::Map(entries), .. }) = node.get("parameters") else { return };
    for (key, _) in entries {
        let plain = key.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain {
            let help = "letters, digits and _, as a variable of Python".to_owned();
            work.problems.add_help(key.span, format!("\"{}\" is no name of a parameter", key.name), help);
        }
    }
}
