//! What OCPS leaves open is asked of the service that runs its jobs.

use super::*;

/// A service that knows how the job of a command ended, if it has one at all.
struct Service {
    exit_code: Option<i64>,
    asked: StdMutex<Vec<String>>,
}

impl Service {
    fn new(exit_code: Option<i64>) -> Arc<Service> {
        Arc::new(Service { exit_code, asked: StdMutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl JobService for Service {
    fn serves(&self, index: i64) -> bool {
        index == 1
    }

    async fn find(&self, seq_num: i64) -> Option<String> {
        self.asked.lock().unwrap().push("find".to_owned());
        self.exit_code.map(|_| format!("job-{seq_num}"))
    }

    async fn ended(&self, job_id: &str, _: i64) -> Result<Told, String> {
        self.asked.lock().unwrap().push(job_id.to_owned());
        let exit_code = self.exit_code.ok_or_else(|| format!("job {job_id} is gone"))?;
        Ok(Told { exit_code, said: json!({"jobId": job_id, "phase": "completed"}) })
    }
}

impl Bench {
    fn asking(mut self, service: &Arc<Service>) -> Bench {
        let domain = self.bus.domain(12);
        domain.set_default_identity("Catcher:3");
        let backend = OcpsBackend::new(Arc::new(Peers::new(domain)), component(), allow(|_, _, _| true));
        self.backend = backend.asking(Arc::clone(service) as _);
        self
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_ocps_dies_is_followed_to_its_end() {
    for (exit_code, class) in [(0, None), (1, Some(ErrorClass::Permanent)), (255, Some(ErrorClass::Aborted))]
    {
        let service = Service::new(Some(exit_code));
        let b = Bench::new().asking(&service);
        let ocps = b.ocps(1, outcomes(&[("isr.yaml", Outcome::Vanish)])).await;
        let end = b.run(&pipeline("isr.yaml")).await;
        assert_eq!(end.as_ref().err().map(|e| e.class), class);
        let result = end.map_or_else(|e| *e.result, |o| o.result);
        assert_eq!((&result["exit_code"], ocps.executed().len()), (&json!(exit_code), 1));
        assert_eq!(service.asked(), [result["job_id"].as_str().unwrap()], "its id was known");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_never_acknowledged_is_found_by_its_number() {
    let service = Service::new(Some(0));
    let b = Bench::new().asking(&service);
    let ocps = b.ocps(1, outcomes(&[("mute.yaml", Outcome::Silence)])).await;
    let call = pipeline("mute.yaml");
    let (end, ()) = tokio::join!(b.run(&call), async {
        ocps.wait_executed(1).await;
        ocps.vanish().await;
    });
    let number = ocps.executed()[0].seq_num;
    assert_eq!(end.unwrap().backend_id, format!("job-{number}"));
    assert_eq!(service.asked(), ["find".to_owned(), format!("job-{number}")]);
}

#[tokio::test(start_paused = true)]
async fn what_the_service_does_not_know_stays_unknown() {
    let service = Service::new(None);
    let b = Bench::new().asking(&service);
    b.ocps(1, outcomes(&[("isr.yaml", Outcome::Vanish)])).await;
    let error = b.run(&pipeline("isr.yaml")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    assert!(error.text.contains("nothing was heard of OCPS:1") && error.text.contains("is gone"), "{error}");
    // Another instance's jobs are elsewhere.
    b.ocps(2, outcomes(&[("isr.yaml", Outcome::Vanish)])).await;
    let error = b.run(&call(json!({"index": 2, "pipeline": "isr.yaml"}))).await.unwrap_err();
    assert_eq!((error.class, service.asked().len()), (ErrorClass::UnknownOutcome, 1));
}

#[tokio::test(start_paused = true)]
async fn what_ocps_tells_is_not_asked_again() {
    let service = Service::new(Some(0));
    let b = Bench::new().asking(&service);
    b.ocps(1, outcomes(&[("bad.yaml", Outcome::Fail), ("lost.yaml", Outcome::Lose)])).await;
    for name in ["isr.yaml", "bad.yaml", "lost.yaml"] {
        let end = b.run(&pipeline(name)).await;
        assert_eq!(end.is_ok(), name == "isr.yaml", "{name}");
    }
    assert!(service.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_expired_command_topic_is_no_loss_where_the_service_is_known() {
    for (exit_code, resend, ran) in [(Some(0), true, 0), (None, true, 1), (None, false, 0)] {
        let (dead, ocps) = restart::die_at(0, true, OcpsScript::default()).await;
        restart::expire_commands(&dead).await;
        let (b, memo) = restart::next_process(&dead);
        let service = Service::new(exit_code);
        let b = b.asking(&service);
        let step = StepCall { resend_if_unknown: resend, ..pipeline("isr.yaml") };
        let end = b.resume(&step, memo).await;
        let ours = ocps.executed().iter().filter(|e| e.fields["pipeline"].contains("isr")).count();
        assert_eq!(
            (end.is_ok(), ours),
            (exit_code.is_some() || resend, ran),
            "{exit_code:?} {resend}: {end:?}"
        );
        assert_eq!(service.asked()[0], "find");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_waiting_for_the_service() {
    struct Slow;
    #[async_trait]
    impl JobService for Slow {
        fn serves(&self, _: i64) -> bool {
            true
        }
        async fn find(&self, _: i64) -> Option<String> {
            std::future::pending().await
        }
        async fn ended(&self, _: &str, _: i64) -> Result<Told, String> {
            std::future::pending().await
        }
    }
    let mut b = Bench::new();
    let backend =
        OcpsBackend::new(Arc::new(Peers::new(b.bus.domain(12))), component(), allow(|_, _, _| true));
    b.backend = backend.asking(Arc::new(Slow));
    b.ocps(1, outcomes(&[("isr.yaml", Outcome::Vanish)])).await;
    let call = pipeline("isr.yaml");
    let (end, ()) = tokio::join!(b.run(&call), async {
        b.bus.clock.sleep(Duration::from_secs(200)).await;
        b.stop("enough");
    });
    let error = end.unwrap_err();
    assert_eq!(error.class, ErrorClass::Aborted);
    assert!(error.text.contains("nothing was heard of OCPS:1"), "{error}");
}
