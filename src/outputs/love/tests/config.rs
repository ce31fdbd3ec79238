//! What a site may write.

use super::*;

fn read(yaml: &str) -> Result<Manager, Vec<String>> {
    let lookup = |name: &str| match name {
        "LOVE_PASSWORD" => Some(PASSWORD.to_owned()),
        "LOVE_TOKEN" => Some("t0ken\n".to_owned()),
        "EMPTY" => Some(" ".to_owned()),
        _ => None,
    };
    serde_saphyr::from_str::<LoveConfig>(yaml).unwrap().manager(&lookup)
}

#[test]
fn password_or_token_come_from_a_variable_or_a_file_and_are_shown_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "t0ken\n").unwrap();
    let by_password =
        read("{url: 'ws://love/love/manager/producers/ws/subscription', password_env: LOVE_PASSWORD}")
            .unwrap();
    assert_eq!(
        by_password.address.expose(),
        "ws://love/love/manager/producers/ws/subscription/?password=pass+word%261"
    );
    assert_eq!(by_password.shown, "ws://love/love/manager/producers/ws/subscription");
    assert!(!format!("{by_password:?}").contains("word%26"));
    let by_file =
        read(&format!("{{url: 'wss://love/manager/ws/subscription/', token_file: '{}'}}", file.display()));
    assert_eq!(by_file.unwrap().address.expose(), "wss://love/manager/ws/subscription/?token=t0ken");
    assert!(read("{url: 'ws://love/x', token_env: LOVE_TOKEN}").is_ok());
}

#[test]
fn every_mistake_is_told() {
    for (yaml, words) in [
        ("{url: 'http://love/x', password_env: LOVE_PASSWORD}", vec!["love.url", "ws(s)"]),
        ("{url: 'nowhere', password_env: NOT_SET}", vec!["love.url", "love.password_env", "NOT_SET"]),
        ("{url: 'ws://user:s3cret@love/x', password_env: LOVE_PASSWORD}", vec!["credentials"]),
        ("{url: 'ws://love/?password=s3cret', password_env: LOVE_PASSWORD}", vec!["credentials"]),
        ("{url: 'ws://love/x'}", vec!["password_env, password_file, token_env, token_file"]),
        ("{url: 'ws://love/x', password_env: LOVE_PASSWORD, token_env: LOVE_TOKEN}", vec!["not both"]),
        ("{url: 'ws://love/x', password_env: LOVE_PASSWORD, password_file: /x}", vec!["not both"]),
        ("{url: 'ws://love/x', token_env: EMPTY}", vec!["nothing in it"]),
        ("{url: 'ws://love/x', token_file: /nowhere/token}", vec!["love.token_file"]),
    ] {
        let told = read(yaml).unwrap_err().join("\n");
        for word in words {
            assert!(told.contains(word), "{yaml}: {told}");
        }
        assert!(!told.contains("s3cret"), "{told}");
    }
}
