//! The process dies at every write of the journal, before and after it is durable; another one goes on.

use super::*;

/// Runs a step in a first process until it dies at write `at`; then lets `meanwhile` pass.
pub(super) async fn die_at(at: usize, durable: bool, script: OcpsScript) -> (Bench, OcpsControl) {
    let (bus, control) = Bus::memory();
    let journal = Journal { stop_at: Some((at, durable)), ..Journal::default() };
    let b = Bench::on(bus, control, 10, journal);
    let ocps = b.ocps(1, script).await;
    let call = pipeline("isr.yaml");
    tokio::select! {
        outcome = b.run(&call) => panic!("it ended before write {at}: {outcome:?}"),
        () = b.journal.stopped.notified() => {}
    }
    (b, ocps)
}

/// Another process with the same journal on the same bus.
pub(super) fn next_process(dead: &Bench) -> (Bench, Option<Value>) {
    let memo = dead.journal.memo.lock().unwrap().clone();
    (Bench::on(dead.bus.clone(), dead.control.clone(), 20, Journal::default()), memo)
}

#[tokio::test(start_paused = true)]
async fn every_death_ends_in_exactly_one_job_and_its_result() {
    for down in [0, 3, 60] {
        for at in 0..3 {
            for durable in [false, true] {
                let (dead, ocps) = die_at(at, durable, OcpsScript::default()).await;
                dead.bus.clock.sleep(Duration::from_secs(down)).await;
                let (b, memo) = next_process(&dead);
                drop(dead);
                let what = format!("write {at}, durable {durable}, down {down} s, memo {memo:?}");
                assert_eq!(memo.is_some(), at > 0 || durable, "{what}");
                let outcome = b.resume(&pipeline("isr.yaml"), memo).await;
                assert_eq!(outcome.as_ref().map(|o| &o.result["outcome"]), Ok(&json!("succeeded")), "{what}");
                assert_eq!((ocps.executed().len(), b.commands_sent()), (1, 1), "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_not_sent_too_late() {
    for (at, durable) in [(0, false), (0, true)] {
        let (dead, ocps) = die_at(at, durable, OcpsScript::default()).await;
        dead.bus.clock.sleep(Duration::from_secs(700)).await;
        let (b, memo) = next_process(&dead);
        let error = b.resume(&pipeline("isr.yaml"), memo).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Aborted);
        assert!(error.text.contains("older than max_event_age"), "{error}");
        assert_eq!((ocps.executed().len(), b.commands_sent()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_followed_however_late() {
    for (at, durable) in [(1, false), (1, true), (2, true)] {
        let (dead, ocps) = die_at(at, durable, OcpsScript::default()).await;
        dead.bus.clock.sleep(Duration::from_secs(7000)).await;
        let (b, memo) = next_process(&dead);
        let outcome = b.resume(&pipeline("isr.yaml"), memo).await.unwrap();
        assert_eq!(outcome.result["job_id"], outcome.backend_id);
        assert_eq!(ocps.executed().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn results_of_strangers_meanwhile_are_not_ours() {
    let (dead, _ocps) = die_at(2, true, outcomes(&[("theirs.yaml", Outcome::Fail)])).await;
    let other = Remote::open(&dead.bus.domain(50), component(), 1, RemoteOptions::default()).await.unwrap();
    let fields = [("pipeline", SalValue::Text("theirs.yaml".into()))];
    for _ in 0..5 {
        let done = other.command("execute").unwrap().start(&fields, Duration::from_secs(60), true);
        done.await.unwrap();
    }
    let (b, memo) = next_process(&dead);
    assert_eq!(b.resume(&pipeline("isr.yaml"), memo).await.unwrap().result["outcome"], "succeeded");
}

/// Others command it, and then all of that expires.
pub(super) async fn expire_commands(dead: &Bench) {
    let other = Remote::open(&dead.bus.domain(50), component(), 1, RemoteOptions::default()).await.unwrap();
    let fields = [("pipeline", SalValue::Text("theirs.yaml".into()))];
    other.command("execute").unwrap().start(&fields, Duration::from_secs(60), true).await.unwrap();
    let topic = sal_idl::names::kafka_topic(&dead.bus.env.topic_subname, "OCPS", "command_execute");
    dead.control.expire(&topic, 0, 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_command_topic_leaves_the_outcome_unknown() {
    for resend in [false, true] {
        let (dead, ocps) = die_at(0, true, OcpsScript::default()).await;
        expire_commands(&dead).await;
        let (b, memo) = next_process(&dead);
        let step = StepCall { resend_if_unknown: resend, ..pipeline("isr.yaml") };
        let outcome = b.resume(&step, memo).await;
        let ours = ocps.executed().iter().filter(|e| e.fields["pipeline"].contains("isr")).count();
        if resend {
            assert_eq!((outcome.unwrap().result["outcome"].as_str(), ours), (Some("succeeded"), 1));
        } else {
            let error = outcome.unwrap_err();
            assert_eq!((error.class, ours), (ErrorClass::UnknownOutcome, 0), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ocps_that_died_or_was_restarted_meanwhile_is_told() {
    let script = OcpsScript { run_time: Duration::from_secs(100), ..OcpsScript::default() };
    let (dead, ocps) = die_at(2, true, script).await;
    ocps.vanish().await;
    let (b, memo) = next_process(&dead);
    let error = b.resume(&pipeline("isr.yaml"), memo.clone()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    assert!(error.text.contains("nothing was heard of OCPS:1"), "{error}");
    let domain = b.bus.domain(2);
    sim::start(&domain, component(), 1, SummaryState::Enabled, OcpsScript::default()).await.unwrap();
    let (b, _) = next_process(&dead);
    let error = b.resume(&pipeline("isr.yaml"), memo).await.unwrap_err();
    assert!(error.text.contains("was started anew while job"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_after_the_restart_aborts_the_job_of_before() {
    let (dead, ocps) = die_at(2, true, outcomes(&[("isr.yaml", Outcome::Hang)])).await;
    let (b, memo) = next_process(&dead);
    let call = pipeline("isr.yaml");
    let (outcome, ()) = tokio::join!(b.resume(&call, memo), async {
        b.bus.clock.sleep(Duration::from_secs(5)).await;
        b.stop("enough");
    });
    assert_eq!(outcome.unwrap_err().class, ErrorClass::Aborted);
    assert_eq!(ocps.running_jobs(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_older_than_the_process_aborts_the_job_or_sends_nothing() {
    for (at, durable, sent) in [(0, true, 0), (1, false, 1), (1, true, 1), (2, true, 1)] {
        let (dead, ocps) = die_at(at, durable, outcomes(&[("isr.yaml", Outcome::Hang)])).await;
        dead.bus.clock.sleep(Duration::from_secs(1)).await;
        let (b, memo) = next_process(&dead);
        b.stop("enough");
        let error = b.resume(&pipeline("isr.yaml"), memo).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Aborted);
        assert_eq!((ocps.running_jobs(), ocps.executed().len()), (Vec::new(), sent), "write {at}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_comes_up_after_us_is_waited_for() {
    for (at, durable) in [(0, true), (1, false), (1, true)] {
        // The simulated OCPS loses what it writes meanwhile, so its job takes longer than that.
        let script = OcpsScript { run_time: Duration::from_secs(60), ..OcpsScript::default() };
        let (dead, ocps) = die_at(at, durable, script).await;
        dead.bus.clock.sleep(Duration::from_secs(1)).await;
        let (b, memo) = next_process(&dead);
        b.control.set_stopped(true);
        let call = pipeline("isr.yaml");
        let (outcome, ()) = tokio::join!(b.resume(&call, memo), async {
            b.bus.clock.sleep(Duration::from_secs(20)).await;
            b.control.set_stopped(false);
        });
        assert_eq!(outcome.unwrap().result["outcome"], "succeeded", "write {at}");
        assert_eq!(ocps.executed().len(), 1);
    }
    // It stays away: the step's time limit ends it.
    let (dead, _ocps) = die_at(1, true, OcpsScript::default()).await;
    let (b, memo) = next_process(&dead);
    b.control.set_stopped(true);
    let call = pipeline("isr.yaml");
    let (outcome, ()) = tokio::join!(b.resume(&call, memo), async {
        b.bus.clock.sleep(Duration::from_secs(100)).await;
        b.stop("enough");
    });
    assert!(outcome.unwrap_err().text.contains("could not be read after a restart"));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_does_not_send_again() {
    let b = Bench::new();
    let ocps = b.ocps(1, OcpsScript::default()).await;
    let error = b.resume(&pipeline("isr.yaml"), Some(json!({"phase": "sent"}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    assert_eq!(ocps.executed().len(), 0);
}
