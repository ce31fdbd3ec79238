//! The usual case, made short: the alarm compares one value with limits, nothing is wrong, and nothing was said. Two
//! comparisons then tell that it stays so, and neither the rule nor its conditions need be looked at.

use crate::rules::code::{AlarmCode, Code, Verdict};
use crate::rules::expr::tree::{BoolE, CellRef, Cmp, NumE};

/// The values of one cell with which an alarm that is at none stays there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Calm {
    pub(super) at: CellRef,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Calm {
    /// Of a rule whose alarm is of this kind and all that it has; `None` for any other.
    pub(super) fn of(code: &Code) -> Option<Calm> {
        let alarm = code.alarm.as_ref()?;
        if code.clocked
            || code.expires
            || !code.stateful.is_empty()
            || code.inputs.iter().any(|i| i.window.is_some())
        {
            return None;
        }
        Calm::of_alarm(alarm)
    }

    fn of_alarm(alarm: &AlarmCode) -> Option<Calm> {
        if alarm.gate.is_some() || alarm.fed_by_tasks {
            return None;
        }
        let mut all: Option<Calm> = None;
        for condition in &alarm.conditions {
            let one = match &condition.verdict {
                Verdict::Levels { value: NumE::Cell(at), levels, .. } => {
                    let (low, high) = levels.calm();
                    all_of(all, Calm { at: *at, low, high })
                }
                Verdict::Each(levels) => levels
                    .iter()
                    .try_fold(all, |all, (_, level, _)| all_of(all, Calm::of_comparison(level)?).map(Some))?,
                Verdict::Levels { .. } | Verdict::Number(..) => None,
            };
            all = Some(one?);
        }
        all
    }

    /// Where a comparison with a constant is false.
    fn of_comparison(level: &BoolE) -> Option<Calm> {
        let BoolE::Num(cmp, NumE::Cell(at), NumE::Const(limit)) = level else { return None };
        let (low, high) = match cmp {
            Cmp::Gt => (f64::NEG_INFINITY, *limit),
            Cmp::Ge => (f64::NEG_INFINITY, limit.next_down()),
            Cmp::Lt => (*limit, f64::INFINITY),
            Cmp::Le => (limit.next_up(), f64::INFINITY),
            Cmp::Eq | Cmp::Ne => return None,
        };
        Some(Calm { at: *at, low, high })
    }

    /// False for NaN.
    #[inline]
    pub(super) fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Both at once; `None` if they look at different cells.
fn all_of(all: Option<Calm>, one: Calm) -> Option<Calm> {
    let Some(all) = all else { return Some(one) };
    (all.at == one.at).then_some(Calm { at: one.at, low: all.low.max(one.low), high: all.high.min(one.high) })
}
