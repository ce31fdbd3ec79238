//! Inputs that read the EFD: a topic with its fields, or a query as the rule writes it.

use super::Work;
use super::inputs::{field, topic};
use crate::rules::diagnose::suggest;
use crate::rules::efd_text::{TIMES, filled, flux_only_reads, influxql_only_reads, names};
use crate::rules::expr::prepass::parse_duration;
use crate::rules::flow::Part;
use crate::rules::schema::FieldKind;
use crate::rules::source::{EfdColumn, EfdOf, EfdQuery, REDUCERS};
use crate::rules::spec::{At, InputSpec, RuleSpec, Seconds};
use crate::rules::yaml::{Fields, Node, Problems, Span, Yaml};

/// Shortest time between two questions, seconds.
const SHORTEST_EVERY_S: f64 = 1.0;
/// Longest range of a question, seconds: 31 days.
const LONGEST_RANGE_S: f64 = 31.0 * 86_400.0;
/// Without `max_age` an answer counts for so many of its periods.
const PERIODS: f64 = 3.0;
/// Most columns of a query.
const MOST_COLUMNS: usize = 100;
/// The column in which Flux has values, unless the query makes others.
const FLUX_VALUE: &str = "_value";

/// Before anything is looked up: what `efd` inputs leave out is filled in.
pub(super) fn complete(spec: &mut RuleSpec, problems: &Problems<'_>) {
    for (_, input) in &mut spec.inputs.0 {
        let Some(efd) = &input.efd else {
            for span in input.every.iter().map(|e| e.span) {
                problems.add(span, "`every` goes with `efd`; a trigger has an `every` of its own");
            }
            continue;
        };
        let every = input.every.as_ref().map_or(60.0, |e| e.value.0);
        if input.max_age.is_none() {
            input.max_age = Some(At { value: Seconds(PERIODS * every), span: efd.0.span });
        }
        for (key, span) in [
            ("window", input.window.as_ref().map(|w| w.span)),
            ("initial", input.initial.as_ref().map(|i| i.0.span)),
            ("filter", input.filter.as_ref().map(|f| f.span)),
            ("fields", input.fields.as_ref().and_then(|f| f.first()).map(|f| f.span)),
        ] {
            if let Some(span) = span {
                problems.add(span, format!("an `efd` input has no `{key}`: the query says what is read"));
            }
        }
        let Some(reduce) = input.reduce.take() else { continue };
        if !REDUCERS.contains(&reduce.value.trim()) {
            let help = suggest(reduce.value.trim(), REDUCERS.iter().copied(), "reducers");
            problems.add_help(
                reduce.span,
                format!("there is no reducer \"{}\" of a column", reduce.value),
                help,
            );
            continue;
        }
        let column = input.field.as_ref().map(|f| f.value.trim().to_owned());
        match column.or_else(|| only_column(&efd.0, problems)) {
            Some(column) => {
                let value = format!("{}({})", reduce.value.trim(), column_name(&column));
                input.field = Some(At { value, span: reduce.span });
            }
            None => problems.add(reduce.span, "`reduce` needs `field`: the column that is reduced"),
        }
    }
}

/// The only column that there is, if `efd` says so.
fn only_column(efd: &Node, problems: &Problems<'_>) -> Option<String> {
    if let Some(field) = efd.get("field") {
        return field.scalar_text(&problems.source);
    }
    match efd.get("columns").map(|node| &node.value) {
        Some(Yaml::Map(all)) => all.first().filter(|_| all.len() == 1).map(|(key, _)| key.name.clone()),
        Some(Yaml::List(all)) => all.first().filter(|_| all.len() == 1)?.scalar_text(&problems.source),
        Some(_) => None,
        None => efd.get("flux").map(|_| FLUX_VALUE.to_owned()),
    }
}

/// `a[3]` is `a3` in the EFD.
fn column_name(field: &str) -> String {
    field.chars().filter(|c| *c != '[' && *c != ']').collect()
}

/// What an `efd` input asks.
pub(super) fn efd(work: &Work<'_>, input: &InputSpec) -> Option<EfdQuery> {
    let problems = work.problems;
    let node = &input.efd.as_ref()?.0;
    let mut f = Fields::of(node, "`efd`", problems)?;
    let read = |node: &Node| {
        node.scalar_text(&problems.source).map(|value| At { value, span: node.span }).or_else(|| {
            problems.add(node.span, format!("this must be text, it is {}", node.kind()));
            None
        })
    };
    let mut text = |key: &'static str| f.get(key).and_then(read);
    let (at, range) = (text("topic"), text("range"));
    let (flux, influxql) = (text("flux"), text("influxql"));
    let mut fields: Vec<At<String>> = text("field").into_iter().collect();
    if let Some(Yaml::List(all)) = f.get("fields").map(|n| &n.value) {
        fields.extend(all.iter().filter_map(read));
    }
    let columns = f.get("columns");
    let span = f.span();
    f.finish();
    let every_s = input.every.as_ref().map_or(60.0, |e| e.value.0);
    if let Some(every) = input.every.as_ref().filter(|e| e.value.0 < SHORTEST_EVERY_S) {
        problems.add(every.span, "the EFD is asked once a second at most");
    }
    if flux.is_none() && influxql.is_none() {
        if let Some(columns) = columns {
            problems.add(columns.span, "`columns` goes with `flux` or `influxql`; of a topic write `fields`");
        }
        let (Some(at), Some(range)) = (at, range) else {
            let help =
                "write {topic: \"ESS:301.tel_airFlow\", field: speed, range: 1h}, or a query: {flux: ...}";
            let message = "`efd` needs `topic`, `field` or `fields`, and `range`";
            problems.add_help(span, message, help.to_owned());
            return None;
        };
        return of_topic(work, &at, &range, &fields, span, every_s);
    }
    for (key, at) in [("topic", at.as_ref()), ("field", fields.first())] {
        if let Some(at) = at {
            problems.add(at.span, format!("`{key}` does not go with a query: the query says what is read"));
        }
    }
    let range_s = match &range {
        Some(range) => seconds(work, range)?,
        None => 0.0,
    };
    let queries = [(&flux, flux_only_reads as fn(&str) -> _), (&influxql, influxql_only_reads)];
    let mut good = true;
    for (at, only_reads) in queries.into_iter().filter_map(|(at, check)| Some((at.as_ref()?, check))) {
        good &= query(work, at, range.is_some(), only_reads);
    }
    let columns = match columns {
        Some(node) => columns_of(work, node)?,
        None => vec![default_column(work, input, flux.is_some(), span)?],
    };
    let text = |at: Option<At<String>>| at.map(|at| at.value.trim().to_owned());
    let of = EfdOf::Text { flux: text(flux), influxql: text(influxql) };
    good.then_some(EfdQuery { of, columns, range_s, every_s })
}

fn of_topic(
    work: &Work<'_>,
    at: &At<String>,
    range: &At<String>,
    fields: &[At<String>],
    span: Span,
    every_s: f64,
) -> Option<EfdQuery> {
    let found = topic(work, at)?;
    let range_s = seconds(work, range)?;
    if fields.is_empty() {
        work.problems.add(span, "`efd` needs `field` or `fields`");
        return None;
    }
    let mut columns = Vec::new();
    for at in fields {
        let (schema, part) = field(work, &found.schema, at)?;
        if schema.count.is_some() && !matches!(part, Part::Element(_)) {
            let help = format!("name an element: {}[0]", schema.name);
            work.problems.add_help(at.span, format!("\"{}\" is an array", schema.name), help);
            return None;
        }
        let name = column_name(at.value.trim());
        columns.push(EfdColumn { name, text: schema.kind == FieldKind::Text, unit: schema.unit.clone() });
    }
    let (component, sal_name) = (found.component, found.schema.sal_name.clone());
    let of = EfdOf::Topic { component, sal_name, index: found.index };
    Some(EfdQuery { of, columns, range_s, every_s })
}

fn seconds(work: &Work<'_>, range: &At<String>) -> Option<f64> {
    let range_s = parse_duration(range.value.trim()).filter(|s| *s > 0.0 && *s <= LONGEST_RANGE_S);
    if range_s.is_none() {
        work.problems.add(range.span, "`range` must be a duration of at most 31 days: 30m, 6h");
    }
    range_s
}

/// Checks the text of a query.
fn query(
    work: &Work<'_>,
    at: &At<String>,
    has_range: bool,
    only_reads: fn(&str) -> Result<(), String>,
) -> bool {
    let mut good = true;
    let mut wrong = |message: String, help: Option<String>| {
        work.problems.add_help(at.span, message, help);
        good = false;
    };
    for name in names(&at.value) {
        if !TIMES.contains(&name) {
            let help = suggest(name, TIMES, "known names");
            wrong(format!("there is no `{{{{ {name} }}}}` in a query"), help);
        } else if name == "from" && !has_range {
            let help = Some("write for example `range: 1h` beside it".to_owned());
            wrong("`{{ from }}` needs `range`".to_owned(), help);
        }
    }
    let now = salobj::Tai::default();
    if let Err(why) = only_reads(&filled(&at.value, now, now)) {
        wrong(format!("this query cannot be an input: {why}"), None);
    }
    good
}

/// `{speed: m/s, n: number, note: text}`, or names alone.
fn columns_of(work: &Work<'_>, node: &Node) -> Option<Vec<EfdColumn>> {
    let problems = work.problems;
    let text = |node: &Node| node.scalar_text(&problems.source);
    let named: Vec<(Span, Option<String>, Option<String>)> = match &node.value {
        Yaml::Map(all) => all.iter().map(|(k, n)| (k.span, Some(k.name.clone()), text(n))).collect(),
        Yaml::List(all) => all.iter().map(|n| (n.span, text(n), Some("number".to_owned()))).collect(),
        _ => Vec::new(),
    };
    if named.is_empty() || named.len() > MOST_COLUMNS {
        let help = "write {speed: m/s, n: number, note: text}, or names alone: [speed, n]".to_owned();
        let message = format!("`columns` names 1 to {MOST_COLUMNS} columns of the answer");
        problems.add_help(node.span, message, help);
        return None;
    }
    let mut columns: Vec<EfdColumn> = Vec::new();
    for (span, name, kind) in named {
        let (Some(name), Some(kind)) = (name, kind) else {
            problems.add(span, "a column has a name, and `number`, `text` or a unit");
            return None;
        };
        let column = match kind.trim() {
            "number" => EfdColumn { name, text: false, unit: None },
            "text" => EfdColumn { name, text: true, unit: None },
            unit => EfdColumn { name, text: false, unit: Some(unit.to_owned()) },
        };
        check_name(problems, &column.name, span)?;
        if columns.iter().any(|c| c.name == column.name) {
            problems.add(span, format!("the column \"{}\" stands twice", column.name));
            return None;
        }
        columns.push(column);
    }
    Some(columns)
}

fn check_name(problems: &Problems<'_>, name: &str, span: Span) -> Option<()> {
    let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if good && name != "time" {
        return Some(());
    }
    let message = if good {
        "the column \"time\" is always there: the times of the rows".to_owned()
    } else {
        format!("\"{name}\" cannot be a column: letters, digits and _ only")
    };
    problems.add_help(span, message, Some("give it another name in the query".to_owned()));
    None
}

/// Without `columns` it is the one that `field` names, or the one in which Flux has values.
fn default_column(work: &Work<'_>, input: &InputSpec, flux: bool, span: Span) -> Option<EfdColumn> {
    let name = match &input.field {
        Some(at) => {
            let text = at.value.trim();
            let reduced = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
            let name = reduced.unwrap_or(text).to_owned();
            check_name(work.problems, &name, at.span)?;
            name
        }
        None if flux => FLUX_VALUE.to_owned(),
        None => {
            let help = "write columns: {speed: m/s, n: number, note: text}".to_owned();
            work.problems.add_help(
                span,
                "an InfluxQL query needs `columns`: what is read of its answer",
                help,
            );
            return None;
        }
    };
    Some(EfdColumn { name, text: false, unit: None })
}
