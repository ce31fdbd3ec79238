//! The process dies at every write of the journal, before and after it is durable; another one goes on.

use super::*;

/// Runs a step in a first process until it dies at write `at`.
async fn die_at(step: &StepCall, at: usize, durable: bool, behaviour: Behaviour) -> (Bench, CscControl) {
    let (bus, control) = Bus::memory();
    let b = Bench::on(bus, control, 10, Journal { stop_at: Some((at, durable)), ..Journal::default() });
    let csc = b.csc(1, behaviour).await;
    tokio::select! {
        outcome = b.run(step) => panic!("it ended before write {at}: {outcome:?}"),
        () = b.hand.journal.stopped.notified() => {}
    }
    (b, csc)
}

/// Another process with the same journal on the same bus.
fn next_process(dead: &Bench) -> (Bench, Option<Value>) {
    (Bench::on(dead.bus.clone(), dead.control.clone(), 20, Journal::default()), dead.hand.memo())
}

#[tokio::test(start_paused = true)]
async fn every_death_ends_in_exactly_one_command_and_its_outcome() {
    let step = wait(json!({"ack_timeout": "20s", "then": {"event": "scalars", "where": {"int0": 8}}}));
    let behaviour = Behaviour {
        run_time: Duration::from_secs(5),
        events: vec![scalars(8, Duration::from_secs(2), false)],
        ..Behaviour::default()
    };
    for down in [0, 3, 60] {
        for (at, durable) in [(0, false), (0, true), (1, false), (1, true)] {
            let (dead, csc) = die_at(&step, at, durable, behaviour.clone()).await;
            dead.bus.clock.sleep(Duration::from_secs(down)).await;
            let (b, memo) = next_process(&dead);
            let what = format!("write {at}, durable {durable}, down {down} s");
            assert_eq!(memo.is_some(), at > 0 || durable, "{what}");
            let outcome = b.resume(&step, memo).await;
            assert_eq!(outcome.as_ref().map(|o| &o.result["event"]["int0"]), Ok(&json!(8)), "{what}");
            assert_eq!((csc.asked().len(), b.commands_sent()), (1, 1), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_not_sent_too_late_nor_against_the_list() {
    for durable in [false, true] {
        let (dead, csc) = die_at(&wait(json!({})), 0, durable, Behaviour::default()).await;
        dead.bus.clock.sleep(Duration::from_secs(700)).await;
        let (b, memo) = next_process(&dead);
        let error = b.resume(&wait(json!({})), memo).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Aborted);
        assert!(error.text.contains("older than max_event_age"), "{error}");
        assert_eq!((csc.asked().len(), b.commands_sent()), (0, 0));
    }
    let (dead, csc) = die_at(&wait(json!({})), 0, true, Behaviour::default()).await;
    let (mut b, memo) = next_process(&dead);
    b.backend.allowed = allow(|_, _, _| false);
    let error = b.resume(&wait(json!({})), memo).await.unwrap_err();
    assert!(error.text.contains("allowed_commands"), "{error}");
    assert_eq!(csc.asked().len(), 0);
    // What is on its way is followed whatever the list says by now.
    let (dead, csc) = die_at(&wait(json!({})), 1, true, Behaviour::default()).await;
    let (mut b, memo) = next_process(&dead);
    b.backend.allowed = allow(|_, _, _| false);
    assert_eq!(b.resume(&wait(json!({})), memo).await.unwrap().result["ack"], "CMD_COMPLETE");
    assert_eq!(csc.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_command_topic_leaves_the_outcome_unknown() {
    for resend in [false, true] {
        let (dead, csc) = die_at(&wait(json!({})), 0, true, Behaviour::default()).await;
        let domain = dead.bus.domain(50);
        let other = Remote::open(&domain, component("Test"), 1, RemoteOptions::default()).await.unwrap();
        let done = other.command("wait").unwrap().start(&[], Duration::from_secs(60), true);
        done.await.unwrap();
        let topic = sal_idl::names::kafka_topic(&dead.bus.env.topic_subname, "Test", "command_wait");
        dead.control.expire(&topic, 0, 1);
        let (b, memo) = next_process(&dead);
        let step = StepCall { resend_if_unknown: resend, ..wait(json!({})) };
        let outcome = b.resume(&step, memo).await;
        let ours = csc.asked().iter().filter(|s| s.f64("duration") == 2.5).count();
        if resend {
            assert_eq!((outcome.unwrap().result["ack"].as_str(), ours), (Some("CMD_COMPLETE"), 1));
        } else {
            let error = outcome.unwrap_err();
            assert_eq!((error.class, ours), (ErrorClass::UnknownOutcome, 0), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_died_or_was_started_anew_meanwhile_is_told() {
    let step = wait(json!({"then": {"event": "scalars"}}));
    let (dead, csc) = die_at(&step, 1, true, Behaviour { end: End::Hang, ..Behaviour::default() }).await;
    csc.vanish().await;
    let (b, memo) = next_process(&dead);
    let error = b.resume(&step, memo.clone()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    assert!(error.text.contains("nothing was heard of Test:1"), "{error}");
    let anew = sim::start(&b.bus.domain(2), component("Test"), 1, SummaryState::Enabled).await.unwrap();
    let (b, _) = next_process(&dead);
    let error = b.resume(&step, memo).await.unwrap_err();
    assert!(error.text.contains("was started anew before it acknowledged the end"), "{error}");
    assert_eq!(anew.asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_comes_up_after_us_is_waited_for() {
    let behaviour = Behaviour { run_time: Duration::from_secs(60), ..Behaviour::default() };
    let (dead, csc) = die_at(&wait(json!({})), 1, true, behaviour).await;
    dead.bus.clock.sleep(Duration::from_secs(1)).await;
    let (b, memo) = next_process(&dead);
    b.control.set_stopped(true);
    let step = wait(json!({}));
    let (outcome, ()) = tokio::join!(b.resume(&step, memo), async {
        b.bus.clock.sleep(Duration::from_secs(20)).await;
        b.control.set_stopped(false);
    });
    assert_eq!(outcome.unwrap().result["ack"], "CMD_COMPLETE");
    assert_eq!(csc.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_does_not_send_again() {
    let b = Bench::new();
    let csc = b.csc(1, Behaviour::default()).await;
    let error = b.resume(&wait(json!({})), Some(json!({"phase": "sent"}))).await.unwrap_err();
    assert_eq!((error.class, csc.asked().len()), (ErrorClass::UnknownOutcome, 0));
}
