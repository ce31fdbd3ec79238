//! InfluxDB 2.x, by the `influxdb2` crate: Flux queries, line protocol writes, token authentication.
//!
//! What the crate does not do is put around it: the time limit, the concurrency cap, and a wall between its parser, which
//! panics on text that is not annotated CSV, and us. It cannot address a server below a path; the configuration refuses
//! such a URL. Queries in the words of their authors are sent without it: it cannot read empty cells, and takes answers of
//! any length.

use std::time::Duration;

use fallible_iterator::FallibleIterator;
use influxdb2::api::query::{FluxRecord, QueryTableIter};
use influxdb2::models::Query;
use influxdb2::{Client, ClientBuilder, RequestError};
use reqwest::Url;
use salobj::Value;
use serde_json::json;

use super::config::{ConfigProblem, Endpoint};
use super::csv::{self, Wrong};
use super::error::{Attempt, EfdError, from_status};
use super::gate::{Gate, body, chain};
use super::query::comment;
use super::text::MAX_BYTES;
use super::{Efd, Point, SeriesQuery, Table, TextQuery, flux};

/// A client of one bucket. Its `Debug` shows no secret.
pub struct Influx2 {
    client: Client,
    bucket: String,
    /// For queries that the crate cannot read.
    http: reqwest::Client,
    url: Url,
    token: String,
    gate: Gate,
}

impl std::fmt::Debug for Influx2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Influx2").field("server", &self.gate.server()).finish_non_exhaustive()
    }
}

impl Influx2 {
    pub(super) fn new(
        endpoint: Endpoint,
        org: String,
        bucket: String,
        token: String,
    ) -> Result<Influx2, ConfigProblem> {
        let Endpoint { url, timeout, concurrency } = endpoint;
        let server = format!("influxdb2 {url} org {org} bucket {bucket}");
        let http = reqwest::Client::builder()
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| ConfigProblem::Client(chain(&e)))?;
        let client = ClientBuilder::new(url.clone(), org, token.clone())
            .build()
            .map_err(|e| ConfigProblem::Client(chain(&e)))?;
        let gate = Gate::new(server, concurrency, timeout);
        Ok(Influx2 { client, bucket, http, url, token, gate })
    }

    fn failed(&self, attempt: Attempt, error: RequestError) -> EfdError {
        match error {
            RequestError::Http { status, text } => {
                from_status(self.gate.server(), attempt, status.as_u16(), &text)
            }
            RequestError::ReqwestProcessing { source } => self.gate.unavailable(chain(&source.without_url())),
            RequestError::Serializing { source } => EfdError::BadQuery { detail: source.to_string() },
            RequestError::Deserializing { text } => self.gate.bad_reply(text),
        }
    }
}

#[async_trait::async_trait]
impl Efd for Influx2 {
    async fn query(&self, query: &SeriesQuery) -> Result<Table, EfdError> {
        query.check()?;
        let text = flux::text(query, &self.bucket);
        self.gate
            .pass(async {
                let answer = self.client.query_raw_iter(Some(Query::new(text))).await;
                let answer = answer.map_err(|e| self.failed(Attempt::Query, e))?;
                let query = query.clone();
                // Off the runtime: it may be long, and it may panic.
                match tokio::task::spawn_blocking(move || read(&answer, &query)).await {
                    Ok(table) => table.map_err(|e| self.failed(Attempt::Query, e)),
                    Err(_) => Err(self.gate.bad_reply("it is not annotated CSV".to_owned())),
                }
            })
            .await
    }

    async fn ask(&self, query: &TextQuery) -> Result<Table, EfdError> {
        let text = query.language(&query.flux, self.gate.server(), "Flux")?;
        let text = format!("// {}\n{text}\n", comment(&query.asked_by));
        let mut url = self.url.clone();
        url.set_path("/api/v2/query");
        url.query_pairs_mut().append_pair("org", &self.client.org);
        let body = json!({
            "query": text, "type": "flux",
            "dialect": {"annotations": ["datatype", "group", "default"], "header": true, "delimiter": ","},
        });
        self.gate
            .pass(async {
                let request = (self.http.post(url))
                    .header("Authorization", format!("Token {}", self.token))
                    .header("Content-Type", "application/json")
                    .header("Accept", "application/csv")
                    .body(body.to_string());
                let lost = |e: reqwest::Error| self.gate.unavailable(chain(&e.without_url()));
                let response = request.send().await.map_err(lost)?;
                let status = response.status();
                let bytes = self.gate.whole(response, MAX_BYTES).await?;
                let text = String::from_utf8_lossy(&bytes);
                if !status.is_success() {
                    return Err(from_status(self.gate.server(), Attempt::Query, status.as_u16(), &text));
                }
                csv::read(&text, query).map_err(|wrong| match wrong {
                    Wrong::Form(detail) => self.gate.bad_reply(detail),
                    Wrong::Query(error) => error,
                })
            })
            .await
    }

    async fn write(&self, points: &[Point]) -> Result<(), EfdError> {
        let Some(body) = body(points) else { return Ok(()) };
        self.gate
            .pass(async {
                let written = self.client.write_line_protocol(&self.client.org, &self.bucket, body).await;
                written.map_err(|e| self.failed(Attempt::Write, e))
            })
            .await
    }

    async fn health(&self) -> Result<String, EfdError> {
        self.gate
            .pass(async {
                let health = self.client.health().await.map_err(|e| self.failed(Attempt::Health, e))?;
                let version = health.version.unwrap_or_else(|| "unknown".to_owned());
                match health.status {
                    influxdb2::models::Status::Pass => Ok(version),
                    influxdb2::models::Status::Fail => Err(self
                        .gate
                        .unavailable(health.message.unwrap_or_else(|| "health: fail".to_owned()))),
                }
            })
            .await
    }

    fn describe(&self) -> String {
        self.gate.server().to_owned()
    }
}

/// The table of an answer that came whole.
fn read(answer: &QueryTableIter, query: &SeriesQuery) -> Result<Table, RequestError> {
    let mut cells = flux::Answer::new(query);
    let mut records = answer.result();
    while let Some(record) = records.next()? {
        if let Some((time_ns, field, value)) = cell(&record) {
            cells.push(time_ns, &field, value);
        }
    }
    cells
        .table()
        .ok_or_else(|| RequestError::Deserializing { text: "it is not whole, or not of InfluxDB".to_owned() })
}

/// UTC ns, field, value.
fn cell(record: &FluxRecord) -> Option<(i64, String, Value)> {
    let time = record.values.get("ns")?.i64()?;
    let field = record.values.get("_field")?.string()?;
    let value = record.values.get("_value")?;
    let value = (value.f64().map(Value::Double))
        .or_else(|| value.i64().map(Value::Int))
        .or_else(|| value.u64().and_then(|u| i64::try_from(u).ok()).map(Value::Int))
        .or_else(|| value.bool().map(Value::Bool))
        // influxd turns each line end inside of a text into CR LF.
        .or_else(|| value.string().map(|text| Value::Text(text.replace("\r\n", "\n").into())))?;
    Some((time, field, value))
}
