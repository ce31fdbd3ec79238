//! Where the messages of an input come from: SAL topics are the rule, and what else can be read is given the same form, so
//! that the engine need not tell them apart.
//!
//! | input | its messages |
//! |---|---|
//! | `topic` | a SAL topic |
//! | `kafka` | a topic of the bus that is not SAL |
//! | `efd` | what a query gave, each time that it is asked |
//! | `task` | the result of another rule's step, each time that it succeeds |
//! | `alarm` | another rule's alarm, each time that it changes |

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use salobj::Tai;

use super::efd_text;
use super::expr::scope::ResultType;
use super::flow::TopicNeed;
use super::schema::{FieldKind, FieldSchema, TopicSchema, Untyped};

/// What stands in the place of the component where the messages are not those of a SAL topic.
pub const KAFKA: &str = "@kafka";
pub(crate) const EFD: &str = "@efd";
pub(crate) const TASK: &str = "@task";
pub(crate) const ALARM: &str = "@alarm";

impl super::model::Rule {
    /// The input that reads this.
    pub fn input_on(&self, source: Source<'_>) -> Option<&str> {
        let same = |input: &&super::code::InputCode| Source::of(&input.component, &input.sal_name) == source;
        self.code.inputs.iter().find(same).map(|input| input.name.as_str())
    }
}

/// The length of a list that has no fixed one.
pub(crate) const ANY_LENGTH: usize = usize::MAX;

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A SAL topic: component and SAL name are those of the need.
    Sal,
    /// A topic that is not SAL, by its name on the bus; the field that has the stamps, if it is not the record's own.
    Kafka(&'a str, Option<&'a str>),
    /// A query: see [`EfdQuery::parse`].
    Efd(&'a str),
    /// `Rule.step`.
    Task(&'a str),
    /// Name of an alarm.
    Alarm(&'a str),
}

impl<'a> Source<'a> {
    /// By what stands for component and SAL name.
    pub fn of(component: &'a str, sal_name: &'a str) -> Source<'a> {
        match component.split_once(':').map_or((component, None), |(kind, stamp)| (kind, Some(stamp))) {
            (KAFKA, stamp) => Source::Kafka(sal_name, stamp),
            (EFD, _) => Source::Efd(sal_name),
            (TASK, _) => Source::Task(sal_name),
            (ALARM, _) => Source::Alarm(sal_name),
            _ => Source::Sal,
        }
    }

    /// True if it is read from the bus.
    pub fn is_on_bus(self) -> bool {
        matches!(self, Source::Sal | Source::Kafka(..))
    }
}

impl TopicNeed {
    /// Where its messages come from.
    pub fn source(&self) -> Source<'_> {
        Source::of(&self.component, &self.sal_name)
    }
}

/// What an input reads, for people: `ESS:301.airFlow`, `topic x`, `alarm Y`.
pub(crate) fn origin(component: &str, sal_name: &str, index: Option<i64>) -> String {
    match Source::of(component, sal_name) {
        Source::Sal => {
            let index = index.map_or(String::new(), |i| format!(":{i}"));
            format!("{component}{index}.{sal_name}")
        }
        Source::Kafka(name, _) => format!("kafka {name}"),
        Source::Efd(text) => {
            EfdQuery::parse(text).map_or_else(|| "the EFD".to_owned(), |query| query.label())
        }
        Source::Task(step) => format!("task {step}"),
        Source::Alarm(name) => format!("alarm {name}"),
    }
}

impl TopicSchema {
    /// What it is called in messages, if it is not a SAL topic.
    pub(crate) fn label(&self) -> Option<String> {
        match Source::of(&self.component, &self.sal_name) {
            Source::Sal => None,
            Source::Kafka(name, _) => Some(format!("topic {name}")),
            Source::Efd(_) => Some("the answer of the EFD".to_owned()),
            Source::Task(step) => Some(format!("the result of {step}")),
            Source::Alarm(name) => Some(format!("alarm {name}")),
        }
    }
}

/// What is asked of the EFD again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EfdQuery {
    /// What is asked.
    pub of: EfdOf,
    /// Columns, as the EFD names them: `a3` is element 3 of `a`.
    pub columns: Vec<EfdColumn>,
    /// How far back, seconds; 0 for a query that says it itself.
    pub range_s: f64,
    /// How often it is asked, seconds.
    pub every_s: f64,
}

/// See [`EfdQuery::of`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EfdOf {
    /// Fields of a SAL topic.
    Topic {
        /// Component.
        component: String,
        /// SAL name.
        sal_name: String,
        /// Only this instance.
        index: Option<i64>,
    },
    /// A query as the rule writes it, in one language or in both: each kind of server is asked in its own.
    Text {
        /// For InfluxDB 2.
        flux: Option<String>,
        /// For InfluxDB 1.
        influxql: Option<String>,
    },
}

/// A column of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EfdColumn {
    /// Name in the EFD.
    pub name: String,
    /// It has texts; otherwise numbers.
    pub text: bool,
    /// Unit.
    pub unit: Option<String>,
}

/// What a column can be reduced to.
pub(crate) const REDUCERS: &[&str] =
    &["mean", "median", "min", "max", "ptp", "std", "rms", "sum", "count", "first", "last"];

impl EfdQuery {
    /// As it stands in [`Source::Efd`].
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// From there.
    pub fn parse(text: &str) -> Option<EfdQuery> {
        serde_json::from_str(text).ok()
    }

    /// For messages: `the EFD, every 60 s`.
    pub fn label(&self) -> String {
        match &self.of {
            EfdOf::Topic { component, sal_name, index } => {
                let index = index.map_or(String::new(), |i| format!(":{i}"));
                format!("{component}{index}.{sal_name} in the EFD, every {} s", self.every_s)
            }
            EfdOf::Text { .. } => format!("a query of the EFD, every {} s", self.every_s),
        }
    }

    /// A query as the rule writes it, with the times of the range that ends at `at` filled in: Flux and InfluxQL.
    pub fn texts_at(&self, at: Tai) -> Option<(Option<String>, Option<String>)> {
        let EfdOf::Text { flux, influxql } = &self.of else { return None };
        let filled = |text: &Option<String>| {
            text.as_ref().map(|text| efd_text::filled(text, Tai(at.0 - self.range_s), at))
        };
        Some((filled(flux), filled(influxql)))
    }

    /// When it is asked next: the next multiple of its period since 1970 UTC.
    pub fn after(&self, now: Tai) -> Tai {
        let period_s = self.every_s;
        Tai::from_utc_unix(((now.utc_unix() + 1e-6) / period_s).floor() * period_s + period_s)
    }

    /// Why it cannot be asked as of a past time, if it cannot.
    pub fn only_now(&self) -> Option<&'static str> {
        let EfdOf::Text { flux, influxql } = &self.of else { return None };
        let open = [flux, influxql].into_iter().flatten().any(|text| !efd_text::says_when(text));
        open.then_some("the query does not say `{{ to }}`, so that it cannot be asked as of a past time")
    }

    /// What expressions see: a list for each column, the list of times, and each column reduced.
    pub(crate) fn schema(&self) -> TopicSchema {
        let field = |name: String, kind, count, unit: &Option<String>| FieldSchema {
            name,
            kind,
            count,
            unit: unit.clone(),
        };
        let list = |c: &EfdColumn| {
            let kind = if c.text { FieldKind::Text } else { FieldKind::Double };
            field(c.name.clone(), kind, Some(ANY_LENGTH), &c.unit)
        };
        let mut fields: Vec<FieldSchema> = self.columns.iter().map(list).collect();
        fields.push(field("time".to_owned(), FieldKind::Double, Some(ANY_LENGTH), &None));
        for column in self.columns.iter().filter(|c| !c.text) {
            for reducer in REDUCERS {
                let unit = if *reducer == "count" { &None } else { &column.unit };
                fields.push(field(format!("{reducer}({})", column.name), FieldKind::Double, None, unit));
            }
        }
        TopicSchema {
            component: EFD.to_owned(),
            sal_name: self.text(),
            indexed: false,
            fields,
            untyped: Untyped::None,
        }
    }
}

/// What expressions see of an alarm: fields of the event `alarm`.
pub(crate) fn alarm_schema(name: &str) -> TopicSchema {
    let field = |name: &str, kind| FieldSchema { name: name.to_owned(), kind, count: None, unit: None };
    TopicSchema {
        component: ALARM.to_owned(),
        sal_name: name.to_owned(),
        indexed: false,
        fields: vec![
            field("severity", FieldKind::Int),
            field("maxSeverity", FieldKind::Int),
            field("mutedSeverity", FieldKind::Int),
            field("acknowledged", FieldKind::Bool),
            field("reason", FieldKind::Text),
        ],
        untyped: Untyped::None,
    }
}

/// What expressions see of a step: the fields of its result; any, if they are not known beforehand.
pub(crate) fn task_schema(name: &str, known: Option<&[(&'static str, ResultType)]>) -> TopicSchema {
    let mut fields = Vec::new();
    let mut named = Vec::new();
    for (field, result) in known.unwrap_or_default() {
        let (kind, unit) = match result {
            ResultType::Number(unit) => (FieldKind::Double, unit.as_deref().map(str::to_owned)),
            ResultType::Int => (FieldKind::Int, None),
            ResultType::Text => (FieldKind::Text, None),
            ResultType::Dyn => {
                named.push((*field).to_owned());
                continue;
            }
        };
        fields.push(FieldSchema { name: (*field).to_owned(), kind, count: None, unit });
    }
    let untyped = if known.is_some() { Untyped::Named(named) } else { Untyped::All };
    TopicSchema { component: TASK.to_owned(), sal_name: name.to_owned(), indexed: false, fields, untyped }
}

/// Rule and step of `Rule.step`: names of rules may have dots.
pub(crate) fn rule_and_step(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('.').filter(|(rule, step)| !rule.is_empty() && !step.is_empty())
}

/// Types of the results of steps, by `Rule.step`.
pub(crate) type StepTypes = std::collections::BTreeMap<String, Option<Arc<[(&'static str, ResultType)]>>>;
