//! From topics to the rules bound to them, and from a sample's cells to a rule's.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::state::RuleState;
use crate::rules::flow::{FieldNeed, History, Subscriptions, TopicNeed};
use crate::rules::keyed::MOST_KEYS;
use crate::rules::window::Length;
use crate::rules::windowed::WindowPlan;

/// One input of one rule, at its topic.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) rule: u32,
    pub(super) input: u16,
    /// Seconds; infinity if older values count as well.
    pub(super) max_age: f64,
    pub(super) filtered: bool,
    /// Values are only latched: there is nothing to evaluate.
    pub(super) plain: bool,
    /// From the sample's cell to the rule's cell.
    pub(super) first: (u16, u16),
    pub(super) rest: Box<[(u16, u16)]>,
    /// The sample's cells that the filter reads.
    pub(super) filter: Box<[u16]>,
    /// Those that the key of the input reads; none if it has none.
    pub(super) key: Option<Box<[u16]>>,
    /// Those that the key of the rule reads, if it reads this input.
    pub(super) member: Option<Box<[u16]>>,
}

/// The routes of a topic, each list in the order of the rules. A message costs what its instance's rules cost, however
/// many watch the others.
#[derive(Debug, Default)]
pub(super) struct TopicRoutes {
    /// By instance, in its order: the rules that watch it, and those that watch all.
    by_index: Vec<(i64, Vec<Route>)>,
    /// Rules that watch all instances, for the instances that nobody names.
    any: Vec<Route>,
}

impl TopicRoutes {
    fn of(all: Vec<(Option<i64>, Route)>) -> TopicRoutes {
        let mut by_index: BTreeMap<i64, Vec<Route>> =
            all.iter().filter_map(|(i, _)| Some(((*i)?, Vec::new()))).collect();
        for (index, route) in &all {
            match index {
                Some(index) => by_index.entry(*index).or_default().push(route.clone()),
                None => by_index.values_mut().for_each(|routes| routes.push(route.clone())),
            }
        }
        let any = all.into_iter().filter(|(i, _)| i.is_none()).map(|(_, r)| r).collect();
        TopicRoutes { by_index: by_index.into_iter().collect(), any }
    }

    /// The routes for a message of this instance.
    #[inline]
    pub(super) fn at(&self, index: i64) -> &[Route] {
        match self.by_index.binary_search_by_key(&index, |(of, _)| *of) {
            Ok(at) => &self.by_index[at].1,
            Err(_) => &self.any,
        }
    }
}

/// What has to be read for these rules, and the routes by topic.
pub(super) fn route(states: &[RuleState]) -> (Subscriptions, Vec<TopicRoutes>) {
    let mut topics: Vec<TopicNeed> = Vec::new();
    let mut known: HashMap<(String, String), usize> = HashMap::new();
    let mut fields: Vec<HashMap<FieldNeed, u16>> = Vec::new();
    let mut routes: Vec<Vec<(Option<i64>, Route)>> = Vec::new();
    for (i, state) in states.iter().enumerate() {
        let code = &state.rule.code;
        for (k, input) in code.inputs.iter().enumerate() {
            let id = *known.entry((input.component.clone(), input.sal_name.clone())).or_insert_with(|| {
                topics.push(TopicNeed {
                    component: input.component.clone(),
                    sal_name: input.sal_name.clone(),
                    indices: Some(Vec::new()),
                    fields: Vec::new(),
                    history: History::default(),
                });
                fields.push(HashMap::new());
                routes.push(Vec::new());
                topics.len() - 1
            });
            let topic = &mut topics[id];
            match (&mut topic.indices, input.index) {
                (all @ Some(_), None) => *all = None,
                (Some(some), Some(index)) if !some.contains(&index) => some.push(index),
                _ => {}
            }
            match input.window {
                Some(WindowPlan { length: Length::Seconds(s), .. }) => {
                    topic.history.span = topic.history.span.max(Duration::from_secs_f64(s));
                }
                Some(WindowPlan { length: Length::Count(n), .. }) => {
                    topic.history.count = topic.history.count.max(n);
                }
                None => {}
            }
            let of_rule = code.by.as_ref().and_then(|by| by.inputs[k].as_ref());
            if input.by.is_some() || of_rule.is_some() {
                // The newest of each key, as far as it counts.
                topic.history.count = topic.history.count.max(MOST_KEYS);
                if input.max_age.is_finite() {
                    topic.history.span = topic.history.span.max(Duration::from_secs_f64(input.max_age));
                }
            }
            let mut cell = |need: &FieldNeed| {
                *fields[id].entry(need.clone()).or_insert_with(|| {
                    topic.fields.push(need.clone());
                    (topic.fields.len() - 1) as u16
                })
            };
            let own = code.cells.iter().enumerate().filter(|(_, plan)| usize::from(plan.input) == k);
            let mut map: Vec<(u16, u16)> = own.map(|(at, plan)| (cell(&plan.need), at as u16)).collect();
            let filter = input.filter.iter().flat_map(|f| &f.needs).map(&mut cell).collect();
            let key = input.by.as_ref().map(|by| by.needs.iter().map(&mut cell).collect());
            let member = of_rule.map(|by| by.needs.iter().map(&mut cell).collect());
            let first = map.remove(0);
            let route = Route {
                rule: i as u32,
                input: k as u16,
                max_age: input.max_age,
                filtered: input.filter.is_some(),
                plain: input.filter.is_none() && input.by.is_none() && input.window.is_none(),
                first,
                rest: map.into(),
                filter,
                key,
                member,
            };
            routes[id].push((input.index, route));
        }
    }
    for topic in &mut topics {
        if let Some(indices) = &mut topic.indices {
            indices.sort_unstable();
        }
    }
    (Subscriptions { topics }, routes.into_iter().map(TopicRoutes::of).collect())
}
