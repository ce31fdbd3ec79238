//! `analysis`: a built-in analysis of a series, or of two that are compared. Its parameters stand in `with`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::Work;
use super::super::inputs::{field, topic};
use super::{Backend, Fields, Form};
use crate::rules::diagnose::suggest;
use crate::rules::expr::prepass::parse_duration;
use crate::rules::expr::scope::ResultType;
use crate::rules::expr::units::factors;
use crate::rules::schema::{FieldKind, SchemaSource};
use crate::rules::spec::{At, TaskSpec};
use crate::rules::template::Template;
use crate::rules::yaml::{self, Node, Yaml};

const ANALYSES: &[&str] = &["trend", "jitter", "statistics", "spectrum", "compare"];

pub(super) const BACKEND: Backend = Backend {
    key: "analysis",
    about: "Built-in analysis of a series; what it needs stands in `with`.",
    form: Form::Word(ANALYSES, check),
    result,
    commands: false,
};

fn check(work: &Work<'_>, analysis: &At<String>, with: Option<&Node>) {
    let (problems, name) = (work.problems, analysis.value.as_str());
    if !ANALYSES.contains(&name) {
        let help = suggest(name, ANALYSES.iter().copied(), "analyses");
        problems.add_help(analysis.span, format!("there is no analysis \"{name}\""), help);
        return;
    }
    match with {
        Some(with) => keys(work, name, with),
        None => problems.add(analysis.span, format!("`analysis: {name}` needs `with: {{series: ...}}`")),
    }
}

/// The types of the results, with the unit of the series where they have it.
fn result(schemas: &dyn SchemaSource, task: &TaskSpec) -> Option<Fields> {
    let number = |unit: Option<&str>| ResultType::Number(unit.map(Arc::from));
    let series = task.with.as_ref().and_then(|with| with.0.get("series"));
    let own = series.and_then(|node| match &node.value {
        // That of the first: the second is converted.
        Yaml::List(all) => unit(schemas, all.first()?),
        _ => unit(schemas, node),
    });
    let own = || ResultType::Number(own.clone());
    match task.backend.as_ref()?.node.json().as_str()?.trim() {
        "trend" => Some(vec![
            ("predicted", own()),
            ("low", own()),
            ("high", own()),
            ("at", number(Some("s"))),
            ("slope", number(None)),
            ("crosses_at", number(Some("s"))),
            ("n", ResultType::Int),
            ("residual_rms", own()),
        ]),
        "jitter" => Some(vec![
            ("rms", number(Some("arcsec"))),
            ("rms_by_axis", ResultType::Dyn),
            ("ptp_by_axis", ResultType::Dyn),
            ("n", ResultType::Int),
            ("gaps", ResultType::Int),
        ]),
        "statistics" => {
            let names = ["mean", "mean_error", "median", "std", "robust_std", "rms", "min", "max", "ptp"];
            let mut fields: Fields = names.into_iter().chain(["first", "last"]).map(|k| (k, own())).collect();
            fields.extend(["at_min", "at_max"].map(|key| (key, number(Some("s")))));
            fields.extend(["n", "gaps"].map(|key| (key, ResultType::Int)));
            Some(fields)
        }
        "spectrum" => {
            let mut fields: Fields =
                ["peak_frequency", "resolution", "rate"].map(|k| (k, number(Some("Hz")))).into();
            fields.extend(["band_rms", "rms"].map(|key| (key, own())));
            fields.extend(["peak_psd", "peak_psd_error"].map(|key| (key, number(None))));
            fields.extend(["segments", "n", "gaps"].map(|key| (key, ResultType::Int)));
            Some(fields)
        }
        "compare" => {
            let names = ["mean", "mean_error", "median", "std", "rms", "max_abs", "offset", "offset_error"];
            let mut fields: Fields = names.into_iter().chain(["residual_rms"]).map(|k| (k, own())).collect();
            fields.extend(["at_max_abs", "separation"].map(|key| (key, number(Some("s")))));
            fields.extend(["correlation", "slope", "slope_error"].map(|key| (key, number(None))));
            fields.extend(["n", "unmatched", "unmatched_b"].map(|key| (key, ResultType::Int)));
            Some(fields)
        }
        _ => None,
    }
}

/// The unit of a series' field. Mistakes here are told when the step itself is compiled.
fn unit(schemas: &dyn SchemaSource, series: &Node) -> Option<Arc<str>> {
    let text = |key: &str| series.get(key)?.scalar_text("");
    let (topic, field) = (text("topic")?, text("field")?);
    let (component, attribute) = topic.split_once('.')?;
    let component = component.split(':').next()?;
    let sal_name = match attribute.split_once('_')? {
        ("evt", n) => format!("logevent_{n}"),
        (_, n) => n.to_owned(),
    };
    let schema = schemas.topic(component, &sal_name).ok()?;
    schema.field(field.split('[').next()?)?.unit.as_deref().map(Arc::from)
}

fn keys(work: &Work<'_>, analysis: &str, with: &Node) {
    let Some(mut f) = yaml::Fields::of(with, "`with`", work.problems) else { return };
    match f.get("series") {
        Some(node) if analysis == "compare" => two_series(work, node),
        Some(node) => series_keys(work, analysis, node, true),
        None => work.problems.add(with.span, format!("`analysis: {analysis}` needs `series`")),
    }
    let (durations, numbers): (&[&str], &[&str]) = match analysis {
        "trend" => (&["ahead"], &["limit", "confidence"]),
        "spectrum" => (&["segment"], &["from_hz", "to_hz"]),
        "compare" => (&["tolerance"], &[]),
        _ => (&[], &[]),
    };
    for key in durations {
        if let Some(n) = f.get(key) {
            check_duration(work, n, key);
        }
    }
    for key in numbers {
        if let Some(n) = f.get(key)
            && !matches!(n.value, Yaml::Int(_) | Yaml::Float(_))
            && !matches!(&n.value, Yaml::Text(t) if Template::is_one(t))
        {
            work.problems.add(n.span, format!("`{key}` must be a number"));
        }
    }
    if analysis == "compare" && f.get("tolerance").is_none() {
        let help = "tolerance: 30s".to_owned();
        work.problems.add_help(
            with.span,
            "`analysis: compare` needs `tolerance`: how far apart in time",
            help,
        );
    }
    if analysis == "trend"
        && let Some(n) = f.get("direction")
        && !matches!(n.json().as_str(), Some("above" | "below"))
    {
        work.problems.add(n.span, "`direction` is above or below");
    }
    if analysis == "jitter"
        && let Some(n) = f.get("degree")
        && !matches!(n.value, Yaml::Int(0..=6))
    {
        work.problems.add(n.span, "`degree` is a whole number, 0 to 6");
    }
    f.finish();
}

/// The two series of a comparison: their units are of one kind, and the second has the span of the first unless it says one.
fn two_series(work: &Work<'_>, node: &Node) {
    let Yaml::List(all) = &node.value else {
        let help = "series: [{topic: ..., field: ..., range: 30m}, {topic: ..., field: ...}]".to_owned();
        work.problems.add_help(node.span, "`compare` needs a list of two series", help);
        return;
    };
    let [first, second] = all.as_slice() else {
        work.problems.add(node.span, format!("`compare` needs two series, this is {}", all.len()));
        return;
    };
    series_keys(work, "compare", first, true);
    let own_span = ["range", "from", "to", "wait"].iter().any(|key| second.get(key).is_some());
    series_keys(work, "compare", second, own_span);
    if let (Some(a), Some(b)) = (unit(work.schemas, first), unit(work.schemas, second))
        && factors(&b, &a).is_none()
    {
        work.problems.add(
            second.span,
            format!("this series is in \"{b}\", the first in \"{a}\": they cannot be compared"),
        );
    }
}

/// `needs_span`: it has to say which span of time.
fn series_keys(work: &Work<'_>, analysis: &str, node: &Node, needs_span: bool) {
    let problems = work.problems;
    let Some(mut f) = yaml::Fields::of(node, "`series`", problems) else { return };
    let at = |n: &Node| n.scalar_text(&problems.source).map(|value| At { value, span: n.span });
    let found = match f.get("topic") {
        Some(n) => at(n).and_then(|t| topic(work, &t)),
        None => {
            problems.add(node.span, "`series` needs `topic`");
            None
        }
    };
    let numeric = |n: &Node| {
        let Some((schema, text)) = found.as_ref().map(|t| &t.schema).zip(at(n)) else { return };
        if let Some((f, _)) = field(work, schema, &text)
            && !matches!(f.kind, FieldKind::Double | FieldKind::Int)
        {
            problems.add(n.span, format!("field \"{}\" is no number", f.name));
        }
    };
    let (one, many) = (f.get("field"), f.get("fields"));
    match (one, many) {
        (Some(n), None) if analysis != "jitter" => numeric(n),
        (None, Some(Node { value: Yaml::Map(all), .. })) if analysis == "jitter" => {
            let names: BTreeSet<&str> = all.iter().map(|(k, _)| k.name.as_str()).collect();
            // Any axes, and the elevation beside the azimuth, which it foreshortens.
            if names.is_empty() || (names.contains("azimuth") && !names.contains("elevation")) {
                problems.add(node.span, "jitter needs `fields: {azimuth: ..., elevation: ...}`");
            }
            all.iter().for_each(|(_, n)| numeric(n));
        }
        _ if analysis == "jitter" => {
            problems.add(node.span, "jitter needs `fields: {azimuth: ..., elevation: ...}`")
        }
        _ => problems.add(node.span, "`series` needs `field`"),
    }
    if let Some(packed) = f.get("packed")
        && let Some(mut p) = yaml::Fields::of(packed, "`packed`", problems)
    {
        match p.get("stamp") {
            Some(n) => numeric(n),
            None => problems
                .add(packed.span, "`packed` needs `stamp`: the field with the time of the first element"),
        }
        match p.get("scale").map(|n| (n, n.json())) {
            Some((n, scale)) if !matches!(scale.as_str(), Some("tai" | "utc")) => {
                problems.add(n.span, "`scale` is tai or utc");
            }
            Some(_) => {}
            None => problems.add(packed.span, "`packed` needs `scale`: tai or utc"),
        }
        match p.get("rate").map(|n| (n, n.json().as_f64())) {
            Some((n, rate)) if rate.is_none_or(|r| r <= 0.0) => {
                problems.add(n.span, "`rate` is a positive number, Hz")
            }
            Some(_) => {}
            None => problems.add(packed.span, "`packed` needs `rate`: elements per second"),
        }
        p.finish();
    }
    let (range, from, to) = (f.get("range"), f.get("from"), f.get("to"));
    if let Some(n) = range {
        check_duration(work, n, "range");
    }
    if needs_span && range.is_none() && (from.is_none() || to.is_none()) {
        problems.add_help(
            node.span,
            "`series` needs a time span",
            "write `range: 30m`, or `from` and `to`".to_owned(),
        );
    }
    if let Some(n) = f.get("wait") {
        check_duration(work, n, "wait");
    }
    f.finish();
}

fn check_duration(work: &Work<'_>, node: &Node, key: &str) {
    let good = match &node.value {
        Yaml::Text(t) => Template::is_one(t) || parse_duration(t.trim()).is_some(),
        _ => false,
    };
    if !good {
        let help = "write it with its unit: 30s, 10m, 1h30m".to_owned();
        work.problems.add_help(node.span, format!("`{key}` must be a duration"), help);
    }
}
