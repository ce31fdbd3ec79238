//! The `efd` inputs of rules: asks the EFD what they want to know, again and again, and tells the core.
//!
//! Each query is asked at multiples of its period, one at a time; one that is not answered within its time is given up,
//! and the rules that ask it say so. Nothing else waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use salobj::{Clock, Tai, Value};
use tokio::sync::watch;

use super::handle::CoreHandle;
use crate::outputs::efd::{Efd, SeriesQuery, TextColumn, TextQuery};
use crate::rules::{EfdColumn, EfdOf, EfdQuery, table_message};

/// Longest time for an answer, in real time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most rows of an answer.
const MOST_ROWS: usize = 10_000;

/// What is told to those who watch the server.
const ASKED_BY: &str = "input of a rule";

/// The queries that are wanted; the core loop says which.
pub type Wanted = watch::Receiver<BTreeSet<String>>;

/// See the module's documentation.
pub struct EfdInputs {
    /// The queries.
    pub wanted: Wanted,
    /// Who wants to know.
    pub core: CoreHandle,
    /// The EFD.
    pub efd: Arc<dyn Efd>,
    /// When to ask.
    pub clock: Clock,
}

/// A query and when it is asked next.
struct Asked {
    query: EfdQuery,
    due: Tai,
    under_way: bool,
}

/// Text of the query, and its answer.
type Answer = (String, Result<BTreeMap<String, Value>, String>);

impl EfdInputs {
    /// Asks until nobody wants anything any more (the core has gone).
    ///
    /// # Errors
    /// None: what fails is told to the core.
    pub async fn run(mut self) -> Result<(), String> {
        let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
        let mut answers: FuturesUnordered<BoxFuture<'static, Answer>> = FuturesUnordered::new();
        self.take_up(&mut asked);
        loop {
            let now = self.clock.now();
            for (text, one) in asked.iter_mut().filter(|(_, one)| !one.under_way && one.due.0 <= now.0) {
                one.under_way = true;
                answers.push(Box::pin(ask(Arc::clone(&self.efd), text.clone(), one.query.clone(), now)));
            }
            let idle = asked.values().filter(|one| !one.under_way);
            let next = idle.map(|one| one.due.0).fold(f64::INFINITY, f64::min);
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.take_up(&mut asked),
                    Err(_) => return Ok(()),
                },
                Some((text, answer)) = answers.next() => {
                    if let Some(one) = asked.get_mut(&text) {
                        one.under_way = false;
                        one.due = one.query.after(self.clock.now());
                        self.core.efd_answered(text, answer).await;
                    }
                }
                () = self.clock.sleep_until(Tai(next)), if next.is_finite() => {}
            }
        }
    }

    /// New queries are asked at once.
    fn take_up(&mut self, asked: &mut BTreeMap<String, Asked>) {
        let wanted = self.wanted.borrow_and_update().clone();
        asked.retain(|text, _| wanted.contains(text));
        for text in wanted {
            if let Some(query) = EfdQuery::parse(&text) {
                let due = self.clock.now();
                asked.entry(text).or_insert(Asked { query, due, under_way: false });
            }
        }
    }
}

async fn ask(efd: Arc<dyn Efd>, text: String, query: EfdQuery, now: Tai) -> Answer {
    (text, table(efd.as_ref(), &query, now).await)
}

/// What the EFD has to say to a rule's query as of a time: what expressions see of it.
///
/// # Errors
/// Why there is no answer, as a sentence.
pub(crate) async fn table(
    efd: &dyn Efd,
    query: &EfdQuery,
    at: Tai,
) -> Result<BTreeMap<String, Value>, String> {
    let asked = async {
        match (&query.of, query.texts_at(at)) {
            (EfdOf::Topic { component, sal_name, index }, _) => {
                let names: Vec<String> = query.columns.iter().map(|c| c.name.clone()).collect();
                let range = (Tai(at.0 - query.range_s), at);
                let mut series =
                    SeriesQuery::sal(component, sal_name, *index, names, range).asked_by(ASKED_BY);
                series.max_rows = MOST_ROWS;
                efd.query(&series).await
            }
            (EfdOf::Text { .. }, texts) => {
                let (flux, influxql) = texts.unwrap_or_default();
                let column = |c: &EfdColumn| TextColumn { name: c.name.clone(), text: c.text };
                let columns = query.columns.iter().map(column).collect();
                let (max_rows, asked_by) = (MOST_ROWS, ASKED_BY.to_owned());
                efd.ask(&TextQuery { flux, influxql, columns, at, max_rows, asked_by }).await
            }
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(table)) if table.truncated => {
            let what = if matches!(query.of, EfdOf::Topic { .. }) {
                "in the range; make it shorter"
            } else {
                "in the answer; let the query give fewer"
            };
            Err(format!("there are more than {MOST_ROWS} rows {what}"))
        }
        Ok(Ok(table)) => {
            let times: Vec<f64> = table.times.iter().map(|t| t.0).collect();
            let text = |name: &str| query.columns.iter().any(|c| c.text && c.name == name);
            let columns = table.columns.into_iter().map(|c| (c.name.clone(), text(&c.name), c.cells));
            Ok(table_message(&times, columns.collect()))
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests;
