//! Slack, webhook and e-mail.

use super::*;

/// Every HTTP channel, made for a server.
fn http_channels(url: &str) -> Vec<(&'static str, Arc<Receiver>)> {
    let hidden = url.to_owned();
    let lookup = move |name: &str| if name == "HOOK" { Some(format!("{hidden}/s3cret")) } else { env(name) };
    let with = |text: String| receiver_with(&text, &lookup);
    vec![
        ("slack webhook", with("- {name: a, slack: {webhook_env: HOOK}}".to_owned())),
        ("webhook", with("- {name: b, webhook: {url_env: HOOK}}".to_owned())),
        (
            "slack token",
            with(format!("- {{name: c, slack: {{token_env: TOKEN, channel: '#a', url: '{url}'}}}}")),
        ),
    ]
}

async fn sent(receiver: &Receiver) -> Result<(), SendError> {
    let limit = Duration::from_millis(500);
    match tokio::time::timeout(limit, receiver.channel.send(&message())).await {
        Ok(sent) => sent,
        Err(_) => Err(SendError::Timeout(0.5)),
    }
}

#[tokio::test]
async fn every_trouble_of_a_server_is_told_apart_and_shows_no_secret() {
    let cases = [
        (Does::TooMany, true, false),
        (Does::Answer(500, "no room"), true, true),
        (Does::Answer(503, ""), true, true),
        (Does::Answer(404, "no_team"), false, false),
        (Does::Answer(403, "invalid_token"), false, false),
        (Does::Answer(302, ""), false, false),
        (Does::Hang, true, true),
        (Does::Half, true, true),
        (Does::Close, true, true),
    ];
    for (does, transient, doubtful) in cases {
        let server = Server::start(&[does]).await;
        for (name, receiver) in http_channels(&server.url()) {
            let error = sent(&receiver).await.expect_err(name);
            assert_eq!(
                (error.transient(), error.doubtful()),
                (transient, doubtful),
                "{name} {does:?}: {error:?}"
            );
            let shown = format!("{error} {error:?} {receiver:?}");
            assert!(!shown.contains("s3cret"), "{name} {does:?}: {shown}");
            if does == Does::TooMany {
                assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
            }
        }
        assert_eq!(server.requests().len(), 3, "{does:?}: one attempt each");
    }
    for (name, receiver) in http_channels(&format!("http://{}", nobody().await)) {
        let error = sent(&receiver).await.expect_err(name);
        assert!(matches!(error, SendError::Unreachable(_)), "{name}: {error:?}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn slack_gets_text_with_its_markup_escaped() {
    let server = Server::start(&[Does::Answer(200, "ok")]).await;
    sent(&http_channels(&server.url())[0].1).await.unwrap();
    let text = "*Catcher:1*: SERIOUS Wind.High: too &lt;hot&gt; &amp; \"humid\"";
    assert_eq!(server.bodies(), [serde_json::json!({"text": text})]);
    assert!(server.requests()[0].starts_with("POST /s3cret "));
}

#[tokio::test]
async fn the_web_api_of_slack_says_no_with_status_200() {
    let answers = [
        Does::Answer(200, r##"{"ok": false, "error": "ratelimited"}"##),
        Does::Answer(200, r##"{"ok": false, "error": "channel_not_found"}"##),
        Does::Answer(200, "<html>a proxy</html>"),
        Does::Answer(200, r##"{"ok": true}"##),
    ];
    let server = Server::start(&answers).await;
    let receiver = Arc::clone(&http_channels(&server.url())[2].1);
    assert!(sent(&receiver).await.unwrap_err().transient());
    let error = sent(&receiver).await.unwrap_err();
    assert!(!error.transient() && error.to_string().contains("channel_not_found"), "{error}");
    assert!(sent(&receiver).await.unwrap_err().transient());
    sent(&receiver).await.unwrap();
    let request = &server.requests()[3];
    assert!(request.starts_with("POST /chat.postMessage "), "{request}");
    assert!(request.to_lowercase().contains("authorization: bearer xoxb-s3cret"));
    assert_eq!(server.bodies()[3]["channel"], "#a");
}

#[tokio::test]
async fn a_webhook_gets_what_its_template_says() {
    let server = Server::start(&[Does::Answer(204, "")]).await;
    let yaml = format!(
        r#"
- name: ops
  webhook:
    url: {}/hook?x=1
    authorization_env: TOKEN
    body: '{{"n": {{{{ count }}}}, "first": {{{{ alarms[0].reason | tojson }}}}, "all": [{{% for a in alarms %}}{{{{ a.name | tojson }}}}{{% endfor %}}]}}'
"#,
        server.url()
    );
    sent(&receiver(&yaml)).await.unwrap();
    let wanted = serde_json::json!({"n": 1, "first": "too <hot> & \"humid\"", "all": ["Wind.High"]});
    assert_eq!(server.bodies(), [wanted]);
    assert!(server.requests()[0].to_lowercase().contains("authorization: xoxb-s3cret"));

    sent(&receiver(&format!("- {{name: ops, webhook: {{url: '{}'}}}}", server.url()))).await.unwrap();
    let body = &server.bodies()[1];
    assert_eq!(body["alarms"][0]["at"], "1970-01-01T00:00:27.000Z");
    assert_eq!(
        (body["alarms"][0]["what"].as_str(), body["catcher"].as_str()),
        (Some("raised"), Some("Catcher:1"))
    );
}

/// What a mail server does at which point.
#[derive(Debug, Clone, Copy)]
enum Mail {
    Takes,
    Later,
    Never,
    Hangs,
    ClosesAfterData,
    ClosesAtOnce,
}

/// A mail server for one connection; gives what it was sent.
async fn mail_server(does: Mail) -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&got);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        if matches!(does, Mail::ClosesAtOnce) {
            return;
        }
        stream.write_all(b"220 test ESMTP\r\n").await.unwrap();
        let (mut data, mut buffer, mut pending) = (false, [0; 4096], String::new());
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            seen.lock().unwrap().push_str(&text);
            pending.push_str(&text);
            if data && !pending.ends_with("\r\n.\r\n") || !pending.ends_with("\r\n") {
                continue;
            }
            let line = std::mem::take(&mut pending).to_uppercase();
            let answer: &[u8] = match (line.as_str(), does) {
                (_, Mail::ClosesAfterData) if data => return,
                (_, _) if data => b"250 taken\r\n",
                (l, _) if l.starts_with("EHLO") => b"250-test\r\n250 8BITMIME\r\n",
                (l, Mail::Hangs) if l.starts_with("MAIL") => return std::future::pending().await,
                (l, Mail::Later) if l.starts_with("MAIL") => b"451 come back later\r\n",
                (l, Mail::Never) if l.starts_with("MAIL") => b"550 you are nobody\r\n",
                (l, _) if l.starts_with("DATA") => b"354 go on\r\n",
                (l, _) if l.starts_with("QUIT") => b"221 bye\r\n",
                _ => b"250 ok\r\n",
            };
            data = line.starts_with("DATA");
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    });
    (address, got)
}

fn mail(address: SocketAddr) -> Arc<Receiver> {
    receiver(&format!(
        "- {{name: mail, email: {{host: {}, port: {}, security: plain, sender: 'Catcher <c@example.org>', \
         to: [a@example.org, 'B <b@example.org>']}}}}",
        address.ip(),
        address.port()
    ))
}

#[tokio::test]
async fn mail_goes_to_all_who_are_named() {
    let (address, got) = mail_server(Mail::Takes).await;
    sent(&mail(address)).await.unwrap();
    let got = got.lock().unwrap().clone();
    for part in ["MAIL FROM:<c@example.org>", "RCPT TO:<a@example.org>", "RCPT TO:<b@example.org>"] {
        assert!(got.contains(part), "{part} is missing in {got}");
    }
    assert!(got.contains("Subject: [Catcher:1] SERIOUS Wind.High"), "{got}");
    assert!(got.contains("too <hot> & \"humid\""), "{got}");
}

#[tokio::test]
async fn every_trouble_of_a_mail_server_is_told_apart() {
    let cases = [
        (Mail::Later, true),
        (Mail::Never, false),
        (Mail::Hangs, true),
        (Mail::ClosesAfterData, true),
        (Mail::ClosesAtOnce, true),
    ];
    for (does, transient) in cases {
        let (address, _) = mail_server(does).await;
        let error = sent(&mail(address)).await.expect_err("it does not take it");
        assert_eq!(error.transient(), transient, "{does:?}: {error:?}");
    }
    let error = sent(&mail(nobody().await)).await.unwrap_err();
    assert!(error.transient(), "{error:?}");
}
