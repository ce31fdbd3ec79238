//! The replayed samples that built-in analyses ask for, and the analyses that wait for the end of their range.

use std::collections::HashMap;

use salobj::{Tai, Value};

use crate::intake::SeriesNeed;
use crate::intake::recent::Kept;
use crate::rules::SchemaSource;
use crate::tasks::analysis::Source;
use crate::tasks::call::{StepCall, StepError, StepId, StepOutcome};
use crate::tasks::series::{self, RecentRows, SeriesRequest};
use crate::tasks::steps::analysis::Prepared;

/// How a step ended.
pub(super) type Outcome = Result<StepOutcome, StepError>;

/// One store for each need.
#[derive(Default)]
pub(super) struct Analyses {
    needs: Vec<SeriesNeed>,
    kept: Vec<Store>,
    waiting: Vec<Waiting>,
}

/// The rows of one need, and how far the recording has all of them.
struct Store {
    rows: Kept,
    /// The newest offset of each partition, and whether some may be missing behind it.
    newest: HashMap<i32, (i64, bool)>,
}

struct Waiting {
    id: StepId,
    prepared: Prepared,
    until: Tai,
    /// For each of its requests.
    stores: Vec<Option<usize>>,
}

impl Analyses {
    pub(super) fn new(needs: Vec<SeriesNeed>) -> Analyses {
        // What was before the first record of a topic is not known, as live.
        let store = |need| Store { rows: Kept::of(need, None, None), newest: HashMap::new() };
        let kept = needs.iter().map(store).collect();
        Analyses { needs, kept, waiting: Vec::new() }
    }

    pub(super) fn needs(&self) -> &[SeriesNeed] {
        &self.needs
    }

    /// A row of a record at this partition and offset. One that comes again, as the history of a process that began
    /// later, counts once.
    pub(super) fn push(
        &mut self,
        which: usize,
        (partition, offset): (i32, i64),
        sal_index: i64,
        sent: Tai,
        cells: Box<[Value]>,
    ) {
        let Store { rows, newest } = &mut self.kept[which];
        if let Some((known, may_lack)) = newest.get_mut(&partition) {
            if offset <= *known {
                return;
            }
            if *may_lack && offset > *known + 1 {
                rows.lack_before(sent);
            }
        }
        newest.insert(partition, (offset, false));
        rows.push(partition, sal_index, sent, cells.into_iter());
    }

    /// Here the recording may lack records: a session ended, or some were lost.
    pub(super) fn interrupted(&mut self) {
        let all = self.kept.iter_mut().flat_map(|store| store.newest.values_mut());
        all.for_each(|(_, may_lack)| *may_lack = true);
    }

    /// Begins an analysis; what it comes to if that can be said at once.
    pub(super) fn begin(&mut self, call: &StepCall, schemas: &dyn SchemaSource, now: Tai) -> Option<Outcome> {
        let prepared = match Prepared::read(call, schemas, now) {
            Ok(prepared) => prepared,
            Err(error) => return Some(Err(error)),
        };
        let store = |request: &SeriesRequest| {
            let of = |n: &SeriesNeed| n.component == request.component && n.sal_name == request.sal_name;
            self.needs.iter().position(of)
        };
        let stores = prepared.requests.iter().map(store).collect();
        let wait = prepared.wait().min(call.timeout);
        let waiting = Waiting { id: call.id.clone(), until: now + wait, stores, prepared };
        if let Some(outcome) = self.try_end(&waiting, now) {
            return Some(outcome);
        }
        self.waiting.push(waiting);
        None
    }

    /// Those that end now: because the end of their range was seen, or because they waited long enough.
    pub(super) fn ended(&mut self, now: Tai, which: Option<usize>) -> Vec<(StepId, Outcome)> {
        let mut ended = Vec::new();
        let mut i = 0;
        while i < self.waiting.len() {
            let concerned = which.is_none() || self.waiting[i].stores.contains(&which);
            match if concerned { self.try_end(&self.waiting[i], now) } else { None } {
                Some(outcome) => ended.push((self.waiting.remove(i).id, outcome)),
                None => i += 1,
            }
        }
        ended
    }

    /// True while anything waits.
    pub(super) fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When [`Analyses::ended`] has something next without another sample.
    pub(super) fn next_deadline(&self) -> Option<Tai> {
        self.waiting.iter().map(|w| w.until).min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Lets one go; true if it was there.
    pub(super) fn abort(&mut self, id: &StepId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|w| w.id != *id);
        self.waiting.len() < before
    }

    fn try_end(&self, waiting: &Waiting, now: Tai) -> Option<Outcome> {
        let mut read = Vec::with_capacity(waiting.stores.len());
        for (request, store) in waiting.prepared.requests.iter().zip(&waiting.stores) {
            let Some(found) = store.and_then(|i| self.kept[i].rows.read(request)) else {
                let text = format!("the recording has nothing of {}", request.topic_name());
                return Some(Err(StepError::permanent(text)));
            };
            if !request.end_seen(&found.rows) && now.0 < waiting.until.0 {
                return None;
            }
            read.push((request, found));
        }
        let sets = read.into_iter().map(|(request, RecentRows { rows, since })| {
            // A live Catcher reads on in Kafka and in the EFD; a replay has what was recorded.
            let complete = request.end_seen(&rows) && since.0 <= request.from.0;
            series::set(request, &rows, Source::Memory, complete)
        });
        let sets: Result<Vec<_>, _> = sets.collect();
        Some(
            sets.map_err(|e| StepError::permanent(e.to_string()))
                .and_then(|sets| waiting.prepared.outcome(sets)),
        )
    }
}
