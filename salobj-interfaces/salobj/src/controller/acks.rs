//! The acknowledgements a controller writes.
//!
//! | handler's outcome | ack | error | result |
//! |---|---|---|---|
//! | `Ok(None)` | 303 | 0 | `Done` |
//! | `Ok(Some(text))` | 303 | 0 | text |
//! | `Expected(e)`, `Other(e)` (logged) | -302 | 1 | `Failed: e` |
//! | `Timeout` | -304 | 1 | `Timeout` |
//! | `Aborted` | -303 | 1 | `Aborted` |
//! | `Ack {..}` | as given | | |
//! | `in_progress(t, text)` | 301 | 0 | text |

use std::collections::HashMap;
use std::sync::Arc;

use sal_idl::Component;

use super::request::{CommandError, CommandResult};
use crate::error::SalError;
use crate::sample::Sample;
use crate::topics::{AckCode, TopicWriter};
use crate::value::Value;

/// Writes acknowledgements of one component. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AckWriter {
    writer: TopicWriter,
    /// Position of a topic among all topics of the component, sorted (what upstream writes; nobody reads it).
    cmd_types: Arc<HashMap<String, i64>>,
}

impl AckWriter {
    pub(super) fn new(writer: TopicWriter, component: &Component) -> AckWriter {
        AckWriter { writer, cmd_types: Arc::new(cmd_types(component)) }
    }

    pub(super) fn send(
        &self,
        command: &Sample,
        ack: AckCode,
        error: i64,
        result: &str,
        timeout_s: f64,
    ) -> Result<(), SalError> {
        let cmd_type = self.cmd_types.get(&command.topic.sal_name).copied().unwrap_or(0);
        let mut fields = vec![
            ("ack", Value::Int(ack.value())),
            ("error", Value::Int(error)),
            ("result", Value::Text(result.into())),
            ("identity", Value::Text(command.identity().into())),
            ("origin", Value::Int(command.origin())),
            ("cmdtype", Value::Int(cmd_type)),
            ("timeout", Value::Double(timeout_s)),
        ];
        // A controller opened with index 0 of an indexed component answers for the instance that was asked.
        if command.get("salIndex").is_some() {
            fields.push(("salIndex", Value::Int(command.sal_index())));
        }
        self.writer.send_fresh(&fields, Some(command.seq_num()))
    }

    /// The final acknowledgement of a command.
    pub(super) fn finish(&self, command: &Sample, outcome: &CommandResult) -> Result<(), SalError> {
        let failed = |e: &str| (AckCode::Failed, 1, format!("Failed: {e}"));
        let (code, error, result) = match outcome {
            Ok(None) => (AckCode::Complete, 0, "Done".to_owned()),
            Ok(Some(text)) => (AckCode::Complete, 0, text.clone()),
            Err(CommandError::Expected(e)) => failed(e),
            Err(CommandError::Other(e)) => {
                let topic = command.topic.sal_name.as_str();
                tracing::error!(topic, "command {} failed: {e}", command.topic.short_name());
                failed(e)
            }
            Err(CommandError::Timeout) => (AckCode::Timeout, 1, "Timeout".to_owned()),
            Err(CommandError::Aborted) => (AckCode::Aborted, 1, "Aborted".to_owned()),
            Err(CommandError::Ack { code, error, result }) => (*code, *error, result.clone()),
        };
        self.send(command, code, error, &result, 0.0)
    }
}

fn cmd_types(component: &Component) -> HashMap<String, i64> {
    let mut names: Vec<&str> = component.topics.iter().map(|t| t.sal_name.as_str()).collect();
    names.sort_unstable();
    names.into_iter().zip(0..).map(|(name, i)| (name.to_owned(), i)).collect()
}
