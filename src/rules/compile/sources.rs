//! What an input reads, if it is not a SAL topic: `kafka`, `efd`, `task`, `alarm`.

use std::sync::Arc;

use sal_idl::Enumeration;

use super::Work;
use super::inputs::{TopicRef, field, topic};
use crate::rules::diagnose::suggest;
use crate::rules::flow::Part;
use crate::rules::links::{Link, LinkTo};
use crate::rules::schema::{FieldKind, SchemaError, SchemaSource, TopicSchema};
use crate::rules::source::{
    ALARM, EFD, EfdColumn, EfdQuery, KAFKA, REDUCERS, Source, StepTypes, TASK, alarm_schema, rule_and_step,
    task_schema,
};
use crate::rules::spec::{At, InputSpec, RuleSpec, Seconds};
use crate::rules::yaml::{Fields, Problems};

/// Shortest time between two questions to the EFD, seconds.
const SHORTEST_EVERY_S: f64 = 1.0;
/// Longest range of a question, seconds: 31 days.
const LONGEST_RANGE_S: f64 = 31.0 * 86_400.0;
/// Without `max_age` an answer of the EFD counts for so many of its periods.
const PERIODS: f64 = 3.0;

/// The schemas of everything that an input can read.
pub(super) struct Sources<'a> {
    pub(super) outer: &'a dyn SchemaSource,
    /// Results of the steps of rules that are compiled together.
    pub(super) steps: &'a StepTypes,
}

impl SchemaSource for Sources<'_> {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        match Source::of(component, sal_name) {
            Source::Sal => self.outer.topic(component, sal_name),
            Source::Kafka(name, _) => self.outer.topic(KAFKA, name),
            Source::Alarm(name) => Ok(Arc::new(alarm_schema(name))),
            Source::Task(name) => {
                let known = self.steps.get(name).and_then(Option::as_deref);
                Ok(Arc::new(task_schema(name, known)))
            }
            Source::Efd(text) => match EfdQuery::parse(text) {
                Some(query) => Ok(Arc::new(query.schema())),
                None => Err(SchemaError::UnknownTopic { component: EFD.to_owned(), topic: text.to_owned() }),
            },
        }
    }

    fn enumerations(&self, component: &str) -> Vec<Enumeration> {
        // Severities of alarms and states of tasks are the Catcher's own.
        let own = [ALARM, TASK].contains(&component);
        self.outer.enumerations(if own { "Catcher" } else { component })
    }

    fn components(&self) -> Vec<String> {
        self.outer.components()
    }

    fn topics(&self, component: &str) -> Vec<String> {
        self.outer.topics(component)
    }
}

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
        let only = efd.0.get("field").and_then(|n| n.scalar_text(&problems.source));
        let column = input.field.as_ref().map(|f| f.value.trim().to_owned()).or(only);
        match column {
            Some(column) => {
                let value = format!("{}({})", reduce.value.trim(), column_name(&column));
                input.field = Some(At { value, span: reduce.span });
            }
            None => problems.add(reduce.span, "`reduce` needs `field`: the column that is reduced"),
        }
    }
}

/// `a[3]` is `a3` in the EFD.
fn column_name(field: &str) -> String {
    field.chars().filter(|c| *c != '[' && *c != ']').collect()
}

/// What an input reads.
pub(super) fn source(work: &Work<'_>, input: &InputSpec) -> Option<TopicRef> {
    let virtual_topic = |component: &str, name: String| {
        let schema = work.schemas.topic(component, &name).ok()?;
        Some(TopicRef { component: component.to_owned(), index: None, schema })
    };
    if let Some(stamp) = input.stamp.as_ref().filter(|_| input.kafka.is_none()) {
        work.problems.add(stamp.span, "`stamp` goes with `kafka`; SAL messages have their own stamps");
    }
    if let Some(name) = &input.kafka {
        return kafka(work, name, input.stamp.as_ref());
    }
    if let Some(name) = &input.alarm {
        return virtual_topic(ALARM, name.value.trim().to_owned());
    }
    if let Some(name) = &input.task {
        if rule_and_step(name.value.trim()).is_none() {
            let help = "write the rule and its step: Wind.Forecast.forecast".to_owned();
            work.problems.add_help(name.span, format!("\"{}\" is not a rule's step", name.value), help);
            return None;
        }
        return virtual_topic(TASK, name.value.trim().to_owned());
    }
    if input.efd.is_some() {
        let query = efd(work, input)?;
        return virtual_topic(EFD, query.text());
    }
    if input.topic.value.is_empty() { None } else { topic(work, &input.topic) }
}

/// The other rules that the inputs read.
pub(super) fn links(spec: &RuleSpec) -> Vec<Link> {
    let link = |(key, input): &(crate::rules::yaml::Key, InputSpec)| {
        let (to, span) = match (&input.task, &input.alarm) {
            (Some(task), _) => {
                let (rule, step) = rule_and_step(task.value.trim())?;
                (LinkTo::Step { rule: rule.to_owned(), step: step.to_owned() }, task.span)
            }
            (None, Some(alarm)) => (LinkTo::Alarm(alarm.value.trim().to_owned()), alarm.span),
            (None, None) => return None,
        };
        Some(Link { input: key.name.clone(), to, span })
    };
    spec.inputs.0.iter().filter_map(link).collect()
}

fn kafka(work: &Work<'_>, name: &At<String>, stamp: Option<&At<String>>) -> Option<TopicRef> {
    let text = name.value.trim();
    if text.starts_with("lsst.sal.") {
        let help = "read it by `topic`: Component:index.tel_x".to_owned();
        work.problems.add_help(name.span, "this is a SAL topic", help);
        return None;
    }
    let schema = match work.schemas.topic(KAFKA, text) {
        Ok(schema) => schema,
        Err(SchemaError::Unreadable { reason, .. }) => {
            work.problems.add(name.span, format!("the schema of \"{text}\" cannot be read: {reason}"));
            return None;
        }
        Err(_) => {
            let known = work.schemas.topics(KAFKA);
            let help = suggest(text, known.iter().map(String::as_str), "topics")
                .or_else(|| Some("its value schema must be registered, or be in the schema file".to_owned()));
            work.problems.add_help(name.span, format!("there is no schema of the topic \"{text}\""), help);
            return None;
        }
    };
    let mut component = KAFKA.to_owned();
    if let Some(stamp) = stamp {
        let (found, part) = field(work, &schema, stamp)?;
        if !matches!(found.kind, FieldKind::Double | FieldKind::Int)
            || found.count.is_some()
            || part != Part::Whole
        {
            work.problems.add(
                stamp.span,
                "`stamp` must be a number: TAI seconds, or milliseconds of UTC as an integer",
            );
            return None;
        }
        component = format!("{KAFKA}:{}", found.name);
    }
    Some(TopicRef { component, index: None, schema })
}

fn efd(work: &Work<'_>, input: &InputSpec) -> Option<EfdQuery> {
    let node = &input.efd.as_ref()?.0;
    let mut f = Fields::of(node, "`efd`", work.problems)?;
    let text = |f: &mut Fields<'_, '_>, key: &'static str| {
        let node = f.get(key)?;
        node.scalar_text(&work.problems.source).map(|value| At { value, span: node.span })
    };
    let (at, range) = (text(&mut f, "topic"), text(&mut f, "range"));
    let mut fields: Vec<At<String>> = text(&mut f, "field").into_iter().collect();
    if let Some(crate::rules::yaml::Yaml::List(all)) = f.get("fields").map(|n| &n.value) {
        let named = |n: &crate::rules::yaml::Node| {
            n.scalar_text(&work.problems.source).map(|value| At { value, span: n.span })
        };
        fields.extend(all.iter().filter_map(named));
    }
    let span = f.span();
    f.finish();
    let (Some(at), Some(range)) = (at, range) else {
        let help = "write {topic: \"ESS:301.tel_airFlow\", field: speed, range: 1h}".to_owned();
        work.problems.add_help(span, "`efd` needs `topic`, `field` or `fields`, and `range`", help);
        return None;
    };
    let found = topic(work, &at)?;
    let every_s = input.every.as_ref().map_or(60.0, |e| e.value.0);
    if let Some(every) = input.every.as_ref().filter(|e| e.value.0 < SHORTEST_EVERY_S) {
        work.problems.add(every.span, "the EFD is asked once a second at most");
    }
    let range_s = crate::rules::expr::prepass::parse_duration(range.value.trim());
    let Some(range_s) = range_s.filter(|s| *s > 0.0 && *s <= LONGEST_RANGE_S) else {
        work.problems.add(range.span, "`range` must be a duration of at most 31 days: 30m, 6h");
        return None;
    };
    if fields.is_empty() {
        work.problems.add(span, "`efd` needs `field` or `fields`");
        return None;
    }
    let mut columns = Vec::new();
    for at in &fields {
        let (schema, part) = field(work, &found.schema, at)?;
        if schema.count.is_some() && !matches!(part, Part::Element(_)) {
            let help = format!("name an element: {}[0]", schema.name);
            work.problems.add_help(at.span, format!("\"{}\" is an array", schema.name), help);
            return None;
        }
        let name = column_name(at.value.trim());
        columns.push(EfdColumn { name, text: schema.kind == FieldKind::Text, unit: schema.unit.clone() });
    }
    Some(EfdQuery {
        component: found.component,
        sal_name: found.schema.sal_name.clone(),
        index: found.index,
        columns,
        range_s,
        every_s,
    })
}
