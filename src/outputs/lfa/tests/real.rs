//! A real S3 server, which checks signatures: `CATCHER_TEST_S3_URL`, `_ACCESS_KEY`, `_SECRET_KEY`, `_BUCKET` (`rubinobs-lfa-...`), and
//! for one that is killed `CATCHER_TEST_S3_PROGRAM`; `scripts/stack env` prints them.

use std::process::{Child, Command, Stdio};

use reqwest::Method;

use super::*;

/// A server, and who we are there.
struct Real {
    url: String,
    id: String,
    secret: String,
    instance: String,
}

impl Real {
    fn of_environment() -> Option<Real> {
        let var = |name: &str| std::env::var(format!("CATCHER_TEST_S3_{name}")).ok();
        let Some(url) = var("URL") else {
            eprintln!("SKIPPED: no real S3 server, CATCHER_TEST_S3_URL is not set");
            return None;
        };
        let bucket = var("BUCKET").expect("CATCHER_TEST_S3_BUCKET");
        let instance = bucket.strip_prefix("rubinobs-lfa-").expect("a bucket of an LFA").to_owned();
        Some(Real { url, id: var("ACCESS_KEY").unwrap(), secret: var("SECRET_KEY").unwrap(), instance })
    }

    fn config(&self) -> LfaConfig {
        LfaConfig { instance: Some(self.instance.clone()), timeout_s: 30.0, ..LfaConfig::default() }
    }

    fn client(&self) -> S3 {
        self.client_with(&self.secret)
    }

    fn client_with(&self, secret: &str) -> S3 {
        let place = Place { site: "lab".to_owned(), endpoint: Some(self.url.clone()) };
        let env = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some(self.id.clone()),
            "AWS_SECRET_ACCESS_KEY" => Some(secret.to_owned()),
            _ => None,
        };
        self.config().client(&place, &env).unwrap()
    }

    /// The file behind an address of an event, asked with a signature as anybody else would.
    async fn read(&self, url: &str) -> (String, Vec<u8>) {
        let key = url.split_once(&format!("/rubinobs-lfa-{}/", self.instance)).unwrap().1.replace("%3A", ":");
        let signed = self.client().signed(Method::GET, &key).await;
        let answer = reqwest::get(signed).await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
        let mime = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (mime, answer.bytes().await.unwrap().to_vec())
    }
}

#[tokio::test]
async fn a_file_is_stored_read_back_and_never_replaced() {
    let Some(real) = Real::of_environment() else { return };
    let (dir, ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let lfa = open(dir.path());
    lfa.set(Some(real.client()));
    let large: Vec<u8> = (0..5_u32 << 20).flat_map(u32::to_le_bytes).collect();
    let (small, parts) = while_running(&lfa, &ear, async {
        let small = keep(&lfa, "a b#é.json", b"{\"n\": 1}").await.unwrap();
        ear.until_events(1).await;
        let parts = keep(&lfa, "large.fits", &large).await.unwrap();
        ear.until_events(2).await;
        (small, parts)
    })
    .await;
    assert_eq!(real.read(&small.url).await, ("application/json".to_owned(), b"{\"n\": 1}".to_vec()));
    let (mime, content) = real.read(&parts.url).await;
    assert!(mime == "application/fits" && content == large);
    assert_eq!(reqwest::get(&small.url).await.unwrap().status(), 403, "nobody reads it without a signature");

    // Sent again, as after an answer that was lost; then another file of that name, which is refused.
    for (content, refused) in [(&b"{\"n\": 1}"[..], 0), (b"{\"n\": 2}", 1)] {
        let other = tempfile::tempdir().unwrap();
        let again = open(other.path());
        again.set(Some(real.client()));
        keep(&again, "x.json", content).await.unwrap();
        again.with_key("x.json", &small.url, &real.instance).await;
        let heard = Ear::default();
        while_running(&again, &heard, until_state(&again, "done", |s| s.announced + s.refused == 1)).await;
        assert_eq!(again.state().borrow().refused, refused);
        assert_eq!(heard.events().len() as u64, 1 - refused);
    }
    assert_eq!(real.read(&small.url).await.1, b"{\"n\": 1}");
}

#[tokio::test]
async fn a_wrong_secret_is_told_without_it() {
    let Some(real) = Real::of_environment() else { return };
    let (dir, ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let lfa = open(dir.path());
    lfa.set(Some(real.client_with("wr0ng-secret")));
    while_running(&lfa, &ear, async {
        keep(&lfa, "a.json", b"{}").await.unwrap();
        ear.until("told", |heard| !heard.news.is_empty()).await;
        let told = ear.heard().news[0].2.clone();
        assert!(told.contains("SignatureDoesNotMatch"), "{told}");
        assert!(!told.contains("wr0ng") && !told.contains("StringToSign"), "{told}");
        assert!(ear.events().is_empty());
        lfa.set(Some(real.client()));
        ear.until_events(1).await;
    })
    .await;
}

/// A server of its own, killed (SIGKILL) when dropped.
struct Gateway(Child);

impl Gateway {
    fn start(program: &str, dir: &Path, real: &Real) -> Gateway {
        let bucket = dir.join("objects").join(format!("rubinobs-lfa-{}", real.instance));
        std::fs::create_dir_all(bucket).unwrap();
        std::fs::create_dir_all(dir.join("iam")).unwrap();
        let address = real.url.strip_prefix("http://").unwrap();
        let mut command = Command::new(program);
        command.env("ROOT_ACCESS_KEY_ID", &real.id).env("ROOT_SECRET_ACCESS_KEY", &real.secret);
        command
            .args(["--port", address, "--region", "us-east-1", "--quiet", "--iam-dir"])
            .arg(dir.join("iam"));
        command.arg("posix").arg(dir.join("objects")).stdout(Stdio::null()).stderr(Stdio::null());
        Gateway(command.spawn().unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn files_wait_while_the_server_is_down_and_go_when_it_is_up() {
    let Ok(program) = std::env::var("CATCHER_TEST_S3_PROGRAM") else {
        eprintln!("SKIPPED: no S3 server is killed, CATCHER_TEST_S3_PROGRAM is not set");
        return;
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let real = Real {
        url: format!("http://127.0.0.1:{port}"),
        id: "catcher".to_owned(),
        secret: "not-a-secret".to_owned(),
        instance: "test".to_owned(),
    };
    // On a file system with extended attributes, as the server needs them: where the tests are built.
    let built = std::env::current_exe().unwrap();
    let data = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
    let (dir, ear) = (tempfile::tempdir().unwrap(), Ear::default());
    let lfa = open(dir.path());
    lfa.set(Some(real.client()));
    let content = |n: usize| format!("content {n}");
    let urls = while_running(&lfa, &ear, async {
        let mut urls = Vec::new();
        let mut more = async |from: usize, to: usize| {
            for n in from..to {
                urls.push(keep(&lfa, &format!("{n}.txt"), content(n).as_bytes()).await.unwrap().url);
            }
        };
        more(0, 20).await;
        until_state(&lfa, "down", |s| s.failures >= 2 && s.announced == 0).await;
        let server = Gateway::start(&program, data.path(), &real);
        ear.until_events(5).await;
        drop(server);
        more(20, 40).await;
        until_state(&lfa, "down again", |s| s.failures >= 2).await;
        let _server = Gateway::start(&program, data.path(), &real);
        ear.until_events(40).await;
        until_state(&lfa, "noted", |s| s.waiting == 0).await;
        for (n, url) in urls.iter().enumerate() {
            assert_eq!(real.read(url).await, ("text/plain".to_owned(), content(n).into_bytes()));
        }
        urls
    })
    .await;
    let mut announced: Vec<String> = ear.events().into_iter().map(|event| event.url).collect();
    announced.sort();
    let mut expected = urls;
    expected.sort();
    assert_eq!(announced, expected, "each once");
}
