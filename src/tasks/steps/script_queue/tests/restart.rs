//! The process dies at every write of the journal, before and after it is durable; another one goes on.

use super::*;

/// Runs a step in a first process until it dies at write `at`.
async fn die_at(at: usize, durable: bool, behaviour: QueueScript) -> (Bench, QueueControl) {
    let (bus, control) = Bus::memory();
    let journal = Journal { stop_at: Some((at, durable)), ..Journal::default() };
    let b = Bench::on(bus, control, 10, journal, site(json!({})));
    let queue = b.queue(behaviour).await;
    let call = script(json!({}));
    tokio::select! {
        outcome = b.run(&call) => panic!("it ended before write {at}: {outcome:?}"),
        () = b.hand.journal.stopped.notified() => {}
    }
    (b, queue)
}

/// Another process with the same journal on the same bus.
fn next_process(dead: &Bench) -> (Bench, Option<Value>) {
    let (bus, control) = (dead.bus.clone(), dead.control.clone());
    (Bench::on(bus, control, 20, Journal::default(), site(json!({}))), dead.hand.memo())
}

#[tokio::test(start_paused = true)]
async fn every_death_ends_in_exactly_one_script_and_its_outcome() {
    for lose_acks in [0, 1] {
        for down in [0, 4, 100] {
            for (at, durable) in [(0, false), (0, true), (1, false), (1, true), (2, false), (2, true)] {
                let behaviour = QueueScript { lose_acks, ..QueueScript::default() };
                let (dead, queue) = die_at(at, durable, behaviour).await;
                dead.bus.clock.sleep(Duration::from_secs(down)).await;
                let (b, memo) = next_process(&dead);
                let what = format!("write {at}, durable {durable}, down {down} s, {lose_acks} lost");
                assert_eq!(memo.is_some(), at > 0 || durable, "{what}");
                let outcome = b.resume(&script(json!({})), memo).await;
                assert_eq!(outcome.as_ref().map(|o| o.backend_id.as_str()), Ok("300000"), "{what}");
                assert_eq!((queue.added().len(), b.adds_sent()), (1, 1), "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_meanwhile_is_told_and_the_queue_goes_on() {
    for course in [Course::Fail("no light".into()), Course::Crash] {
        for down in [0, 4, 100] {
            let (dead, queue) = die_at(1, true, ours(course.clone())).await;
            dead.bus.clock.sleep(Duration::from_secs(down)).await;
            let (b, memo) = next_process(&dead);
            let error = b.resume(&script(json!({})), memo).await.unwrap_err();
            assert_eq!((error.class, &error.result["outcome"]), (ErrorClass::Permanent, &json!("failed")));
            assert!(error.text.contains("was resumed"), "{course:?}, down {down} s: {error}");
            assert_eq!((queue.is_running(), queue.added().len()), (true, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_added_is_not_added_too_late_nor_while_the_queue_is_observing() {
    for durable in [false, true] {
        let (dead, queue) = die_at(0, durable, QueueScript::default()).await;
        dead.bus.clock.sleep(Duration::from_secs(700)).await;
        let (b, memo) = next_process(&dead);
        let error = b.resume(&script(json!({})), memo).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Aborted);
        assert!(error.text.contains("older than max_event_age"), "{error}");
        assert_eq!((queue.added().len(), b.adds_sent()), (0, 0));

        let (dead, queue) = die_at(0, durable, courses(&[("observe.py", Course::Hang)])).await;
        add(&dead.stranger().await, "maintel/observe.py").await;
        let (b, memo) = next_process(&dead);
        let error = b.resume(&script(json!({})), memo).await.unwrap_err();
        assert!(error.class == ErrorClass::Transient && error.text.contains("is observing"), "{error}");
        assert_eq!(queue.added().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_command_topic_leaves_the_outcome_unknown() {
    let (dead, queue) = die_at(0, true, QueueScript::default()).await;
    add(&dead.stranger().await, OURS).await;
    let topic = sal_idl::names::kafka_topic(&dead.bus.env.topic_subname, "ScriptQueue", "command_add");
    dead.control.expire(&topic, 0, 1);
    dead.bus.clock.sleep(Duration::from_secs(30)).await;
    let (b, memo) = next_process(&dead);
    let error = b.resume(&script(json!({})), memo.clone()).await.unwrap_err();
    assert_eq!((error.class, queue.added().len()), (ErrorClass::UnknownOutcome, 1), "{error}");
    let step = StepCall { resend_if_unknown: true, ..script(json!({})) };
    assert_eq!(b.resume(&step, memo).await.unwrap().backend_id, "300001");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_started_anew_meanwhile_gave_the_number_to_another() {
    let (dead, queue) = die_at(1, true, ours(Course::StuckLoading)).await;
    queue.wait_added(1).await;
    dead.bus.clock.sleep(Duration::from_secs(1)).await;
    queue.vanish().await;
    let anew = dead.queue_of(2, QueueScript::default()).await;
    add(&dead.stranger().await, OURS).await;
    anew.wait_state(300_000, 8).await;
    let (b, memo) = next_process(&dead);
    let error = b.resume(&script(json!({})), memo).await.unwrap_err();
    assert_ne!(error.class, ErrorClass::Permanent, "{error}");
    assert!(error.text.contains("had not begun when its queue was started anew"), "{error}");
    assert_eq!(b.adds_sent(), 2);
}

/// Scripts are processes of their own: their signs of life say nothing of the queue.
#[tokio::test(start_paused = true)]
async fn the_heartbeat_of_another_script_is_not_that_of_another_queue() {
    let (bus, control) = Bus::memory();
    // It dies when it knows the number of its script, which waits behind a long one.
    let journal = Journal { stop_at: Some((2, true)), ..Journal::default() };
    let dead = Bench::on(bus, control, 10, journal, site(json!({"while_observing": true})));
    let queue =
        dead.queue(QueueScript { run_time: Duration::from_secs(120), ..QueueScript::default() }).await;
    add(&dead.stranger().await, "maintel/long.py").await;
    queue.wait_state(300_000, 3).await;
    let call = script(json!({}));
    tokio::select! {
        outcome = dead.run(&call) => panic!("it ended before it died: {outcome:?}"),
        () = dead.hand.journal.stopped.notified() => {}
    }
    dead.bus.clock.sleep(Duration::from_secs(20)).await;
    let (b, memo) = next_process(&dead);
    assert_eq!(b.resume(&call, memo).await.unwrap().backend_id, "300001");
    assert_eq!((queue.added().len(), b.adds_sent()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_stop_after_the_restart_takes_the_script_of_before_out() {
    for (at, durable) in [(1, false), (1, true), (2, true)] {
        let (dead, queue) = die_at(at, durable, ours(Course::Hang)).await;
        queue.wait_state(300_000, 3).await;
        let (b, memo) = next_process(&dead);
        b.hand.stop("enough");
        let error = b.resume(&script(json!({})), memo).await.unwrap_err();
        assert_eq!(
            (error.class, &error.result["outcome"]),
            (ErrorClass::Aborted, &json!("stopped")),
            "{error}"
        );
        queue.wait_empty().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_does_not_add_again() {
    let b = Bench::new();
    let queue = b.queue(QueueScript::default()).await;
    let error = b.resume(&script(json!({})), Some(json!({"phase": "sent"}))).await.unwrap_err();
    assert_eq!((error.class, queue.added().len()), (ErrorClass::UnknownOutcome, 0));
}
