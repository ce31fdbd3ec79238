//! Text with `{{ expressions }}`: minijinja, strict, without environment and files.
//!
//! Variables are the rule's inputs by name, `parameters`, `tasks`, `trigger`, `value` in an alarm's reason, `item` and
//! `item_index` in a step with `foreach`. Filters
//! are minijinja's own and `utc_iso`, `tai_iso` for TAI seconds, `round(digits)`, `argmax` and `argmin` (the key of a
//! keyed input, the place in a list). Functions: [`functions`].

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value as Jinja};
use salobj::Tai;
use serde_json::Value as Json;

use super::model::RunContext;

pub(super) mod calls;
mod functions;

/// A template whose syntax is known to be right.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    text: Arc<str>,
    /// The expression, if the text is a single one.
    single: Option<Arc<Expression>>,
}

type Expression = minijinja::Expression<'static, 'static>;

impl PartialEq for Template {
    fn eq(&self, other: &Template) -> bool {
        self.text == other.text
    }
}

/// Why a template cannot be filled in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{place}{message}")]
pub struct RenderError {
    place: String,
    message: String,
}

/// A mistake in a template: byte range in its text, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TemplateError {
    pub(crate) span: (usize, usize),
    pub(crate) message: String,
}

impl RenderError {
    pub(crate) fn unknown_step(step: &str) -> RenderError {
        RenderError { place: String::new(), message: format!("the rule has no step \"{step}\"") }
    }

    pub(crate) fn inside(mut self, step: &str, pointer: &str) -> RenderError {
        self.place = format!("task {step}, {}: ", pointer.trim_start_matches('/').replace('/', "."));
        self
    }
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(50_000));
    env.add_filter("utc_iso", |tai: f64| format!("{}Z", Tai(tai).utc_iso()));
    env.add_filter("tai_iso", |tai: f64| Tai(tai).tai_iso());
    env.add_filter("round", round);
    env.add_filter("argmax", |all: Jinja| arg(&all, true));
    env.add_filter("argmin", |all: Jinja| arg(&all, false));
    functions::register(&mut env);
    env
});

/// The value of an expression that reads nothing but functions, or why it has none; `None` if it reads something.
fn constant(expression: &str) -> Option<Result<Jinja, String>> {
    let compiled = ENVIRONMENT.compile_expression(expression).ok()?;
    let reads = compiled.undeclared_variables(false);
    if reads.iter().any(|name| name != "range" && functions::named(name).is_none()) {
        return None;
    }
    Some(compiled.eval(()).map_err(|e| e.detail().map_or_else(|| e.to_string(), str::to_owned)))
}

/// Every filter: minijinja's that make sense in a text, and ours.
const FILTERS: &[&str] = &[
    "abs",
    "argmax",
    "argmin",
    "batch",
    "bool",
    "capitalize",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "tai_iso",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "utc_iso",
];

/// Filters by name and place: what stands after a `|` inside of braces, outside of texts. (The library looks filters up
/// only when it fills in.)
fn filters(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let (mut found, mut inside, mut quote, mut at) = (Vec::new(), false, None, 0);
    while at < bytes.len() {
        match (bytes[at], quote) {
            (b'{', None) if matches!(bytes.get(at + 1), Some(b'{' | b'%')) => inside = true,
            (b'%' | b'}', None) if bytes.get(at + 1) == Some(&b'}') => inside = false,
            (c @ (b'\'' | b'"'), None) if inside => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            (b'|', None) if inside => {
                let rest = &text[at + 1..];
                let start = at + 1 + (rest.len() - rest.trim_start().len());
                let len = text[start..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                found.push((start, &text[start..len.map_or(text.len(), |l| start + l)]));
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// `round(digits)`: text with exactly so many digits after the point.
fn round(value: f64, digits: Option<u32>) -> String {
    format!("{value:.*}", digits.unwrap_or(0).min(15) as usize)
}

/// The key, or the place, of the first largest or smallest number.
fn arg(all: &Jinja, largest: bool) -> Result<Jinja, minijinja::Error> {
    let of_list = all.kind() == ValueKind::Seq;
    let mut best: Option<(Jinja, f64)> = None;
    for (place, item) in all.try_iter()?.enumerate() {
        let key = if of_list { Jinja::from(place) } else { item.clone() };
        let number = if of_list { item } else { all.get_item(&item)? };
        let Ok(number) = f64::try_from(number) else { continue };
        let better = best.as_ref().is_none_or(|(_, b)| if largest { number > *b } else { number < *b });
        if better && !number.is_nan() {
            best = Some((key, number));
        }
    }
    best.map(|(key, _)| key).ok_or_else(|| {
        minijinja::Error::new(ErrorKind::InvalidOperation, "there is no number to be the largest or smallest")
    })
}

impl Template {
    /// True if the text has anything to fill in.
    pub(crate) fn is_one(text: &str) -> bool {
        text.contains("{{") || text.contains("{%") || text.contains("{#")
    }

    /// Checks the syntax and the filters.
    pub(crate) fn parse(text: &str) -> Result<Template, TemplateError> {
        ENVIRONMENT.template_from_str(text).map_err(|e| TemplateError {
            span: e.range().map_or((0, text.len()), |r| (r.start, r.len())),
            message: explain(&e),
        })?;
        for (at, name) in filters(text) {
            if !FILTERS.contains(&name) {
                let hint = super::diagnose::did_you_mean(name, FILTERS.iter().copied());
                let hint = hint.map_or(String::new(), |h| format!("; did you mean \"{h}\"?"));
                let message = format!("there is no filter \"{name}\"{hint}");
                return Err(TemplateError { span: (at, name.len()), message });
            }
        }
        let single =
            inside(text).and_then(|t| ENVIRONMENT.compile_expression_owned(t.to_owned()).ok()).map(Arc::new);
        Ok(Template { text: text.into(), single })
    }

    /// Dotted names that the template reads, e.g. `image.imageName`.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        match ENVIRONMENT.template_from_str(&self.text) {
            Ok(template) => template.undeclared_variables(true).into_iter().collect(),
            Err(_) => BTreeSet::new(),
        }
    }

    /// True if it can give different texts.
    pub(crate) fn varies(&self) -> bool {
        Template::is_one(&self.text)
    }

    /// The text with everything filled in.
    pub(crate) fn text(&self, ctx: &RunContext, value: Option<f64>) -> Result<String, RenderError> {
        let template = ENVIRONMENT.template_from_str(&self.text).map_err(failed)?;
        template.render(variables(ctx, value)).map_err(failed)
    }

    /// The value of a single expression, or the text.
    pub(crate) fn value(&self, ctx: &RunContext, value: Option<f64>) -> Result<Json, RenderError> {
        let Some(single) = &self.single else { return self.text(ctx, value).map(Json::String) };
        let result = single.eval(variables(ctx, value)).map_err(failed)?;
        if result.is_undefined() {
            let name = inside(&self.text).unwrap_or_default();
            return Err(RenderError { place: String::new(), message: format!("{name} has no value") });
        }
        serde_json::to_value(&result)
            .map_err(|e| RenderError { place: String::new(), message: e.to_string() })
    }
}

/// What stands between the braces, if there is one pair of them around everything.
fn inside(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then(|| inner.trim_matches('-').trim())
}

fn variables(ctx: &RunContext, value: Option<f64>) -> Jinja {
    let mut all = ctx.inputs.clone();
    all.insert("parameters".to_owned(), Json::Object(ctx.parameters.clone()));
    all.insert("tasks".to_owned(), Json::Object(ctx.tasks.clone()));
    all.insert("trigger".to_owned(), Json::Object(ctx.trigger.clone()));
    if let Some(value) = value {
        all.insert("value".to_owned(), Json::from(value));
    }
    if let Some(item) = &ctx.item {
        all.insert("item".to_owned(), item.value.clone());
        all.insert("item_index".to_owned(), Json::from(item.index));
    }
    Jinja::from_serialize(&all)
}

fn failed(error: minijinja::Error) -> RenderError {
    RenderError { place: String::new(), message: explain(&error) }
}

fn explain(error: &minijinja::Error) -> String {
    let what = match error.kind() {
        ErrorKind::UndefinedError => "a value is missing",
        ErrorKind::UnknownFilter => "unknown filter",
        ErrorKind::SyntaxError => "template syntax",
        ErrorKind::OutOfFuel => "the template takes too long",
        _ => "the template failed",
    };
    match error.detail() {
        Some(detail) => format!("{what}: {detail}"),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_filters_are_there() {
        for name in FILTERS {
            let error = ENVIRONMENT
                .render_str(&format!("{{{{ x | {name} }}}}"), minijinja::context! { x => 1 })
                .err();
            assert!(error.is_none_or(|e| e.kind() != ErrorKind::UnknownFilter), "{name}");
        }
    }

    #[test]
    fn filters_are_found_where_they_are() {
        assert_eq!(
            filters("a | b {{ x|round(2) | upper }} {% if '|' ~ y | int %}"),
            [(11, "round"), (22, "upper"), (47, "int")]
        );
        assert!(Template::parse("{{ x | rond(2) }}").unwrap_err().message.contains("round"));
        assert!(Template::parse("{{ 'a | b' }}").is_ok());
    }

    #[test]
    fn images_are_named_and_asked_for() {
        let mut ctx = RunContext::default();
        ctx.inputs
            .insert("image".into(), serde_json::json!({"imageName": "MC_O_20261120_000123", "group": null}));
        let text = |t: &str| Template::parse(t).unwrap().text(&ctx, None).map_err(|e| e.to_string());
        for (template, filled) in [
            (
                "{{ data_id(image.imageName, detector=94) }}",
                "instrument='LSSTCam' AND exposure=2026112000123 AND detector=94",
            ),
            (
                "{{ data_id(image.imageName, detector='R22_S11') }}",
                "instrument='LSSTCam' AND exposure=2026112000123 AND detector=94",
            ),
            (
                "{{ data_id(instrument='AT', day_obs=20261120, seq_num=[1, 2]) }}",
                "instrument='LATISS' AND day_obs=20261120 AND exposure.seq_num IN (1, 2)",
            ),
            ("{{ instrument('CCCamera') }} {{ instrument(image.imageName) }}", "LSSTComCam LSSTCam"),
            ("{{ day_obs(image.imageName) }} {{ day_obs(1795262399.0) }}", "20261120 20261120"),
            ("{{ seq_num(image.imageName) }} {{ exposure_id(image.imageName) }}", "123 2026112000123"),
            ("{{ image_name('LSSTCam', 2026112000123) }}", "MC_O_20261120_000123"),
            ("{{ image_name('AT', 20261120, 7, 'C') }}", "AT_C_20261120_000007"),
            (
                "{{ detector_id('R22_S11') }} {{ detector_id('R22_S11', 'CC') }} {{ detector_name(94) }}",
                "94 4 R22_S11",
            ),
            ("{{ detectors('MC', 'guiders') | length }} {{ detector_names('CC') | last }}", "8 R22_S22"),
        ] {
            assert_eq!(text(template).as_deref(), Ok(filled), "{template}");
        }
        for (template, told) in [
            ("{{ data_id(image.nothing) }}", "data_id: the image has no value"),
            ("{{ data_id(image.imageName, group=image.group) }}", "data_id: group has no value"),
            ("{{ data_id(image.imageName, detector=300) }}", "data_id: detector: 300"),
            (
                "{{ data_id(image.imageName, detector=1.5) }}",
                "detector: 1.5 is neither a text nor a whole number",
            ),
            ("{{ data_id(image.imageName, exposure=1) }}", "data_id: exposure is given twice"),
            ("{{ data_id(image.imageName, instrument='LATISS') }}", "is no image of LATISS"),
            ("{{ data_id(image, detector=1) }}", "not a text"),
            ("{{ exposure_id(image.imageName, 1) }}", "exposure_id: write exposure_id(image.imageName)"),
            ("{{ day_obs(true) }}", "day_obs: True is no name"),
        ] {
            let error = text(template).unwrap_err();
            assert!(error.contains(told), "{template}: {error}");
        }
        let list = Template::parse("{{ detectors('LSSTCam') }}").unwrap().value(&ctx, None).unwrap();
        assert_eq!(list.as_array().map(Vec::len), Some(189));
    }

    #[test]
    fn times_and_numbers() {
        let mut ctx = RunContext::default();
        ctx.inputs.insert("t".into(), Json::from(37.0));
        let text = |t: &str| Template::parse(t).unwrap().text(&ctx, Some(2.345)).map_err(|e| e.to_string());
        assert_eq!(text("{{ value | round(1) }} {{ t | tai_iso }}").unwrap(), "2.3 1970-01-01T00:00:37.000");
        assert_eq!(Template::parse("{{ t + 1 }}").unwrap().value(&ctx, None).unwrap(), Json::from(38.0));
        assert!(text("{{ missing }}").unwrap_err().contains("missing"));
        ctx.inputs.insert("m".into(), serde_json::json!({"a": 1.0, "b": 3, "c": null, "d": 3.0}));
        ctx.inputs.insert("l".into(), serde_json::json!([4.0, -1.0]));
        let text = |t: &str| Template::parse(t).unwrap().text(&ctx, None).map_err(|e| e.to_string());
        assert_eq!(text("{{ m | argmax }} {{ m | argmin }} {{ l | argmin }}").unwrap(), "b a 1");
        assert!(text("{{ [] | argmax }}").unwrap_err().contains("no number"));
    }
}
