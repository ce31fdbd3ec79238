//! A component that rules command: acknowledges late, works, acknowledges the end, and tells of it a little later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Library;
use salobj::{
    CommandError, CommandHandler, CommandRequest, CommandResult, Controller, Domain, EventWriter,
    SummaryState, Value,
};

use super::sides::At;

/// Each of its three stretches of time.
const STRETCH: Duration = Duration::from_millis(350);

/// The component.
pub(crate) struct Csc {
    _controller: Controller,
    handler: Arc<Handler>,
}

struct Handler {
    scalars: EventWriter,
    /// By number: how often it was commanded, and what it is at.
    done: Arc<Mutex<BTreeMap<i64, (usize, At)>>>,
}

impl Csc {
    /// Starts it, in ENABLED.
    pub(crate) async fn start(domain: &Domain) -> Csc {
        let component = Library::embedded().component("Test").expect("embedded");
        let controller = Controller::new(domain, component, 1).expect("a controller");
        let event = |name: &str| controller.event(name).expect("in the interface");
        let handler = Arc::new(Handler { scalars: event("scalars"), done: Arc::default() });
        controller.start(handler.clone()).await.expect("it starts");
        let enabled = Value::Int(SummaryState::Enabled.value());
        event("summaryState").set_write(&[("summaryState", enabled)]).expect("it can be published");
        let heartbeat = event("heartbeat");
        controller.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            loop {
                second.tick().await;
                heartbeat.write().expect("it can be published");
            }
        });
        Csc { _controller: controller, handler }
    }

    /// How often it did what number `n` asked for, and what that is at.
    pub(crate) fn seen(&self, n: i64) -> (usize, At) {
        self.handler.done().get(&n).copied().unwrap_or((0, At::Nothing))
    }
}

impl Handler {
    fn done(&self) -> std::sync::MutexGuard<'_, BTreeMap<i64, (usize, At)>> {
        self.done.lock().expect("nobody panics while holding it")
    }

    fn at(&self, n: i64, at: At) {
        self.done().entry(n).or_insert((0, at)).1 = at;
    }
}

#[async_trait]
impl CommandHandler for Handler {
    async fn handle(&self, request: CommandRequest) -> CommandResult {
        if request.name != "setScalars" {
            return Err(CommandError::expected("this component only takes setScalars"));
        }
        if rand::random::<f64>() < 0.2 {
            return Err(CommandError::expected("setScalars not allowed in DISABLED"));
        }
        let n = request.sample.i64("int0");
        self.done().entry(n).or_insert((0, At::Waiting)).0 += 1;
        tokio::time::sleep(STRETCH.mul_f64(rand::random())).await;
        request.in_progress(Duration::from_secs(60), "under way")?;
        self.at(n, At::Running);
        tokio::time::sleep(STRETCH).await;
        self.at(n, At::Ended);
        let scalars = self.scalars.clone();
        tokio::spawn(async move {
            tokio::time::sleep(STRETCH).await;
            // It cannot be published when the test is over.
            drop(scalars.set_write(&[("int0", Value::Int(n))]));
        });
        Ok(None)
    }

    fn parallel(&self, _: &str) -> bool {
        true
    }
}
