//! What the Catcher promised, and whether it kept it.

use std::collections::BTreeMap;

/// Promises in the order in which they were made.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Job number -> run id, `None` if the command was not answered before the kill.
    jobs: BTreeMap<String, Option<String>>,
    /// What the alarm may be: one value after an answered command, both after one that was not.
    acknowledged: Vec<bool>,
    unanswered: usize,
}

impl Ledger {
    /// `trigger` for this job was sent; its answer, if one came.
    pub(crate) fn triggered(&mut self, job: &str, run_id: Option<String>) {
        self.unanswered += usize::from(run_id.is_none());
        self.jobs.insert(job.to_owned(), run_id);
    }

    /// `acknowledge` (true) or `unacknowledge` was sent, and perhaps answered.
    pub(crate) fn alarm(&mut self, acknowledge: bool, answered: bool) {
        self.unanswered += usize::from(!answered);
        if answered {
            self.acknowledged.clear();
        } else if self.acknowledged.is_empty() {
            self.acknowledged.push(false);
        }
        if !self.acknowledged.contains(&acknowledge) {
            self.acknowledged.push(acknowledge);
        }
    }

    /// The alarm, as the restarted Catcher publishes it, is one that it may be.
    pub(crate) fn check_alarm(&self, acknowledged: bool, kill: u32) {
        assert!(
            self.acknowledged.contains(&acknowledged),
            "after kill {kill} the alarm is acknowledged={acknowledged}, it may be {:?}",
            self.acknowledged
        );
    }

    /// The alarm's history: raised once, then every acknowledgement and its end in turn, up to how the alarm stands.
    pub(crate) fn check_history(&self, history: &[serde_json::Value], acknowledged: bool, kill: u32) {
        let mut before = 0;
        let mut stands = false;
        for (n, transition) in history.iter().enumerate() {
            let id = transition["id"].as_u64().expect("a transition has a number");
            assert!(id > before, "after kill {kill}: transition {id} follows {before}");
            before = id;
            if n == 0 {
                assert_eq!(transition["moves"], serde_json::json!(["raised"]));
                continue;
            }
            let now = transition["after"]["acknowledged"].as_bool().unwrap_or(false);
            assert_ne!(now, stands, "after kill {kill} twice in a row: {transition}");
            assert_eq!(transition["cause"]["kind"], "command", "after kill {kill}: {transition}");
            stands = now;
        }
        assert_eq!(
            stands, acknowledged,
            "after kill {kill} the history ends otherwise than the alarm stands"
        );
    }

    /// Runs that were promised.
    pub(crate) fn run_ids(&self) -> Vec<String> {
        self.jobs.values().flatten().cloned().collect()
    }

    /// `commanded`: job number -> how often the OCPS was commanded.
    pub(crate) fn check_jobs(&self, commanded: &BTreeMap<String, usize>) {
        let twice: Vec<_> = commanded.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "commanded more than once: {twice:?}");
        let lost: Vec<_> =
            self.jobs.iter().filter(|(job, run)| run.is_some() && !commanded.contains_key(*job)).collect();
        assert!(lost.is_empty(), "promised and never commanded: {lost:?}");
    }

    /// One line for the log.
    pub(crate) fn summary(&self) -> String {
        let promised = self.run_ids().len();
        format!(
            "{promised} of {} triggers answered before their kill; {} commands of unknown outcome",
            self.jobs.len(),
            self.unanswered
        )
    }
}
