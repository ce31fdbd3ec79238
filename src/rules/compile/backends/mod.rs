//! What the rule language knows of each backend: one file a backend, one line in [`ALL`].
//!
//! A file says the backend's key, the keys of its node (a table, checked by [`keys`]), the type of its result, and whether
//! its steps count against `commands_per_minute`. Templates in any text of the node are checked and filled in by the
//! workflow's compiler; nothing of that is repeated here. How a step is carried out is in `tasks/steps/<key>.rs`.

mod analysis;
mod batch;
mod command;
mod efd_query;
mod http;
mod influx_task;
pub(in crate::rules) mod keys;
mod notebook;
mod noteburst;
mod ocps;
mod sal;
mod script_queue;
mod slack;
mod times_square;
mod uws;

#[cfg(test)]
use serde_json::{Value as Json, json};

use super::Work;
use crate::rules::expr::scope::ResultType;
use crate::rules::schema::SchemaSource;
use crate::rules::spec::{At, TaskSpec, Used};
use crate::rules::yaml::{Node, Yaml};
use keys::KeySpec;

/// Every backend that rules can name.
pub(in crate::rules) const ALL: &[&Backend] = &[
    &analysis::BACKEND,
    &batch::BACKEND,
    &command::BACKEND,
    &efd_query::BACKEND,
    &http::BACKEND,
    &influx_task::BACKEND,
    &notebook::BACKEND,
    &noteburst::BACKEND,
    &ocps::BACKEND,
    &sal::BACKEND,
    &script_queue::BACKEND,
    &slack::BACKEND,
    &times_square::BACKEND,
    &uws::BACKEND,
];

/// The fields of a result that are known before it is there.
pub(in crate::rules) type Fields = Vec<(&'static str, ResultType)>;

/// One backend.
#[derive(Debug)]
pub(in crate::rules) struct Backend {
    /// Its key in a task.
    pub(in crate::rules) key: &'static str,
    /// What it does, in a line: for the schema.
    #[cfg_attr(not(test), expect(dead_code, reason = "the schema file is made by a test"))]
    pub(in crate::rules) about: &'static str,
    /// What stands under the key.
    pub(in crate::rules) form: Form,
    /// The fields of its result; `None` if they cannot be known.
    pub(in crate::rules) result: fn(&dyn SchemaSource, &TaskSpec) -> Option<Fields>,
    /// Its steps command something outside: they count against the rule's `commands_per_minute`.
    pub(in crate::rules) commands: bool,
}

/// What stands under a backend's key.
#[derive(Debug)]
pub(in crate::rules) enum Form {
    /// A mapping with these keys, and what the table cannot say of it.
    Keys(&'static [KeySpec], Option<fn(&Work<'_>, &Node)>),
    /// One of these words; what it needs stands in `with`. The check gets the word and `with`.
    Word(&'static [&'static str], fn(&Work<'_>, &At<String>, Option<&Node>)),
}

/// A step as far as its backend says: the operation (empty where there is only one) and the parameters.
pub(in crate::rules) struct Told<'t> {
    pub(in crate::rules) operation: String,
    pub(in crate::rules) params: Option<&'t Node>,
}

/// The keys of all backends.
pub(in crate::rules) fn known() -> Vec<&'static str> {
    ALL.iter().map(|b| b.key).collect()
}

/// Checks what stands under the key of a task's backend. `None` if that is not even the right form.
pub(super) fn check<'t>(work: &Work<'_>, task: &'t TaskSpec, used: &'t Used) -> Option<Told<'t>> {
    let problems = work.problems;
    let key = used.backend.key;
    match &used.backend.form {
        Form::Word(words, check) => {
            let Some(value) = used.node.scalar_text(&problems.source) else {
                let help = format!("one of: {}", words.join(", "));
                let message = format!("`{key}` must be text, this is {}", used.node.kind());
                problems.add_help(used.node.span, message, help);
                return None;
            };
            let word = At { value: value.trim().to_owned(), span: used.node.span };
            let with = task.with.as_ref().map(|w| &w.0);
            check(work, &word, with);
            words.contains(&word.value.as_str()).then_some(Told { operation: word.value, params: with })
        }
        Form::Keys(keys, more) => {
            if let Some(with) = &task.with {
                problems.add(
                    with.0.span,
                    format!("`with` belongs to `analysis`; the keys of `{key}` go under it"),
                );
            }
            keys::check(work, &format!("`{key}`"), &used.node, keys);
            if let Some(more) = more.filter(|_| matches!(used.node.value, Yaml::Map(_))) {
                more(work, &used.node);
            }
            Some(Told { operation: String::new(), params: Some(&used.node) })
        }
    }
}

/// The backends' keys of a task, for the schema of rule files.
#[cfg(test)]
pub(in crate::rules) fn schema() -> Vec<(&'static str, Json)> {
    let of = |backend: &&Backend| {
        let mut schema = match &backend.form {
            Form::Keys(keys, _) => keys::schema(keys),
            Form::Word(words, _) => json!({"type": "string", "enum": words}),
        };
        schema["description"] = json!(backend.about);
        (backend.key, schema)
    };
    ALL.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_backend_of_the_language_is_here_once() {
        let all: Vec<&str> = known();
        let names: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(names.len(), all.len(), "one stands twice: {all:?}");
        let language = [
            "analysis",
            "batch",
            "command",
            "efd_query",
            "http",
            "influx_task",
            "notebook",
            "noteburst",
            "ocps",
            "sal",
            "script_queue",
            "slack",
            "times_square",
            "uws",
        ];
        assert_eq!(names, BTreeSet::from(language));
    }
}
