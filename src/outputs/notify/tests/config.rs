//! Every mistake of a configuration at once.

use super::*;

#[test]
fn all_mistakes_are_told_at_once_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let yaml = format!(
        r#"
- {{name: a}}
- {{name: a, alarms: [], from: none, timeout_s: 0, slack: {{token_env: TOKEN}}, webhook: {{url: "http://x"}}}}
- {{name: c, slack: {{webhook_env: PASSWORD}}}}
- {{name: d, slack: {{token_env: NOT_SET, url: "ftp://x"}}}}
- {{name: e, webhook: {{url: "http://u:p@x", body: "{{{{ alarm.name }}}}", authorization_file: {empty:?}}}}}
- {{name: f, webhook: {{url_env: TOKEN, url_file: x}}}}
- {{name: g, email: {{host: mail, security: plain, sender: nobody, to: [], username: me, password_env: PASSWORD}}}}
"#
    );
    let receivers: Vec<ReceiverConfig> = serde_saphyr::from_str(&yaml).unwrap();
    let config = NotifyConfig {
        escalation_url: "https://squadcast",
        escalation_timeout: -1.0,
        narrative_server_url: "narrative",
        receivers: &receivers,
    };
    let no_key = |name: &str| if name == "ESCALATION_KEY" { None } else { env(name) };
    let problems = Notify::new(&config, &no_key).unwrap_err();
    let text = problems.join("\n");
    for wanted in [
        "escalation_timeout: -1 is not between",
        "escalation_url: the environment variable ESCALATION_KEY is needed",
        "narrative_server_url: \"narrative\" is not an address",
        "receivers[0]: give it one of slack, webhook, email",
        "receivers[1].name: \"a\" stands twice",
        "receivers[1].alarms: it is empty",
        "receivers[1].from: none is no alarm",
        "receivers[1].timeout_s: 0 is not between",
        "receivers[1]: give it only one of",
        "receivers[2].slack.webhook: is not an address",
        "receivers[3].slack.token_env: the variable NOT_SET is not set",
        "receivers[3].slack.channel: it is needed with a token",
        "receivers[3].slack.url: \"ftp://x/chat.postMessage\" is not an http(s) address",
        "receivers[4].webhook.url: credentials do not belong into it",
        "receivers[4].webhook.body: undefined value",
        "receivers[4].webhook.authorization_file: there is nothing in it",
        "receivers[5].webhook.url_env: give it or url_file, not both",
        "receivers[6].email.sender: \"nobody\" is no address",
        "receivers[6].email.to: it is empty",
        "receivers[6].email.security: a password is not sent",
    ] {
        assert!(text.contains(wanted), "{wanted}\nis missing in\n{text}");
    }
    assert_eq!(problems.len(), 20, "and nothing else:\n{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn nothing_configured_is_nothing_to_do() {
    let config = NotifyConfig {
        escalation_url: "",
        escalation_timeout: 5.0,
        narrative_server_url: "",
        receivers: &[],
    };
    let notify = Notify::new(&config, &|_| None).unwrap();
    assert!(notify.escalation.is_none() && notify.narrative.is_none() && notify.receivers.is_empty());
}
