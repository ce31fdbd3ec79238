//! Repeats, giving up, the breaker, and what goes out together.

use super::*;

const FAST: LaneOptions = LaneOptions {
    queue: 2000,
    first_pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(5),
    breaker_after: 3,
    breaker_pause: Duration::from_millis(50),
};

fn hook(server: &str, more: &str) -> Arc<Receiver> {
    receiver(&format!("- {{name: ops, timeout_s: 0.2, {more} webhook: {{url: '{server}'}}}}"))
}

/// Sends these notices at once and waits until the lane has done with them; gives what it could not deliver.
async fn run(receiver: Arc<Receiver>, notices: Vec<Notice>) -> Vec<NotTold> {
    let (entrance, lane) = Lane::new(receiver, "Catcher:1", FAST);
    let (failures_in, mut failures) = tokio::sync::mpsc::channel(100);
    for notice in notices {
        entrance.try_send(Bundle(vec![notice])).unwrap();
    }
    drop(entrance);
    lane.run(failures_in).await;
    let mut all = Vec::new();
    while let Some(failed) = failures.recv().await {
        all.push(failed);
    }
    all
}

#[tokio::test]
async fn a_message_gets_through_a_server_that_recovers() {
    let script =
        [Does::Answer(500, ""), Does::Half, Does::Hang, Does::Close, Does::TooMany, Does::Answer(200, "")];
    let server = Server::start(&script).await;
    let failed = run(hook(&server.url(), ""), vec![notice("A", Severity::Warning)]).await;
    assert_eq!(failed, []);
    assert_eq!(server.requests().len(), script.len());
}

#[tokio::test]
async fn what_cannot_be_delivered_is_given_up_and_told() {
    let server = Server::start(&[Does::Answer(503, "closed")]).await;
    let failed =
        run(hook(&server.url(), "give_up_after_s: 0.1,"), vec![notice("A", Severity::Warning)]).await;
    assert_eq!((failed.len(), failed[0].receiver.as_str()), (1, "ops"));
    assert!(
        failed[0].reason.contains("attempts") && failed[0].reason.contains("503"),
        "{}",
        failed[0].reason
    );
    assert!(server.requests().len() > 1);

    let server = Server::start(&[Does::Answer(400, "bad")]).await;
    let failed = run(hook(&server.url(), ""), vec![notice("A", Severity::Warning)]).await;
    assert_eq!((failed.len(), server.requests().len()), (1, 1), "a no is not tried again");

    let nobody = format!("http://{}", nobody().await);
    let failed = run(hook(&nobody, "give_up_after_s: 0.1,"), vec![notice("A", Severity::Warning)]).await;
    assert!(failed[0].reason.contains("no connection"), "{}", failed[0].reason);
}

#[tokio::test]
async fn a_receiver_that_fails_is_left_alone_for_a_while() {
    let server = Server::start(&[Does::Answer(500, "")]).await;
    let failed =
        run(hook(&server.url(), "give_up_after_s: 0.4,"), vec![notice("A", Severity::Warning)]).await;
    assert_eq!(failed.len(), 1);
    let attempts = server.requests().len();
    assert!(
        (4..=12).contains(&attempts),
        "{attempts} attempts: three, and one each 50 ms; without the breaker about 100"
    );
}

#[tokio::test]
async fn a_storm_is_a_few_messages() {
    let server = Server::start(&[Does::Answer(200, "")]).await;
    let mut storm: Vec<Notice> = (0..999).map(|n| notice(&format!("A{n}"), Severity::Warning)).collect();
    storm.push(notice("Root", Severity::Critical));
    assert_eq!(run(hook(&server.url(), ""), storm).await, []);
    let bodies = server.bodies();
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0]["count"], 1000);
    let text = bodies[0]["text"].as_str().unwrap();
    assert!(text.starts_with("CRITICAL Root") && text.ends_with("\n990 more"), "{text}");
}

#[test]
fn a_receiver_is_told_of_its_alarms_from_its_severity_on() {
    let yaml = "- {name: a, alarms: ['wind.*', 'Jitter.?'], from: serious, cleared: false, webhook: {url: 'http://x'}}";
    let receiver = receiver(yaml);
    let wants = |alarm: &str, severity| receiver.wants(&notice(alarm, severity));
    assert!(wants("Wind.High", Severity::Serious) && wants("Jitter.A", Severity::Critical));
    assert!(!wants("Wind.High", Severity::Warning), "not bad enough");
    assert!(
        !wants("Jitter.AB", Severity::Critical) && !wants("A.Wind.High", Severity::Critical),
        "whole names"
    );
    let over = Notice { what: Told::Cleared, ..notice("Wind.High", Severity::Critical) };
    assert!(!receiver.wants(&over));
}
