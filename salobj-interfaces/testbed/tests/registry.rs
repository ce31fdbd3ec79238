//! The embedded registry as clients see it, and the registry client against it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use reqwest::StatusCode;
use salobj::env::Secret;
use salobj::registry::{Compatibility, RegistryClient};
use salobj::transport::TransportError;
use salobj_testbed::RegistryServer;
use serde_json::{Value as Json, json};

fn schema(fields: &str) -> String {
    format!(
        r#"{{"type": "record", "name": "logevent_x", "namespace": "lsst.sal.Test", "fields": [{fields}]}}"#
    )
}

const A: &str = r#"{"name": "a", "type": "int", "default": 0, "description": "é", "units": "unitless"}"#;
const A_TEXT: &str = r#"{"name": "a", "type": "string", "default": ""}"#;
const SUBJECT: &str = "lsst.sal.Test.logevent_x-value";

fn client(url: &str) -> RegistryClient {
    RegistryClient::new(&Secret::new(url)).unwrap()
}

#[tokio::test]
async fn register_look_up_and_read_with_and_without_a_prefix() {
    let server = RegistryServer::start().await.unwrap();
    for url in [server.url().to_owned(), format!("{}/apis/ccompat/v7/", server.url())] {
        let client = client(&url);
        assert_eq!(client.latest("nothing").await.unwrap(), None);
        let id = client.register(SUBJECT, &schema(A)).await.unwrap();
        assert_eq!(id, 1);
        assert_eq!(client.lookup(SUBJECT, &schema(A)).await.unwrap(), Some(1));
        assert_eq!(client.lookup(SUBJECT, &schema(A_TEXT)).await.unwrap(), None);
        assert_eq!(client.lookup("nothing", &schema(A)).await.unwrap(), None);
        assert_eq!(&*client.schema(1).await.unwrap(), schema(A));
        assert_eq!(client.latest(SUBJECT).await.unwrap(), Some((1, schema(A).into())));
        assert_eq!(client.subjects().await.unwrap(), [SUBJECT]);
        assert!(matches!(client.schema(77).await, Err(TransportError::Refused { .. })));
    }
    let requests = server.requests();
    let register = requests.iter().find(|r| r.target.ends_with("/versions?normalize=False")).unwrap();
    assert_eq!(register.target, format!("/subjects/{SUBJECT}/versions?normalize=False"));
    assert_eq!(register.method, "POST");
    assert_eq!(register.content_type.as_deref(), Some("application/vnd.schemaregistry.v1+json"));
    let body: Json = serde_json::from_str(&register.body).unwrap();
    assert_eq!(body, json!({"schema": schema(A), "schemaType": "AVRO", "references": []}));
    assert!(
        requests.iter().any(|r| r.target == format!("/subjects/{SUBJECT}?normalize=False&deleted=False")
            || r.target == "/subjects/nothing?normalize=False&deleted=False")
    );
}

#[tokio::test]
async fn ids_are_asked_for_once() {
    let server = RegistryServer::start().await.unwrap();
    let writer = client(server.url());
    let id = writer.register(SUBJECT, &schema(A)).await.unwrap();
    let reader = client(server.url());
    for _ in 0..3 {
        reader.schema(id).await.unwrap();
        writer.schema(id).await.unwrap();
        writer.lookup(SUBJECT, &schema(A)).await.unwrap();
    }
    let asked = server.requests().iter().filter(|r| r.target.starts_with("/schemas/ids/")).count();
    assert_eq!((asked, server.requests().len()), (1, 2));
}

#[tokio::test]
async fn incompatible_schemas_are_refused_with_the_reason() {
    let server = RegistryServer::start().await.unwrap();
    let client = client(server.url());
    client.register(SUBJECT, &schema(A)).await.unwrap();
    let error = client.register(SUBJECT, &schema(A_TEXT)).await.unwrap_err();
    assert!(matches!(error, TransportError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("409") && error.to_string().contains("incompatible"), "{error}");
    let error = client.register(SUBJECT, "{").await.unwrap_err();
    assert!(error.to_string().contains("422"), "{error}");
    server.with_schemas(|s| s.set_level(None, Compatibility::None));
    assert_eq!(client.register(SUBJECT, &schema(A_TEXT)).await.unwrap(), 2);
}

#[tokio::test]
async fn a_registry_in_trouble_is_tried_again_and_then_told() {
    let server = RegistryServer::start().await.unwrap();
    let client = client(server.url());
    server.fail_requests(2);
    assert_eq!(client.register(SUBJECT, &schema(A)).await.unwrap(), 1);
    server.fail_requests(usize::MAX);
    let error = client.latest(SUBJECT).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("503"), "{error}");
    assert!(client.schema(1).await.is_ok(), "known already");
}

#[tokio::test]
async fn credentials_are_used_and_never_shown() {
    let server = RegistryServer::start().await.unwrap();
    let url = server.url().replace("http://", "http://user:hunter2@");
    let client = client(&url);
    client.register(SUBJECT, &schema(A)).await.unwrap();
    assert!(!format!("{client:?}").contains("hunter2"));
    drop(server);
    let gone =
        tokio::time::timeout(Duration::from_secs(30), client.latest(SUBJECT)).await.unwrap().unwrap_err();
    assert!(gone.is_transient() && !gone.to_string().contains("hunter2"), "{gone}");
    assert!(RegistryClient::new(&Secret::new("not a url:hunter2")).is_err());
}

#[tokio::test]
async fn the_rest_of_the_interface() {
    let server = RegistryServer::start().await.unwrap();
    let http = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", server.url());
    let get = async |path: &str| {
        let answer = http.get(url(path)).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(kind, "application/vnd.schemaregistry.v1+json", "{path}");
        (answer.status(), answer.text().await.map(|t| serde_json::from_str::<Json>(&t).unwrap()).unwrap())
    };
    client(server.url()).register(SUBJECT, &schema(A)).await.unwrap();
    assert_eq!(get("/subjects").await, (StatusCode::OK, json!([SUBJECT])));
    assert_eq!(get("/subjects?subjectPrefix=lsst.x").await.1, json!([]));
    assert_eq!(get(&format!("/subjects/{SUBJECT}/versions")).await.1, json!([1]));
    assert_eq!(get(&format!("/subjects/{SUBJECT}/versions/1")).await.1["id"], 1);
    assert_eq!(get(&format!("/subjects/{SUBJECT}/versions/2")).await.1["error_code"], 40402);
    assert_eq!(get("/subjects/none/versions").await.1["error_code"], 40401);
    assert_eq!(get("/schemas/ids/9").await.1["error_code"], 40403);
    assert_eq!(get("/schemas/ids/1/versions").await.1, json!([{"subject": SUBJECT, "version": 1}]));
    assert_eq!(get("/schemas/types").await.1, json!(["AVRO"]));
    assert_eq!(get("/config").await.1["compatibilityLevel"], "BACKWARD");
    let associations = "/associations/resources/-/x?resourceType=topic&associationType=value";
    assert_eq!(get(associations).await.0, StatusCode::NOT_FOUND);

    let body = |schema: &str| json!({"schema": schema}).to_string();
    let post = async |path: String, body: String| {
        let text = http.post(url(&path)).body(body).send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<Json>(&text).unwrap()
    };
    let check = format!("/compatibility/subjects/{SUBJECT}/versions/latest");
    assert_eq!(post(check.clone(), body(&schema(A))).await["is_compatible"], true);
    assert_eq!(post(check, body(&schema(A_TEXT))).await["is_compatible"], false);
    let put = http.put(url("/config")).body(json!({"compatibility": "FORWARD"}).to_string());
    assert_eq!(put.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(get("/config/any").await.1["compatibilityLevel"], "FORWARD");
    let put = http.put(url("/config")).body(json!({"compatibility": "UP"}).to_string());
    assert_eq!(put.send().await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    let deleted = http.delete(url(&format!("/subjects/{SUBJECT}?permanent=true"))).send().await.unwrap();
    assert_eq!(deleted.text().await.unwrap(), "[1]");
    assert_eq!(get("/subjects").await.1, json!([]));
}
