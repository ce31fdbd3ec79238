//! SquadCast and the narrative log, as the Watcher uses them.

use serde_json::json;

use super::*;
use crate::alarms::{Incident, IncidentAnswer, IncidentCall};

fn services(url: &str, timeout: f64) -> Notify {
    let config = NotifyConfig {
        escalation_url: url,
        escalation_timeout: timeout,
        narrative_server_url: url,
        receivers: &[],
    };
    let mut notify = Notify::new(&config, &env).unwrap();
    notify.escalation = notify.escalation.map(SquadCast::hurried);
    notify
}

fn call(closing: bool) -> IncidentCall {
    let incident = Incident {
        alarm: "Wind.High".into(),
        responder: "telescope".into(),
        description: "too strong".into(),
        closing,
    };
    IncidentCall { id: "0123".into(), incident }
}

async fn trigger(script: &[Does], timeout: f64) -> (IncidentAnswer, Server) {
    let server = Server::start(script).await;
    let answer = services(&server.url(), timeout).escalation.unwrap().call(&call(false)).await;
    (answer, server)
}

fn not_opened(answer: IncidentAnswer) -> (String, bool) {
    match answer {
        IncidentAnswer::NotOpened { text, doubtful } => (text, doubtful),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_trigger_says_who_and_why() {
    let (answer, server) = trigger(&[Does::Answer(202, "")], 5.0).await;
    assert_eq!(answer, IncidentAnswer::Opened);
    assert!(server.requests()[0].starts_with("POST /v2/incidents/api/key-s3cret "));
    let wanted = json!({
        "status": "trigger", "event_id": "0123", "message": "Catcher alarm Wind.High escalated",
        "description": "too strong", "tags": {"responder": "telescope", "alarm_name": "Wind.High"},
    });
    assert_eq!(server.bodies(), [wanted]);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_and_not_tried_again() {
    let (answer, server) = trigger(&[Does::Answer(400, "no such team")], 5.0).await;
    assert_eq!(not_opened(answer), ("Failed: no such team".to_owned(), false));
    assert_eq!(server.requests().len(), 1);
    let (answer, _) = trigger(&[Does::Answer(200, "odd")], 5.0).await;
    assert_eq!(not_opened(answer).0, "Failed: odd", "only 202 is success, as for the Watcher");
}

#[tokio::test]
async fn what_passes_is_tried_again_with_the_same_id() {
    let script = [Does::Answer(500, "busy"), Does::TooMany, Does::Half, Does::Answer(202, "")];
    let (answer, server) = trigger(&script, 5.0).await;
    assert_eq!(answer, IncidentAnswer::Opened);
    assert_eq!(server.bodies().len(), 4);
    assert!(server.bodies().iter().all(|body| body["event_id"] == "0123"));
}

#[tokio::test]
async fn the_time_limit_holds_and_a_doubt_is_noted() {
    let (answer, _) = trigger(&[Does::Hang], 0.3).await;
    assert_eq!(not_opened(answer), ("Failed: Timed out waiting for SquadCast".to_owned(), true));
    let (answer, _) = trigger(&[Does::Answer(500, "busy")], 0.3).await;
    assert_eq!(not_opened(answer), ("Failed: busy".to_owned(), true));
    let url = format!("http://{}", nobody().await);
    let answer = services(&url, 0.3).escalation.unwrap().call(&call(false)).await;
    let (text, _) = not_opened(answer);
    assert!(text.starts_with("Failed: Could not reach SquadCast: "), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn a_resolve_is_tried_until_it_is_taken_or_refused() {
    let script = [Does::Answer(500, ""), Does::Close, Does::Hang, Does::Half, Does::Answer(202, "")];
    let server = Server::start(&script).await;
    let squadcast = services(&server.url(), 0.2).escalation.unwrap();
    assert_eq!(squadcast.call(&call(true)).await, IncidentAnswer::Closed);
    assert_eq!(server.bodies().last().unwrap(), &json!({"status": "resolve", "event_id": "0123"}));
    assert_eq!(server.requests().len(), 5);
    let server = Server::start(&[Does::Answer(404, "unknown")]).await;
    let squadcast = services(&server.url(), 0.2).escalation.unwrap();
    assert_eq!(
        squadcast.call(&call(true)).await,
        IncidentAnswer::Closed,
        "refused: there is nothing to close"
    );
    assert!(!format!("{squadcast:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_log_entry_is_that_of_the_watcher() {
    let server =
        Server::start(&[Does::Answer(200, "{}"), Does::Answer(422, "no such level"), Does::Half]).await;
    let narrative = services(&server.url(), 5.0).narrative.unwrap();
    let entry = LogEntry {
        alarm: "Wind.High",
        severity: Severity::Critical,
        reason: "too strong",
        user_id: "me@host",
        at: salobj::Tai(37.0),
    };
    narrative.log(&entry).await.unwrap();
    let wanted = json!({
        "message_text": "alarm:Wind.High severity=4 too strong", "level": 50, "user_id": "me@host",
        "user_agent": "Catcher", "is_human": false, "tags": ["catcher", "alarm", "make_log_entry"],
        "date_begin": "1970-01-01T00:00:37.000", "date_end": "1970-01-01T00:00:37.000",
    });
    assert_eq!(server.bodies(), [wanted]);
    assert!(server.requests()[0].starts_with("POST /messages "));
    let error = narrative.log(&entry).await.unwrap_err();
    assert!(error.to_string().contains("no such level"), "{error}");
    assert!(matches!(narrative.log(&entry).await, Err(SendError::Broken(_))));
    assert_eq!(server.requests().len(), 3, "an entry is sent once");
}
