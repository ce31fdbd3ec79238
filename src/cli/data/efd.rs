//! From the EFD into a recording: the fields that the rules read, as the EFD has them. It has no offsets: the ids of runs
//! that messages trigger are not those of a live run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use salobj::{Tai, Value};

use super::Needs;
use super::sort::{Owned, OwnedBody, Sorter};
use crate::app::efd_inputs;
use crate::cli::progress::Progress;
use crate::outputs::efd::query::{MAX_RANGE_S, MAX_ROWS, array_fields};
use crate::outputs::efd::{Efd, SeriesQuery, Table};
use crate::replay::archive::{Session, TopicDecl};
use crate::replay::{QueryRows, Span};
use crate::rules::{EfdOf, EfdQuery, FieldKind, FieldSchema, SchemaSource, Source, TopicSchema};

/// What is read before the begin for latched values: of events, which are rare, and of telemetry.
const EVENTS_BACK: Duration = Duration::from_secs(86_400);
const TELEMETRY_BACK: Duration = Duration::from_secs(600);

/// One query covers at most this, s; less where there are many rows.
const LONGEST_S: f64 = 86_400.0;

/// Most values of all answers to the queries of rules: they are kept in memory.
const MOST_CELLS: usize = 20_000_000;

/// Most questions to one query.
const MOST_ASKED: usize = 50_000;

struct Wanted {
    schema: std::sync::Arc<TopicSchema>,
    fields: Vec<String>,
    back: Duration,
}

/// Reads a range into a recording; notes on what was found.
pub(super) async fn fetch(
    efd: &dyn Efd,
    needs: &Needs,
    schemas: &dyn SchemaSource,
    span: Span,
    path: &Path,
    quiet: bool,
) -> anyhow::Result<Vec<String>> {
    let (wanted, missing) = wanted(needs, schemas)?;
    let decls = wanted.iter().map(Wanted::decl).collect();
    let session = Session {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        source: "efd".to_owned(),
        subname: "sal".to_owned(),
        site: String::new(),
        began: span.from.0,
    };
    let mut sorter = Sorter::new(decls, session)?;
    let mut notes = vec![
        "the EFD has no offsets: ids of runs that messages trigger are not those of a live run".to_owned(),
    ];
    notes.extend(missing);
    let mut progress = Progress::new("reading the EFD", wanted.len() as u64, quiet);
    for (at, one) in wanted.iter().enumerate() {
        progress.at(at as u64, || one.schema.sal_name.clone());
        let rows = one.read(efd, at, span, &mut sorter).await?;
        if rows == 0 {
            notes.push(format!("the EFD has nothing of {} {}", one.schema.component, one.schema.sal_name));
        }
    }
    sorter.finish(path)?;
    Ok(notes)
}

/// What the EFD has for the queries of rules, from the range of each before the begin on.
pub(super) async fn answers(
    efd: &dyn Efd,
    queries: &BTreeMap<String, EfdQuery>,
    span: Span,
    quiet: bool,
) -> anyhow::Result<Vec<QueryRows>> {
    let mut progress = Progress::new("asking the EFD", queries.len() as u64, quiet);
    let mut all = Vec::new();
    let mut cells = 0;
    for (at, (text, query)) in queries.iter().enumerate() {
        progress.at(at as u64, || query.label());
        let EfdOf::Topic { component, sal_name, index } = &query.of else {
            all.push(said(efd, text, query, span, &mut cells).await?);
            continue;
        };
        let columns: Vec<String> = query.columns.iter().map(|c| c.name.clone()).collect();
        let mut rows = QueryRows {
            text: text.clone(),
            query: query.clone(),
            times: Vec::new(),
            columns: columns.iter().map(|name| (name.clone(), Vec::new())).collect(),
            said: Vec::new(),
        };
        let from = Tai(span.from.0 - query.range_s);
        let asked =
            SeriesQuery::sal(component, sal_name, *index, columns, (from, span.to)).asked_by("replay");
        pages(efd, &asked, |table| {
            cells += table.times.len() * (table.columns.len() + 1);
            ensure!(
                cells <= MOST_CELLS,
                "what rules ask of the EFD in this range is more than {MOST_CELLS} values: give a shorter range"
            );
            rows.times.extend_from_slice(&table.times);
            for (kept, column) in rows.columns.iter_mut().zip(&table.columns) {
                kept.1.extend_from_slice(&column.cells);
            }
            Ok(())
        })
        .await?;
        all.push(rows);
    }
    Ok(all)
}

/// What the EFD says to a query in the words of a rule, as of each time at which it would have been asked.
async fn said(
    efd: &dyn Efd,
    text: &str,
    query: &EfdQuery,
    span: Span,
    cells: &mut usize,
) -> anyhow::Result<QueryRows> {
    let mut rows = QueryRows {
        text: text.to_owned(),
        query: query.clone(),
        times: Vec::new(),
        columns: Vec::new(),
        said: Vec::new(),
    };
    if query.only_now().is_some() {
        return Ok(rows);
    }
    let mut at = span.from;
    while at.0 <= span.to.0 {
        let answer = efd_inputs::table(efd, query, at).await;
        let values = answer.iter().flat_map(BTreeMap::values);
        *cells +=
            values.map(|value| if let Value::Doubles(all) = value { all.len() } else { 1 }).sum::<usize>();
        ensure!(
            *cells <= MOST_CELLS && rows.said.len() < MOST_ASKED,
            "a query of a rule would be asked more than {MOST_ASKED} times, or its answers are more than {MOST_CELLS} values: \
             give a shorter range"
        );
        rows.said.push((at, answer));
        at = query.after(at);
    }
    Ok(rows)
}

/// Asks for a long range piece by piece, in the order of time.
async fn pages(
    efd: &dyn Efd,
    asked: &SeriesQuery,
    mut take: impl FnMut(&Table) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut at = asked.from.0;
    while at <= asked.to.0 {
        let end = asked.to.0.min(at + LONGEST_S.min(MAX_RANGE_S));
        let query = SeriesQuery { from: Tai(at), to: Tai(end), max_rows: MAX_ROWS, ..asked.clone() };
        let table = efd.query(&query).await.with_context(|| efd.describe())?;
        take(&table)?;
        at = match table.times.last() {
            // The next microsecond: a point's time is known to that.
            Some(last) if table.truncated && last.0 > at => last.0 + 1e-6,
            Some(_) if table.truncated => {
                bail!("{}: more rows at one time than one answer may hold", efd.describe())
            }
            _ => end + 1e-6,
        };
    }
    Ok(())
}

/// The topics, and what cannot be had, as sentences.
fn wanted(needs: &Needs, schemas: &dyn SchemaSource) -> anyhow::Result<(Vec<Wanted>, Vec<String>)> {
    let rules = needs.topics.iter().map(|need| {
        let fields: BTreeSet<String> = need.fields.iter().map(|f| f.name.clone()).collect();
        (&need.component, &need.sal_name, fields, need.history.span)
    });
    let series = needs.series.iter().map(|s| (&s.component, &s.sal_name, s.fields.clone(), s.span));
    let mut all: Vec<(String, String, BTreeSet<String>, Duration)> = Vec::new();
    for (component, sal_name, fields, span) in rules.chain(series) {
        match all.iter_mut().find(|one| one.0 == *component && one.1 == *sal_name) {
            Some(known) => {
                known.2.extend(fields);
                known.3 = known.3.max(span);
            }
            None => all.push((component.clone(), sal_name.clone(), fields, span)),
        }
    }
    let (mut wanted, mut missing) = (Vec::new(), Vec::new());
    for (component, sal_name, fields, span) in all {
        if let Source::Kafka(name, _) = Source::of(&component, &sal_name) {
            missing.push(format!("{name} is no SAL topic: it is not read from the EFD"));
            continue;
        }
        let schema = schemas.topic(&component, &sal_name)?;
        let least = if sal_name.starts_with("logevent_") { EVENTS_BACK } else { TELEMETRY_BACK };
        wanted.push(Wanted { schema, fields: fields.into_iter().collect(), back: span.max(least) });
    }
    if wanted.is_empty() && needs.queries.is_empty() {
        bail!("nothing that these rules read is in the EFD");
    }
    Ok((wanted, missing))
}

impl Wanted {
    fn decl(&self) -> TopicDecl {
        TopicDecl {
            number: 0,
            name: format!("{}.{}", self.schema.component, self.schema.sal_name),
            component: self.schema.component.clone(),
            sal_name: self.schema.sal_name.clone(),
            fields: self.fields.clone(),
        }
    }

    async fn read(
        &self,
        efd: &dyn Efd,
        topic: usize,
        span: Span,
        sorter: &mut Sorter,
    ) -> anyhow::Result<u64> {
        let mut columns: Vec<String> = vec!["private_sndStamp".to_owned()];
        if self.schema.indexed {
            columns.push("salIndex".to_owned());
        }
        for name in &self.fields {
            match self.schema.field(name).and_then(|f| f.count) {
                Some(count) => columns.extend(array_fields(name, count)),
                None => columns.push(name.clone()),
            }
        }
        columns.sort();
        columns.dedup();
        let asked = SeriesQuery::sal(
            &self.schema.component,
            &self.schema.sal_name,
            None,
            columns,
            (span.from - self.back, span.to),
        )
        .asked_by("replay");
        let mut rows = 0_u64;
        pages(efd, &asked, |table| {
            for row in 0..table.times.len() {
                sorter.push(self.record(table, row, topic, rows as i64, span))?;
                rows += 1;
            }
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    fn record(&self, table: &Table, row: usize, topic: usize, offset: i64, span: Span) -> Owned {
        let cell = |name: &str| table.column(name).map_or(Value::Null, |c| c.cells[row].clone());
        let sent = match cell("private_sndStamp") {
            Value::Double(stamp) => Tai(stamp),
            _ => table.times[row],
        };
        let sal_index = if let Value::Int(index) = cell("salIndex") { index } else { 0 };
        let cells = self.fields.iter().map(|name| match self.schema.field(name) {
            Some(field) => value(field, &cell),
            None => cell(name),
        });
        let body = OwnedBody::Cells { sal_index, sent, cells: cells.collect() };
        let live = sent.0 >= span.from.0;
        Owned { topic, partition: 0, offset, timestamp_ms: None, received: sent, live, body }
    }
}

/// A field of a point as the bus would have had it; null if the point does not have it.
fn value(field: &FieldSchema, cell: &impl Fn(&str) -> Value) -> Value {
    let Some(count) = field.count else {
        return match (field.kind, cell(&field.name)) {
            (FieldKind::Double, Value::Int(v)) => Value::Double(v as f64),
            (FieldKind::Int, Value::Double(v)) if v.fract() == 0.0 => Value::Int(v as i64),
            (_, value) => value,
        };
    };
    let all: Vec<Value> = array_fields(&field.name, count).map(|name| cell(&name)).collect();
    if all.iter().all(|v| *v == Value::Null) {
        return Value::Null;
    }
    match field.kind {
        FieldKind::Double => Value::Doubles(all.iter().map(double).collect()),
        FieldKind::Int => {
            Value::Ints(all.iter().map(|v| if let Value::Int(v) = v { *v } else { 0 }).collect())
        }
        FieldKind::Bool => Value::Bools(all.iter().map(|v| *v == Value::Bool(true)).collect()),
        FieldKind::Text => Value::Null,
    }
}

fn double(value: &Value) -> f64 {
    match value {
        Value::Double(v) => *v,
        Value::Int(v) => *v as f64,
        _ => f64::NAN,
    }
}
