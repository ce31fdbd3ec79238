use salobj::transport::memory::MemoryControl;
use salobj::{AckCode, Remote, RemoteOptions, SummaryState, Tai};
use salobj_testbed::Bus;
use serde_json::json;

use super::*;
use crate::sim::csc::{self as sim, Behaviour, CscControl, End};
use crate::tasks::call::ErrorClass;
use crate::tasks::steps::allow;
use crate::tasks::steps::bench::{Broken, Hand, Journal, id};

mod restart;

struct Bench {
    bus: Bus,
    control: MemoryControl,
    hand: Hand,
    backend: SalBackend,
}

fn component(name: &str) -> Arc<Component> {
    Library::embedded().component(name).unwrap()
}

fn call(params: Value) -> StepCall {
    StepCall {
        id: id(),
        rule: "Dome.Park".into(),
        backend: "sal".into(),
        operation: String::new(),
        resend_if_unknown: false,
        priority: Default::default(),
        params,
        timeout: Duration::from_secs(600),
        start_before: Tai(1_800_000_000.0 + 600.0),
    }
}

/// `wait` of Test:1 with what else is given.
fn wait(more: Value) -> StepCall {
    let mut params = json!({"component": "Test", "index": 1, "command": "wait", "fields": {"duration": 2.5}});
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    call(params)
}

impl Bench {
    fn new() -> Self {
        let (bus, control) = Bus::memory();
        Self::on(bus, control, 10, Journal::default())
    }

    /// A Catcher process of its own on that bus.
    fn on(bus: Bus, control: MemoryControl, process: u32, journal: Journal) -> Self {
        let domain = bus.domain(process);
        domain.set_default_identity("Catcher:3");
        let peers = Arc::new(Peers::new(domain));
        let backend = SalBackend::new(peers, Arc::new(Library::embedded()), allow(|_, _, _| true));
        Self { bus, control, hand: Hand::new(journal), backend }
    }

    async fn csc(&self, index: i32, behaviour: Behaviour) -> CscControl {
        let domain = self.bus.domain(u32::try_from(index).unwrap());
        let csc = sim::start(&domain, component("Test"), index, SummaryState::Enabled).await.unwrap();
        csc.set("wait", behaviour);
        csc
    }

    async fn run(&self, call: &StepCall) -> Result<StepOutcome, StepError> {
        self.backend.execute(call, &self.hand.handle).await
    }

    async fn resume(&self, call: &StepCall, memo: Option<Value>) -> Result<StepOutcome, StepError> {
        self.backend.resume(call, memo, &self.hand.handle).await
    }

    fn commands_sent(&self) -> usize {
        let topic = sal_idl::names::kafka_topic(&self.bus.env.topic_subname, "Test", "command_wait");
        self.control.records(&topic).len()
    }
}

/// The event `scalars` with this in `int0`.
fn scalars(int0: i64, after: Duration, before_ack: bool) -> sim::Told {
    let fields = vec![("int0".to_owned(), SalValue::Int(int0))];
    sim::Told { event: "scalars".into(), fields, after, before_ack }
}

#[tokio::test(start_paused = true)]
async fn a_command_from_rule_to_acknowledgement_with_the_journal_ahead() {
    let b = Bench::new();
    let csc = b.csc(1, Behaviour::default()).await;
    let outcome = b.run(&wait(json!({}))).await.unwrap();
    assert_eq!(outcome.result, json!({"ack": "CMD_COMPLETE", "result": "Done", "error": 0, "event": null}));
    let asked = csc.asked();
    assert_eq!((asked.len(), asked[0].f64("duration"), asked[0].identity()), (1, 2.5, "Catcher:3"));
    assert_eq!(b.hand.phases(), ["about_to_send", "sent"]);
}

#[tokio::test(start_paused = true)]
async fn every_order_of_event_and_acknowledgement() {
    let step = wait(json!({"then": {"event": "scalars", "where": {"int0": ">= 7"}, "timeout": "100s"}}));
    for (after, before_ack) in [(0, true), (0, false), (99, false)] {
        for twice in [false, true] {
            let b = Bench::new();
            // Others tell the same, of the same process and of another instance.
            let events =
                vec![scalars(3, Duration::ZERO, true), scalars(8, Duration::from_secs(after), before_ack)];
            b.csc(1, Behaviour { events, twice, ..Behaviour::default() }).await;
            b.csc(2, Behaviour::default()).await;
            let outcome = b.run(&step).await.unwrap();
            assert_eq!(outcome.result["event"]["int0"], 8, "after {after} s, before {before_ack}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_come_or_says_that_it_went_wrong() {
    let then = json!({"event": "scalars", "where": {"int0": 8}, "fails": {"int0": [0, 3]}, "timeout": "20s"});
    let b = Bench::new();
    let csc =
        b.csc(1, Behaviour { events: vec![scalars(5, Duration::ZERO, true)], ..Behaviour::default() }).await;
    let error = b.run(&wait(json!({"then": then}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::TimedOut);
    assert!(error.text.contains("was done, but scalars did not come as wanted within 20 s"), "{error}");
    assert_eq!(error.result["ack"], "CMD_COMPLETE");
    csc.set("wait", Behaviour { events: vec![scalars(3, Duration::ZERO, false)], ..Behaviour::default() });
    let error = b.run(&wait(json!({"then": then}))).await.unwrap_err();
    assert_eq!((error.class, &error.result["event"]["int0"]), (ErrorClass::Permanent, &json!(3)), "{error}");
    // It is as wanted already, and will not be told again.
    csc.set("wait", Behaviour { events: vec![scalars(8, Duration::ZERO, true)], ..Behaviour::default() });
    b.run(&wait(json!({"then": then}))).await.unwrap();
    csc.set("wait", Behaviour::default());
    assert!(b.run(&wait(json!({"then": then}))).await.is_err());
    let already = json!({"event": "scalars", "where": {"int0": 8}, "already": true});
    assert_eq!(b.run(&wait(json!({"then": already}))).await.unwrap().result["event"]["int0"], 8);
}

#[tokio::test(start_paused = true)]
async fn each_acknowledgement_of_progress_adds_its_time() {
    let run_time = Duration::from_secs(30);
    for (estimates, good) in [(vec![], false), (vec![10, 18], true), (vec![10], false)] {
        let b = Bench::new();
        let in_progress = estimates.iter().map(|s| Duration::from_secs(*s)).collect();
        b.csc(1, Behaviour { in_progress, run_time, ..Behaviour::default() }).await;
        let outcome = b.run(&wait(json!({"ack_timeout": "5s"}))).await;
        assert_eq!(outcome.is_ok(), good, "{estimates:?}: {outcome:?}");
        if let Err(error) = outcome {
            assert_eq!(error.class, ErrorClass::UnknownOutcome);
            assert!(error.text.contains("did not acknowledge the end of wait in time"), "{error}");
        }
        // Without a limit of its own the step's counts.
        assert!(b.run(&wait(json!({}))).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_become_the_right_errors() {
    let ack = |code| End::Ack(code, 5, "why".into());
    let then = json!({"event": "scalars", "where": {"int0": 8}});
    for (end, class, part) in [
        (End::Fail("no".into()), ErrorClass::Permanent, "did not do wait: CMD_FAILED Failed: no"),
        (ack(AckCode::NoPerm), ErrorClass::Permanent, "CMD_NOPERM why"),
        (ack(AckCode::Aborted), ErrorClass::Aborted, "CMD_ABORTED why"),
        (ack(AckCode::Timeout), ErrorClass::Permanent, "CMD_TIMEOUT why"),
        (End::Vanish, ErrorClass::UnknownOutcome, "nothing was heard of Test:1 for 3"),
        (
            End::Fault("motor".into()),
            ErrorClass::UnknownOutcome,
            "went to FAULT (7: motor) before it acknowledged",
        ),
        (End::Silence, ErrorClass::UnknownOutcome, "in time; scalars came as wanted"),
        (End::Hang, ErrorClass::UnknownOutcome, "did not acknowledge the end of wait in time"),
    ] {
        let b = Bench::new();
        let events = vec![scalars(8, Duration::ZERO, true)];
        b.csc(1, Behaviour { end: end.clone(), events, ..Behaviour::default() }).await;
        let error = b.run(&wait(json!({"then": then, "ack_timeout": "100s"}))).await.unwrap_err();
        assert_eq!(error.class, class, "{end:?}: {error}");
        assert!(error.text.contains(part), "{end:?}: {error}");
        assert_eq!(b.commands_sent(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_some_times_is_done_when_it_is_asked_again() {
    let b = Bench::new();
    let csc = b.csc(1, Behaviour { fail_first: 2, ..Behaviour::default() }).await;
    assert!(b.run(&wait(json!({}))).await.is_err());
    assert!(b.run(&wait(json!({}))).await.is_err());
    assert!(b.run(&wait(json!({}))).await.is_ok());
    assert_eq!(csc.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_there_gets_nothing() {
    let b = Bench::new();
    let csc = b.csc(2, Behaviour::default()).await;
    let error = b.run(&wait(json!({}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert_eq!(error.text, "Test:1 is not there: no heartbeat within 10 s; nothing was sent");
    assert_eq!((b.commands_sent(), b.hand.phases().len(), csc.asked().len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_wrong_summary_state_may_be_tried_again_and_a_change_of_state_is_no_mistake() {
    let b = Bench::new();
    let csc = sim::start(&b.bus.domain(1), component("Test"), 1, SummaryState::Disabled).await.unwrap();
    let error = b.run(&wait(json!({}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    let change = |command: &str, state: &str| {
        let then = json!({"event": "summaryState", "where": {"summaryState": state}});
        call(json!({"component": "Test", "index": "1", "command": command, "then": then}))
    };
    b.run(&change("enable", "SummaryState.ENABLED")).await.unwrap();
    b.run(&wait(json!({}))).await.unwrap();
    b.run(&change("disable", "SummaryState.DISABLED")).await.unwrap();
    b.run(&change("standby", "SummaryState.STANDBY")).await.unwrap();
    assert_eq!(csc.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_site_does_not_allow_does_not_leave() {
    let b = Bench::new();
    let csc = b.csc(1, Behaviour::default()).await;
    let few = Arc::new(|intent: &Intent<'_>| {
        let duration = intent.fields.iter().find(|(name, _)| *name == "duration");
        match duration {
            _ if intent.command != "wait" => Err(format!("{} is not allowed", intent.command)),
            Some((_, SalValue::Double(d))) if *d > 10.0 => Err("duration is too long".to_owned()),
            None if intent.complete => Err("duration is not there".to_owned()),
            _ => Ok(()),
        }
    });
    let peers = Arc::new(Peers::new(b.bus.domain(11)));
    let backend = SalBackend::new(peers, Arc::new(Library::embedded()), few);
    let long = wait(json!({"fields": {"duration": 11}}));
    assert_eq!(backend.check(&long.params), Err("duration is too long".to_owned()));
    // What is filled in later is asked about then.
    assert_eq!(backend.check(&wait(json!({"fields": {"duration": "{{ parameters.d }}"}})).params), Ok(()));
    assert_eq!(backend.check(&wait(json!({"index": "{{ parameters.i }}"})).params), Ok(()));
    let error = backend.execute(&long, &b.hand.handle).await.unwrap_err();
    assert_eq!(
        (error.class, error.text.as_str()),
        (ErrorClass::Permanent, "duration is too long; nothing was sent")
    );
    let other = wait(json!({"command": "fault", "fields": {}}));
    assert!(backend.check(&other.params).unwrap_err().contains("fault is not allowed"));
    assert!(backend.execute(&other, &b.hand.handle).await.is_err());
    assert_eq!((csc.asked().len(), b.commands_sent()), (0, 0));
    assert!(backend.execute(&wait(json!({})), &b.hand.handle).await.is_ok());
    let unknown = backend.check(&json!({"component": "Nothing", "command": "x"})).unwrap_err();
    assert!(unknown.contains("Nothing cannot be commanded"), "{unknown}");
}

#[tokio::test(start_paused = true)]
async fn values_that_do_not_fit_do_not_leave() {
    let b = Bench::new();
    let csc = b.csc(1, Behaviour::default()).await;
    for (more, part) in [
        (json!({"fields": {"duration": "soon"}}), "field \"duration\" is a number"),
        (json!({"fields": {"ack": 1e12}}), "ack"),
        (json!({"fields": {"speed": 1}}), "no field speed"),
        (json!({"index": 0}), "index must name one"),
        (json!({"then": {"event": "nosuch"}}), "no event nosuch"),
    ] {
        let error = b.run(&wait(more)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent, "{error}");
        assert!(error.text.contains(part) && error.text.contains("nothing was sent"), "{error}");
    }
    assert_eq!((csc.asked().len(), b.commands_sent(), b.hand.phases().len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_says_how_far_it_was() {
    for (behaviour, then, part) in [
        (
            Behaviour { first_ack: Duration::from_secs(100), ..Behaviour::default() },
            json!(null),
            "never acknowledged wait",
        ),
        (
            Behaviour { in_progress: vec![Duration::from_secs(100)], end: End::Hang, ..Behaviour::default() },
            json!(null),
            "wait of Test:1 was under way, and goes on",
        ),
        (
            Behaviour::default(),
            json!({"event": "scalars"}),
            "wait of Test:1 was done, its event had not come",
        ),
    ] {
        let b = Bench::new();
        let csc = b.csc(1, behaviour).await;
        let step = wait(if then.is_null() { json!({}) } else { json!({"then": then}) });
        let (outcome, ()) = tokio::join!(b.run(&step), async {
            csc.wait_asked(1).await;
            b.bus.clock.sleep(Duration::from_secs(5)).await;
            b.hand.stop("not needed");
        });
        let error = outcome.unwrap_err();
        assert_eq!(error.class, ErrorClass::Aborted);
        assert!(error.text.starts_with("not needed; ") && error.text.contains(part), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_or_a_journal_that_is_full() {
    let b = Bench::new();
    let csc = b.csc(1, Behaviour::default()).await;
    b.run(&wait(json!({}))).await.unwrap();
    b.control.fail_writes(1);
    let error = b.run(&wait(json!({}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    assert!(error.text.contains("it is not sent again"), "{error}");
    let handle = b.hand.with_log(Arc::new(Broken));
    let error = b.backend.execute(&wait(json!({})), &handle).await.unwrap_err();
    assert_eq!(error.text, "the journal could not be written: disk full; nothing was started");
    assert_eq!((csc.asked().len(), b.commands_sent()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_of_others_commands_are_not_ours() {
    let b = Bench::new();
    let csc = b.csc(1, Behaviour { run_time: Duration::from_secs(3), ..Behaviour::default() }).await;
    let other =
        Remote::open(&b.bus.domain(50), component("Test"), 1, RemoteOptions::default()).await.unwrap();
    let fields = [("duration", SalValue::Double(1.0))];
    let (theirs, ours) = tokio::join!(
        async {
            for _ in 0..10 {
                let wait = other.command("wait").unwrap();
                wait.start(&fields, Duration::from_secs(60), true).await.unwrap();
            }
        },
        async {
            for _ in 0..5 {
                b.run(&wait(json!({}))).await.unwrap();
            }
        }
    );
    assert_eq!((theirs, ours), ((), ()));
    assert_eq!(csc.asked().len(), 15);
}
