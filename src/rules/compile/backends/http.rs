//! `http`: a request to a service that the site lists.

use super::super::Work;
use super::keys::{KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::expr::scope::ResultType;
use crate::rules::template::Template;
use crate::rules::yaml::{Node, Yaml};

/// The methods that a rule may use.
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

pub(super) const BACKEND: Backend = Backend {
    key: "http",
    about: "A request to an HTTP service. The site lists which.",
    form: Form::Keys(
        &[
            KeySpec::needed("service", Kind::Name, "its name in the site's backends.http.services"),
            KeySpec::may("path", Kind::Text, "what comes after the service's address, e.g. /jobs"),
            KeySpec::may("method", Kind::Word(METHODS), "GET without a body, POST with one"),
            KeySpec::may("query", Kind::Map, "parameters of the address, by name"),
            KeySpec::may(
                "headers",
                Kind::Map,
                "headers by name; credentials belong to the site's configuration",
            ),
            KeySpec::may("body", Kind::Any, "a mapping or list is sent as JSON, a text as it is"),
            KeySpec::may(
                "status",
                Kind::Any,
                "the status, or the list of those, that count as success (200 to 299)",
            ),
            KeySpec::may("expect", Kind::Map, "what the JSON answer must hold, e.g. {\"/state\": done}"),
        ],
        Some(check),
    ),
    result: |_, _| {
        Some(vec![("status", ResultType::Int), ("body", ResultType::Dyn), ("headers", ResultType::Dyn)])
    },
    commands: true,
};

fn check(work: &Work<'_>, node: &Node) {
    let status = |n: &Node| match &n.value {
        Yaml::Int(status) => (100..=599).contains(status),
        Yaml::Text(text) => Template::is_one(text),
        _ => false,
    };
    if let Some(n) = node.get("status") {
        let good = match &n.value {
            Yaml::List(all) => !all.is_empty() && all.iter().all(status),
            _ => status(n),
        };
        if !good {
            work.problems.add_help(
                n.span,
                "`status` must be a number from 100 to 599, or a list of such",
                "status: [200, 202]".to_owned(),
            );
        }
    }
    if let Some(Node { value: Yaml::Map(entries), .. }) = node.get("expect") {
        for (key, _) in entries.iter().filter(|(key, _)| !key.name.is_empty() && !key.name.starts_with('/')) {
            let help = format!("write \"/{}\"", key.name.replace('.', "/"));
            work.problems.add_help(key.span, "a place in the answer begins with a slash", help);
        }
    }
    if let Some(Node { value: Yaml::Map(entries), .. }) = node.get("headers") {
        let secret = ["authorization", "proxy-authorization", "cookie"];
        for (key, _) in entries.iter().filter(|(k, _)| secret.contains(&k.name.to_lowercase().as_str())) {
            let help =
                "the site's backends.http.services has authorization_env and authorization_file".to_owned();
            work.problems.add_help(key.span, "credentials are not written in rules", help);
        }
    }
}
