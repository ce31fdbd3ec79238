use salobj::Tai;
use serde_json::json;

use super::*;
use crate::outputs::notify::tests::{Does, Server};
use crate::tasks::call::ErrorClass;
use crate::tasks::steps::testing::{self, Bench};

fn config(url: &str, more: Value) -> HttpConfig {
    let mut service = json!({"url": url, "methods": ["GET", "POST", "PUT"]});
    for (key, value) in more.as_object().unwrap() {
        service[key] = value.clone();
    }
    serde_json::from_value(json!({"services": {"svc": service}})).unwrap()
}

fn backend(config: &HttpConfig) -> Result<HttpBackend, Vec<String>> {
    let lookup = |name: &str| (name == "TOKEN").then(|| "Bearer s3cret".to_owned());
    HttpBackend::new(config, &lookup, Clock::scaled(Tai(1000.0), 1.0))
}

async fn run(server: &Server, more: Value, params: Value) -> Result<StepOutcome, StepError> {
    let backend = backend(&config(&format!("{}/api", server.url()), more)).unwrap();
    backend.execute(&testing::call("http", params), &Bench::new().handle).await
}

#[tokio::test]
async fn a_request_is_made_of_the_rule_and_of_the_site() {
    let server = Server::start(&[Does::Answer(202, "{\"state\": {\"phase\": \"done\"}, \"n\": 3}")]).await;
    let site = json!({"authorization_env": "TOKEN", "headers": {"X-Site": "summit"}, "idempotency_header": "Idempotency-Key"});
    let outcome = run(
        &server,
        site,
        json!({
            "service": "svc", "path": "/jobs/a b", "query": {"q": "x&y", "n": 1}, "headers": {"X-Own": 5},
            "body": {"image": "i"}, "status": [200, 202], "expect": {"/state/phase": "done", "/n": 3},
        }),
    )
    .await
    .unwrap();
    assert_eq!((&outcome.result["status"], &outcome.result["body"]["n"]), (&json!(202), &json!(3)));
    let request = server.requests()[0].clone();
    let head = request.to_lowercase();
    assert!(request.starts_with("POST /api/jobs/a%20b?q=x%26y&n=1 HTTP/1.1"), "{request}");
    for line in [
        "x-site: summit",
        "x-own: 5",
        "authorization: bearer s3cret",
        "content-type: application/json",
        "idempotency-key: 0123456789abcdef-a",
    ] {
        assert!(head.contains(line), "{line} in {request}");
    }
    assert!(request.ends_with("{\"image\":\"i\"}"), "{request}");
}

#[tokio::test]
async fn what_a_rule_may_not_ask_for_does_not_leave() {
    let server = Server::start(&[Does::Answer(200, "")]).await;
    let table = [
        (json!({"service": "other"}), "no service \"other\" (backends.http.services lists: svc)"),
        (json!({"service": "svc", "method": "DELETE"}), "does not list the method DELETE"),
        (json!({"service": "svc", "path": "/../admin"}), "leads out of the service"),
        (json!({"service": "svc", "headers": {"Authorization": "x"}}), "is the site's to set"),
        (json!({"service": "svc", "headers": {"X-A": "a\nb"}}), "header"),
        (json!({"service": "svc", "colour": "red"}), "unknown field `colour`"),
    ];
    for (params, words) in table {
        let error = run(&server, json!({}), params).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.text.contains(words) && error.text.contains("nothing was sent"), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn every_answer_and_every_silence_has_its_class() {
    use ErrorClass::{Permanent, Transient, UnknownOutcome};
    let table = [
        (Does::Answer(404, "no such image"), "GET", Permanent, "refused (404): no such image"),
        (Does::Answer(503, "busy"), "GET", Transient, "refused (503): busy"),
        (Does::Answer(503, "busy"), "POST", UnknownOutcome, "not sent again"),
        (Does::TooMany, "POST", Transient, "429"),
        (Does::Close, "GET", Transient, ""),
        (Does::Close, "PUT", Transient, ""),
        (Does::Close, "POST", UnknownOutcome, "not sent again"),
        (Does::Half, "POST", UnknownOutcome, "not sent again"),
        (Does::Answer(302, ""), "GET", Permanent, "302"),
    ];
    for (does, method, class, words) in table {
        let server = Server::start(&[does]).await;
        let error = run(&server, json!({}), json!({"service": "svc", "method": method})).await.unwrap_err();
        assert_eq!(error.class, class, "{does:?} {method}: {error}");
        assert!(error.text.contains(words), "{does:?} {method}: {error}");
    }
    let server = Server::start(&[Does::Close]).await;
    let known = json!({"idempotency_header": "Idempotency-Key"});
    let error = run(&server, known, json!({"service": "svc", "method": "POST"})).await.unwrap_err();
    assert_eq!(error.class, Transient, "the service would recognise a repeat");
    let server = Server::start(&[Does::Answer(200, "{\"complete\": false}")]).await;
    let params = json!({"service": "svc", "expect": {"/complete": true, "/noise": 1}});
    let error = run(&server, json!({}), params).await.unwrap_err();
    assert!(error.text.contains("/complete is false, not true; /noise is not there"), "{error}");
    assert_eq!(error.result["body"], json!({"complete": false}));
}

#[tokio::test]
async fn a_crash_on_the_way_repeats_only_what_may_be_repeated() {
    let server = Server::start(&[Does::Answer(200, "{}")]).await;
    let table = [
        (json!({}), "GET", false, true),
        (json!({}), "POST", false, false),
        (json!({}), "POST", true, true),
        (json!({"idempotency_header": "Idempotency-Key"}), "POST", false, true),
    ];
    for (more, method, resend, sent) in table {
        let backend = backend(&config(&server.url(), more)).unwrap();
        let mut call = testing::call("http", json!({"service": "svc", "method": method}));
        call.resend_if_unknown = resend;
        let bench = Bench::new();
        backend.execute(&call, &bench.handle).await.unwrap();
        let before = server.requests().len();
        let again = backend.resume(&call, bench.memo(), &bench.handle).await;
        assert_eq!((server.requests().len() - before, again.is_ok()), (usize::from(sent), sent), "{method}");
        assert!(again.err().is_none_or(|e| e.class == ErrorClass::UnknownOutcome));
    }
}

#[tokio::test]
async fn a_cancel_does_not_wait_for_the_answer() {
    let server = Server::start(&[Does::Hang]).await;
    let backend = backend(&config(&server.url(), json!({}))).unwrap();
    let bench = Bench::new();
    let call = testing::call("http", json!({"service": "svc"}));
    let cancelled = async {
        while server.requests().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        bench.stop("not needed");
    };
    let (ended, ()) = tokio::join!(backend.execute(&call, &bench.handle), cancelled);
    assert_eq!(ended.unwrap_err().class, ErrorClass::Aborted);
}

#[test]
fn every_mistake_of_the_section_is_told_and_no_secret() {
    let more = json!({
        "methods": ["get"], "headers": {"Authorization": "Bearer x", "a b": "c"}, "authorization_env": "NOT_SET",
        "idempotency_header": "x y",
    });
    let problems = backend(&config("ftp://user:s3cret@host", more)).err().unwrap();
    assert_eq!(problems.len(), 6, "{problems:#?}");
    assert!(!problems.join("").contains("Bearer"), "{problems:#?}");
}
