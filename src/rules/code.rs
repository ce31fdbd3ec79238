//! The programs and templates of a compiled rule, and the two questions that a run asks its rule.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use salobj::Value;
use serde_json::{Map, Value as Json};

use super::expr::lists::{to_json, value_of};
use super::expr::outline::Outline;
use super::expr::scope::CellPlan;
use super::expr::tree::{BoolE, Elem, Expr, NumE};
use super::expr::{Env, Mark, Stateful};
use super::flow::FieldNeed;
use super::keyed::{KeyCode, Table, Tables, frozen_tables};
use super::model::{FromLevel, Rule, RunContext, Tri};
use super::spec::{Join, OnIdle};
use super::template::{RenderError, Template};
use super::windowed::WindowPlan;
use crate::alarms::{Direction, Levels, Severity};

/// Everything of a rule that is evaluated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Code {
    pub(crate) inputs: Vec<InputCode>,
    pub(crate) cells: Vec<CellPlan>,
    /// The rule has a state for each key.
    pub(crate) by: Option<RuleKey>,
    pub(crate) stateful: Vec<Stateful>,
    /// `when` of the trigger.
    pub(crate) when: Option<BoolE>,
    /// The inputs that `when` reads.
    pub(crate) when_reads: u64,
    /// Something of the rule has to be looked at again as time goes on, each second.
    pub(crate) clocked: bool,
    /// Something of it asks whether values are outdated: it has to be looked at again when one is.
    pub(crate) expires: bool,
    pub(crate) steps: BTreeMap<String, StepCode>,
    pub(crate) alarm: Option<AlarmCode>,
    /// The terms of every expression, to explain what it gave.
    pub(crate) outlines: Vec<(Place, Outline)>,
}

/// Where an expression of a rule stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// `when` of the trigger.
    When,
    /// `filter` of this input.
    Filter(usize),
    /// `when` of this step.
    Step(String),
    /// `gate` of the alarm.
    Gate,
    /// `value` of this judgement.
    Value(usize),
    /// `severity` of this judgement.
    Severity(usize),
    /// The condition for this severity of this judgement.
    Level(usize, Severity),
}

/// The key of a rule.
#[derive(Debug, Clone)]
pub(crate) struct RuleKey {
    pub(crate) kind: Elem,
    /// How it is read from the messages of an input, for each input; none for those that all keys share.
    pub(crate) inputs: Vec<Option<KeyCode>>,
    /// As written.
    pub(crate) texts: Vec<String>,
    /// A key that is silent for so long goes, seconds.
    pub(crate) retire: Option<f64>,
}

/// One input.
#[derive(Debug, Clone)]
pub(crate) struct InputCode {
    pub(crate) name: String,
    pub(crate) component: String,
    pub(crate) sal_name: String,
    /// `None`: all instances.
    pub(crate) index: Option<i64>,
    pub(crate) filter: Option<Filter>,
    /// Values before the first message, by cell.
    pub(crate) initial: Vec<(u16, Value)>,
    /// Seconds; infinity if older values count as well.
    pub(crate) max_age: f64,
    pub(crate) window: Option<WindowPlan>,
    /// It keeps the newest of each key.
    pub(crate) by: Option<KeyCode>,
    /// Contexts have all its keys: something reads them there.
    pub(crate) told: bool,
    /// The cell, for an input that is one value.
    pub(crate) single: Option<u16>,
}

/// A condition on the message itself, and the fields it reads, in the order of its cells.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) expr: BoolE,
    pub(crate) needs: Vec<FieldNeed>,
}

/// What a step evaluates.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepCode {
    pub(crate) when: Option<BoolE>,
    /// Templates of its parameters by JSON pointer.
    pub(crate) params: Vec<(String, Template)>,
    /// The list of `foreach` as written, and its templates.
    pub(crate) foreach: Option<(Json, Vec<(String, Template)>)>,
    /// It commands another component.
    pub(crate) commands: bool,
}

/// How the alarm is judged.
#[derive(Debug, Clone)]
pub(crate) struct AlarmCode {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) gate: Option<(BoolE, OnIdle)>,
    pub(crate) join: Join,
    pub(crate) separator: String,
    pub(crate) on_idle: OnIdle,
    pub(crate) from: FromLevel,
    pub(crate) reason: Option<Template>,
    /// Its reason is the same as long as the severities of its conditions are.
    pub(crate) fixed_reason: bool,
    /// The inputs that it reads.
    pub(crate) reads: u64,
    /// It reads results of tasks.
    pub(crate) fed_by_tasks: bool,
}

/// One judgement.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) verdict: Verdict,
    /// Seconds that it must last; 0 at once.
    pub(crate) hold: f64,
    pub(crate) reason: Option<Template>,
}

/// What gives the severity.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// A value and its limits; the text of the value and its unit are for the default reason.
    Levels { value: NumE, levels: Levels, direction: Direction, text: String, unit: String },
    /// Conditions from the worst severity down, with their texts.
    Each(Vec<(Severity, BoolE, String)>),
    /// An expression that gives 1 to 4.
    Number(Expr, String),
}

fn fill(
    written: &Json,
    templates: &[(String, Template)],
    step: &str,
    ctx: &RunContext,
) -> Result<Json, RenderError> {
    let mut filled = written.clone();
    for (pointer, template) in templates {
        let slot = filled.pointer_mut(pointer).expect("the pointer was made from this value");
        *slot = template.value(ctx, None).map_err(|e| e.inside(step, pointer))?;
    }
    Ok(filled)
}

/// Cells, marks and maps for an evaluation outside the engine.
pub(crate) struct Frozen<'a> {
    cells: Vec<Value>,
    marks: Vec<Mark>,
    tables: Tables,
    ctx: &'a RunContext,
}

impl<'a> Frozen<'a> {
    /// The rule's cells as they were when the run was triggered.
    pub(crate) fn of(code: &Code, ctx: &'a RunContext) -> Frozen<'a> {
        let json_of = |plan: &CellPlan| {
            let input = &code.inputs[usize::from(plan.input)];
            let value = ctx.inputs.get(&input.name)?;
            if input.single.is_some() { Some(value) } else { value.get(&plan.need.name) }
        };
        let cells = code.cells.iter().map(|p| json_of(p).map(value_of).unwrap_or_default()).collect();
        let tables = frozen_tables(code, &ctx.inputs, ctx.at.0);
        let marks = code
            .inputs
            .iter()
            .map(|input| match ctx.inputs.contains_key(&input.name) {
                true => {
                    let sent = ctx.stamps.get(&input.name).copied().unwrap_or(ctx.at.0);
                    Mark { sent, received: sent, fresh_until: f64::INFINITY }
                }
                false => Mark::NEVER,
            })
            .collect();
        Frozen { cells, marks, tables, ctx }
    }

    pub(crate) fn env<'e>(&'e self, memory: &'e [super::expr::Memory], now: f64) -> Env<'e> {
        Env {
            cells: &self.cells,
            marks: &self.marks,
            tables: &self.tables,
            memory,
            now,
            parameters: &self.ctx.parameters,
            tasks: &self.ctx.tasks,
            trigger: &self.ctx.trigger,
            locals: RefCell::default(),
            why: Cell::new(None),
        }
    }
}

impl Code {
    /// Names of the inputs, for messages.
    pub(crate) fn input_names(&self) -> Vec<&str> {
        self.inputs.iter().map(|i| i.name.as_str()).collect()
    }

    /// The fields in the cells of an input, in their order.
    pub(crate) fn names_of(&self, input: usize) -> Vec<&str> {
        let own = self.cells.iter().filter(|plan| usize::from(plan.input) == input);
        own.map(|plan| plan.need.name.as_str()).collect()
    }

    /// The inputs as a run's context has them: those that are known.
    pub(crate) fn inputs_as_json(
        &self,
        cells: &[Value],
        marks: &[Mark],
        tables: &[Option<Box<Table>>],
        now: f64,
    ) -> Map<String, Json> {
        let mut all = Map::new();
        for (i, input) in self.inputs.iter().enumerate() {
            if let Some(Some(table)) = tables.get(i) {
                if input.told {
                    let entries = table.json(&self.names_of(i), input.single.is_some(), now);
                    all.insert(input.name.clone(), Json::Object(entries));
                }
                continue;
            }
            if now > marks[i].fresh_until {
                continue;
            }
            let known = |v: &Value| !matches!(v, Value::Null) && !matches!(v, Value::Double(d) if d.is_nan());
            if let Some(cell) = input.single {
                let value = &cells[usize::from(cell)];
                if known(value) {
                    all.insert(input.name.clone(), to_json(value));
                }
                continue;
            }
            let fields = self
                .cells
                .iter()
                .zip(cells)
                .filter(|(plan, value)| usize::from(plan.input) == i && known(value))
                .map(|(plan, value)| (plan.need.name.clone(), to_json(value)));
            all.insert(input.name.clone(), Json::Object(fields.collect()));
        }
        all
    }
}

impl Rule {
    /// Whether the step is to be run: its `when` on the run's context; true without one.
    pub fn step_when(&self, step: &str, ctx: &RunContext) -> Tri {
        let Some(when) = self.code.steps.get(step).and_then(|s| s.when.as_ref()) else { return Tri::True };
        let known = catch_unwind(AssertUnwindSafe(|| self.step_known(when, ctx)));
        known.unwrap_or_else(|_| Tri::Unknown("its evaluation broke down".to_owned()))
    }

    fn step_known(&self, when: &BoolE, ctx: &RunContext) -> Tri {
        let frozen = Frozen::of(&self.code, ctx);
        let env = frozen.env(&[], ctx.at.0);
        match when.get(&env) {
            Some(true) => Tri::True,
            Some(false) => Tri::False,
            None => {
                let names = self.code.input_names();
                Tri::Unknown(env.why.get().map_or_else(|| "unknown".to_owned(), |why| why.say(&names)))
            }
        }
    }

    /// The value that the alarm judges, on the run's context: for an alarm with `value`, that of its first condition.
    pub fn judged_value(&self, ctx: &RunContext) -> Option<f64> {
        catch_unwind(AssertUnwindSafe(|| self.value_of(ctx))).unwrap_or_default()
    }

    fn value_of(&self, ctx: &RunContext) -> Option<f64> {
        let alarm = self.code.alarm.as_ref()?;
        let frozen = Frozen::of(&self.code, ctx);
        let memory = vec![super::expr::Memory::default(); self.code.stateful.len()];
        let env = frozen.env(&memory, ctx.at.0);
        alarm.conditions.iter().find_map(|c| match &c.verdict {
            Verdict::Levels { value, .. } => Some(value.get(&env)).filter(|v| !v.is_nan()),
            Verdict::Each(_) | Verdict::Number(..) => None,
        })
    }

    /// The step's parameters with every template filled in. A text that is one single expression, such as
    /// `"{{ image.timestampAcquisitionStart }}"`, keeps the expression's type.
    ///
    /// # Errors
    /// If a value that a template uses is missing.
    pub fn render(&self, step: &str, ctx: &RunContext) -> Result<Json, RenderError> {
        let Some(plan) = self.workflow.as_ref().and_then(|w| w.step(step)) else {
            return Err(RenderError::unknown_step(step));
        };
        let templates = self.code.steps.get(step).map_or(&[][..], |s| &s.params);
        fill(&plan.params, templates, step, ctx)
    }

    /// The items of a step with `foreach`; one (the step itself) without it.
    ///
    /// # Errors
    /// A value is missing, or what it gives is neither a list nor a number of items.
    pub fn items(&self, step: &str, ctx: &RunContext) -> Result<Vec<Json>, String> {
        let foreach = self.code.steps.get(step).and_then(|s| s.foreach.as_ref());
        let Some((written, templates)) = foreach else { return Ok(vec![Json::Null]) };
        match fill(written, templates, step, ctx).map_err(|e| e.to_string())? {
            Json::Array(items) => Ok(items),
            Json::Object(items) => Ok(items.into_iter().map(|(key, _)| Json::String(key)).collect()),
            other => match other.as_u64() {
                Some(n) => Ok((0..n.min(1_000_000)).map(Json::from).collect()),
                None => Err(format!(
                    "task {step}: `foreach` gives {other}, which is no list and no number of items"
                )),
            },
        }
    }
}
