//! Results of tests as JUnit XML, which continuous-integration servers read.

use std::fmt::Write as _;

use crate::core::selftest::TestOutcome;
use crate::reports::escape_line as escape;
use crate::rules::Diagnostic;

/// One suite; a file that has mistakes is a test case with errors.
pub(super) fn xml(outcomes: &[TestOutcome], mistakes: &[Diagnostic], elapsed_s: f64) -> String {
    let failed = outcomes.iter().filter(|o| !o.passed).count();
    let tests = outcomes.len() + mistakes.len();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let suite = format!(
        "<testsuite name=\"catcher rules\" tests=\"{tests}\" failures=\"{failed}\" errors=\"{}\" time=\"{elapsed_s:.3}\">",
        mistakes.len()
    );
    push(&mut text, format_args!("<testsuites>\n  {suite}\n"));
    for outcome in outcomes {
        let (class, name, file) = (escape(&outcome.rule), escape(&outcome.test), escape(&outcome.file));
        let line = outcome.line;
        push(
            &mut text,
            format_args!(
                "    <testcase classname=\"{class}\" name=\"{name}\" file=\"{file}\" line=\"{line}\">\n"
            ),
        );
        for failure in &outcome.failures {
            let message = escape(&failure.message);
            let place = format!("{}:{}:{}", outcome.file, failure.line, failure.column);
            let body = escape(&format!("{place}\n{}", failure.history.join("\n")));
            push(&mut text, format_args!("      <failure message=\"{message}\">{body}</failure>\n"));
        }
        text.push_str("    </testcase>\n");
    }
    for mistake in mistakes {
        let class = escape(mistake.rule.as_deref().unwrap_or(&mistake.file));
        let (message, place) = (escape(&mistake.message), escape(&mistake.to_string()));
        push(
            &mut text,
            format_args!(
                "    <testcase classname=\"{class}\" name=\"check\"><error message=\"{message}\">{place}</error></testcase>\n"
            ),
        );
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a < \"b\" & c\u{1}\nd"), "a &lt; &quot;b&quot; &amp; c\u{fffd}&#10;d");
    }
}
