//! InfluxDB 1.x, by reqwest: `/query` with InfluxQL, `/write` with line protocol, basic authentication.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, Url};

use super::config::{ConfigProblem, Endpoint};
use super::error::{Attempt, EfdError, from_status};
use super::gate::{Gate, body, chain};
use super::influxql::{self, Answer, Wrong};
use super::query::comment;
use super::text::MAX_BYTES;
use super::{Efd, Point, SeriesQuery, Table, TextQuery};

/// A client of one database. Its `Debug` shows no secret.
pub struct Influx1 {
    client: Client,
    base: Url,
    database: String,
    retention_policy: Option<String>,
    credentials: Option<(String, String)>,
    gate: Gate,
}

impl std::fmt::Debug for Influx1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Influx1").field("server", &self.gate.server()).finish_non_exhaustive()
    }
}

impl Influx1 {
    pub(super) fn new(
        endpoint: Endpoint,
        database: String,
        retention_policy: Option<String>,
        credentials: Option<(String, String)>,
    ) -> Result<Influx1, ConfigProblem> {
        let Endpoint { url, timeout, concurrency } = endpoint;
        let client = Client::builder()
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| ConfigProblem::Client(chain(&e)))?;
        let server = format!("influxdb1 {url} database {database}");
        Ok(Influx1 {
            client,
            base: url,
            database,
            retention_policy,
            credentials,
            gate: Gate::new(server, concurrency, timeout),
        })
    }

    /// The base URL may have a path of its own: it is appended to.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("checked: an http URL has a path").pop_if_empty().push(path);
        url
    }

    /// In the body: a hundred field names are too long for a URL.
    fn question(&self, text: &str) -> RequestBuilder {
        let form = url_encoded(&[("db", &self.database), ("epoch", "ns"), ("q", text)]);
        let request = self.client.post(self.url("query"));
        request.header("Content-Type", "application/x-www-form-urlencoded").body(form)
    }

    async fn send(&self, request: RequestBuilder, attempt: Attempt) -> Result<Response, EfdError> {
        let request = match &self.credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let response = request.send().await.map_err(|e| self.lost(e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(from_status(self.gate.server(), attempt, status.as_u16(), &text))
    }

    fn lost(&self, error: reqwest::Error) -> EfdError {
        self.gate.unavailable(chain(&error.without_url()))
    }

    /// An error inside an answer of status 200.
    fn judged(&self, wrong: Wrong) -> EfdError {
        match wrong {
            Wrong::Form(detail) => self.gate.bad_reply(detail),
            Wrong::Query(error) => error,
            Wrong::Server(words)
                if words.starts_with("database not found") || words.contains("retention policy") =>
            {
                from_status(self.gate.server(), Attempt::Query, 404, &words)
            }
            Wrong::Server(words) if words.contains("timeout") || words.contains("max-concurrent-queries") => {
                self.gate.unavailable(words)
            }
            Wrong::Server(words) => from_status(self.gate.server(), Attempt::Query, 400, &words),
        }
    }
}

#[async_trait::async_trait]
impl Efd for Influx1 {
    async fn query(&self, query: &SeriesQuery) -> Result<Table, EfdError> {
        query.check()?;
        let text = influxql::text(query, self.retention_policy.as_deref());
        self.gate
            .pass(async {
                let response = self.send(self.question(&text), Attempt::Query).await?;
                let bytes = response.bytes().await.map_err(|e| self.lost(e))?;
                let answer: Answer =
                    serde_json::from_slice(&bytes).map_err(|e| self.gate.bad_reply(e.to_string()))?;
                answer.into_table(query).map_err(|wrong| self.judged(wrong))
            })
            .await
    }

    async fn ask(&self, query: &TextQuery) -> Result<Table, EfdError> {
        let text = query.language(&query.influxql, self.gate.server(), "InfluxQL")?;
        let text = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
        // On a line of its own: the author's last line may end in a comment.
        let text = format!("{text}\n/* {} */", comment(&query.asked_by));
        self.gate
            .pass(async {
                let response = self.send(self.question(&text), Attempt::Query).await?;
                let bytes = self.gate.whole(response, MAX_BYTES).await?;
                let answer: Answer =
                    serde_json::from_slice(&bytes).map_err(|e| self.gate.bad_reply(e.to_string()))?;
                answer.into_rows(query).map_err(|wrong| self.judged(wrong))
            })
            .await
    }

    async fn write(&self, points: &[Point]) -> Result<(), EfdError> {
        let Some(body) = body(points) else { return Ok(()) };
        self.gate
            .pass(async {
                let mut parameters = vec![("db", self.database.as_str()), ("precision", "ns")];
                parameters.extend(self.retention_policy.as_deref().map(|policy| ("rp", policy)));
                let request = self.client.post(self.url("write")).query(&parameters).body(body);
                self.send(request, Attempt::Write).await.map(drop)
            })
            .await
    }

    async fn health(&self) -> Result<String, EfdError> {
        self.gate
            .pass(async {
                let answer = self.send(self.client.get(self.url("ping")), Attempt::Health).await?;
                let version = answer.headers().get("X-Influxdb-Version").and_then(|v| v.to_str().ok());
                version
                    .map(str::to_owned)
                    .ok_or_else(|| self.gate.bad_reply("no version in the answer to ping".to_owned()))
            })
            .await
    }

    fn describe(&self) -> String {
        self.gate.server().to_owned()
    }
}

fn url_encoded(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://x").expect("a constant URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}
