//! Tests of the environment.

use std::io::Write as _;

use super::*;

fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn defaults() {
    let env = Env::from_vars(vars(&[("LSST_TOPIC_SUBNAME", "test_1")])).unwrap();
    assert_eq!(env.broker_addr, "broker:29092");
    assert_eq!(env.schema_registry_url.expose(), "http://schema-registry:8081");
    assert_eq!((env.replication_factor, env.producer_acks.as_str(), env.max_history_read), (1, "1", 500));
    assert_eq!(env.sasl, None);
    let consumer = env.consumer_properties("g");
    assert_eq!(consumer["group.id"], "g");
    assert_eq!(consumer["auto.offset.reset"], "earliest");
    assert_eq!(consumer["allow.auto.create.topics"], "false");
    let producer = env.producer_properties();
    assert_eq!((producer["acks"].as_str(), producer["queue.buffering.max.ms"].as_str()), ("1", "0"));
    assert!(env.required_site().unwrap_err().to_string().contains("$LSST_SITE not defined."));
    assert!(env.package_dir("ts_config_ocs").unwrap_err().to_string().contains("$TS_CONFIG_OCS_DIR"));
}

#[test]
fn merge_order_and_sasl() {
    let consumer =
        file("fetch.min.bytes: 10\nbootstrap.servers: nowhere:1\nallow.auto.create.topics: true\n");
    let broker = file("fetch.min.bytes: 20\nsasl.mechanism: PLAIN\n");
    let history = file("ESS: 7\nScriptQueue: 1000\n");
    let env = Env::from_vars(vars(&[
        ("LSST_TOPIC_SUBNAME", "sal"),
        ("LSST_KAFKA_BROKER_ADDR", "b:1"),
        ("LSST_KAFKA_CONSUMER_CONFIGURATION", consumer.path().to_str().unwrap()),
        ("LSST_KAFKA_BROKER_CLIENT_CONFIGURATION", broker.path().to_str().unwrap()),
        ("LSST_HISTORY_READ_CONFIG", history.path().to_str().unwrap()),
        ("LSST_KAFKA_SECURITY_USERNAME", "me"),
        ("LSST_KAFKA_SECURITY_PASSWORD", "hunter2"),
        ("LSST_SITE", "test"),
        ("TS_CONFIG_OCS_DIR", "/conf"),
    ]))
    .unwrap();
    let all = env.consumer_properties("g");
    assert_eq!(all["bootstrap.servers"], "b:1", "the broker's settings win");
    assert_eq!(all["fetch.min.bytes"], "20");
    assert_eq!(all["allow.auto.create.topics"], "true");
    assert_eq!(all["sasl.mechanism"], "PLAIN");
    assert_eq!(all["sasl.password"], "hunter2");
    assert_eq!(all["security.protocol"], "SASL_PLAINTEXT");
    assert_eq!((env.history_of("ESS"), env.history_of("Test")), (7, 500));
    assert_eq!(env.package_dir("ts_config_ocs").unwrap(), Path::new("/conf"));
    assert_eq!(env.required_site().unwrap(), "test");
}

#[test]
fn a_user_without_a_password_is_no_sasl() {
    let env = Env::from_vars(vars(&[("LSST_TOPIC_SUBNAME", "sal"), ("LSST_KAFKA_SECURITY_USERNAME", "me")]))
        .unwrap();
    assert!(!env.admin_properties().contains_key("security.protocol"));
}

#[test]
fn all_problems_at_once() {
    let bad = file("- a\n- b\n");
    let nested = file("a: {b: 1}\n");
    let error = Env::from_vars(vars(&[
        ("LSST_TOPIC_SUBNAME", ""),
        ("LSST_SCHEMA_REGISTRY_URL", "ftp://u:secret@h"),
        ("LSST_KAFKA_REPLICATION_FACTOR", "0"),
        ("LSST_KAFKA_PRODUCER_WAIT_ACKS", "some"),
        ("LSST_MAX_HISTORY_READ", "-3"),
        ("LSST_KAFKA_BROKER_CLIENT_CONFIGURATION", "/nonexistent"),
        ("LSST_KAFKA_CONSUMER_CONFIGURATION", bad.path().to_str().unwrap()),
        ("LSST_KAFKA_PRODUCER_CONFIGURATION", nested.path().to_str().unwrap()),
        ("LSST_HISTORY_READ_CONFIG", "/nonexistent"),
    ]))
    .unwrap_err();
    assert_eq!(error.0.len(), 8, "{error:#?}");
    assert_eq!(error.0[0], "You must define environment variable LSST_TOPIC_SUBNAME");
    assert!(!error.to_string().contains("secret"));
    assert!(Env::from_vars(vars(&[("LSST_TOPIC_SUBNAME", "a b")])).is_err());
}

#[test]
fn secrets_are_not_shown() {
    let broker = file("sasl.password: hunter3\nssl.key.pem: hunter4\nfetch.min.bytes: 5\n");
    let env = Env::from_vars(vars(&[
        ("LSST_TOPIC_SUBNAME", "sal"),
        ("LSST_SCHEMA_REGISTRY_URL", "https://me:hunter1@registry:8081/path"),
        ("LSST_KAFKA_SECURITY_USERNAME", "me"),
        ("LSST_KAFKA_SECURITY_PASSWORD", "hunter2"),
        ("LSST_KAFKA_BROKER_CLIENT_CONFIGURATION", broker.path().to_str().unwrap()),
    ]))
    .unwrap();
    let shown = format!("{env:?}");
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.contains("https://***@registry:8081/path") && shown.contains("fetch.min.bytes"), "{shown}");
}
