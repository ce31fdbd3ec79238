//! Messages of inputs with `by`.

use salobj::Value;

use super::routes::Route;
use super::state::RuleState;
use crate::rules::expr::Mark;
use crate::rules::flow::Sample;

impl RuleState {
    /// Takes a message in under its key; false if it has none that is fit to be one.
    #[inline]
    pub(super) fn accept_keyed(
        &mut self,
        route: &Route,
        from: &[u16],
        sample: &Sample<'_>,
        live: bool,
    ) -> bool {
        let input = usize::from(route.input);
        let (Some(Some(table)), Some(by)) = (self.tables.get_mut(input), &self.rule.code.inputs[input].by)
        else {
            return false;
        };
        let mark = Mark {
            sent: sample.sent.0,
            received: sample.received.0,
            fresh_until: sample.sent.0 + route.max_age,
        };
        let mut scratch = std::mem::take(&mut table.scratch);
        let key = by.of(sample.cells, from, &mut scratch, &self.rule.parameters, mark);
        table.scratch = scratch;
        let Some(key) = key else {
            table.dropped += 1;
            return false;
        };
        let cell = |at: &(u16, u16)| sample.cells.get(usize::from(at.0)).unwrap_or(&Value::Null);
        table.accept(key, mark, live, std::iter::once(&route.first).chain(&*route.rest).map(cell));
        true
    }
}
