//! Where a report comes from, and how to come to it again: the exact command lines.

use salobj::Tai;

use super::model::Report;
use super::page::{facts, section};
use super::text::{escape, utc};

/// What is played again begins so long before the trigger, s: windows need a past.
const BEFORE_S: f64 = 3600.0;
/// And ends so long after the end, s.
const AFTER_S: f64 = 60.0;

/// The section.
pub(super) fn provenance(page: &mut String, report: &Report) {
    let about = &report.about;
    let mut rows = vec![(
        "Rule",
        format!("{}, revision <code>{}</code>", escape(&report.rule), escape(&report.revision)),
    )];
    for step in report.steps.iter().filter(|step| step.source.is_some()) {
        let complete = match step.complete {
            Some(true) => "complete",
            Some(false) => "not complete",
            None => "completeness unknown",
        };
        let source = step.source.as_deref().unwrap_or_default();
        rows.push(("Data", format!("{}: from {}, {complete}", escape(&step.name), escape(source))));
    }
    if !about.catcher.is_empty() {
        let bus = if about.bus.is_empty() {
            String::new()
        } else {
            format!(", bus <code>{}</code>", escape(&about.bus))
        };
        rows.push(("Made by", format!("{} at {}{bus}", escape(&about.catcher), escape(&about.site))));
    }
    rows.push(("Made at", utc(about.created)));
    for (name, version) in &about.versions {
        rows.push(("Version", format!("{} {}", escape(name), escape(version))));
    }
    let mut body = facts(&rows);
    body.push_str("<h3>Look at it, and run it again</h3>\n");
    for (what, commands) in again(report) {
        let commands: String = commands.iter().map(|c| format!("{}\n", escape(c))).collect();
        body.push_str(&format!("<p>{}</p>\n<pre class=\"commands\">{commands}</pre>\n", escape(what)));
    }
    section(page, "provenance", "Provenance", &body);
}

/// (what for, command lines), for a shell.
fn again(report: &Report) -> Vec<(&'static str, Vec<String>)> {
    let about = &report.about;
    let bus = match about.bus.as_str() {
        "" => String::new(),
        bus => format!("LSST_TOPIC_SUBNAME={} ", quoted(bus)),
    };
    let index = about.catcher.rsplit_once(':').map_or("1", |(_, index)| index);
    let on = |what: &str, more: &str| {
        format!("{bus}catcher tasks {what} {} --index {}{more}", quoted(&report.run_id), quoted(index))
    };
    let from = second(report.triggered.0 - BEFORE_S);
    let to = second(report.finished.unwrap_or(report.triggered).0 + AFTER_S);
    let at = second(report.triggered.0 + 1.0);
    let rule = quoted(&report.rule);
    vec![
        (
            "On the Catcher that ran it: the same inputs, as a new run that names this one. It keeps the last runs that ended, \
             and those that failed.",
            vec![on("show", ""), on("logs", ""), on("rerun", " --reason 'to see it again' --watch")],
        ),
        (
            "On the same data, of which the EFD has a copy: what the rule would have done, and why. Nothing is sent to anybody. \
             Save the rule below as rule.yaml; efd.yaml names the EFD.",
            vec![
                format!("catcher replay rule.yaml --efd efd.yaml --from {from} --to {to} --all"),
                format!("catcher rules explain rule.yaml {rule} --efd efd.yaml --from {from} --at {at}"),
            ],
        ),
    ]
}

fn second(tai: f64) -> String {
    Tai(tai).utc_iso().chars().take(19).collect()
}

/// A word for a shell: in quotes unless it is plain.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("Wind.High"), "Wind.High");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("a'; rm -rf /"), r"'a'\''; rm -rf /'");
        assert_eq!(quoted("-x"), "'-x'");
        assert_eq!(quoted(""), "''");
    }
}
