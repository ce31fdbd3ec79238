//! One step of a rule.

use super::super::compile::backends;
use super::super::model::AllowFailures;
use super::super::spec::{At, Free, RetrySpec, TaskSpec, Used};
use super::super::yaml::{Fields, Node, Problems, Yaml};

pub(super) fn task(node: &Node, problems: &Problems<'_>) -> Option<TaskSpec> {
    let mut f = Fields::of(node, "a task", problems)?;
    let backend = backend(&mut f);
    let retry = f.get("retry").and_then(|n| {
        let mut r = Fields::of(n, "`retry`", problems)?;
        let spec = RetrySpec {
            attempts: r.count("attempts"),
            backoff: r.seconds("backoff"),
            jitter: r.number("jitter"),
            retry_on: r.texts("retry_on"),
        };
        r.finish();
        Some(spec)
    });
    let spec = TaskSpec {
        backend,
        with: f.get("with").cloned().map(Free),
        needs: f.texts("needs"),
        when: f.cel("when"),
        timeout: f.seconds("timeout"),
        retry,
        resend_if_unknown: f.flag("resend_if_unknown").map(|b| b.value),
        foreach: f.get("foreach").cloned().map(Free),
        max_parallel: f.count("max_parallel"),
        allow_failures: f.get("allow_failures").and_then(|n| allow_failures(n, problems)),
        on_failure: f.word("on_failure", "fail, continue, stop").map(|w| w.value),
        for_failure: f.flag("for_failure"),
        span: f.span(),
    };
    f.finish();
    Some(spec)
}

fn allow_failures(node: &Node, problems: &Problems<'_>) -> Option<At<AllowFailures>> {
    let percent = |text: &str| text.trim().strip_suffix('%').and_then(|p| p.trim().parse::<f64>().ok());
    let value = match &node.value {
        Yaml::Int(n) => usize::try_from(*n).ok().map(AllowFailures::Number),
        Yaml::Text(text) => {
            percent(text).filter(|p| (0.0..=100.0).contains(p)).map(|p| AllowFailures::Part(p / 100.0))
        }
        _ => None,
    };
    if value.is_none() {
        let help = "write a number of items, or a part of them: allow_failures: 10%".to_owned();
        problems.add_help(node.span, "`allow_failures` cannot be this", help);
    }
    value.map(|value| At { value, span: node.span })
}

/// The one backend of a task; what there is more of them is told.
fn backend(f: &mut Fields<'_, '_>) -> Option<Used> {
    let mut found: Option<Used> = None;
    for backend in backends::ALL {
        let Some(node) = f.get(backend.key) else { continue };
        match &found {
            Some(first) => {
                let (one, other) = (first.backend.key, backend.key);
                let message = format!("a task has one backend, not `{one}` and `{other}`");
                f.problems.add(node.span, message);
            }
            None => found = Some(Used { backend, node: node.clone() }),
        }
    }
    found
}
