//! Commands in: one queue and one worker for each command.
//!
//! Different commands run side by side. The same command runs one after the other, unless its handler says that it may
//! run in parallel. Nothing is dropped silently: what does not fit the queue is answered with CMD_FAILED.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::acks::AckWriter;
use super::request::{CommandError, CommandRequest, CommandResult};
use crate::sal_info::Sink;
use crate::sample::Sample;

/// Commands of one kind that wait at most, and that run at most at once if they may run in parallel.
pub const COMMAND_QUEUE_LENGTH: usize = 100;

/// Executes the commands of a component.
#[async_trait]
pub trait CommandHandler: Send + Sync + 'static {
    /// Executes one command. The result becomes the final acknowledgement.
    async fn handle(&self, request: CommandRequest) -> CommandResult;

    /// True if several of this command may run at once.
    fn parallel(&self, command: &str) -> bool {
        let _ = command;
        false
    }
}

/// Takes commands from the read loop.
#[derive(Debug)]
pub(super) struct CommandSink {
    queue: mpsc::Sender<Sample>,
    acks: AckWriter,
}

impl Sink for CommandSink {
    fn deliver(&self, sample: Sample) {
        let topic = sample.topic.sal_name.clone();
        if sample.seq_num() <= 0 {
            tracing::warn!(
                topic,
                "command ignored: private_seqNum={} is not positive (from {}, origin {})",
                sample.seq_num(),
                sample.identity(),
                sample.origin()
            );
            return;
        }
        match self.queue.try_send(sample) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(sample)) => {
                tracing::error!(topic, "command refused: {COMMAND_QUEUE_LENGTH} of them wait already");
                let name = sample.topic.short_name().to_owned();
                let text =
                    format!("{COMMAND_QUEUE_LENGTH} {name} commands wait already; send it again later");
                if let Err(e) = self.acks.finish(&sample, &Err(CommandError::Expected(text))) {
                    tracing::warn!(topic, "refusal not acknowledged: {e}");
                }
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                tracing::warn!(topic, "command ignored: this CSC is closing");
            }
        }
    }

    fn close(&self) {}
}

/// What a worker needs.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) handler: Arc<dyn CommandHandler>,
    pub(super) acks: AckWriter,
    pub(super) cancel: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) span: tracing::Span,
}

impl Worker {
    /// Starts the worker of one command; the sink that feeds it.
    pub(super) fn spawn(self, command: &str) -> Arc<CommandSink> {
        let (queue, commands) = mpsc::channel(COMMAND_QUEUE_LENGTH);
        let sink = Arc::new(CommandSink { queue, acks: self.acks.clone() });
        let parallel = self.handler.parallel(command);
        let span = self.span.clone();
        self.tasks.clone().spawn(self.work(commands, parallel).instrument(span));
        sink
    }

    async fn work(self, mut commands: mpsc::Receiver<Sample>, parallel: bool) {
        let slots = Arc::new(Semaphore::new(COMMAND_QUEUE_LENGTH));
        loop {
            let sample = tokio::select! {
                () = self.cancel.cancelled() => break,
                next = commands.recv() => match next { Some(sample) => sample, None => return },
            };
            if parallel {
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                let (one, span) = (self.clone(), self.span.clone());
                self.tasks.spawn(
                    async move {
                        one.run(sample).await;
                        drop(slot);
                    }
                    .instrument(span),
                );
            } else {
                self.run(sample).await;
            }
        }
        // Closing: those that still wait are told so.
        commands.close();
        while let Ok(sample) = commands.try_recv() {
            self.answer(&sample, &Err(CommandError::Aborted));
        }
    }

    async fn run(&self, sample: Sample) {
        let name = sample.topic.short_name().to_owned();
        let request = CommandRequest { name, sample: sample.clone(), acks: self.acks.clone() };
        // A panic in a handler is a failed command, not a dead CSC.
        let handled = AssertUnwindSafe(self.handler.handle(request)).catch_unwind();
        let outcome = tokio::select! {
            biased;
            outcome = handled => outcome.unwrap_or_else(|panic| {
                let text = panic
                    .downcast_ref::<&str>()
                    .map(|s| (*s).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "unknown".to_owned());
                Err(CommandError::Other(format!("the command's handler panicked: {text}")))
            }),
            () = self.cancel.cancelled() => Err(CommandError::Aborted),
        };
        self.answer(&sample, &outcome);
    }

    fn answer(&self, sample: &Sample, outcome: &CommandResult) {
        if let Err(e) = self.acks.finish(sample, outcome) {
            tracing::warn!(topic = %sample.topic.sal_name, "acknowledgement not written: {e}");
        }
    }
}
