//! The backend `influx_task`: a Flux task that InfluxDB 2 runs by itself, kept for a rule; the alternative that TSTN-034 names.
//!
//! A step sees to it that the task is there as the rule says it, waits until it has run `runs` times from then on, and tells how
//! those runs ended. A run that failed is a result (`outcome: failed`), not an error: other rules read it as `task:`. The
//! step fails if the task cannot be made, goes, or does not run in time.
//!
//! What makes it one task: its name, `Catcher:1/<rule>/<step>`. InfluxDB takes any number of tasks of one name, so it is looked up
//! before one is made, also after an answer that was lost, and of several (somebody copied it, a request arrived late) the
//! oldest stays. Its text is compared with that of the rule each time; what is the same is left alone.
//!
//! ```text
//!  look up ─ none ─► create ─┐                     runs scheduled later than the newest known one
//!     └──── there ─► update if it differs ─► since ─► ... ended? ─► read ─► result ─ keep: step ─► remove
//! ```
//!
//! With `keep: rule` the task stays between the runs of the rule, and goes when the rule, or its step, is gone
//! ([`Backend::rules`]). What the server does that one would not expect: a text with a mistake is 400 when a task is made and 500
//! when it is changed; a run is not to be seen for a moment between its end and its record; `afterTime` hides the newest run,
//! so it is not used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use salobj::Clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::service::{Failure, Pauses, Service};
use super::{Backend, StepHandle, efd_query, in_time, recalled};
use crate::outputs::efd::{Efd, TextQuery};
use crate::rules::{Rule, flux_only_reads, flux_task_buckets};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use params::{Keep, Params, Wanted};
use wire::{Run, Task};

mod config;
mod params;
#[cfg(test)]
mod tests;
mod wire;

pub use config::InfluxTaskConfig;

/// Tasks that are watched at a time.
const CONCURRENCY: usize = 16;
/// How often a request is made that is not answered, each time after a look.
const TRIES: usize = 3;
/// How long the removal of a task may take when its step was stopped.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters of what a run says that are told.
const WORDS: usize = 2000;

/// What is journaled: before anything is done the name; then which task, and which of its runs do not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memo {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watched: Option<Watched>,
}

/// A task as it is followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Watched {
    id: String,
    /// Only runs that were scheduled later count, TAI s.
    since: f64,
}

/// Who watches which task, by name.
#[derive(Debug, Default)]
struct Watchers(StdMutex<BTreeMap<String, Weak<()>>>);

impl Watchers {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Weak<()>>> {
        // Nothing is done half while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, as long as what is given lives.
    fn join(&self, name: &str) -> Arc<()> {
        let mut all = self.all();
        all.retain(|_, watching| watching.strong_count() > 0);
        let watching = all.get(name).and_then(Weak::upgrade).unwrap_or_default();
        all.insert(name.to_owned(), Arc::downgrade(&watching));
        watching
    }

    fn any(&self, name: &str) -> bool {
        self.all().get(name).is_some_and(|watching| watching.strong_count() > 0)
    }
}

/// Carries out `influx_task` steps.
pub struct InfluxTaskBackend {
    service: Arc<Service>,
    efd: Arc<dyn Efd>,
    org: String,
    buckets: BTreeSet<String>,
    poll: Duration,
    /// Whose tasks they are: `Catcher:1`.
    owner: String,
    clock: Clock,
    /// Held from the look-up of a task until it is made, and while one is removed: runs of one rule at the same time must not make
    /// two, nor take it from each other.
    making: Arc<Mutex<()>>,
    /// Who watches which task, by name: one that goes with its step goes with the last that watches it.
    watchers: Watchers,
}

impl InfluxTaskBackend {
    /// The server of a site. `owner` is the first part of the names of our tasks.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub fn new(
        config: &InfluxTaskConfig,
        owner: String,
        lookup: &dyn Fn(&str) -> Option<String>,
        clock: Clock,
    ) -> Result<InfluxTaskBackend, Vec<String>> {
        let (service, poll) = config.service(lookup)?;
        let efd = config.efd(lookup)?;
        let (org, buckets) = (config.org.clone(), config.write_buckets.iter().cloned().collect());
        let (service, making, watchers) = (Arc::new(service), Arc::default(), Watchers::default());
        Ok(InfluxTaskBackend { service, efd, org, buckets, poll, owner, clock, making, watchers })
    }

    fn name(&self, rule: &str, step: &str) -> String {
        format!("{}/{rule}/{step}", self.owner)
    }

    /// Only buckets that the site names are written to.
    fn may_write(&self, flux: &str) -> Result<(), String> {
        let wanted = flux_task_buckets(flux).map_err(|why| format!("`flux` cannot be a task: {why}"))?;
        match wanted.iter().find(|bucket| !self.buckets.contains(*bucket)) {
            None => Ok(()),
            Some(bucket) => Err(format!(
                "its task writes to bucket \"{bucket}\", which is not among the write_buckets of backends.influx_task"
            )),
        }
    }

    fn wanted(&self, call: &StepCall) -> Result<Wanted, String> {
        let params = Params::read(&call.params)?;
        self.may_write(&params.flux)?;
        if let Some(read) = &params.read {
            flux_only_reads(read).map_err(|why| format!("`read` is not asked: {why}"))?;
        }
        params.wanted(self.name(&call.rule, &call.id.step))
    }

    /// All tasks of that name, the oldest first.
    async fn find(&self, name: &str) -> Result<Vec<Task>, Failure> {
        let query = [("org".to_owned(), self.org.clone()), ("name".to_owned(), name.to_owned())];
        let found: wire::Tasks = self.service.get(&["api", "v2", "tasks"], &query).await?;
        let mut tasks = found.tasks;
        tasks.retain(|task| task.name == name);
        tasks.sort_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)));
        Ok(tasks)
    }

    async fn delete(&self, id: &str) -> Result<(), Failure> {
        let request = self.service.request(Method::DELETE, &["api", "v2", "tasks", id]);
        match self.service.send(request).await.map_err(Failure::Lost)?.failure() {
            None | Some(Failure::Gone(_)) => Ok(()),
            Some(failure) => Err(failure),
        }
    }

    /// The one task of that name, as the rule says it.
    async fn made(&self, wanted: &Wanted) -> Result<Task, Failure> {
        let one = Arc::clone(&self.making).lock_owned().await;
        let mut found = self.find(&wanted.name).await?.into_iter();
        let path = ["api", "v2", "tasks"];
        let (request, task) = match found.next() {
            Some(task) if task.flux == wanted.flux && task.status == "active" => (None, Some(task)),
            Some(task) => {
                let request = self.service.request(Method::PATCH, &[path[0], path[1], path[2], &task.id]);
                // Only these: with others the server writes the text anew, in its own way.
                (Some(request.json(&json!({"flux": wanted.flux, "status": "active"}))), None)
            }
            None => {
                let body = json!({
                    "org": self.org, "flux": wanted.flux, "status": "active",
                    "description": "Kept by the Catcher; changes made here are undone.",
                });
                (Some(self.service.request(Method::POST, &path).json(&body)), None)
            }
        };
        for other in found {
            tracing::warn!(
                "influx_task: there is more than one task {}; {} is removed",
                wanted.name,
                other.id
            );
            self.delete(&other.id).await?;
        }
        match (request, task) {
            (None, Some(task)) => Ok(task),
            (Some(request), _) => {
                let service = Arc::clone(&self.service);
                // It comes to its end also if this step is stopped meanwhile: the next look-up sees what came of it.
                let sent = tokio::spawn(async move {
                    let answer = service.send(request).await;
                    drop(one);
                    answer
                });
                let answer = sent.await.map_err(|e| Failure::Garbled(e.to_string()))?;
                answer.map_err(Failure::Lost)?.json()
            }
            (None, None) => Err(Failure::Garbled("no task".to_owned())),
        }
    }

    /// The same, looked up again if an answer is lost.
    async fn keep(&self, wanted: &Wanted) -> Result<Task, StepError> {
        let mut pauses = Pauses::new(self.poll);
        for left in (0..TRIES).rev() {
            match self.made(wanted).await {
                Ok(task) => return Ok(task),
                Err(Failure::Refused { status: 500, text }) if wire::is_mistake(&text) => {
                    return Err(StepError::permanent(format!(
                        "InfluxDB does not take the task's text: {text}"
                    )));
                }
                Err(failure) if failure.passes() && left > 0 => {
                    tracing::warn!("influx_task: {}: {failure}; it is looked up again", wanted.name);
                    pauses.wait().await;
                }
                Err(failure) => {
                    let text = format!("task {} could not be made or changed: {failure}", wanted.name);
                    // Whatever came of it is found by its name the next time.
                    let passes = failure.passes();
                    return Err(if passes { StepError::transient(text) } else { StepError::permanent(text) });
                }
            }
        }
        Err(StepError::transient(format!("task {} could not be made", wanted.name)))
    }

    /// Its newest runs, in any order.
    async fn runs(&self, id: &str, most: usize) -> Result<Vec<Run>, Failure> {
        let query = [("limit".to_owned(), most.to_string())];
        let runs: wire::Runs = self.service.get(&["api", "v2", "tasks", id, "runs"], &query).await?;
        Ok(runs.runs)
    }

    /// The task, and from when on its runs count.
    async fn begin(&self, wanted: &Wanted) -> Result<Watched, StepError> {
        let task = self.keep(wanted).await?;
        let known = match self.runs(&task.id, 10).await {
            Err(Failure::Gone(words)) => return Err(removed(&wanted.name, &words)),
            known => known?,
        };
        let times =
            known.iter().map(|run| run.scheduled_for.as_str()).chain(task.latest_completed.as_deref());
        let since = times.filter_map(wire::tai).fold(f64::NEG_INFINITY, f64::max);
        let since = if since.is_finite() { since } else { self.clock.now().0 };
        Ok(Watched { id: task.id, since })
    }

    /// Waits for its runs.
    async fn follow(&self, watched: &Watched, wanted: &Wanted) -> Result<Vec<Run>, StepError> {
        let mut pauses = Pauses::new(self.poll);
        let mut ended: BTreeMap<String, Run> = BTreeMap::new();
        let mut seen = Vec::new();
        loop {
            pauses.wait().await;
            match self.runs(&watched.id, wanted.runs + 20).await {
                Ok(runs) => {
                    let now: Vec<(String, String)> =
                        runs.iter().map(|run| (run.id.clone(), run.status.clone())).collect();
                    if now != seen {
                        pauses.reset();
                        seen = now;
                    }
                    let counts = |run: &Run| {
                        run.has_ended() && wire::tai(&run.scheduled_for).is_some_and(|at| at > watched.since)
                    };
                    ended.extend(runs.into_iter().filter(counts).map(|run| (run.id.clone(), run)));
                }
                Err(Failure::Gone(words)) => return Err(removed(&wanted.name, &words)),
                Err(failure) if failure.passes() => tracing::warn!("influx_task: {}: {failure}", wanted.name),
                Err(failure) => return Err(failure.into()),
            }
            if ended.len() >= wanted.runs {
                let mut all: Vec<Run> = ended.into_values().collect();
                all.sort_by(|a, b| a.scheduled_for.cmp(&b.scheduled_for));
                return Ok(all);
            }
        }
    }

    /// What the runs come to; what the last one wrote is read if it succeeded.
    async fn conclude(
        &self,
        call: &StepCall,
        watched: &Watched,
        wanted: &Wanted,
        runs: &[Run],
    ) -> Result<StepOutcome, StepError> {
        let Some(last) = runs.last() else { return Err(StepError::permanent("no run was seen")) };
        let failed: Vec<&Run> = runs.iter().filter(|run| run.status != "success").collect();
        let error: String =
            failed.last().map(|run| run.words()).unwrap_or_default().chars().take(WORDS).collect();
        let mut result = json!({
            "task_id": watched.id, "run_id": last.id, "outcome": last.status, "runs": runs.len(),
            "failed": failed.len(), "error": error, "started": last.started_at.as_deref().and_then(wire::tai),
            "finished": last.finished_at.as_deref().and_then(wire::tai),
            "time": [], "columns": {}, "n": 0, "truncated": false,
        });
        if let Some(flux) = wanted.read.clone().filter(|_| last.status == "success") {
            let query = TextQuery {
                flux: Some(flux),
                influxql: None,
                columns: wanted.columns.clone(),
                at: self.clock.now(),
                max_rows: wanted.rows,
                asked_by: format!("rule {}", call.rule),
            };
            let table = self.efd.ask(&query).await;
            let table = table.map_err(|e| efd_query::class(&e).with_result(result.clone()))?;
            if let (Some(own), Value::Object(read)) = (result.as_object_mut(), efd_query::result(&table)) {
                own.extend(read);
            }
        }
        Ok(StepOutcome { result, backend_id: watched.id.clone(), ..StepOutcome::default() })
    }

    async fn watch(
        &self,
        call: &StepCall,
        wanted: &Wanted,
        known: Option<Watched>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let watched = match known {
            Some(watched) => watched,
            None => {
                let watched = self.begin(wanted).await?;
                let memo = Memo { name: wanted.name.clone(), watched: Some(watched.clone()) };
                if let Err(e) = step.record(&json!(memo)).await {
                    tracing::warn!("influx_task: {}: {e}; after a restart it begins to watch anew", call.id);
                }
                watched
            }
        };
        step.progress(&watched.id).await;
        let runs = self.follow(&watched, wanted).await.map_err(|e| e.with_backend_id(&watched.id))?;
        self.conclude(call, &watched, wanted, &runs).await.map_err(|e| e.with_backend_id(&watched.id))
    }

    async fn carry_out(
        &self,
        call: &StepCall,
        memo: Option<Memo>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let nothing = |e: String| StepError::permanent(format!("{e}; nothing was done"));
        let wanted = self.wanted(call).map_err(nothing)?;
        if memo.is_none() {
            step.record(&json!(Memo { name: wanted.name.clone(), watched: None })).await?;
        }
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was done"));
        }
        let watching = self.watchers.join(&wanted.name);
        let outcome = tokio::select! {
            outcome = self.watch(call, &wanted, memo.and_then(|memo| memo.watched), step) => outcome,
            stop = step.stop_requested() => Err(stop.error(match wanted.keep {
                Keep::Step => "its task goes unless another run watches it",
                Keep::Rule => "its task goes on until the rule is removed",
            })),
        };
        if wanted.keep == Keep::Step {
            let removed = tokio::time::timeout(PATIENCE, self.leave(&wanted.name, watching)).await;
            if !matches!(removed, Ok(Ok(()))) {
                tracing::warn!(
                    "influx_task: {}: task {} could not be removed; it goes with the rule",
                    call.id,
                    wanted.name
                );
            }
        }
        outcome
    }

    /// Watches it no longer; removed is what nobody watches. Who joins meanwhile makes it anew.
    async fn leave(&self, name: &str, watching: Arc<()>) -> Result<(), Failure> {
        let _one = self.making.lock().await;
        drop(watching);
        if self.watchers.any(name) {
            return Ok(());
        }
        self.remove(name).await
    }

    async fn remove(&self, name: &str) -> Result<(), Failure> {
        for task in self.find(name).await? {
            self.delete(&task.id).await?;
        }
        Ok(())
    }

    /// All tasks that are ours.
    async fn ours(&self) -> Result<Vec<Task>, Failure> {
        let (mut ours, mut after) = (Vec::new(), None);
        loop {
            let mut query =
                vec![("org".to_owned(), self.org.clone()), ("limit".to_owned(), wire::PAGE.to_string())];
            query.extend(after.map(|id| ("after".to_owned(), id)));
            let page: wire::Tasks = self.service.get(&["api", "v2", "tasks"], &query).await?;
            let full = page.tasks.len() >= wire::PAGE;
            after = page.tasks.last().map(|task| task.id.clone());
            let prefix = format!("{}/", self.owner);
            ours.extend(page.tasks.into_iter().filter(|task| task.name.starts_with(&prefix)));
            if !full {
                return Ok(ours);
            }
        }
    }
}

/// Another attempt makes it anew.
fn removed(name: &str, words: &str) -> StepError {
    StepError::transient(format!("somebody removed task {name} while it was watched ({words})"))
}

#[async_trait]
impl Backend for InfluxTaskBackend {
    fn name(&self) -> &'static str {
        "influx_task"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        match params.get("flux").and_then(Value::as_str) {
            // What is filled in is looked at when it is.
            Some(flux) if !flux.contains("{{") && !flux.contains("{%") => self.may_write(flux),
            _ => Ok(()),
        }
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        self.carry_out(call, None, step).await
    }

    async fn resume(
        &self,
        call: &StepCall,
        memo: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let memo = recalled::<Memo>(memo, "task")?;
        if memo.is_none() {
            in_time(call, self.clock.now())?;
        }
        self.carry_out(call, memo, step).await
    }

    async fn rules(&self, all: &[Arc<Rule>]) -> Result<(), String> {
        let steps = all.iter().flat_map(|rule| {
            let steps = rule.workflow.iter().flat_map(|w| &w.steps).filter(|s| s.backend == "influx_task");
            steps.map(move |step| self.name(&rule.name, &step.name))
        });
        let kept: BTreeSet<String> = steps.collect();
        // Those of a `foreach` have the item behind the step.
        let step_of = |name: &str| name.rsplit_once('[').map_or(name, |(step, _)| step).to_owned();
        let is_kept = |name: &str| kept.contains(name) || kept.contains(&step_of(name));
        let words =
            |failure: Failure| format!("tasks of rules that are gone could not be removed: {failure}");
        for task in self.ours().await.map_err(words)?.iter().filter(|task| !is_kept(&task.name)) {
            tracing::info!("influx_task: the rule of task {} is gone; it is removed", task.name);
            self.delete(&task.id).await.map_err(words)?;
        }
        Ok(())
    }
}
