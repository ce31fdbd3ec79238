use super::*;

const PATIENCE: Patience = Patience {
    silent: Duration::from_secs(30),
    after_ack: Duration::from_secs(5),
    after_state: Duration::from_secs(30),
};

struct Bench {
    job: Job,
    now: f64,
}

impl Bench {
    fn new(index: i64) -> Self {
        let job = Job::new(index, index == 101, 4711, Known::default(), PATIENCE, Tai(0.0));
        Self { job, now: 0.0 }
    }

    fn under_way() -> Self {
        let mut b = Self::new(1);
        assert_eq!(b.progress(), None);
        b
    }

    fn hear(&mut self, heard: Heard) -> Option<Over> {
        self.now += 0.1;
        self.job.hear(heard, Tai(self.now))
    }

    fn ack(&mut self, code: AckCode, text: &str) -> Option<Over> {
        self.hear(Heard::Ack { code, text: text.to_owned() })
    }

    fn progress(&mut self) -> Option<Over> {
        self.ack(AckCode::InProgress, r#"{"job_id": "9f0c"}"#)
    }

    fn result(&mut self, job_id: &str, exit_code: i64, result: &str) -> Option<Over> {
        let result = result.to_owned();
        self.hear(Heard::JobResult(JobResult { job_id: job_id.to_owned(), exit_code, result }))
    }

    fn state(&mut self, state: SummaryState, report: &str) -> Option<Over> {
        self.hear(Heard::State { state, report: report.to_owned() })
    }

    /// Lets time pass with heartbeats until it is given up; how long that took.
    fn wait(&mut self, origin: i64) -> (f64, StepError) {
        let begin = self.now;
        for _ in 0..1000 {
            self.now += 0.9;
            if let Some(over) = self.hear(Heard::Alive { origin }) {
                return (self.now - begin, over.unwrap_err());
            }
        }
        panic!("never given up");
    }
}

const UWS: &str = r#"{"jobId": "9f0c", "runId": "4711", "phase": "pending", "results": []}"#;

#[test]
fn the_job_result_ends_it_and_its_phase_is_not_read() {
    let mut b = Bench::under_way();
    let outcome = b.result("9f0c", 0, UWS).unwrap().unwrap();
    assert_eq!(outcome.backend_id, "9f0c");
    assert_eq!(outcome.result["exit_code"], 0);
    assert_eq!(outcome.result["outcome"], "succeeded");
    assert_eq!(outcome.result["job_id"], "9f0c");
    assert_eq!(outcome.result["result"]["phase"], "pending");
}

#[test]
fn event_before_acknowledgement_and_complete_before_event() {
    let mut b = Bench::new(1);
    assert_eq!(b.result("9f0c", 0, r#"{"result": true}"#), None);
    assert!(b.progress().unwrap().is_ok());

    let mut b = Bench::under_way();
    assert_eq!(b.ack(AckCode::Complete, "Done"), None);
    for _ in 0..2000 {
        assert_eq!(b.hear(Heard::Alive { origin: 7 }), None, "it waits as long as OCPS lives");
    }
    assert!(b.job.so_far().contains("published no job_result"));
    assert!(b.result("9f0c", 0, UWS).unwrap().is_ok());
}

#[test]
fn strangers_results_are_nothing_to_us() {
    let mut b = Bench::under_way();
    let other = r#"{"jobId": "aaaa", "runId": "4711", "phase": "pending"}"#;
    for n in 0..1000 {
        assert_eq!(b.result(&format!("stranger{n}"), 1, UWS), None);
    }
    assert_eq!(b.result("aaaa", 255, other), None);
    let mut b = Bench::new(1);
    for n in 0..1000 {
        assert_eq!(b.result(&format!("stranger{n}"), 1, r#"{"jobId": "x", "runId": "4712"}"#), None);
    }
    assert_eq!(b.job.early.len(), MAX_EARLY);
    assert_eq!(b.progress(), None);
}

#[test]
fn exit_codes_and_the_simulations_inner_result() {
    for (exit_code, result, class, outcome) in [
        (0, r#"{"result": false}"#, ErrorClass::Permanent, "failed"),
        (1, UWS, ErrorClass::Permanent, "failed"),
        (255, UWS, ErrorClass::Aborted, "aborted"),
        (3, "not json", ErrorClass::Permanent, "failed"),
    ] {
        let error = Bench::under_way().result("9f0c", exit_code, result).unwrap().unwrap_err();
        assert_eq!((error.class, error.result["outcome"].as_str()), (class, Some(outcome)), "{exit_code}");
        assert_eq!(error.result["exit_code"], exit_code);
        assert_eq!(error.backend_id, "9f0c");
    }
    assert!(Bench::under_way().result("9f0c", 0, r#"{"result": true}"#).unwrap().is_ok());
}

#[test]
fn refused_before_there_is_a_job() {
    let text = "Failed: 500 Server Error: Internal Server Error for url: http://uws/api/v1/job";
    let error = Bench::new(1).ack(AckCode::Failed, text).unwrap().unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.text.contains("500 Server Error"), "{error}");
    let text = "Failed: execute not allowed in state=<State.STANDBY: 5>";
    let error = Bench::new(1).ack(AckCode::Failed, text).unwrap().unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "nothing was done, it may be enabled soon");
}

#[test]
fn an_acknowledgement_that_fails_later_waits_a_moment_for_the_result() {
    // Aborted by somebody: 255 and a failure, in any order.
    let mut b = Bench::under_way();
    assert_eq!(b.ack(AckCode::Failed, "Failed: 404 Client Error: Not Found for url: x"), None);
    assert_eq!(b.result("9f0c", 255, UWS).unwrap().unwrap_err().class, ErrorClass::Aborted);
    // Lost: no result comes.
    let mut b = Bench::under_way();
    assert_eq!(b.ack(AckCode::Failed, "Failed: 404 Client Error: Not Found for url: x"), None);
    let (waited, error) = b.wait(7);
    assert!((4.0..7.0).contains(&waited), "{waited}");
    assert_eq!(error.class, ErrorClass::Permanent);
    assert_eq!(error.result["outcome"], "lost");
    assert!(error.text.contains("404 Client Error"), "{error}");
}

#[test]
fn fault_is_told_with_its_report_in_either_order() {
    let report = "2: 404 Simulation cannot contact execution service";
    let failed = "Failed: Failed to connect (simulated)";
    for fault_first in [true, false] {
        let mut b = Bench::under_way();
        if fault_first {
            assert_eq!(b.state(SummaryState::Fault, report), None);
            assert_eq!(b.ack(AckCode::Failed, failed), None);
        } else {
            assert_eq!(b.ack(AckCode::Failed, failed), None);
            assert_eq!(b.state(SummaryState::Fault, report), None);
        }
        let (waited, error) = b.wait(7);
        assert!((4.0..7.0).contains(&waited), "{waited}");
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.text.contains(report) && error.text.contains(failed), "{error}");
    }
    // FAULT alone, without an acknowledgement.
    let mut b = Bench::under_way();
    assert_eq!(b.state(SummaryState::Fault, report), None);
    assert_eq!(b.state(SummaryState::Fault, report), None);
    let (waited, error) = b.wait(7);
    assert!((28.0..32.0).contains(&waited), "{waited}");
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
}

#[test]
fn disabled_is_no_reason_to_give_up_but_standby_is() {
    let mut b = Bench::under_way();
    assert_eq!(b.state(SummaryState::Disabled, ""), None);
    assert_eq!(b.job.give_up, None);
    assert_eq!(b.state(SummaryState::Standby, ""), None);
    assert!(b.wait(7).1.text.contains("went to STANDBY while job 9f0c"));
}

#[test]
fn a_silent_or_restarted_ocps_is_an_unknown_outcome() {
    let mut b = Bench::new(1);
    assert_eq!(b.job.next_deadline(), Tai(30.0));
    let error = b.job.hear(Heard::Nothing, Tai(30.0)).unwrap().unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    assert_eq!(error.text, "nothing was heard of OCPS:1 for 30 s before it acknowledged execute");

    let mut b = Bench::under_way();
    assert_eq!(b.hear(Heard::Alive { origin: 7 }), None);
    assert_eq!(b.hear(Heard::Alive { origin: 8 }), None);
    let (_, error) = b.wait(8);
    assert!(error.text.starts_with("OCPS:1 was started anew while job 9f0c"), "{error}");
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    // Its last words are heard all the same.
    let mut b = Bench::under_way();
    assert_eq!(b.hear(Heard::Alive { origin: 7 }), None);
    assert_eq!(b.hear(Heard::Alive { origin: 8 }), None);
    assert!(b.result("9f0c", 0, UWS).unwrap().is_ok());
}

#[test]
fn silence_before_the_first_acknowledgement_is_the_wait_for_prerequisites() {
    let mut b = Bench::new(1);
    for _ in 0..100_000 {
        assert_eq!(b.hear(Heard::Alive { origin: 7 }), None);
    }
    assert_eq!(b.progress(), None);
    assert!(b.result("9f0c", 0, UWS).unwrap().is_ok());
}

#[test]
fn a_lost_acknowledgement_is_made_up_for_by_the_run_id() {
    let mut b = Bench::new(1);
    let outcome = b.result("9f0c", 0, UWS).unwrap().unwrap();
    assert_eq!(outcome.backend_id, "9f0c");
}

#[test]
fn rapid_analysis_takes_over_and_others_must_name_a_job() {
    let outcome = Bench::new(101).ack(AckCode::Complete, "Done").unwrap().unwrap();
    assert_eq!(outcome.result["outcome"], "handed_over");
    let error = Bench::new(1).ack(AckCode::Complete, "Done").unwrap().unwrap_err();
    assert!(error.text.contains("without naming a job"), "{error}");
}

#[test]
fn odd_acknowledgements_change_nothing() {
    let mut b = Bench::new(1);
    for (code, text) in [
        (AckCode::Ack, ""),
        (AckCode::InProgress, "not json"),
        (AckCode::InProgress, r#"{"job_id": ""}"#),
        (AckCode::InProgress, r#"{"job_id": 7}"#),
        (AckCode::Other(17), "?"),
    ] {
        assert_eq!(b.ack(code, text), None);
        assert_eq!(b.job.known.job_id, None, "{text}");
    }
    assert_eq!(b.progress(), None);
    assert_eq!(b.ack(AckCode::InProgress, r#"{"job_id": "other"}"#), None);
    assert_eq!(b.job.known.job_id.as_deref(), Some("9f0c"), "the first id stays");
}
