//! The backends, one kind of run for each way in which they are used: its rule, the states in which it can be killed, and
//! whether its other side can be asked what was submitted.

use super::table::State::{self, *};

/// One kind of run.
pub(crate) struct Kind {
    /// Name, also of its rule.
    pub(crate) name: &'static str,
    /// Its step.
    task: &'static str,
    /// The states that it is in long enough to be met.
    pub(crate) states: &'static [State],
    /// What was submitted is looked up after a restart, so its outcome is never unknown.
    pub(crate) looks_up: bool,
    /// Something is done that must not be done twice; else it only reads.
    pub(crate) acts: bool,
}

/// All of them.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "uws",
        task: r#"uws: {environment: {N: "{{ go }}"}, read: metrics.json}"#,
        states: &[Unrecorded, Recorded, Unanswered, Queued, Running, Finishing, Stopping, Retrying],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "noteburst",
        task: r#"noteburst: {notebook: act.ipynb, parameters: {n: "{{ go }}"}}"#,
        // A job cannot be stopped: the step ends at once.
        states: &[Unrecorded, Recorded, Unanswered, Queued, Running, Finishing, Retrying],
        looks_up: false,
        acts: true,
    },
    Kind {
        name: "times_square",
        task: r#"times_square: {page: seeing, parameters: {day_obs: "{{ go }}"}}"#,
        states: &[Unrecorded, Recorded, Running, Finishing, Retrying],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "http_keyed",
        task: r#"http: {service: keyed, path: act, method: POST, body: {n: "{{ go }}"}}"#,
        states: &[Unrecorded, Recorded, Unanswered, Retrying],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "http_plain",
        task: r#"http: {service: plain, path: act, method: POST, body: {n: "{{ go }}"}}"#,
        states: &[Unrecorded, Recorded, Unanswered, Retrying],
        looks_up: false,
        acts: true,
    },
    Kind {
        name: "slack",
        task: r#"slack: {to: team, text: "n={{ go }}"}"#,
        states: &[Unrecorded, Recorded, Unanswered, Retrying],
        looks_up: false,
        acts: true,
    },
    Kind {
        name: "command",
        task: r#"command: {program: act, args: ["{{ go }}"]}"#,
        states: &[Unrecorded, Recorded, Running, Finishing, Stopping, Retrying],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "notebook",
        task: r#"notebook: {notebook: act.ipynb, parameters: {n: "{{ go }}"}}"#,
        states: &[Unrecorded, Recorded, Running, Finishing, Stopping],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "influx_task",
        // All runs of the rule share the task; somebody removes it now and then. With `keep: rule` a step that is stopped ends at once.
        task: r#"influx_task: {every: 10s, keep: rule, flux: "from(bucket: \"efd\") |> range(start: -1m) |> to(bucket: \"derived\")"}"#,
        states: &[Unrecorded, Recorded, Unanswered, Running, Retrying],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "sal",
        task: r#"sal: {component: Test, index: 1, command: setScalars, fields: {int0: "{{ go }}"}, then: {event: scalars, where: {int0: "{{ go }}"}, timeout: 1m}}"#,
        // A command cannot be taken back: the step ends at once.
        states: &[Unrecorded, Recorded, Unanswered, Running, Finishing, Retrying],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "script_queue",
        task: r#"script_queue: {queue: 1, path: kill/act.py, standard: false, config: {n: "{{ go }}"}, wait_idle: 20s}"#,
        states: &[Unrecorded, Recorded, Unanswered, Queued, Running, Finishing, Stopping, Retrying],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "ocps",
        task: r#"ocps: {index: 1, pipeline: act.yaml, data_query: "n={{ go }}"}"#,
        states: &[Unrecorded, Recorded, Unanswered, Running, Finishing, Stopping, Retrying],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "batch",
        task: r#"batch: {job: isr, detectors: 2, images: "N_{{ go }}"}"#,
        states: &[Unrecorded, Recorded, Unanswered, Queued, Running, Finishing, Stopping, Retrying],
        looks_up: true,
        acts: true,
    },
    Kind {
        name: "efd_query",
        task: r#"efd_query: {topic: "ESS:301.tel_airFlow", fields: [speed], range: 10m}"#,
        states: &[Running, Retrying],
        looks_up: true,
        acts: false,
    },
    Kind {
        name: "analysis",
        task: r#"analysis: statistics
        with: {series: {topic: "ESS:301.tel_airFlow", field: speed, from: "{{ trigger.at }}", to: "{{ trigger.at + 0.8 }}", wait: 5s}}"#,
        states: &[Running],
        looks_up: true,
        acts: false,
    },
];

/// The kind of that name.
pub(crate) fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).expect("the rules are those of the kinds")
}

/// A rule for each: all begin when a number is published.
pub(crate) fn rules() -> String {
    let rule = |kind: &Kind| {
        format!(
            "  - name: Kill.{}
    description: One run for each number
    inputs: {{go: {{topic: \"Test:2.evt_scalars\", field: int0}}}}
    trigger: {{each: go, max_event_age: 1h, max_concurrent: 1000}}
    tasks:
      a:
        {}
        timeout: 5m
        retry: {{attempts: 20, backoff: 400ms, jitter: 0.5}}
",
            kind.name, kind.task
        )
    };
    format!("rules:\n{}", KINDS.iter().map(rule).collect::<String>())
}
