//! LOVE-manager on a bad day.

use super::*;

#[tokio::test]
async fn refused_hung_closed_halfway_it_is_tried_again_until_the_browser_has_all() {
    let script = [Does::Refuse(403), Does::Hang, Does::CloseAfter(2), Does::Refuse(502), Does::Serve];
    let love = FakeManager::start(&script).await;
    let options = LinkOptions { connect: Duration::from_millis(200), ..quick() };
    let bench = Bench::start(&love.url(), options);
    let mut browser = love.browser();
    bench.set("Wind.High", Severity::Warning, "before any connection");
    browser.until("the alarm", |all| severity_is(all, "Wind.High", 2)).await;
    until("the last connection", || bench.tap.figures().connected() && bench.count(|f| &f.connections) == 2)
        .await;
    bench.set("Wind.High", Severity::None, "");
    browser.until("it is over", |all| severity_is(all, "Wind.High", 1)).await;
    // The one that hangs sees no request.
    assert_eq!(love.asked().len(), 4);
}

#[tokio::test]
async fn a_manager_that_says_nothing_is_left() {
    let love = FakeManager::start(&[Does::Deaf, Does::Serve]).await;
    let ms = Duration::from_millis;
    let options = LinkOptions { ping_every: ms(30), silence: ms(100), ..quick() };
    let bench = Bench::start(&love.url(), options);
    bench.set("Wind.High", Severity::Warning, "");
    let mut browser = love.browser();
    browser.until("the alarm", |all| severity_is(all, "Wind.High", 2)).await;
    assert_eq!(love.asked().len(), 2);
}

#[tokio::test]
async fn while_the_manager_takes_nothing_the_core_never_waits_and_what_is_lost_is_counted() {
    let love = FakeManager::start(&[Does::Deaf, Does::Serve]).await;
    let options = LinkOptions { send: Duration::from_millis(300), burst: 5000, ..quick() };
    let bench = Bench::start(&love.url(), options);
    until("it is connected", || bench.tap.figures().connected()).await;
    // Long texts fill the sockets' buffers, then the queue.
    let long = "x".repeat(20_000);
    let begun = tokio::time::Instant::now();
    let mut n = 0;
    while bench.count(|f| &f.lost) < 10 {
        bench.set(&format!("A.{}", n % 700), Severity::Warning, &long);
        n += 1;
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing was lost of {n} changes");
    }
    let mut browser = love.browser();
    browser.until("all alarms after all", |all| all.len() == n.min(700)).await;
    assert!(bench.count(|f| &f.lost) >= 10);
}

#[tokio::test]
async fn nothing_is_kept_while_nobody_is_there() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let bench = Bench::start(&format!("ws://{nobody}/manager/ws/subscription"), quick());
    for n in 0..3 * QUEUE {
        bench.set(&format!("A.{n}"), Severity::Warning, "");
    }
    assert_eq!(bench.count(|f| &f.lost), 0);
    assert_eq!(bench.tap.queue.capacity(), QUEUE);
}

#[tokio::test]
async fn errors_name_no_secret() {
    let love = FakeManager::start(&[Does::Refuse(403), Does::Refuse(403), Does::Hang]).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let bad = [
        love.url(),
        format!("ws://{nobody}/x"),
        "ws://no such host/x".to_owned(),
        "wss://127.0.0.1:1/x".to_owned(),
    ];
    for url in bad {
        let (tap, queue) = Tap::new();
        let options = LinkOptions { connect: Duration::from_millis(300), ..quick() };
        let all = Arc::new(Alarms::default());
        let mut producer = Producer { face: face(), all, queue, tap, clock: Clock::System, options };
        let error = producer.connection(&manager(&url)).await;
        let told = format!("{error} {error:?} {:?}", manager(&url));
        assert!(!told.contains("pass") || told.contains("password or token"), "{told}");
        assert!(!told.contains("word%26"), "{told}");
    }
}
