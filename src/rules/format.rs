//! The canonical form of a rule file: indentation of two, lists indented below their key, one blank between the parts of
//! a flow mapping, no blanks at line ends. Comments, the order of keys and the way a value is written stay. A mapping in
//! braces that its author broke into lines is joined where it fits, else its lines are aligned behind the brace.
//!
//! Works on lines, not on the parsed tree, so that nothing that the tree does not know is lost; afterwards both texts are
//! read and must mean the same.

use super::diagnose::{Diagnostic, SourceFile};
use super::yaml;

/// A mapping in braces that is longer than this stays in lines.
const WIDTH: usize = 120;
/// So many blanks before a comment at the end of a line, at least.
const BEFORE_COMMENT: usize = 2;

/// A block collection: where its entries begin in the source and in the result.
#[derive(Debug, Clone, Copy)]
struct Block {
    source: usize,
    target: usize,
    list: bool,
}

/// The file in canonical form.
///
/// # Errors
/// The file is not YAML, or has a form that this cannot write without changing what it means.
pub fn format(file: &SourceFile) -> Result<String, Box<Diagnostic>> {
    let source = file.text.as_str().into();
    let before = yaml::parse(file, &source)?;
    let text = lines(&file.text);
    let made = SourceFile { name: file.name.clone(), text };
    match yaml::parse(&made, &made.text.as_str().into()) {
        Ok(after) if after.json() == before.json() => Ok(made.text),
        _ => {
            let text = "the file has a form of YAML that cannot be formatted without changing what it means";
            Err(Box::new(Diagnostic::at(file, &source, (0, 0), text)))
        }
    }
}

/// A line of the file, or several that belong together.
struct Logical<'a> {
    indent: usize,
    /// Without indentation; the lines that follow as they are.
    first: &'a str,
    rest: Vec<&'a str>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Blank,
    Comment,
    /// An entry that ends in its line.
    Plain,
    /// An entry with brackets or a quoted text over several lines.
    Open,
    /// An entry with a block text (`|`, `>`) below it.
    Text,
}

fn lines(text: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    // Comments and blank lines stand as the entry after them does.
    let mut waiting: Vec<String> = Vec::new();
    for line in logical(text) {
        match line.kind {
            Kind::Blank => {
                if waiting.last().is_some_and(|l: &String| !l.is_empty())
                    || (waiting.is_empty() && out.last().is_some_and(|l| !l.is_empty()))
                {
                    waiting.push(String::new());
                }
            }
            Kind::Comment => waiting.push(line.first.trim_end().to_owned()),
            Kind::Plain | Kind::Open | Kind::Text => {
                let target = place(&line, &mut blocks);
                for comment in waiting.drain(..) {
                    out.push(indented(target, &comment));
                }
                entry(&line, target, &mut out);
            }
        }
    }
    while waiting.last().is_some_and(String::is_empty) {
        waiting.pop();
    }
    out.extend(waiting);
    while out.first().is_some_and(String::is_empty) {
        out.remove(0);
    }
    let mut text = out.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn indented(by: usize, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{}{text}", " ".repeat(by)) }
}

/// Splits into lines that belong together.
fn logical(text: &str) -> Vec<Logical<'_>> {
    let all: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut i = 0;
    while i < all.len() {
        let line = all[i];
        let first = line.trim_start();
        let indent = line.len() - first.len();
        let mut rest = Vec::new();
        let kind = if first.trim_end().is_empty() {
            Kind::Blank
        } else if first.starts_with('#') {
            Kind::Comment
        } else if opens_text(first) {
            // Deeper than its key, which may stand behind dashes.
            let (_, body) = items(first.trim_end());
            let column = indent + if is_key(body) { first.trim_end().len() - body.len() } else { 0 };
            let mut end = i + 1;
            while end < all.len() {
                let inner = all[end].trim_start();
                if !inner.is_empty() && all[end].len() - inner.len() <= column {
                    break;
                }
                end += 1;
            }
            // Blank lines at its end belong to the file.
            while end > i + 1 && all[end - 1].trim().is_empty() {
                end -= 1;
            }
            rest.extend_from_slice(&all[i + 1..end]);
            Kind::Text
        } else {
            let mut state = Scan::default();
            state.line(first);
            while state.open() && i + 1 + rest.len() < all.len() {
                let next = all[i + 1 + rest.len()];
                state.line(next);
                rest.push(next);
            }
            if rest.is_empty() { Kind::Plain } else { Kind::Open }
        };
        i += 1 + rest.len();
        found.push(Logical { indent, first, rest, kind });
    }
    found
}

/// Ends with `|`, `>` or one of these with a sign: a block text follows.
fn opens_text(line: &str) -> bool {
    let (code, _) = split_comment(line);
    let code = code.trim_end();
    let last = code.rsplit([' ', '\t']).next().unwrap_or("");
    let mut letters = last.chars();
    matches!(letters.next(), Some('|' | '>'))
        && letters.all(|c| c.is_ascii_digit() || c == '+' || c == '-')
        && (code.len() > last.len())
}

/// Tells texts in quotes from the rest, letter by letter.
struct Quotes {
    open: Option<char>,
    escaped: bool,
    closed: bool,
    before: char,
}

impl Default for Quotes {
    fn default() -> Quotes {
        Quotes { open: None, escaped: false, closed: false, before: ' ' }
    }
}

impl Quotes {
    /// Takes a letter: none if it belongs to a text in quotes, else the letter before it.
    fn take(&mut self, c: char) -> Option<char> {
        let before = std::mem::replace(&mut self.before, c);
        let closed = std::mem::take(&mut self.closed);
        match self.open {
            Some('"') if self.escaped => self.escaped = false,
            Some('"') if c == '\\' => self.escaped = true,
            Some(q) if c == q => {
                self.open = None;
                self.closed = true;
            }
            Some(_) => {}
            // A quote begins a text only where a value may begin; two of them in a text are one.
            None if (c == '"' || c == '\'') && (" [{,:-".contains(before) || (closed && c == before)) => {
                self.open = Some(c);
            }
            None => return Some(before),
        }
        None
    }
}

/// Where a scan of lines is: depth of brackets, and the quote that is open.
#[derive(Default)]
struct Scan {
    depth: usize,
    quotes: Quotes,
}

impl Scan {
    fn open(&self) -> bool {
        self.depth > 0 || self.quotes.open.is_some()
    }

    /// Takes a line in; the byte where its comment begins, if it has one.
    fn line(&mut self, line: &str) -> Option<usize> {
        if self.quotes.open.is_none() {
            self.quotes = Quotes::default();
        }
        for (at, c) in line.char_indices() {
            let Some(before) = self.quotes.take(c) else { continue };
            match c {
                '#' if before.is_whitespace() => return Some(at),
                '{' | '[' if self.depth > 0 || " :-".contains(before) => self.depth += 1,
                '}' | ']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }
}

/// A line and its comment.
fn split_comment(line: &str) -> (&str, Option<&str>) {
    match Scan::default().line(line) {
        Some(at) => (&line[..at], Some(line[at..].trim_end())),
        None => (line, None),
    }
}

/// Where an entry is to begin; notes the blocks that begin with it.
fn place(line: &Logical<'_>, blocks: &mut Vec<Block>) -> usize {
    let (mut source, mut rest) = (line.indent, line.first);
    let mut target = None;
    loop {
        let list = is_item(rest);
        while blocks.last().is_some_and(|b| b.source > source || (b.source == source && b.list && !list)) {
            blocks.pop();
        }
        let here = match blocks.last() {
            Some(block) if block.source == source && block.list == list => block.target,
            Some(block) => {
                let target = block.target + 2;
                blocks.push(Block { source, target, list });
                target
            }
            None => {
                blocks.push(Block { source, target: 0, list });
                0
            }
        };
        target.get_or_insert(here);
        if !list {
            return target.unwrap_or(0);
        }
        let inner = rest[1..].trim_start();
        if inner.is_empty() || !(is_item(inner) || is_key(inner)) {
            return target.unwrap_or(0);
        }
        source += rest.len() - inner.len();
        rest = inner;
    }
}

fn is_item(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

/// Begins with `key:`.
fn is_key(text: &str) -> bool {
    let (code, _) = split_comment(text);
    let code = code.trim_end();
    if code.starts_with(['{', '[']) {
        return false;
    }
    let after = match code.chars().next() {
        Some(q @ ('"' | '\'')) => code[1..].find(q).map(|end| &code[end + 2..]),
        _ => code.find(": ").map(|at| &code[at..]).or_else(|| code.ends_with(':').then_some(":")),
    };
    after.is_some_and(|rest| rest.starts_with(':'))
}

/// Writes an entry at its place.
fn entry(line: &Logical<'_>, target: usize, out: &mut Vec<String>) {
    let (lead, body) = items(line.first);
    match line.kind {
        Kind::Text => {
            out.push(indented(target, &format!("{lead}{}", one_line(body))));
            let least = line.rest.iter().filter(|l| !l.trim().is_empty());
            let least = least.map(|l| l.len() - l.trim_start().len()).min().unwrap_or(0);
            let inner = target + lead.len() + 2;
            out.extend(line.rest.iter().map(|l| indented(inner, l.get(least..).unwrap_or("").trim_end())));
        }
        Kind::Open => open_entry(line, &lead, body, target, out),
        Kind::Plain | Kind::Blank | Kind::Comment => {
            out.push(indented(target, &format!("{lead}{}", one_line(body))));
        }
    }
}

/// The dashes before an entry, and the entry.
fn items(mut rest: &str) -> (String, &str) {
    let mut lead = String::new();
    while is_item(rest) {
        let inner = rest[1..].trim_start();
        lead.push_str(if inner.is_empty() { "-" } else { "- " });
        rest = inner;
        if inner.starts_with('#') {
            break;
        }
    }
    (lead, rest)
}

/// Brackets over several lines: joined where they fit and have no comment, else aligned behind their first bracket.
fn open_entry(line: &Logical<'_>, lead: &str, body: &str, target: usize, out: &mut Vec<String>) {
    let mut scan = Scan::default();
    let mut parts: Vec<(&str, bool)> = Vec::new();
    let mut plain = true;
    for (i, part) in std::iter::once(&body).chain(&line.rest).enumerate() {
        let quoted = scan.quotes.open.is_some();
        let part = if quoted { part.trim_end() } else { part.trim() };
        let last = i == line.rest.len();
        let comment = scan.line(part).is_some();
        plain &= !comment || last;
        plain &= scan.quotes.open.is_none() && !quoted;
        parts.push((part, quoted));
    }
    if plain {
        let joined: Vec<&str> = parts.iter().map(|(p, _)| *p).filter(|p| !p.is_empty()).collect();
        let text = format!("{lead}{}", one_line(&joined.join(" ")));
        let (code, _) = split_comment(&text);
        if target + code.trim_end().chars().count() <= WIDTH {
            out.push(indented(target, &text));
            return;
        }
    }
    // Behind the innermost bracket that is still open at the line's end.
    let mut columns: Vec<usize> = Vec::new();
    for (i, (part, quoted)) in parts.iter().enumerate() {
        if *quoted {
            out.push((*part).to_owned());
            track(part, 0, &mut columns);
            continue;
        }
        if part.is_empty() {
            continue;
        }
        let closes = part.starts_with(['}', ']']);
        let text = one_line(part);
        let (text, column) = if i == 0 {
            (format!("{lead}{text}"), target)
        } else {
            let column = columns.last().map_or(target + 2, |c| if closes { c - 1 } else { *c });
            (text, column)
        };
        track(&text, column, &mut columns);
        out.push(indented(column, &text));
    }
}

/// Notes the brackets that a line opens, and forgets those that it closes.
fn track(text: &str, column: usize, columns: &mut Vec<usize>) {
    let mut quotes = Quotes::default();
    for (at, c) in text.chars().enumerate() {
        let Some(before) = quotes.take(c) else { continue };
        match c {
            '#' if before.is_whitespace() => return,
            '{' | '[' if !columns.is_empty() || " :-".contains(before) => columns.push(column + at + 1),
            '}' | ']' => drop(columns.pop()),
            _ => {}
        }
    }
}

/// An entry in one line: single blanks after `:` and `,`, none inside of brackets, its comment apart.
fn one_line(text: &str) -> String {
    let (code, comment) = split_comment(text);
    let gap = code.len() - code.trim_end().len();
    let mut out = spaced(code.trim_end());
    if let Some(comment) = comment {
        if !out.is_empty() {
            out.push_str(&" ".repeat(gap.max(BEFORE_COMMENT)));
        }
        out.push_str(comment);
    }
    out
}

/// Blanks as they should be, outside of texts.
fn spaced(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut quotes = Quotes::default();
    let mut depth = 0_usize;
    let mut key_seen = false;
    let letters: Vec<char> = code.chars().collect();
    for (i, c) in letters.iter().copied().enumerate() {
        let Some(before) = quotes.take(c) else {
            out.push(c);
            continue;
        };
        let last = out.chars().last();
        match c {
            '{' | '[' if depth > 0 || " :-".contains(before) => {
                depth += 1;
                out.push(c);
            }
            '}' | ']' if depth > 0 => {
                depth -= 1;
                while out.ends_with(' ') {
                    out.pop();
                }
                out.push(c);
            }
            ',' if depth > 0 => {
                while out.ends_with(' ') {
                    out.pop();
                }
                out.push(',');
                if letters.get(i + 1).is_some_and(|n| !n.is_whitespace() && !matches!(n, '}' | ']')) {
                    out.push(' ');
                }
            }
            ' ' | '\t' => {
                let after_colon = last == Some(':') && (depth > 0 || !key_seen);
                if after_colon {
                    key_seen = true;
                }
                let opening = depth > 0 && matches!(last, Some('{' | '['));
                let double = last == Some(' ') && (depth > 0 || out.trim_end().ends_with(':'));
                if !opening && !double {
                    out.push(' ');
                }
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
