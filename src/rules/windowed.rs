//! Windows of an input: one, or one for each element of an array.
//!
//! An array's elements have a window each, all incremental. Together they keep at most [`MOST_IN_ALL`] values; where a
//! window would need more, its oldest go, and are counted.

use salobj::Value;

use super::window::{Length, MOST, Reducer, Window};

/// Most values that the windows of one array keep together.
pub(crate) const MOST_IN_ALL: usize = 1_000_000;

/// What an input's window is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WindowPlan {
    /// How long it is.
    pub(crate) length: Length,
    /// What is made of its values.
    pub(crate) reducer: Reducer,
    /// With fewer values it is unknown.
    pub(crate) min_count: usize,
    /// Elements of the array; `None` is a single value.
    pub(crate) elements: Option<usize>,
}

impl WindowPlan {
    /// Most values that each window keeps.
    pub(crate) fn most(&self) -> usize {
        self.elements.map_or(MOST, |n| (MOST_IN_ALL / n.max(1)).min(MOST))
    }
}

/// The window of an input.
#[derive(Debug, Clone)]
pub(crate) enum Windowed {
    /// Of a single value.
    One(Window),
    /// Of each element.
    Each(Vec<Window>),
}

impl Windowed {
    pub(crate) fn new(plan: &WindowPlan) -> Windowed {
        let one = || Window::bounded(plan.length, plan.reducer, plan.min_count, plan.most());
        match plan.elements {
            None => Windowed::One(one()),
            Some(n) => Windowed::Each((0..n).map(|_| one()).collect()),
        }
    }

    /// Takes a field's value; what is missing or NaN is left out, for an array element by element.
    #[inline]
    pub(crate) fn push(&mut self, time: f64, value: &Value) {
        match (self, value) {
            (Windowed::One(window), Value::Double(v)) => window.push(time, *v),
            (Windowed::One(window), Value::Int(v)) => window.push(time, *v as f64),
            (Windowed::Each(all), Value::Doubles(v)) => {
                all.iter_mut().zip(v.iter()).for_each(|(window, v)| window.push(time, *v));
            }
            (Windowed::Each(all), Value::Ints(v)) => {
                all.iter_mut().zip(v.iter()).for_each(|(window, v)| window.push(time, *v as f64));
            }
            _ => {}
        }
    }

    /// Writes what is made of the values at a time; elements with too few are NaN.
    pub(crate) fn refresh(&mut self, now: f64, cell: &mut Value) {
        match self {
            Windowed::One(window) => *cell = Value::Double(window.value(now)),
            Windowed::Each(all) => {
                if let Value::Doubles(old) = cell
                    && old.len() == all.len()
                    && let Some(slots) = std::sync::Arc::get_mut(old)
                {
                    slots.iter_mut().zip(all).for_each(|(slot, window)| *slot = window.value(now));
                } else {
                    *cell = Value::Doubles(all.iter_mut().map(|window| window.value(now)).collect());
                }
            }
        }
    }

    /// When its value changes without a message.
    pub(crate) fn next_change(&self) -> f64 {
        match self {
            Windowed::One(window) => window.next_change(),
            Windowed::Each(all) => all.iter().map(Window::next_change).fold(f64::INFINITY, f64::min),
        }
    }

    /// Values dropped because a window was full.
    pub(crate) fn dropped(&self) -> u64 {
        match self {
            Windowed::One(window) => window.dropped,
            Windowed::Each(all) => all.iter().map(|w| w.dropped).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(elements: Option<usize>, reducer: Reducer) -> WindowPlan {
        WindowPlan { length: Length::Seconds(30.0), reducer, min_count: 2, elements }
    }

    proptest! {
        /// The windows of an array are those that each element would have alone.
        #[test]
        fn each_element_has_its_own(
            rows in prop::collection::vec((0_u32..20, prop::array::uniform3(prop_oneof![9 => -5.0..5.0_f64, 1 => Just(f64::NAN)])), 1..60)
        ) {
            for reducer in [Reducer::Ptp, Reducer::Mean, Reducer::Median] {
                let mut array = Windowed::new(&plan(Some(3), reducer));
                let mut alone: Vec<Windowed> = (0..3).map(|_| Windowed::new(&plan(None, reducer))).collect();
                let (mut now, mut cell) = (1e9, Value::Null);
                for (step, values) in &rows {
                    now += f64::from(*step);
                    array.push(now, &Value::Doubles((*values).into()));
                    array.refresh(now, &mut cell);
                    let Value::Doubles(got) = &cell else { panic!("{cell:?}") };
                    for (i, one) in alone.iter_mut().enumerate() {
                        let mut want = Value::Null;
                        one.push(now, &Value::Double(values[i]));
                        one.refresh(now, &mut want);
                        // As text, so that NaN equals NaN.
                        prop_assert_eq!(format!("{:?}", Value::Double(got[i])), format!("{want:?}"));
                    }
                }
            }
        }
    }

    #[test]
    fn all_elements_together_are_bounded() {
        let plan = WindowPlan { length: Length::Seconds(1e9), ..plan(Some(500), Reducer::Max) };
        assert_eq!(plan.most(), 2000);
        let mut array = Windowed::new(&plan);
        for i in 0..2010 {
            array.push(f64::from(i), &Value::Ints(vec![i64::from(-i); 500].into()));
        }
        assert_eq!(array.dropped(), 500 * 10);
        let mut cell = Value::Null;
        array.refresh(2009.0, &mut cell);
        let Value::Doubles(all) = cell else { panic!("{cell:?}") };
        assert!(all.iter().all(|v| *v == -10.0));
    }
}
