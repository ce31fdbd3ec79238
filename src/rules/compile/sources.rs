//! What an input reads, if it is not a SAL topic: `kafka`, `efd`, `task`, `alarm`.

use std::sync::Arc;

use sal_idl::Enumeration;

use super::inputs::{TopicRef, field, topic};
use super::{Work, efd};
use crate::rules::diagnose::suggest;
use crate::rules::flow::Part;
use crate::rules::links::{Link, LinkTo};
use crate::rules::schema::{FieldKind, SchemaError, SchemaSource, TopicSchema};
use crate::rules::source::{
    ALARM, EFD, EfdQuery, KAFKA, Source, StepTypes, TASK, alarm_schema, rule_and_step, task_schema,
};
use crate::rules::spec::{At, InputSpec, RuleSpec};

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
        let query = efd::efd(work, input)?;
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
