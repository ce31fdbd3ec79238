//! The commands of design section 4: in which states they are accepted, how their fields are read.

use std::sync::Arc;
use std::time::Duration;

use salobj::csc::{CommandRule, CscContext};
use salobj::{AckCode, CommandError, CommandRequest, CommandResult, Tai};

use super::CatcherCsc;
use crate::core::event::MAX_TEXT_BYTES;
use crate::core::{Command, Sender};

/// How long compiling a definition may take, as told to the client.
const COMPILE_ESTIMATE: Duration = Duration::from_secs(10);

/// Commands that DISABLED allows, too.
const CONFIGURED: [&str; 8] =
    ["addRule", "removeRule", "enableRule", "disableRule", "explain", "showAlarms", "showRules", "showTasks"];

/// In which states a command is accepted.
pub(super) fn rule(command: &str) -> CommandRule {
    if CONFIGURED.contains(&command) { CommandRule::CONFIGURED } else { CommandRule::ENABLED }
}

impl CatcherCsc {
    pub(super) async fn command(&self, ctx: &CscContext, request: CommandRequest) -> CommandResult {
        let answer = match request.name.as_str() {
            "addRule" => self.add_rule(&request).await,
            "makeLogEntry" => self.make_log_entry(ctx, &request).await,
            name => match plain(name, &request) {
                Some(command) => {
                    let identity = request.sample.identity().to_owned();
                    self.core.command(Command::From { identity, command: Box::new(command) }).await
                }
                None => Err(format!("this version of the Catcher does not have the command {name}")),
            },
        };
        match answer {
            Ok(result) => Err(CommandError::Ack { code: AckCode::Complete, error: 0, result }),
            Err(text) => Err(CommandError::Expected(text)),
        }
    }

    async fn add_rule(&self, request: &CommandRequest) -> Result<String, String> {
        let definition = request.sample.str("definition").to_owned();
        let enabled = request.sample.bool("enabled");
        if definition.len() > MAX_TEXT_BYTES {
            let size = definition.len();
            return Err(format!(
                "the definition has {size} bytes, at most {MAX_TEXT_BYTES} are taken; split it into several rules"
            ));
        }
        request.in_progress(COMPILE_ESTIMATE, "compiling").map_err(|e| e.to_string())?;
        self.schemas.learn(&definition).await;
        let compile = || {
            let (definition, schemas) = (definition.clone(), Arc::clone(&self.schemas));
            tokio::task::spawn_blocking(move || {
                super::compile_text("definition", &definition, schemas.as_ref())
            })
        };
        let failed = |e: tokio::task::JoinError| format!("the definition could not be compiled: {e}");
        let mut compiled = compile().await.map_err(failed)?;
        if compiled.is_err() && self.schemas.learn_missed().await {
            compiled = compile().await.map_err(failed)?;
        }
        let rules = compiled?;
        self.backends.refuse(&rules, &[])?;
        self.core.command(Command::AddRule { rules, enabled }).await
    }
}

fn sender(request: &CommandRequest) -> Sender {
    let sample = &request.sample;
    Sender { identity: sample.identity().to_owned(), origin: sample.origin(), seq_num: sample.seq_num() }
}

/// A command that needs nothing but its fields; `None` if this version does not have it.
fn plain(name: &str, request: &CommandRequest) -> Option<Command> {
    let sample = &request.sample;
    let text = |field: &str| sample.str(field).to_owned();
    Some(match name {
        "removeRule" => Command::RemoveRule { rule: text("ruleName") },
        "enableRule" => Command::EnableRule { rule: text("ruleName") },
        "disableRule" => Command::DisableRule { rule: text("ruleName"), reason: text("reason") },
        "explain" => Command::Explain { rule: text("ruleName") },
        "promoteRule" => Command::PromoteRule { rule: text("ruleName") },
        "trigger" => {
            let sender = sender(request);
            Command::Trigger { rule: text("ruleName"), parameters: text("parameters"), sender }
        }
        "rerunTask" => {
            let sender = sender(request);
            Command::RerunTask { task_id: text("taskId"), reason: text("reason"), sender }
        }
        "cancelTask" => Command::CancelTask { task_id: text("taskId"), reason: text("reason") },
        "acknowledge" => Command::Acknowledge {
            alarm: text("alarmName"),
            severity: sample.i64("severity"),
            user: text("acknowledgedBy"),
        },
        "unacknowledge" => Command::Unacknowledge { alarm: text("alarmName") },
        "mute" => Command::Mute {
            alarm: text("alarmName"),
            duration_s: sample.f64("muteDuration"),
            severity: sample.i64("severity"),
            user: text("mutedBy"),
        },
        "muteWindow" => Command::MuteWindow {
            alarm: text("alarmName"),
            start: Tai(sample.f64("timestampStart")),
            end: Tai(sample.f64("timestampEnd")),
            severity: sample.i64("severity"),
            user: text("mutedBy"),
            reason: text("reason"),
        },
        "unmute" => Command::Unmute { alarm: text("alarmName") },
        "showAlarms" => Command::ShowAlarms,
        "showRules" => Command::ShowRules,
        "showTasks" => Command::ShowTasks,
        _ => return None,
    })
}
