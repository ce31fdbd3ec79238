//! From a recording's records to the samples that the rules need: what `intake` does with records of the bus.

use std::collections::HashMap;
use std::sync::Arc;

use salobj::wire::unframe;
use salobj::{Tai, Value};

use super::archive::{Body, RecordRef, TopicDecl};
use crate::intake::SeriesNeed;
use crate::intake::decode::Decoder;
use crate::intake::subscriptions;
use crate::rules::{Sample, Source, Subscriptions, TopicId, TopicNeed};

/// The topics that are wanted, and how their records are read.
#[derive(Default)]
pub(super) struct Bound {
    topics: Vec<Topic>,
    /// By number of the recording.
    decls: Vec<Option<TopicDecl>>,
    places: Vec<Option<usize>>,
    schemas: HashMap<u32, Arc<str>>,
    cells: Vec<Value>,
}

struct Topic {
    need: TopicNeed,
    for_rules: Option<TopicId>,
    /// Which of `series` it is, and which cells those are.
    series: Option<(usize, Vec<usize>)>,
    series_fields: Vec<String>,
    decoder: Decoder,
    known: Vec<u32>,
    /// For records that are cells: where the wanted ones are.
    columns: Vec<Option<usize>>,
    /// Records that could not be read.
    errors: u64,
}

/// What a record gives.
pub(super) struct Taken<'a> {
    /// For the rules, if it is for them.
    pub(super) sample: Option<Sample<'a>>,
    /// For the analyses: which series, instance, send stamp, cells.
    pub(super) row: Option<(usize, i64, Tai, Box<[Value]>)>,
}

impl Bound {
    /// Reads for these needs from now on.
    pub(super) fn bind(&mut self, wanted: &Subscriptions, series: &[SeriesNeed]) {
        let is_of =
            |s: &SeriesNeed, need: &TopicNeed| s.component == need.component && s.sal_name == need.sal_name;
        let mut needs: Vec<(TopicNeed, Option<TopicId>)> =
            (0..).zip(&wanted.topics).map(|(id, need)| (need.clone(), Some(TopicId(id)))).collect();
        for one in series {
            if !needs.iter().any(|(need, _)| is_of(one, need)) {
                needs.push((subscriptions::only_series(one), None));
            }
        }
        let make = |(need, for_rules): (TopicNeed, Option<TopicId>)| {
            let which = series.iter().position(|s| is_of(s, &need));
            let series_fields: Vec<String> =
                which.iter().flat_map(|i| series[*i].fields.iter().cloned()).collect();
            let (wants, places) = subscriptions::cells(&need, &series_fields);
            Topic {
                series: which.map(|i| (i, places)),
                series_fields,
                decoder: Decoder::new(wants),
                known: Vec::new(),
                columns: Vec::new(),
                errors: 0,
                for_rules,
                need,
            }
        };
        self.topics = needs.into_iter().map(make).collect();
        for number in 0..self.decls.len() {
            self.place(number);
        }
    }

    /// A session begins: numbers of topics and schemas mean nothing any more.
    pub(super) fn session(&mut self) {
        self.decls.clear();
        self.places.clear();
        self.schemas.clear();
        for topic in &mut self.topics {
            let (wants, _) = subscriptions::cells(&topic.need, &topic.series_fields);
            topic.decoder = Decoder::new(wants);
            topic.known.clear();
        }
    }

    pub(super) fn schema(&mut self, id: u32, text: &str) {
        self.schemas.insert(id, text.into());
    }

    pub(super) fn topic(&mut self, decl: TopicDecl) {
        let number = decl.number as usize;
        if number >= self.decls.len() {
            self.decls.resize(number + 1, None);
            self.places.resize(number + 1, None);
        }
        self.decls[number] = Some(decl);
        self.place(number);
    }

    /// True if any record of a topic of this number is wanted.
    pub(super) fn wants(&self, number: u32) -> bool {
        matches!(self.places.get(number as usize), Some(Some(_)))
    }

    fn place(&mut self, number: usize) {
        let Some(decl) = &self.decls[number] else { return };
        let is_of = |need: &TopicNeed| match need.source() {
            Source::Kafka(name, _) => name == decl.name,
            _ => need.component == decl.component && need.sal_name == decl.sal_name,
        };
        let at = self.topics.iter().position(|t| is_of(&t.need));
        self.places[number] = at;
        if let Some(topic) = at.map(|i| &mut self.topics[i])
            && !decl.fields.is_empty()
        {
            let own = topic.need.fields.iter().map(|need| need.name.as_str());
            let all: Vec<&str> = own.chain(topic.series_fields.iter().map(String::as_str)).collect();
            topic.columns = all.iter().map(|name| decl.fields.iter().position(|f| f == name)).collect();
        }
    }

    /// Reads a record; `received` is its time for the rules. `Ok(None)` if nobody wants it.
    ///
    /// # Errors
    /// Why it cannot be read; it is to be skipped, as live.
    #[inline]
    pub(super) fn take(
        &mut self,
        record: &RecordRef<'_>,
        received: Tai,
    ) -> Result<Option<Taken<'_>>, String> {
        let Some(Some(at)) = self.places.get(record.topic as usize) else { return Ok(None) };
        let topic = &mut self.topics[*at];
        let count = topic.need.fields.len();
        let (sal_index, sent, cells, series_cells): (i64, Tai, &[Value], Option<Box<[Value]>>) = match &record
            .body
        {
            Body::None => return Ok(None),
            Body::Avro(value) => {
                let (id, _) = unframe(value).map_err(|e| e.to_string())?;
                if !topic.known.contains(&id) {
                    topic.known.push(id);
                    let none = || Err(format!("the recording has no schema {id}"));
                    topic.decoder.learn(id, &self.schemas.get(&id).map_or_else(none, |s| Ok(s.clone())));
                }
                let decoded = topic.decoder.decode_value(value, record.timestamp_ms, received)?;
                let series = topic.series.as_ref();
                let row =
                    series.map(|(_, places)| places.iter().map(|p| decoded.cells[*p].clone()).collect());
                (decoded.sal_index, decoded.sent, &decoded.cells[..count], row)
            }
            Body::Cells { sal_index, sent, cells } => {
                let whole = |i: usize| -> &Value {
                    topic.columns.get(i).copied().flatten().and_then(|c| cells.get(c)).unwrap_or(&Value::Null)
                };
                self.cells.clear();
                self.cells.extend(topic.need.fields.iter().enumerate().map(|(i, n)| n.part.of(whole(i))));
                let row = topic
                    .series
                    .as_ref()
                    .map(|_| (count..count + topic.series_fields.len()).map(|i| whole(i).clone()).collect());
                (*sal_index, *sent, self.cells.as_slice(), row)
            }
        };
        let wanted = topic.need.indices.as_ref().is_none_or(|wanted| wanted.contains(&sal_index));
        let sample = topic.for_rules.filter(|_| wanted).map(|id| Sample {
            topic: id,
            sal_index,
            sent,
            received,
            partition: record.partition,
            offset: record.offset,
            cells,
        });
        let which = topic.series.as_ref().map(|(i, _)| *i);
        let row = which.zip(series_cells).map(|(which, cells)| (which, sal_index, sent, cells));
        Ok(Some(Taken { sample, row }))
    }

    /// Counts a record that could not be read; true if it is to be told (the first of its topic).
    pub(super) fn count_error(&mut self, number: u32) -> bool {
        let Some(Some(at)) = self.places.get(number as usize) else { return false };
        self.topics[*at].errors += 1;
        self.topics[*at].errors == 1
    }

    /// Name of a topic, for messages.
    pub(super) fn name(&self, number: u32) -> &str {
        self.decls.get(number as usize).and_then(Option::as_ref).map_or("?", |decl| &decl.name)
    }
}
