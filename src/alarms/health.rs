//! Are the alarms of any use? The figures of ISA-18.2, made of transitions.
//!
//! | figure | how it is counted here |
//! |---|---|
//! | annunciated | the severity that people are to see rose, from none or further ([`AlarmTransition::annunciates`]): not while the alarm is muted or kept back for its cause, but when that ends |
//! | in ten minutes | mean: annunciations by the length of the range; most: the largest number within any 600 s |
//! | flood | every instant at which more than [`FLOOD`] were annunciated within the 600 s before |
//! | top ten | alarms by their share of all annunciations |
//! | chattering | raised from none [`CHATTER`] times or more within 60 s, seen or not |
//! | standing | severity above none for more than 24 h without a break, within the range (ISA's "stale") |
//! | time to acknowledge | from the first annunciation that was not acknowledged yet to an acknowledgement by a person |
//!
//! Only annunciations and acknowledgements within the range count; how the alarms stood at its begin is known from the
//! transitions before it, and from what each transition says about the time before it.

use std::collections::{BTreeMap, VecDeque};

use salobj::Tai;
use serde::Serialize;

use super::history::{AlarmTransition, Cause, Move};
use super::severity::Severity;

/// Ten minutes, s.
pub const TEN_MINUTES_S: f64 = 600.0;
/// More than so many annunciations within ten minutes are a flood.
pub const FLOOD: usize = 10;
/// So many raises within a minute are chattering.
pub const CHATTER: usize = 3;
const MINUTE_S: f64 = 60.0;
const DAY_S: f64 = 86_400.0;
/// Alarms in a list of those that come most often.
const TOP: usize = 10;
/// Columns of the plot at most.
const MOST_BINS: f64 = 300.0;

/// The figures over a range of time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// Begin, TAI s.
    pub from: Tai,
    /// End, TAI s.
    pub to: Tai,
    /// Transitions within the range.
    pub transitions: usize,
    /// Annunciated alarms.
    pub annunciated: usize,
    /// The same by the severity reached: warning, serious, critical.
    pub by_severity: [usize; 3],
    /// Rises that people were not to see: muted, or kept back for a cause.
    pub hidden: usize,
    /// Annunciated in ten minutes, on the average.
    pub per_ten_minutes_mean: f64,
    /// The most within any ten minutes.
    pub per_ten_minutes_max: usize,
    /// Seconds in flood.
    pub flood_s: f64,
    /// The same as a share of the range, 0 to 1.
    pub flood_share: f64,
    /// The floods: begin, end.
    pub floods: Vec<(Tai, Tai)>,
    /// Those that come most often, the most first.
    pub top: Vec<Often>,
    /// Share of the annunciations that those of `top` have, 0 to 1.
    pub top_share: f64,
    /// Alarms that chattered, the worst first.
    pub chattering: Vec<Chattering>,
    /// Alarms that stood for more than a day, the longest first.
    pub standing: Vec<Stood>,
    /// How long people took to acknowledge.
    pub acknowledged: Acknowledged,
    /// Annunciations in equal stretches of time: begin, number.
    pub bins: Vec<(Tai, usize)>,
    /// Length of such a stretch, s.
    pub bin_s: f64,
    /// When each alarm of `top` stood at which severity, for the plot.
    #[serde(skip)]
    pub periods: Vec<Period>,
}

/// How often an alarm was annunciated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Often {
    /// Name.
    pub alarm: String,
    /// How often.
    pub count: usize,
    /// Share of all, 0 to 1.
    pub share: f64,
}

/// An alarm that comes and goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chattering {
    /// Name.
    pub alarm: String,
    /// Raises that were one of [`CHATTER`] or more within a minute.
    pub raises: usize,
    /// The most within any minute.
    pub most_a_minute: usize,
}

/// An alarm that stood for more than a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stood {
    /// Name.
    pub alarm: String,
    /// Since when.
    pub since: Tai,
    /// Until when; `None` if it stands at the end of the range.
    pub until: Option<Tai>,
    /// How long, up to the end of the range, s.
    pub length_s: f64,
}

/// How long people took.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Acknowledged {
    /// Acknowledged by people.
    pub count: usize,
    /// Half of them took no longer, s.
    pub median_s: Option<f64>,
    /// Of a hundred 95 took no longer, s (nearest rank).
    pub p95_s: Option<f64>,
    /// Acknowledged by time alone.
    pub automatic: usize,
    /// Annunciated and not acknowledged by anybody at the end of the range.
    pub waiting: usize,
}

/// An alarm at one severity.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    /// Name.
    pub alarm: String,
    /// Severity above none.
    pub severity: Severity,
    /// Begin.
    pub from: Tai,
    /// End, or the range's.
    pub to: Tai,
}

/// Takes transitions in their order, and makes the figures.
#[derive(Debug)]
pub struct Tally {
    from: Option<Tai>,
    to: Tai,
    transitions: usize,
    annunciations: Vec<f64>,
    by_severity: [usize; 3],
    hidden: usize,
    alarms: BTreeMap<String, Each>,
    delays: Vec<f64>,
    automatic: usize,
    stood: Vec<Stood>,
}

/// What is kept of one alarm.
#[derive(Debug, Default)]
struct Each {
    severity: Severity,
    /// Since when the severity is what it is; NaN if unknown.
    at: f64,
    /// Since when it is above none.
    stands_since: Option<f64>,
    count: usize,
    waiting_since: Option<f64>,
    /// Raises within the last minute.
    raises: VecDeque<f64>,
    /// Of those so many are counted as chattering already.
    counted: usize,
    chatter: usize,
    most_a_minute: usize,
    periods: Vec<(Severity, f64, f64)>,
}

impl Tally {
    /// Over this range; without a begin from the first transition on.
    pub fn new(from: Option<Tai>, to: Tai) -> Tally {
        Tally {
            from,
            to,
            transitions: 0,
            annunciations: Vec::new(),
            by_severity: [0; 3],
            hidden: 0,
            alarms: BTreeMap::new(),
            delays: Vec::new(),
            automatic: 0,
            stood: Vec::new(),
        }
    }

    /// The next transition. Those before the range are wanted too: they say how the alarms stood when it began.
    pub fn add(&mut self, t: &AlarmTransition) {
        if t.at.0 > self.to.0 {
            return;
        }
        let from = self.from.get_or_insert(t.at).0;
        let now = t.at.0;
        let counts = now >= from;
        self.transitions += usize::from(counts);
        let each = self.alarms.entry(t.alarm.clone()).or_insert_with(|| Each {
            severity: t.before.severity,
            at: t.before.since.map_or(now, |since| since.0.min(now)),
            stands_since: t.before.since.filter(|_| t.before.severity > Severity::None).map(|since| since.0),
            ..Each::default()
        });
        if t.after.severity != each.severity {
            each.close_period(now);
            if t.after.severity == Severity::None {
                if let Some(stood) = each.stood(&t.alarm, now, Some(t.at)).filter(|_| counts) {
                    self.stood.push(stood);
                }
                each.stands_since = None;
            } else if each.severity == Severity::None {
                each.stands_since = Some(now);
            }
            (each.severity, each.at) = (t.after.severity, now);
        }
        if t.moves.contains(&Move::Raised) && counts {
            each.raised(now);
        }
        if t.annunciates() {
            each.waiting_since.get_or_insert(now);
            if counts {
                each.count += 1;
                self.annunciations.push(now);
                let level = usize::try_from(i64::from(t.after.seen()) - 2).unwrap_or(0);
                self.by_severity[level.min(2)] += 1;
            }
        } else if t.after.severity > t.before.severity && counts {
            self.hidden += 1;
        }
        if t.after.acknowledged && !t.before.acknowledged {
            let since = each.waiting_since.take();
            match (&t.cause, since) {
                (Cause::Command { .. }, Some(since)) if counts => self.delays.push(now - since),
                (Cause::Deadline { .. }, Some(_)) if counts => self.automatic += 1,
                _ => {}
            }
        } else if t.after.max_severity == Severity::None {
            // Reset or removed: nobody needs to acknowledge it any more.
            each.waiting_since = None;
        }
    }

    /// The figures.
    pub fn finish(self) -> Health {
        let (to, from) = (self.to, self.from.unwrap_or(self.to));
        let length = (to.0 - from.0).max(0.0);
        let (mut stood, mut delays, times) = (self.stood, self.delays, self.annunciations);
        let mut alarms = self.alarms;
        for (name, each) in &mut alarms {
            stood.extend(each.stood(name, to.0, None));
            each.close_period(to.0);
        }
        stood.sort_by(|a, b| b.length_s.total_cmp(&a.length_s).then(a.alarm.cmp(&b.alarm)));
        let mut chattering: Vec<Chattering> = alarms
            .iter()
            .filter(|(_, each)| each.chatter > 0)
            .map(|(name, each)| Chattering {
                alarm: name.clone(),
                raises: each.chatter,
                most_a_minute: each.most_a_minute,
            })
            .collect();
        chattering.sort_by(|a, b| b.raises.cmp(&a.raises).then(a.alarm.cmp(&b.alarm)));
        let share = |count: usize| if times.is_empty() { 0.0 } else { count as f64 / times.len() as f64 };
        let mut top: Vec<Often> = alarms
            .iter()
            .filter(|(_, each)| each.count > 0)
            .map(|(name, each)| Often { alarm: name.clone(), count: each.count, share: share(each.count) })
            .collect();
        top.sort_by(|a, b| b.count.cmp(&a.count).then(a.alarm.cmp(&b.alarm)));
        top.truncate(TOP);
        let periods = top.iter().flat_map(|often| alarms[&often.alarm].periods_of(&often.alarm, from));
        let floods = floods(&times, to.0);
        let flood_s = floods.iter().map(|(begin, end)| end.0 - begin.0).fold(0.0, |sum, s| sum + s);
        let (bins, bin_s) = bins(&times, from, to);
        delays.sort_by(f64::total_cmp);
        Health {
            from,
            to,
            transitions: self.transitions,
            annunciated: times.len(),
            by_severity: self.by_severity,
            hidden: self.hidden,
            per_ten_minutes_mean: if length > 0.0 {
                times.len() as f64 * TEN_MINUTES_S / length
            } else {
                0.0
            },
            per_ten_minutes_max: most_within(&times, TEN_MINUTES_S),
            flood_s,
            flood_share: if length > 0.0 { flood_s / length } else { 0.0 },
            floods,
            top_share: share(top.iter().map(|often| often.count).sum()),
            periods: periods.collect(),
            top,
            chattering,
            standing: stood,
            acknowledged: Acknowledged {
                count: delays.len(),
                median_s: median(&delays),
                p95_s: nearest_rank(&delays, 0.95),
                automatic: self.automatic,
                waiting: alarms.values().filter(|each| each.waiting_since.is_some()).count(),
            },
            bins,
            bin_s,
        }
    }
}

impl Each {
    fn close_period(&mut self, now: f64) {
        if self.severity > Severity::None {
            self.periods.push((self.severity, self.at, now));
        }
    }

    /// It stood for more than a day.
    fn stood(&self, alarm: &str, now: f64, until: Option<Tai>) -> Option<Stood> {
        let since = self.stands_since.filter(|since| now - since > DAY_S)?;
        Some(Stood { alarm: alarm.to_owned(), since: Tai(since), until, length_s: now - since })
    }

    fn raised(&mut self, now: f64) {
        self.raises.push_back(now);
        while self.raises.front().is_some_and(|first| now - first > MINUTE_S) {
            self.raises.pop_front();
            self.counted = self.counted.saturating_sub(1);
        }
        if self.raises.len() >= CHATTER {
            self.chatter += self.raises.len() - self.counted;
            self.counted = self.raises.len();
            self.most_a_minute = self.most_a_minute.max(self.raises.len());
        }
    }

    fn periods_of(&self, alarm: &str, from: Tai) -> Vec<Period> {
        let within = self.periods.iter().filter(|(_, _, end)| *end > from.0);
        let period = |(severity, begin, end): &(Severity, f64, f64)| Period {
            alarm: alarm.to_owned(),
            severity: *severity,
            from: Tai(begin.max(from.0)),
            to: Tai(*end),
        };
        within.map(period).collect()
    }
}

/// Stretches of time at whose every instant more than [`FLOOD`] of these (in order) lie within the ten minutes before.
fn floods(times: &[f64], to: f64) -> Vec<(Tai, Tai)> {
    let mut floods: Vec<(Tai, Tai)> = Vec::new();
    for (i, begin) in times.iter().enumerate().skip(FLOOD) {
        // With the newest so many: until the first of them is ten minutes old, or the next comes.
        let end = (times[i - FLOOD] + TEN_MINUTES_S).min(times.get(i + 1).copied().unwrap_or(to)).min(to);
        if end <= *begin {
            continue;
        }
        match floods.last_mut() {
            Some(last) if last.1.0 >= *begin => last.1 = Tai(end),
            _ => floods.push((Tai(*begin), Tai(end))),
        }
    }
    floods
}

/// The most of these (in order) within any stretch of this length, its end not with it.
fn most_within(times: &[f64], length: f64) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (i, time) in times.iter().enumerate() {
        while time - times[first] >= length {
            first += 1;
        }
        most = most.max(i + 1 - first);
    }
    most
}

/// Numbers in stretches of a multiple of ten minutes, which begin at round UTC times.
fn bins(times: &[f64], from: Tai, to: Tai) -> (Vec<(Tai, usize)>, f64) {
    let (low, high) = (from.utc_unix(), to.utc_unix());
    let bin_s = ((high - low) / TEN_MINUTES_S / MOST_BINS).ceil().max(1.0) * TEN_MINUTES_S;
    let place = |utc: f64| (utc / bin_s).floor();
    let first = place(low);
    let count = (place(high) - first) as usize + 1;
    let mut bins: Vec<(Tai, usize)> =
        (0..count).map(|k| (Tai::from_utc_unix((first + k as f64) * bin_s), 0)).collect();
    for time in times {
        let k = (place(Tai(*time).utc_unix()) - first).max(0.0) as usize;
        if let Some(bin) = bins.get_mut(k) {
            bin.1 += 1;
        }
    }
    (bins, bin_s)
}

fn median(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    let (low, high) = (sorted.get(n.saturating_sub(1) / 2)?, sorted.get(n / 2)?);
    Some((low + high) / 2.0)
}

fn nearest_rank(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}
