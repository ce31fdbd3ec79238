//! The Catcher's way: intake, decoding of the needed fields, 215 rules, what the triggers want done journaled and synced.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use catcher::intake::{Intake, Positions};
use catcher::journal::{FileJournal, Journal as _, Record};
use catcher::rules::{Effect, Engine, Input, RunRequest};
use catcher::telemetry::Meter;
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::{Clock, Env, Tai};
use serde_json::json;

use crate::rules;

/// What one round found.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Outcome {
    /// Records read each second, from the subscription to the last record.
    pub(crate) rate: f64,
    /// Rules evaluated each second.
    pub(crate) evaluation_rate: f64,
    /// Rules loaded.
    pub(crate) rules: usize,
    /// Runs started.
    pub(crate) runs: u64,
    /// Severities that changed.
    pub(crate) severities: u64,
    /// Times the journal was synced.
    pub(crate) syncs: u64,
}

impl Outcome {
    /// Notes what is to be journaled. Nothing carries out a run here: it ends at once, and the next may start.
    fn take(
        &mut self,
        effect: Effect,
        now: Tai,
        engine: &mut Engine,
        journaled: &mut Vec<Record>,
        more: &mut Vec<Effect>,
    ) -> anyhow::Result<()> {
        match effect {
            Effect::StartRun(run) => {
                self.runs += 1;
                journaled.push(record(&run, "running"));
                let ended = Input::RunEnded { rule: &run.rule.name, run_id: &run.run_id };
                engine.step(ended, now, more);
            }
            Effect::QueueRun(run) => journaled.push(record(&run, "pending")),
            Effect::SetSeverity { alarm, severity, reason, .. } => {
                self.severities += 1;
                let content = json!({"severity": severity, "reason": reason});
                journaled.push(Record::put(format!("alarm/{alarm}"), content));
            }
            Effect::SkipRun { reason, .. } => bail!("no run is skipped here: {reason}"),
            Effect::Quarantine { reason, .. } => bail!("a rule was stopped: {reason}"),
            Effect::CancelRun { .. }
            | Effect::RuleError { .. }
            | Effect::KeySeen { .. }
            | Effect::KeyGone { .. } => {}
        }
        Ok(())
    }
}

fn record(run: &RunRequest, state: &str) -> Record {
    let content =
        json!({"rule": run.rule.name, "state": state, "occurrence": run.occurrence, "context": run.context});
    Record::put(format!("run/{}", run.run_id), content)
}

/// Reads `records` records from the beginning of the topics, all as live.
pub(crate) async fn run(env: &Env, topics: &[String], records: u64) -> anyhow::Result<Outcome> {
    let rules = rules::compiled()?;
    let clock = Clock::System;
    let mut engine = Engine::new(&rules, clock.now());
    let folder = tempfile::tempdir()?;
    let (mut journal, _) = FileJournal::open(folder.path())?;
    let meter = Arc::new(Meter::default());
    let transport = Arc::new(KafkaTransport::new(env, KafkaOptions::default())?);
    let group = format!("{}_engine", topics[0]);
    let mut intake = Intake::new(transport, clock.clone(), env.topic_subname.clone(), group, meter.clone());
    // As after a restart that missed everything: noted at offset 0, so all records are live.
    let noted = topics.iter().map(|topic| (topic.clone(), [(0, 0)].into())).collect();
    let noted = Positions { at: clock.now(), next: noted };

    let mut outcome = Outcome { rules: rules.len(), ..Outcome::default() };
    let before = engine.evaluations();
    let start = Instant::now();
    intake.subscribe(engine.subscriptions(), &noted).await?;
    let (mut effects, mut journaled) = (Vec::new(), Vec::new());
    while meter.messages.load(Ordering::Relaxed) < records {
        let came = tokio::time::timeout(Duration::from_secs(60), intake.wait()).await;
        came.with_context(|| format!("only {} of {records} came", meter.messages.load(Ordering::Relaxed)))?;
        let now = clock.now();
        intake
            .drain(|sample, live| {
                let input = if live { Input::Sample(sample) } else { Input::History(sample) };
                engine.step(input, now, &mut effects);
            })
            .await;
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                outcome.take(effect, now, &mut engine, &mut journaled, &mut effects)?;
            }
        }
        if !journaled.is_empty() {
            journaled.push(Record::put("positions", serde_json::to_value(intake.positions())?));
            journal.append(&journaled)?;
            outcome.syncs += 1;
            journaled.clear();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    intake.close().await;
    outcome.rate = records as f64 / seconds;
    outcome.evaluation_rate = (engine.evaluations() - before) as f64 / seconds;
    let samples = meter.samples.load(Ordering::Relaxed);
    ensure!(samples == records, "{samples} samples of {records} records: some were not decoded");
    ensure!(outcome.runs > 0 && outcome.severities > 0, "nothing was triggered: {outcome:?}");
    Ok(outcome)
}
