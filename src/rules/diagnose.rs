//! What is wrong with a rule file: where, what, what was expected, what was probably meant.

use std::fmt;
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Severity};

/// A rule file: its name, for messages, and its text.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Path or another name, e.g. `addRule`.
    pub name: String,
    /// The YAML text.
    pub text: String,
}

/// One mistake.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Name of the rule it is in, where that is known.
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What was expected, or what to do.
    pub help: Option<String>,
    /// Byte offset and length of the place in the text.
    pub span: (usize, usize),
    pub(crate) source: Arc<str>,
}

impl fmt::Display for Diagnostic {
    /// One line: `file:line:column: message (help)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if let Some(rule) = &self.rule {
            write!(f, "rule \"{rule}\": ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

impl Diagnostic {
    /// The mistake at a byte range of a file.
    pub fn at(
        file: &SourceFile,
        source: &Arc<str>,
        span: (usize, usize),
        message: impl Into<String>,
    ) -> Diagnostic {
        let start = floor(source, span.0);
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |p| p + 1);
        Diagnostic {
            file: file.name.clone(),
            line: before.matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            rule: None,
            message: message.into(),
            help: None,
            span: (start, floor(source, start + span.1) - start),
            source: source.clone(),
        }
    }

    /// Adds what was expected.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The mistake with the line it is in and a caret under the place, in colour or plain.
    pub fn render(&self, colour: bool) -> String {
        let mut report = MietteDiagnostic::new(match &self.rule {
            Some(rule) => format!("rule \"{rule}\": {}", self.message),
            None => self.message.clone(),
        })
        .with_severity(Severity::Error)
        .with_label(LabeledSpan::new(Some("here".to_owned()), self.span.0, self.span.1.max(1)));
        if let Some(help) = &self.help {
            report = report.with_help(help.clone());
        }
        let report = miette::Report::from(report)
            .with_source_code(NamedSource::new(&self.file, self.source.to_string()).with_language("yaml"));
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut text = String::new();
        match GraphicalReportHandler::new_themed(theme)
            .with_width(110)
            .render_report(&mut text, report.as_ref())
        {
            Ok(()) => text,
            Err(_) => self.to_string(),
        }
    }
}

/// The largest char boundary that is not after `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The name out of `known` that `wrong` was probably meant to be: at most a third of its letters differ, or only the
/// case does, or one is the start of the other.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = wrong.to_lowercase();
    known
        .into_iter()
        .map(|k| {
            let other = k.to_lowercase();
            let mut d = distance(&lower, &other);
            if lower.len() >= 4 && (other.starts_with(&lower) || other.contains(&lower)) {
                d = d.min(1);
            }
            // Of two that are as near, the one that begins like it longer.
            let alike = lower.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
            (d, std::cmp::Reverse(alike), k)
        })
        .filter(|(d, _, k)| *d * 3 <= wrong.chars().count().max(k.chars().count()))
        .min()
        .map(|(_, _, k)| k.to_owned())
}

/// Help text for an unknown name: the likely one, and the known ones while they are few.
pub(crate) fn suggest<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
    what: &str,
) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    match did_you_mean(wrong, known.iter().copied()) {
        Some(name) => Some(format!("did you mean \"{name}\"?")),
        None if known.is_empty() => None,
        None if known.len() <= 16 => Some(format!("{what}: {}", known.join(", "))),
        None => Some(format!("{what}: {}, ... ({} in all)", known[..12].join(", "), known.len())),
    }
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_nothing_far() {
        let fields = ["speed", "direction", "speedStdDev", "maxSpeed"];
        assert_eq!(did_you_mean("sped", fields).as_deref(), Some("speed"));
        assert_eq!(did_you_mean("Speed", fields).as_deref(), Some("speed"));
        assert_eq!(did_you_mean("speedStdDv", fields).as_deref(), Some("speedStdDev"));
        assert_eq!(did_you_mean("humidity", fields), None);
        assert_eq!(distance("ab", "ba"), 1);
    }

    #[test]
    fn columns_count_characters() {
        let file = SourceFile { name: "f".into(), text: "a: °C x\n".into() };
        let source: Arc<str> = file.text.as_str().into();
        let at = file.text.find('x').unwrap();
        let d = Diagnostic::at(&file, &source, (at, 1), "no");
        assert_eq!((d.line, d.column), (1, 7));
        assert!(d.render(false).contains("f:1:"), "{}", d.render(false));
    }
}
