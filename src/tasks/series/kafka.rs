//! Series from the bus itself, by time.

use std::sync::Arc;
use std::time::Duration;

use sal_idl::names::kafka_topic;
use salobj::transport::{StartAt, Transport};
use salobj::wire::{Select, Want};
use salobj::{Clock, Tai, Value};

use super::rows::{MAX_ROWS, SeriesRow};
use super::{SeriesError, SeriesRequest};
use crate::tasks::scan::{Met, Scan};

/// How long the bus may take before anything is read.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads topics of the bus from a time on.
#[derive(Debug, Clone)]
pub struct KafkaSeries {
    transport: Arc<dyn Transport>,
    subname: String,
}

/// What the bus has.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) rows: Vec<SeriesRow>,
    /// True if nothing of the range has expired.
    pub(super) covers: bool,
    /// True if the end of the range was seen, or is not waited for.
    pub(super) end_seen: bool,
}

impl KafkaSeries {
    /// A reader of the topics `lsst.<subname>...`.
    pub fn new(transport: Arc<dyn Transport>, subname: impl Into<String>) -> Self {
        Self { transport, subname: subname.into() }
    }

    /// Reads from the begin of the range to its end, or to what is there; waits for the end until `wait_until`.
    pub(super) async fn read(
        &self,
        request: &SeriesRequest,
        clock: &Clock,
        wait_until: Tai,
    ) -> Result<Answer, SeriesError> {
        let unavailable = |reason: String| SeriesError::Unavailable { topic: request.topic_name(), reason };
        let topic = kafka_topic(&self.subname, &request.component, &request.sal_name);
        let start = StartAt::Time((request.from - request.margin()).utc_ms());
        let open = Scan::open(&self.transport, &topic, start, wants(request));
        // Real time: what is waited for here is a server.
        let mut scan = match tokio::time::timeout(PATIENCE, open).await {
            Ok(opened) => opened.map_err(|e| unavailable(e.to_string()))?,
            Err(_) => {
                return Err(unavailable(format!("the bus did not answer within {} s", PATIENCE.as_secs())));
            }
        };
        let answer = self.collect(&mut scan, request, clock, wait_until).await;
        scan.close().await;
        answer.map_err(unavailable)
    }

    async fn collect(
        &self,
        scan: &mut Scan,
        request: &SeriesRequest,
        clock: &Clock,
        wait_until: Tai,
    ) -> Result<Answer, String> {
        let mut answer = Answer { rows: Vec::new(), covers: true, end_seen: !request.waits };
        let mut caught_up = false;
        let mut trouble = String::new();
        while !(caught_up && answer.end_seen) {
            let met = tokio::select! {
                met = scan.next() => met,
                () = clock.sleep_until(wait_until), if caught_up => break,
                () = tokio::time::sleep(PATIENCE), if !caught_up => {
                    return Err(format!("the bus gave nothing for {} s{trouble}", PATIENCE.as_secs()));
                }
            };
            match met {
                // What is not in the topic any more may have been in the range, unless it never lost anything.
                Met::Begin { low, start } => answer.covers &= low == 0 || start > low,
                Met::CaughtUp => caught_up = true,
                Met::Trouble(error) => trouble = format!("; it said: {error}"),
                Met::Row(row) => {
                    let Some(row) = keep(request, row.cells) else { continue };
                    answer.end_seen |= request.last_stamp(&row) >= request.to.0;
                    answer.rows.push(row);
                    if answer.rows.len() > MAX_ROWS {
                        return Err(format!("more than {MAX_ROWS} records lie in the range"));
                    }
                    // Later records are of no use. (Those of one topic come in order.)
                    if request.waits && answer.end_seen {
                        break;
                    }
                }
            }
        }
        answer.covers |= answer.rows.first().is_some_and(|row| request.first_stamp(row) <= request.from.0);
        Ok(answer)
    }
}

/// The stamp, the index, then the columns.
fn wants(request: &SeriesRequest) -> Vec<Want> {
    let mut wants = vec![Want::field(request.stamp_field()), Want::field("salIndex")];
    wants.extend(request.columns.iter().map(|column| {
        let select = column.element.map_or(Select::All, Select::Element);
        Want::field(&column.field).select(select)
    }));
    wants
}

/// The row of the cells of [`wants`], if it is of the instance asked for.
fn keep(request: &SeriesRequest, mut cells: Vec<Value>) -> Option<SeriesRow> {
    let columns = cells.split_off(2);
    let stamp = match cells[0] {
        Value::Double(stamp) => stamp,
        Value::Int(stamp) => stamp as f64,
        _ => return None,
    };
    if let (Some(wanted), Value::Int(index)) = (request.index, &cells[1])
        && wanted != *index
    {
        return None;
    }
    Some(SeriesRow { stamp, cells: columns })
}
