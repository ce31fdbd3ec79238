//! A simulated Times Square: one page, executed once for each set of values, with what the real one does that one would not
//! expect: a question about a page of which nothing is known starts an execution, HTML that is being computed is a 404, unknown
//! parameters are dropped, a failure is kept, the stream of events never ends.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::peer::{Asked, Peer, Plays, Reply};

/// The service with its handle.
pub type SimTimesSquare = Peer<TimesSquarePlay>;

/// The token: no secret, it opens nothing but this simulator.
pub const TOKEN: &str = "gt-simulated";

/// The name of the page.
pub const PAGE: &str = "seeing";

/// What a page with its values is at.
#[derive(Debug, Clone, PartialEq)]
enum Instance {
    Going,
    There(String),
    Failed(Value),
}

/// The service.
#[derive(Debug)]
pub struct TimesSquarePlay {
    /// Executions end by themselves at the next question or subscription.
    pub by_itself: bool,
    /// How executions fail: code, title, message.
    pub fails: Option<(&'static str, &'static str, &'static str)>,
    /// There is no stream of events.
    pub no_stream: bool,
    /// The platform does not take the next executions.
    pub not_taken: usize,
    /// The HTML's time runs out as soon as it is asked for, so often.
    pub runs_out: usize,
    executions: BTreeMap<String, usize>,
    instances: BTreeMap<String, Instance>,
    streams: BTreeMap<String, watch::Sender<String>>,
}

impl Default for TimesSquarePlay {
    fn default() -> TimesSquarePlay {
        TimesSquarePlay {
            by_itself: true,
            fails: None,
            no_stream: false,
            not_taken: 0,
            runs_out: 0,
            executions: BTreeMap::new(),
            instances: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }
}

impl TimesSquarePlay {
    /// How often the page was executed, by its values.
    pub fn executions(&self) -> &BTreeMap<String, usize> {
        &self.executions
    }

    /// Whether the page with these values is there, or has failed; nothing if it was never asked for.
    pub fn is_over(&self, values: &str) -> Option<bool> {
        self.instances.get(values).map(|instance| *instance != Instance::Going)
    }

    /// Ends all executions.
    pub fn finish(&mut self) {
        let going: Vec<String> = self
            .instances
            .iter()
            .filter(|(_, i)| **i == Instance::Going)
            .map(|(key, _)| key.clone())
            .collect();
        for key in going {
            let end = match self.fails {
                Some((code, title, message)) => {
                    Instance::Failed(json!({"code": code, "title": title, "message": message}))
                }
                None => Instance::There(format!("<html><p>{key}</p></html>")),
            };
            self.instances.insert(key.clone(), end);
            self.tell(&key);
        }
    }

    fn tell(&self, key: &str) {
        if let Some(stream) = self.streams.get(key) {
            stream.send_replace(self.event(key).to_string());
        }
    }

    /// Starts an execution of what is not known.
    fn ask(&mut self, key: &str) {
        if !self.instances.contains_key(key) {
            *self.executions.entry(key.to_owned()).or_default() += 1;
            if self.not_taken > 0 {
                self.not_taken -= 1;
                return;
            }
            self.instances.insert(key.to_owned(), Instance::Going);
            self.tell(key);
        } else if self.by_itself {
            self.finish();
        }
    }

    fn event(&self, key: &str) -> Value {
        let mut event = json!({
            "date_submitted": null, "date_started": null, "date_finished": null, "execution_status": null,
            "execution_duration": null, "html_hash": null, "html_url": url(key), "execution_error": null,
        });
        match self.instances.get(key) {
            None => {}
            Some(Instance::Failed(error)) => event["execution_error"] = error.clone(),
            Some(Instance::Going) => {
                event["date_submitted"] = json!("2026-11-20T23:40:00Z");
                event["execution_status"] = json!("in_progress");
            }
            Some(Instance::There(html)) => {
                event["date_submitted"] = json!("2026-11-20T23:40:05Z");
                event["date_started"] = json!("2026-11-20T23:40:05Z");
                event["date_finished"] = json!("2026-11-20T23:40:17Z");
                event["execution_status"] = json!("complete");
                event["execution_duration"] = json!(12.0);
                event["html_hash"] = json!(format!("hash-of-{}", html.len()));
            }
        }
        event
    }

    fn status(&mut self, key: &str) -> Reply {
        self.ask(key);
        let event = self.event(key);
        let available = !event["html_hash"].is_null();
        Reply::json(
            200,
            &json!({
                "available": available, "html_url": url(key), "html_hash": event["html_hash"],
                "execution_error": event["execution_error"],
            }),
        )
    }

    fn html(&mut self, key: &str) -> Reply {
        if self.runs_out > 0 {
            self.runs_out -= 1;
            self.instances.remove(key);
        }
        self.ask(key);
        match self.instances.get(key) {
            Some(Instance::There(html)) => Reply::text(200, html),
            _ => Reply::json(404, &json!({"detail": "Computing the notebook..."})),
        }
    }

    fn events(&mut self, key: &str) -> Reply {
        if self.no_stream {
            return Reply::json(404, &json!({"detail": "Not Found"}));
        }
        let now = self.event(key).to_string();
        let stream = self.streams.entry(key.to_owned()).or_insert_with(|| watch::Sender::new(String::new()));
        stream.send_replace(now);
        let receiver = stream.subscribe();
        if self.by_itself {
            self.finish();
        }
        Reply::Events(receiver)
    }
}

fn url(key: &str) -> String {
    format!("https://rsp.example/times-square/api/v1/pages/{PAGE}/html?{key}")
}

/// The values of a page, or what is wrong with them; those that it does not know are dropped.
fn values(asked: &Asked) -> Result<String, Reply> {
    let of = |name: &str| asked.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let day = of("day_obs").unwrap_or_else(|| "20260101".to_owned());
    if day.parse::<u32>().is_err() {
        let message = format!("Value {day} for the day_obs parameter is invalid.");
        let detail =
            json!([{"loc": ["query", "day_obs"], "msg": message, "type": "parameter_value_invalid"}]);
        return Err(Reply::json(422, &json!({"detail": detail})));
    }
    let hide = of("ts_hide_code").unwrap_or_else(|| "1".to_owned());
    Ok(format!("day_obs={day}&ts_hide_code={hide}"))
}

impl Plays for TimesSquarePlay {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return Reply::json(401, &json!({"detail": "Unauthorized"}));
        }
        let page = json!({
            "name": PAGE, "title": "Seeing of a night",
            "parameters": {"day_obs": {"type": "integer", "default": 20260101}},
        });
        match (asked.method.as_str(), asked.parts().as_slice()) {
            ("GET", ["v1", "pages", PAGE] | ["v1", "github", "lsst", "reports", "seeing"]) => {
                Reply::json(200, &page)
            }
            ("GET", ["v1", "pages", PAGE, what @ ..]) => match (values(asked), what) {
                (Err(reply), _) => reply,
                (Ok(key), ["htmlstatus"]) => self.status(&key),
                (Ok(key), ["html"]) => self.html(&key),
                (Ok(key), ["html", "events"]) => self.events(&key),
                _ => Reply::json(404, &json!({"detail": "Not Found"})),
            },
            _ => {
                let detail =
                    json!([{"loc": ["path", "page"], "msg": "Page not found", "type": "unknown_page"}]);
                Reply::json(404, &json!({"detail": detail}))
            }
        }
    }
}
