use salobj::Tai;
use serde_json::json;

use super::*;
use crate::outputs::notify::NotifyConfig;
use crate::outputs::notify::tests::{Does, Server};
use crate::tasks::call::ErrorClass;
use crate::tasks::steps::testing::{self, Bench};

fn backend(server: &Server) -> SlackBackend {
    let receivers = serde_json::from_value::<Vec<_>>(json!([
        {"name": "team", "slack": {"webhook_env": "HOOK"}},
        {"name": "pager", "webhook": {"url": "http://localhost:1"}},
    ]))
    .unwrap();
    let config = NotifyConfig {
        escalation_url: "",
        escalation_timeout: 5.0,
        narrative_server_url: "",
        receivers: &receivers,
    };
    let url = server.url();
    let notify = Notify::new(&config, &|name| (name == "HOOK").then(|| url.clone())).unwrap();
    SlackBackend::new(&notify, Clock::scaled(Tai(1000.0), 1.0))
}

fn call(to: &str) -> StepCall {
    testing::call("slack", json!({"to": to, "text": "5 < 6 & done"}))
}

#[tokio::test]
async fn a_message_goes_to_a_receiver_of_the_site() {
    let server = Server::start(&[Does::Answer(200, "ok")]).await;
    let backend = backend(&server);
    backend.execute(&call("team"), &Bench::new().handle).await.unwrap();
    assert_eq!(server.bodies(), [json!({"text": "5 &lt; 6 &amp; done"})]);
    for to in ["pager", "nobody"] {
        let error = backend.execute(&call(to), &Bench::new().handle).await.unwrap_err();
        assert!(error.text.contains("(there are: team)"), "{error}");
        assert!(backend.check(&json!({"to": to})).is_err());
    }
    let empty = testing::call("slack", json!({"to": "team", "text": " "}));
    assert!(backend.execute(&empty, &Bench::new().handle).await.is_err());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_may_have_been_said_is_not_said_again() {
    let table = [
        (Does::Close, ErrorClass::UnknownOutcome),
        (Does::Answer(404, "no_team"), ErrorClass::Permanent),
        (Does::TooMany, ErrorClass::Transient),
    ];
    for (does, class) in table {
        let server = Server::start(&[does]).await;
        let error = backend(&server).execute(&call("team"), &Bench::new().handle).await.unwrap_err();
        assert_eq!(error.class, class, "{does:?}: {error}");
    }
    let server = Server::start(&[Does::Answer(200, "ok")]).await;
    let (backend, bench) = (backend(&server), Bench::new());
    backend.execute(&call("team"), &bench.handle).await.unwrap();
    let error = backend.resume(&call("team"), bench.memo(), &bench.handle).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    let mut again = call("team");
    again.resend_if_unknown = true;
    assert!(backend.resume(&again, bench.memo(), &bench.handle).await.is_ok());
    assert!(backend.resume(&call("team"), None, &bench.handle).await.is_ok(), "nothing had been sent");
    assert_eq!(server.requests().len(), 3);
}
