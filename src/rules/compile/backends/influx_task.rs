//! `influx_task`: a Flux task that InfluxDB 2 runs by itself, kept for the rule.

use super::super::Work;
use super::efd_query;
use super::keys::{KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::efd_text::{flux_only_reads, flux_task_buckets, is_influx_cron};
use crate::rules::expr::prepass::parse_duration;
use crate::rules::expr::scope::ResultType;
use crate::rules::template::Template;
use crate::rules::yaml::Node;

pub(super) const BACKEND: Backend = Backend {
    key: "influx_task",
    about: "A Flux task of InfluxDB 2, made and kept for the rule; the step waits until it has run.",
    form: Form::Keys(
        &[
            KeySpec::needed(
                "flux",
                Kind::Text,
                "what it does; it may write by to(bucket: \"name\") to buckets that the site names",
            ),
            KeySpec::may("every", Kind::Duration, "how often it runs, at least 1s"),
            KeySpec::may("cron", Kind::Text, "when it runs, instead of `every`: \"*/5 * * * *\""),
            KeySpec::may("offset", Kind::Duration, "so much later, for data that come late"),
            KeySpec::may("runs", Kind::Whole(1, 100), "how many of its runs the step waits for; 1"),
            KeySpec::may(
                "keep",
                Kind::Word(&["rule", "step"]),
                "until the rule is removed (rule, the default), or until the step ends (step)",
            ),
            KeySpec::may(
                "read",
                Kind::Text,
                "a Flux query that reads what the last run wrote; with `columns`",
            ),
            KeySpec::may("columns", Kind::Any, "what is read: [mean, n], or {mean: number, note: text}"),
            KeySpec::may("rows", Kind::Whole(1, 10_000), "most rows that are read; 1000"),
        ],
        Some(check),
    ),
    result: |_, _| {
        let time = || ResultType::Number(Some("s".into()));
        Some(vec![
            ("task_id", ResultType::Text),
            ("run_id", ResultType::Text),
            ("outcome", ResultType::Text),
            ("runs", ResultType::Int),
            ("failed", ResultType::Int),
            ("error", ResultType::Text),
            ("started", time()),
            ("finished", time()),
            ("time", ResultType::Dyn),
            ("columns", ResultType::Dyn),
            ("n", ResultType::Int),
            ("truncated", ResultType::Dyn),
        ])
    },
    commands: true,
};

fn check(work: &Work<'_>, node: &Node) {
    let problems = work.problems;
    // What is filled in is looked at when it is.
    let text = |key: &str| {
        let node = node.get(key)?;
        Some((node, node.scalar_text(&problems.source)?)).filter(|(_, text)| !Template::is_one(text))
    };
    if node.get("every").is_some() == node.get("cron").is_some() {
        let help = "every: 1m, or cron: \"*/5 * * * *\"".to_owned();
        problems.add_help(node.span, "`influx_task` needs one of `every` and `cron`", help);
    }
    if let Some((n, every)) = text("every")
        && parse_duration(every.trim()).is_some_and(|seconds| seconds < 1.0)
    {
        problems.add(n.span, "InfluxDB runs a task once a second at most");
    }
    if let Some((n, cron)) = text("cron")
        && !is_influx_cron(&cron)
    {
        let help = "minute, hour, day, month, day of the week: \"*/5 * * * *\"".to_owned();
        problems.add_help(n.span, "`cron` has five fields of digits, `*`, `/`, `,` and `-`", help);
    }
    if let Some((n, flux)) = text("flux")
        && let Err(why) = flux_task_buckets(&flux)
    {
        problems.add(n.span, format!("this cannot be a task: {why}"));
    }
    match (node.get("read"), node.get("columns").or(node.get("rows"))) {
        (Some(_), _) => efd_query::columns(work, node),
        (None, Some(n)) => problems.add(n.span, "`columns` and `rows` go with `read`"),
        (None, None) => {}
    }
    if let Some((n, read)) = text("read")
        && let Err(why) = flux_only_reads(&read)
    {
        problems.add(n.span, format!("this query cannot be asked: {why}"));
    }
}
