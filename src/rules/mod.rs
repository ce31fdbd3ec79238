//! 2. Decide: rule files -> compiled rules -> `Engine::step(input, now)` -> effects.
//!
//! Pure: no tokio, no I/O, no clock. The same code runs live, in replay and in `catcher rules test`.
//!
//! ```text
//!  YAML ──compile──► Rule (typed programs, templates)           SchemaSource: topics, fields, units, enumerations
//!                     │
//!  Sample, Tick, ─────▼──────┐
//!  StepEnded... ─► Engine ───┴─► StartRun, SkipRun, SetSeverity, RuleError, Quarantine
//! ```

mod avro_topic;
mod code;
mod compile;
mod cron;
mod diagnose;
mod efd_text;
mod engine;
mod evidence;
mod explain;
mod expr;
mod flow;
mod format;
mod given;
mod images;
mod keyed;
mod import_watcher;
mod links;
mod model;
mod read;
mod schema;
mod series;
mod source;
mod tables;
mod sorted;
mod spec;
mod spec_alarm;
mod spec_task;
mod template;
mod test_case;
mod test_spec;
#[cfg(test)]
mod schema_file;
mod vary;
mod window;
mod windowed;
mod written;
mod yaml;

pub use avro_topic::kafka_topic_schema;
pub use compile::{Compiled, compile, compile_files};
pub use cron::Cron;
pub(crate) use diagnose::suggest;
pub use diagnose::{Diagnostic, SourceFile};
pub(crate) use efd_text::{flux_only_reads, flux_task_buckets, influxql_only_reads, is_influx_cron};
pub use engine::{Engine, RuleStatus, Stopwatch};
pub use evidence::{Deciding, Evidence};
pub use explain::{AlarmState, Explanation, InputState, Judged, LastOccasion, Note, Stated, TriggerState};
pub use expr::Term;
pub(crate) use expr::lists::{to_json as value_json, value_of as json_value};
pub use expr::prepass::parse_duration;
pub(crate) use expr::units::factors as unit_factors;
pub use flow::{
    Effect, FieldNeed, History, Input, ManualTrigger, Part, RunRequest, Sample, SkipReason, Subscriptions,
    TopicId, TopicNeed, TriggerRefused,
};
pub use format::format;
pub use given::GivenSchemas;
pub(crate) use import_watcher::glob::matches as glob_matches;
pub use import_watcher::{Imported, WatcherAlarm, WatcherAlarms, import_watcher, taken, watcher_alarms};
pub use links::{LinkProblem, check_links};
pub use model::{
    AlarmPlan, AllowFailures, Budget, CatchUp, ForEach, FromLevel, Item, Mode, Occasion, OnDisable,
    OnFailure, Overlap, Priority, Retry, Rule, RunContext, Step, Tri, Trigger, Workflow,
};
pub use schema::{FieldKind, FieldSchema, SchemaError, SchemaSource, TopicSchema, Untyped};
pub use source::{EfdColumn, EfdOf, EfdQuery, KAFKA, Source};
pub use tables::table_message;
pub use template::RenderError;
pub use test_case::{
    Expectation, Expected, TestAction, TestAnswer, TestCase, TestCommand, TestMessage, TestResult, TestTopic,
};
pub use vary::vary;
pub use written::{Misfit, Wanted, field_value};

/// JSON schema of a rule file, `config_schema/rules.yaml`.
pub const SCHEMA: &str = include_str!("../../config_schema/rules.yaml");

#[cfg(test)]
mod tests;
