//! Counters that the parts feed and that `statistics` publishes each second.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use salobj::Value;

use super::Histogram;

/// What the parts count. Shared by reference; no lock.
#[derive(Debug, Default)]
pub struct Meter {
    /// Records taken from the bus.
    pub messages: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Records that were decoded and given to the core.
    pub samples: AtomicU64,
    /// Rules evaluated.
    pub evaluations: AtomicU64,
    /// Effects that the core decided on.
    pub effects: AtomicU64,
    /// Records that could not be decoded.
    pub decode_errors: AtomicU64,
    /// Samples dropped in favour of newer ones.
    pub conflated: AtomicU64,
    /// Batches that wait for the core.
    pub intake_queue: AtomicI64,
    /// Points that wait for the EFD.
    pub efd_queue: AtomicI64,
    /// Records behind the newest, all partitions.
    pub lag: AtomicI64,
    /// Bytes of the journal on disk.
    pub journal_bytes: AtomicU64,
    /// Time from a batch's arrival to the end of its evaluation.
    pub evaluation: Histogram,
    /// Time from a sample's send stamp to its arrival.
    pub bus: Histogram,
    /// Time of one journal append.
    pub journal: Histogram,
}

/// The counters at the last publication.
#[derive(Debug, Default)]
pub struct Figures {
    messages: u64,
    bytes: u64,
    samples: u64,
    evaluations: u64,
    effects: u64,
}

impl Meter {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Fields of `statistics`: rates over `elapsed` since `last`, quantiles since the last call. `tasks_waiting` and
    /// `effects_waiting` are the caller's.
    pub fn statistics(
        &self,
        last: &mut Figures,
        elapsed: Duration,
        tasks_waiting: i64,
        effects_waiting: i64,
    ) -> Vec<(&'static str, Value)> {
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let rate = |counter: &AtomicU64, last: &mut u64| {
            let now = counter.load(Ordering::Relaxed);
            let rate = now.saturating_sub(*last) as f64 / seconds;
            *last = now;
            Value::Double(rate)
        };
        let [evaluation_median, evaluation_99] = self.evaluation.take_quantiles([0.5, 0.99]);
        let [bus_median, bus_99] = self.bus.take_quantiles([0.5, 0.99]);
        let [journal_99] = self.journal.take_quantiles([0.99]);
        let whole = |n: &AtomicU64| Value::Int(n.load(Ordering::Relaxed).try_into().unwrap_or(i64::MAX));
        let level = |n: &AtomicI64| Value::Int(n.load(Ordering::Relaxed));
        vec![
            ("messageRate", rate(&self.messages, &mut last.messages)),
            ("byteRate", rate(&self.bytes, &mut last.bytes)),
            ("sampleRate", rate(&self.samples, &mut last.samples)),
            ("evaluationRate", rate(&self.evaluations, &mut last.evaluations)),
            ("effectRate", rate(&self.effects, &mut last.effects)),
            ("evaluationLatencyMedian", Value::Double(evaluation_median)),
            ("evaluationLatency99", Value::Double(evaluation_99)),
            ("busLatencyMedian", Value::Double(bus_median)),
            ("busLatency99", Value::Double(bus_99)),
            ("journalLatency99", Value::Double(journal_99)),
            ("intakeQueueDepth", level(&self.intake_queue)),
            ("effectQueueDepth", Value::Int(effects_waiting)),
            ("taskQueueDepth", Value::Int(tasks_waiting)),
            ("efdQueueDepth", level(&self.efd_queue)),
            ("consumerLag", level(&self.lag)),
            ("conflatedSamples", whole(&self.conflated)),
            ("decodeErrors", whole(&self.decode_errors)),
            ("memoryUsed", Value::Int(resident_bytes())),
            ("journalSize", whole(&self.journal_bytes)),
        ]
    }
}

/// Resident memory of this process, bytes; 0 where /proc does not say.
fn resident_bytes() -> i64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| {
        let resident = text.split_whitespace().nth(1)?;
        resident.parse::<i64>().ok()
    });
    pages.unwrap_or(0) * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_interface() {
        let catcher = sal_idl::Library::embedded().component("Catcher").unwrap();
        let topic = catcher.topic("tel_statistics").unwrap();
        let wanted: Vec<&str> = topic
            .fields
            .iter()
            .map(|f| f.name.as_str())
            .filter(|n| !n.starts_with("private_") && *n != "salIndex")
            .collect();
        let given = Meter::default().statistics(&mut Figures::default(), Duration::from_secs(1), 0, 0);
        assert_eq!(given.iter().map(|(name, _)| *name).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn rates_are_per_second_since_the_last_time() {
        let meter = Meter::default();
        Meter::add(&meter.messages, 50);
        let mut last = Figures::default();
        let rate = |fields: Vec<(&str, Value)>| fields[0].1.clone();
        assert_eq!(rate(meter.statistics(&mut last, Duration::from_secs(2), 0, 0)), Value::Double(25.0));
        assert_eq!(rate(meter.statistics(&mut last, Duration::from_secs(2), 0, 0)), Value::Double(0.0));
        assert!(resident_bytes() > 0);
    }
}
