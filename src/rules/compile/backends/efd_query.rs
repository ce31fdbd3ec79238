//! `efd_query`: a question to the EFD, its answer as a table.

use super::super::Work;
use super::super::inputs::{field, topic};
use super::keys::{KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::diagnose::suggest;
use crate::rules::efd_text::{flux_only_reads, influxql_only_reads};
use crate::rules::expr::scope::ResultType;
use crate::rules::spec::At;
use crate::rules::template::Template;
use crate::rules::yaml::{Node, Yaml};

/// What a column may be.
const KINDS: [&str; 2] = ["number", "text"];

pub(super) const BACKEND: Backend = Backend {
    key: "efd_query",
    about: "A question to the EFD; its answer is a table.",
    form: Form::Keys(
        &[
            KeySpec::may(
                "topic",
                Kind::Name,
                "e.g. ESS:301.tel_airFlow; with `field` or `fields`, and a span of time",
            ),
            KeySpec::may("field", Kind::Name, "a field of the topic that is a number"),
            KeySpec::may("fields", Kind::Texts, "several of them"),
            KeySpec::may("range", Kind::Duration, "so long until now"),
            KeySpec::may("from", Kind::Text, "TAI seconds, instead of `range`"),
            KeySpec::may("to", Kind::Text, "TAI seconds"),
            KeySpec::may("flux", Kind::Text, "a query for InfluxDB 2, instead of `topic`"),
            KeySpec::may("influxql", Kind::Text, "a query for InfluxDB 1, instead of `topic`"),
            KeySpec::may(
                "columns",
                Kind::Any,
                "what is read of the answer to a query: [speed, n], or {speed: number, note: text}",
            ),
            KeySpec::may("rows", Kind::Whole(1, 10_000), "most rows of the result; 1000"),
        ],
        Some(check),
    ),
    result: |_, _| {
        Some(vec![
            ("time", ResultType::Dyn),
            ("columns", ResultType::Dyn),
            ("n", ResultType::Int),
            ("truncated", ResultType::Dyn),
            ("files", ResultType::Dyn),
        ])
    },
    commands: false,
};

fn check(work: &Work<'_>, node: &Node) {
    let problems = work.problems;
    let text = |key: &str| node.get(key).and_then(|n| Some((n, n.scalar_text(&problems.source)?)));
    let queries = [
        (text("flux"), flux_only_reads as fn(&str) -> Result<(), String>),
        (text("influxql"), influxql_only_reads),
    ];
    let has_query = queries.iter().any(|(query, _)| query.is_some());
    if node.get("topic").is_some() == has_query {
        let help = "topic: \"ESS:301.tel_airFlow\", or flux: ..., or influxql: ...".to_owned();
        problems.add_help(node.span, "`efd_query` needs `topic`, or a query in `flux` or `influxql`", help);
        return;
    }
    for (query, only_reads) in queries {
        // What is filled in is looked at when it is.
        if let Some((node, query)) = query.filter(|(_, query)| !Template::is_one(query))
            && let Err(why) = only_reads(&query)
        {
            problems.add(node.span, format!("this query cannot be asked: {why}"));
        }
    }
    if has_query {
        for key in ["field", "fields", "range", "from", "to"] {
            if let Some(n) = node.get(key) {
                problems
                    .add(n.span, format!("`{key}` does not go with a query: the query says what is read"));
            }
        }
        columns(work, node);
    } else {
        of_topic(work, node);
    }
}

/// The `columns` of a query in the words of the rule.
pub(super) fn columns(work: &Work<'_>, node: &Node) {
    let problems = work.problems;
    let wanted = || "columns: [speed, n], or {speed: number, note: text}".to_owned();
    match node.get("columns").map(|n| (n, &n.value)) {
        Some((n, Yaml::List(all))) if all.is_empty() => {
            problems.add_help(n.span, "`columns` is empty", wanted())
        }
        Some((n, Yaml::Map(all))) if all.is_empty() => {
            problems.add_help(n.span, "`columns` is empty", wanted())
        }
        Some((_, Yaml::List(_))) => {}
        Some((_, Yaml::Map(all))) => {
            for (_, kind) in all {
                let word = kind.scalar_text(&problems.source).unwrap_or_default();
                if !KINDS.contains(&word.trim()) {
                    let help = suggest(word.trim(), KINDS, "kinds");
                    problems.add_help(kind.span, format!("a column is no \"{word}\""), help);
                }
            }
        }
        Some((n, _)) => problems.add_help(n.span, "`columns` is a list or a mapping", wanted()),
        None => problems.add_help(node.span, "a query needs `columns`: what is read of its answer", wanted()),
    }
}

fn of_topic(work: &Work<'_>, node: &Node) {
    let problems = work.problems;
    let at = |n: &Node| n.scalar_text(&problems.source).map(|value| At { value, span: n.span });
    if let Some(n) = node.get("columns") {
        problems.add(n.span, "`columns` goes with `flux` or `influxql`; of a topic write `fields`");
    }
    let (one, many) = (node.get("field"), node.get("fields"));
    let named: Vec<&Node> = match (one, many) {
        (Some(one), None) => vec![one],
        (None, Some(Node { value: Yaml::List(all), .. })) if !all.is_empty() => all.iter().collect(),
        _ => {
            problems.add(node.span, "`topic` needs `field` (a name) or `fields` (a list of names)");
            Vec::new()
        }
    };
    if let Some(found) = node.get("topic").and_then(at).and_then(|text| topic(work, &text)) {
        for name in named.into_iter().filter_map(at) {
            field(work, &found.schema, &name);
        }
    }
    let span = (node.get("range").is_some(), node.get("from").is_some() && node.get("to").is_some());
    if span == (false, false) {
        let help = "write `range: 30m`, or `from` and `to`".to_owned();
        problems.add_help(node.span, "`topic` needs a span of time", help);
    }
}
