//! Rule file to rules: read, check everything, compile.

mod alarm;
pub(in crate::rules) mod backends;
mod efd;
pub(in crate::rules) mod expand;
mod files;
mod inputs;
mod keys;
mod names;
mod schedule;
mod sources;
mod test_series;
mod test_values;
mod tests_section;
mod text;
mod workflow;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use sal_idl::Enumeration;

use super::code::{Code, Place};
use super::diagnose::{Diagnostic, SourceFile, suggest};
use super::expr::outline::Outline;
use super::expr::scope::{Allowed, Cells, InputScope, Scope, TaskScope};
use super::expr::tree::{BoolE, Expr};
use super::expr::{Outlined, Stateful, Typed, check};
use super::model::{Mode, Occasion, Rule, Trigger};
use super::read;
use super::schema::SchemaSource;
use super::source::StepTypes;
use super::spec::{At, Cel, RuleSpec};
use super::yaml::{self, Node, Problems, Yaml};
use sources::Sources;

pub use files::{Compiled, compile_files};
pub(in crate::rules) use text::hash16;

/// Reads, checks and compiles a rule file: a mapping with `rules`, or one rule alone.
///
/// # Errors
/// All mistakes at once, in the order of the file.
pub fn compile(source: &SourceFile, schemas: &dyn SchemaSource) -> Result<Vec<Arc<Rule>>, Vec<Diagnostic>> {
    compile_with(source, schemas, &step_types(source, schemas))
}

/// The results of the steps of a file's rules, as far as they are known; mistakes are told when it is compiled.
fn step_types(source: &SourceFile, schemas: &dyn SchemaSource) -> StepTypes {
    let problems = Problems::new(source);
    let Ok(root) = yaml::parse(source, &problems.source) else { return StepTypes::new() };
    let mut types = StepTypes::new();
    for node in rules_of(&root, &problems) {
        if node.get("tasks").is_none() {
            continue;
        }
        for node in expand::expand(node, &problems) {
            let Some(spec) = read::rule(&node, &problems) else { continue };
            types.extend(workflow::types(&spec, schemas));
        }
    }
    types
}

fn compile_with(
    source: &SourceFile,
    schemas: &dyn SchemaSource,
    steps: &StepTypes,
) -> Result<Vec<Arc<Rule>>, Vec<Diagnostic>> {
    let schemas: &dyn SchemaSource = &Sources { outer: schemas, steps };
    let problems = Problems::new(source);
    let root = match yaml::parse(source, &problems.source) {
        Ok(root) => root,
        Err(diagnostic) => return Err(vec![*diagnostic]),
    };
    let mut rules: Vec<Arc<Rule>> = Vec::new();
    let mut names: Vec<(String, yaml::Span)> = Vec::new();
    for node in rules_of(&root, &problems) {
        for node in expand::expand(node, &problems) {
            problems.enter(None);
            let Some(spec) = read::rule(&node, &problems) else { continue };
            let span = spec.name.span;
            if names.iter().any(|(n, _)| *n == spec.name.value) {
                problems.add(span, format!("there are two rules of the name \"{}\"", spec.name.value));
            }
            names.push((spec.name.value.clone(), span));
            if let Some(rule) = rule(spec, &node, &problems, schemas) {
                rules.push(Arc::new(rule));
            }
        }
    }
    let problems = problems.into_vec();
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

pub(in crate::rules) fn rules_of<'n>(root: &'n Node, problems: &Problems<'_>) -> Vec<&'n Node> {
    let Yaml::Map(entries) = &root.value else {
        let help = "begin it with `rules:`".to_owned();
        problems.add_help(root.span, format!("a rule file must be a mapping, this is {}", root.kind()), help);
        return Vec::new();
    };
    if root.get("rules").is_none() && root.get("name").is_some() {
        return vec![root];
    }
    for (key, _) in entries {
        if key.name != "rules" {
            let help = suggest(&key.name, ["rules"], "known keys");
            problems.add_help(key.span, format!("a rule file has no key `{}`", key.name), help);
        }
    }
    match root.get("rules") {
        Some(Node { value: Yaml::List(all), .. }) if !all.is_empty() => all.iter().collect(),
        Some(node) => {
            problems.add(node.span, "`rules` must be a list of rules");
            Vec::new()
        }
        None => {
            problems.add(root.span, "`rules` is missing");
            Vec::new()
        }
    }
}

/// What the parts of one rule are compiled with.
pub(super) struct Work<'a> {
    pub(super) problems: &'a Problems<'a>,
    pub(super) schemas: &'a dyn SchemaSource,
    pub(super) spec: &'a RuleSpec,
    pub(super) inputs: Vec<InputScope>,
    pub(super) cells: Cells,
    pub(super) stateful: RefCell<Vec<Stateful>>,
    pub(super) enums: Vec<Enumeration>,
    pub(super) tasks: Vec<TaskScope>,
    pub(super) clocked: Cell<bool>,
    pub(super) expires: Cell<bool>,
    /// The terms of its expressions, to explain them.
    pub(super) outlines: RefCell<Vec<(Place, Outline)>>,
    /// Inputs that are read from the contexts of runs and texts.
    pub(super) told: Cell<u64>,
}

/// An expression, the inputs that it reads, and whether it reads tasks.
pub(super) struct Checked {
    pub(super) typed: Typed,
    pub(super) outline: Outline,
    pub(super) reads: u64,
    pub(super) reads_tasks: bool,
}

impl Work<'_> {
    /// These inputs are read from contexts.
    pub(super) fn tell(&self, inputs: u64) {
        self.told.set(self.told.get() | inputs);
    }

    /// Checks an expression of the file; mistakes are noted at their places.
    pub(super) fn check(&self, cel: &At<Cel>, allowed: Allowed) -> Option<Checked> {
        let scope = Scope {
            inputs: &self.inputs,
            cells: &self.cells,
            stateful: &self.stateful,
            enums: &self.enums,
            parameters: &self.spec.parameters,
            tasks: &self.tasks,
            allowed,
            read: Cell::new(0),
            reads_tasks: Cell::new(false),
            clocked: Cell::new(false),
            expires: Cell::new(false),
        };
        match check(&cel.value.0, &scope) {
            Ok(Outlined { typed, outline }) => {
                self.clocked.set(self.clocked.get() || scope.clocked.get());
                self.expires.set(self.expires.get() || scope.expires.get());
                if allowed.trigger {
                    self.tell(scope.read.get());
                }
                let (reads, reads_tasks) = (scope.read.get(), scope.reads_tasks.get());
                Some(Checked { typed, outline, reads, reads_tasks })
            }
            Err(mistakes) => {
                for m in mistakes {
                    let place = read::inside(&self.problems.source, cel.span, &cel.value.0, m.span);
                    self.problems.add_help(place, m.message, m.help);
                }
                None
            }
        }
    }

    /// Keeps the terms of an expression that is used at this place.
    pub(super) fn keep(&self, place: Place, checked: &Checked) {
        self.outlines.borrow_mut().push((place, checked.outline.clone()));
    }

    /// Checks a condition.
    pub(super) fn condition(&self, cel: &At<Cel>, allowed: Allowed, key: &str) -> Option<(BoolE, Checked)> {
        let checked = self.check(cel, allowed)?;
        match checked.typed.expr.clone() {
            Expr::Bool(x) => Some((x, checked)),
            Expr::Dyn(x) => Some((BoolE::FromDyn(Box::new(x)), checked)),
            other => {
                let message = format!("`{key}` must be true or false, this is {}", other.type_name());
                self.problems.add_help(cel.span, message, "compare it with something".to_owned());
                None
            }
        }
    }
}

fn rule(
    mut spec: RuleSpec,
    node: &Node,
    problems: &Problems<'_>,
    schemas: &dyn SchemaSource,
) -> Option<Rule> {
    let before = problems.count();
    efd::complete(&mut spec, problems);
    let name = spec.name.value.trim().to_owned();
    if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        problems
            .add(spec.name.span, "a rule's name has 1 to 200 characters, none of them a control character");
    }
    let mut work = Work {
        problems,
        schemas,
        spec: &spec,
        inputs: Vec::new(),
        cells: Cells::default(),
        stateful: RefCell::default(),
        enums: Vec::new(),
        tasks: Vec::new(),
        clocked: Cell::new(false),
        expires: Cell::new(false),
        outlines: RefCell::default(),
        told: Cell::new(0),
    };
    let inputs = inputs::inputs(&mut work);
    let by = keys::rule_key(&work, &inputs);
    let workflow = workflow::workflow(&mut work);
    let (trigger, when, when_reads) = trigger(&work);
    let alarm = alarm::alarm(&work, &trigger.on);
    if spec.alarm.is_none() && spec.tasks.0.is_empty() {
        problems.add(spec.span, "the rule does nothing: it has neither `tasks` nor `alarm`");
    }
    let tests = tests_section::tests(&work, &inputs);
    if problems.count() > before {
        return None;
    }
    let (workflow, steps) = workflow;
    let (plan, code) = alarm.unzip();
    let (clocked, expires) = (work.clocked.get(), work.expires.get());
    let inputs = inputs::finish(inputs, &work.cells, work.told.get());
    let (cells, stateful) = (work.cells.into_plans(), work.stateful.into_inner());
    let outlines = work.outlines.into_inner();
    let definition = text::definition(problems, node);
    let links = sources::links(&spec);
    let causes =
        spec.alarm.iter().flat_map(|alarm| &alarm.inhibit_by).map(|cause| cause.alarm.span).collect();
    Some(Rule {
        revision: text::revision(node),
        definition,
        name,
        description: spec.description.map(|d| d.value).unwrap_or_default(),
        mode: spec.mode.unwrap_or(Mode::Live),
        parameters: spec.parameters,
        trigger,
        workflow,
        alarm: plan,
        report: spec.report.and_then(|r| r.from).unwrap_or_default(),
        budget: spec.budget.unwrap_or_default(),
        priority: spec.priority.unwrap_or_default(),
        on_disable: spec.on_disable.unwrap_or_default(),
        span: spec.name.span,
        links,
        causes,
        tests,
        code: Code {
            inputs,
            cells,
            by,
            stateful,
            when,
            when_reads,
            clocked,
            expires,
            steps,
            alarm: code,
            outlines,
        },
    })
}

fn trigger(work: &Work<'_>) -> (Trigger, Option<BoolE>, u64) {
    let duration = |at: &Option<At<super::spec::Seconds>>, default: f64| {
        Duration::from_secs_f64(at.as_ref().map_or(default, |s| s.value.0))
    };
    let Some(spec) = &work.spec.trigger else {
        if let Some((key, _)) = work.spec.tasks.0.first() {
            let help = "give it a `trigger`: each, every, cron, when, or manual: true".to_owned();
            work.problems.add_help(key.span, "nothing starts these tasks", help);
        }
        let trigger = Trigger {
            on: Occasion::Manual,
            cooldown: Duration::ZERO,
            max_event_age: Duration::from_secs(600),
            max_concurrent: 1,
            overlap: super::model::Overlap::Queue,
            offset: Duration::ZERO,
            catch_up: super::model::CatchUp::Skip,
        };
        return (trigger, None, 0);
    };
    if work.spec.tasks.0.is_empty() && work.spec.alarm.is_some() {
        let help = "an alarm without tasks is judged whenever its inputs change; use `gate` to restrict it"
            .to_owned();
        work.problems.add_help(spec.span, "a trigger starts tasks, and the rule has none", help);
    }
    let allowed = Allowed { state: true, ..Allowed::default() };
    let when = spec.when.as_ref().and_then(|w| work.condition(w, allowed, "when"));
    let manual = spec.manual.as_ref().is_some_and(|m| m.value);
    let occasions = [spec.each.is_some(), spec.every.is_some(), spec.cron.is_some(), manual];
    if occasions.into_iter().filter(|written| *written).count() > 1 {
        work.problems.add(spec.span, "a trigger has one of `each`, `every`, `cron` and `manual: true`");
    } else if !spec.written {
        let message = "a trigger needs one of `each`, `every`, `cron`, `manual: true` and `when`";
        work.problems.add(spec.span, message);
    }
    let scheduled = schedule::occasion(work, spec);
    let on = if let Some(each) = &spec.each {
        let mut positions = Vec::new();
        for name in each {
            match work.spec.inputs.0.iter().position(|(k, _)| k.name == name.value) {
                Some(i) => positions.push(i),
                None => {
                    let help = suggest(
                        &name.value,
                        work.spec.inputs.0.iter().map(|(k, _)| k.name.as_str()),
                        "inputs",
                    );
                    work.problems.add_help(name.span, format!("there is no input \"{}\"", name.value), help);
                }
            }
        }
        Occasion::Each(positions)
    } else if let Some(scheduled) = scheduled {
        scheduled
    } else if manual {
        Occasion::Manual
    } else {
        Occasion::Edge
    };
    if let Some(most) = &spec.max_concurrent
        && most.value == 0
    {
        work.problems.add(most.span, "`max_concurrent` must be at least 1");
    }
    let trigger = Trigger {
        on,
        cooldown: duration(&spec.cooldown, 0.0),
        max_event_age: schedule::max_event_age(spec),
        max_concurrent: spec.max_concurrent.as_ref().map_or(1, |n| n.value as usize),
        overlap: spec.overlap.unwrap_or_default(),
        offset: duration(&spec.offset, 0.0),
        catch_up: schedule::catch_up(spec),
    };
    match when {
        Some((when, checked)) => {
            work.keep(Place::When, &checked);
            (trigger, Some(when), checked.reads)
        }
        None => (trigger, None, 0),
    }
}
