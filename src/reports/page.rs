//! What all pages share: the head with its policy, sections, tables of facts, links.

use std::fmt::Write as _;

use super::text::escape;

/// What a page allows the browser: its own style, and pictures that are in it. No script, no font, no address is ever loaded.
pub const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The begin of a page up to and with `<main>`. `note` is `(name, content)` of a line for programs, `style` is added to that
/// of all pages.
pub(super) fn open(title: &str, note: Option<(&str, &str)>, style: &str) -> String {
    let note = note
        .map(|(name, content)| format!("<meta name=\"{}\" content=\"{}\">\n", escape(name), escape(content)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{}\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{}</title>\n<style>\n{}{style}</style>\n</head>\n\
         <body>\n<main>\n",
        note.unwrap_or_default(),
        escape(title),
        include_str!("style.css")
    )
}

/// The end of a page.
pub(super) fn close(page: &mut String) {
    page.push_str("</main>\n</body>\n</html>\n");
}

/// Values are HTML already.
pub(super) fn facts(rows: &[(&str, String)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n"))
        .collect();
    format!("<table class=\"facts\">\n{rows}</table>\n")
}

/// Headings are text, cells are whole `<td>` elements.
pub(super) fn table(class: &str, head: &[String], rows: &[String]) -> String {
    let head: String = head.iter().map(|h| format!("<th scope=\"col\">{}</th>", escape(h))).collect();
    let rows: String = rows.iter().map(|row| format!("<tr>{row}</tr>\n")).collect();
    format!(
        "<div class=\"wide\">\n<table class=\"{class}\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )
}

/// Title and body are HTML already.
pub(super) fn section(page: &mut String, id: &str, title: &str, body: &str) {
    put(
        page,
        format_args!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\">\n<h2 id=\"{id}-h\">{title}</h2>\n{body}</section>"
        ),
    );
}

/// What is folded away until somebody wants it; shown on paper. The summary is text, the body HTML already.
pub(super) fn folded(summary: &str, body: &str) -> String {
    format!("<details>\n<summary>{}</summary>\n{body}</details>\n", escape(summary))
}

/// A state in its colour and in words: `timed_out` is "timed out".
pub(super) fn state(word: &str) -> String {
    format!("<span class=\"state {}\">{}</span>", state_class(word), escape(&word.replace('_', " ")))
}

/// The class of a state; only words of ours become classes.
pub(super) fn state_class(word: &str) -> &'static str {
    match word {
        "succeeded" => "s-succeeded",
        "failed" => "s-failed",
        "timed_out" => "s-timed-out",
        "aborted" => "s-aborted",
        "skipped" => "s-skipped",
        _ => "s-other",
    }
}

/// The class of a severity.
pub(super) fn severity_class(word: &str) -> &'static str {
    match word {
        "none" => "none-severity",
        "warning" => "warning",
        "serious" => "serious",
        "critical" => "critical",
        _ => "",
    }
}

/// A link if it is one that a page may hold; other schemes are shown as text.
pub(super) fn link(text: &str, url: &str) -> String {
    if is_web(url) {
        format!("<a href=\"{}\" rel=\"noopener noreferrer\">{}</a>", escape(url.trim()), escape(text))
    } else {
        format!("{}: <code>{}</code>", escape(text), escape(url))
    }
}

/// True for an address of the web.
pub(super) fn is_web(url: &str) -> bool {
    let lower = url.trim().to_ascii_lowercase();
    lower.starts_with("https://") || lower.starts_with("http://")
}

/// So many characters at most, with a mark where something is missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn put(page: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(page, "{element}").expect("writing to a String cannot fail");
}
