//! Text with `{{ expressions }}`: minijinja, strict, without environment and files.
//!
//! Variables are the rule's inputs by name, `parameters`, `tasks`, `trigger`, and `value` in an alarm's reason. Filters
//! are minijinja's own and `utc_iso`, `tai_iso` for TAI seconds, `round(digits)`.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value as Jinja};
use salobj::Tai;
use serde_json::Value as Json;

use super::model::RunContext;

/// A template whose syntax is known to be right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    text: Arc<str>,
    /// The expression, if the text is a single one.
    single: Option<Arc<str>>,
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
    env
});

/// `round(digits)`: text with exactly so many digits after the point.
fn round(value: f64, digits: Option<u32>) -> String {
    format!("{value:.*}", digits.unwrap_or(0).min(15) as usize)
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
        let inner = text.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
        let single = inner
            .filter(|t| !t.contains("{{") && !t.contains("}}"))
            .map(|t| t.trim_matches('-').trim())
            .filter(|t| ENVIRONMENT.compile_expression(t).is_ok())
            .map(Arc::from);
        Ok(Template { text: text.into(), single })
    }

    /// Dotted names that the template reads, e.g. `image.imageName`.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        match ENVIRONMENT.template_from_str(&self.text) {
            Ok(template) => template.undeclared_variables(true).into_iter().collect(),
            Err(_) => BTreeSet::new(),
        }
    }

    /// The text as written.
    pub(crate) fn source(&self) -> &str {
        &self.text
    }

    /// The text with everything filled in.
    pub(crate) fn text(&self, ctx: &RunContext, value: Option<f64>) -> Result<String, RenderError> {
        let template = ENVIRONMENT.template_from_str(&self.text).map_err(failed)?;
        template.render(variables(ctx, value)).map_err(failed)
    }

    /// The value of a single expression, or the text.
    pub(crate) fn value(&self, ctx: &RunContext, value: Option<f64>) -> Result<Json, RenderError> {
        let Some(single) = &self.single else { return self.text(ctx, value).map(Json::String) };
        let result = ENVIRONMENT
            .compile_expression_owned(single.to_string())
            .and_then(|e| e.eval(variables(ctx, value)))
            .map_err(failed)?;
        if result.is_undefined() {
            return Err(RenderError { place: String::new(), message: format!("{single} has no value") });
        }
        serde_json::to_value(&result)
            .map_err(|e| RenderError { place: String::new(), message: e.to_string() })
    }
}

fn variables(ctx: &RunContext, value: Option<f64>) -> Jinja {
    let mut all = ctx.inputs.clone();
    all.insert("parameters".to_owned(), Json::Object(ctx.parameters.clone()));
    all.insert("tasks".to_owned(), Json::Object(ctx.tasks.clone()));
    all.insert("trigger".to_owned(), Json::Object(ctx.trigger.clone()));
    if let Some(value) = value {
        all.insert("value".to_owned(), Json::from(value));
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
