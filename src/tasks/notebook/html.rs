//! A page made of an executed notebook: plain, self-contained, printable. What is not known is shown as text.

use std::fmt::Write as _;

use serde_json::Value;

use super::{cells, has_tag, joined, outputs};

/// Kinds of images that are shown.
const IMAGES: [&str; 3] = ["image/png", "image/jpeg", "image/gif"];

/// The notebook as a page. HTML that its own outputs hold goes in as it is: the page is for a reader that trusts the
/// notebook, or is served so that it may do nothing.
pub fn html(notebook: &Value, title: &str) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\n<style>{STYLE}</style></head>\n\
         <body><h1>{0}</h1>\n",
        escaped(title)
    );
    for cell in cells(notebook) {
        let source = joined(&cell["source"]);
        match cell["cell_type"].as_str() {
            Some("code") => {
                let open = if has_tag(cell, "injected-parameters") { " open" } else { "" };
                if !source.trim().is_empty() {
                    let first = source.lines().next().unwrap_or_default();
                    let code = escaped(&source);
                    push(
                        &mut page,
                        &format!(
                            "<details{open}><summary>{}</summary><pre>{code}</pre></details>",
                            escaped(first)
                        ),
                    );
                }
                for output in outputs(cell) {
                    push(&mut page, &shown(output));
                }
            }
            Some("markdown") => markdown(&mut page, &source),
            _ => push(&mut page, &format!("<pre>{}</pre>", escaped(&source))),
        }
    }
    page.push_str("</body></html>\n");
    page
}

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
pre{overflow-x:auto;padding:.5rem;border:1px solid #8886;white-space:pre-wrap}img{max-width:100%}\
summary{font-family:monospace;cursor:pointer;opacity:.7}.error{border-color:#c00}table{border-collapse:collapse}\
td,th{border:1px solid #8886;padding:.2rem .5rem}";

fn push(page: &mut String, part: &str) {
    page.push_str(part);
    page.push('\n');
}

fn shown(output: &Value) -> String {
    match output["output_type"].as_str() {
        Some("stream") => format!("<pre>{}</pre>", escaped(&plain(&joined(&output["text"])))),
        Some("error") => {
            let lines: Vec<String> = output["traceback"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(plain)
                .collect();
            let text = if lines.is_empty() {
                format!("{}: {}", joined(&output["ename"]), joined(&output["evalue"]))
            } else {
                lines.join("\n")
            };
            format!("<pre class=\"error\">{}</pre>", escaped(&text))
        }
        _ => data(&output["data"]),
    }
}

/// The richest form that can be shown.
fn data(data: &Value) -> String {
    for kind in IMAGES {
        if let Some(image) = data.get(kind) {
            let base64: String =
                joined(image).chars().filter(|c| c.is_ascii_alphanumeric() || "+/=".contains(*c)).collect();
            return format!("<img alt=\"output\" src=\"data:{kind};base64,{base64}\">");
        }
    }
    for kind in ["image/svg+xml", "text/html"] {
        if let Some(html) = data.get(kind) {
            return format!("<div>{}</div>", joined(html));
        }
    }
    match data.get("text/plain") {
        Some(text) => format!("<pre>{}</pre>", escaped(&joined(text))),
        None => data
            .get("application/json")
            .map_or_else(String::new, |json| format!("<pre>{}</pre>", escaped(&json.to_string()))),
    }
}

/// Headings and paragraphs; the rest as it is written.
fn markdown(page: &mut String, source: &str) {
    for block in source.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let level = block.chars().take_while(|c| *c == '#').count();
        let heading = (1..=5).contains(&level) && block[level..].starts_with(' ') && !block.contains('\n');
        let written = if heading {
            writeln!(page, "<h{0}>{1}</h{0}>", level + 1, escaped(block[level..].trim()))
        } else {
            writeln!(page, "<p style=\"white-space:pre-line\">{}</p>", escaped(block))
        };
        written.expect("writing to a String cannot fail");
    }
}

/// Without the colours of a terminal.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_output_is_shown_and_text_is_escaped() {
        let notebook = json!({"nbformat": 4, "cells": [
            {"cell_type": "markdown", "source": ["# Seeing <1\n", "\n", "a paragraph"]},
            {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": "# Parameters\nx = '<b>'", "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["\u{1b}[31mred\u{1b}[0m <i>\n"]},
                {"output_type": "display_data", "data": {"image/png": "iVBO\nRw0=", "text/plain": "fig"}},
                {"output_type": "execute_result", "data": {"text/html": ["<table>", "</table>"], "text/plain": "df"}},
                {"output_type": "execute_result", "data": {"text/plain": ["a < b"]}},
                {"output_type": "execute_result", "data": {"application/json": {"a": 1}}},
                {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\u{1b}[0;31mE\u{1b}[0m: <v>"]},
                {"output_type": "error", "ename": "E2", "evalue": "v2", "traceback": []},
            ]},
            {"cell_type": "raw", "source": "raw & text"},
        ]});
        let page = html(&notebook, "a <title>");
        for part in [
            "<title>a &lt;title&gt;</title>",
            "<h2>Seeing &lt;1</h2>",
            "a paragraph</p>",
            "<details open><summary># Parameters</summary><pre># Parameters\nx = '&lt;b&gt;'</pre>",
            "<pre>red &lt;i&gt;\n</pre>",
            "src=\"data:image/png;base64,iVBORw0=\"",
            "<div><table></table></div>",
            "<pre>a &lt; b</pre>",
            "{&quot;a&quot;:1}",
            "<pre class=\"error\">E: &lt;v&gt;</pre>",
            "E2: v2",
            "raw &amp; text",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("fig") && !page.contains(">df<"), "the richest form only");
    }
}
