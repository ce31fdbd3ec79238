//! A small tree of XML elements with the lines they stand on.
//!
//! The text of an element is what the Python tools see, since descriptions enter the revision code: all characters
//! before the first child element, comments left out and both sides joined, entities and character references
//! resolved, line ends normalised, nothing trimmed.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::error::Problem;

/// Deeper nesting is no interface definition, and would cost stack.
const MAX_DEPTH: usize = 32;

/// One element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// Text before the first child; empty if there is none.
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The first child of that name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// Text of the first child of that name, if it has any.
    pub(crate) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.as_str()).filter(|t| !t.is_empty())
    }
}

/// Reads a whole document; `file` is for the error only. Only well-formed UTF-8 documents without a DTD of their own.
pub(crate) fn parse(file: &str, source: &[u8]) -> Result<Element, Problem> {
    let fail = |line: usize, element: &str, message: String| Problem {
        file: file.to_owned(),
        line,
        element: element.to_owned(),
        message,
    };
    let source = std::str::from_utf8(source).map_err(|e| {
        let line = line_at(source, e.valid_up_to());
        fail(line, "", format!("not UTF-8: {e}"))
    })?;
    let source = source.strip_prefix('\u{feff}').unwrap_or(source).replace("\r\n", "\n").replace('\r', "\n");
    let mut builder = Builder { stack: Vec::new(), root: None };
    let mut reader = Reader::from_str(&source);
    let (mut line, mut counted) = (1, 0);
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX).min(source.len());
        line += newlines(&source.as_bytes()[counted..at]);
        counted = at;
        let here = builder.path();
        let event = reader.read_event().map_err(|e| {
            let position = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
            fail(line_at(source.as_bytes(), position), &here, format!("not well-formed XML: {e}"))
        })?;
        match builder.feed(event, line) {
            Ok(false) => {}
            Ok(true) => break,
            Err(message) => return Err(fail(line, &here, message)),
        }
    }
    let here = builder.path();
    if let Some(open) = builder.stack.last() {
        return Err(fail(open.line, &here, format!("element {} is never closed", open.name)));
    }
    builder.root.ok_or_else(|| fail(0, "", "no element in this file".to_owned()))
}

struct Builder {
    stack: Vec<Element>,
    root: Option<Element>,
}

impl Builder {
    /// Takes one event; `Ok(true)` at the end of the document.
    fn feed(&mut self, event: Event<'_>, line: usize) -> Result<bool, String> {
        match event {
            Event::Start(start) => {
                let element = self.open(&start, line)?;
                self.stack.push(element);
            }
            Event::Empty(start) => {
                let element = self.open(&start, line)?;
                self.close(element);
            }
            Event::End(_) => {
                if let Some(element) = self.stack.pop() {
                    self.close(element);
                }
            }
            Event::Text(text) => self.text(&text.into_inner())?,
            Event::CData(text) => self.text(&text.into_inner())?,
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref() {
                    Ok(Some(c)) => c.to_string(),
                    Ok(None) => {
                        let name = reference.into_inner();
                        let known = quick_xml::escape::resolve_predefined_entity(&name);
                        known.ok_or_else(|| format!("unknown entity &{name};"))?.to_owned()
                    }
                    Err(e) => return Err(format!("bad character reference: {e}")),
                };
                self.text(&resolved)?;
            }
            Event::Eof => return Ok(true),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
        Ok(false)
    }

    fn open(&self, start: &BytesStart<'_>, line: usize) -> Result<Element, String> {
        if self.stack.is_empty() && self.root.is_some() {
            return Err("a second root element".to_owned());
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(format!("elements nested more than {MAX_DEPTH} deep"));
        }
        for attribute in start.attributes() {
            attribute.map_err(|e| format!("bad attribute: {e}"))?;
        }
        let name = start.name().into_inner().to_owned();
        Ok(Element { name, line, text: String::new(), children: Vec::new() })
    }

    fn close(&mut self, element: Element) {
        match self.stack.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.stack.last_mut() {
            Some(element) => {
                if element.children.is_empty() {
                    element.text.push_str(text);
                }
                Ok(())
            }
            None if text.trim().is_empty() => Ok(()),
            None => Err("text outside the root element".to_owned()),
        }
    }

    fn path(&self) -> String {
        self.stack.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(" / ")
    }
}

fn line_at(source: &[u8], position: usize) -> usize {
    1 + newlines(&source[..position.min(source.len())])
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(inner: &str) -> String {
        parse("t.xml", format!("<D>{inner}</D>").as_bytes()).expect("well-formed").text
    }

    #[test]
    fn text_is_what_the_python_reader_sees() {
        assert_eq!(text_of("a &lt; b &amp; c &gt; d &quot;e&quot; &apos;f&apos;"), "a < b & c > d \"e\" 'f'");
        assert_eq!(text_of("&#8804; &#x2264;"), "≤ ≤");
        assert_eq!(text_of("one<!-- a note -->two"), "onetwo");
        assert_eq!(text_of("\r\n  kept \r x\n"), "\n  kept \n x\n");
        assert_eq!(text_of("<![CDATA[<raw> & so]]> on"), "<raw> & so on");
        assert_eq!(text_of("before<x>in</x>after"), "before");
        assert_eq!(text_of("&#13;"), "\r");
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let tree = parse("t.xml", b"<?xml version=\"1.0\"?>\n<a>\n  <b/>\n  <!-- x\n y -->\n  <c>\n</c></a>")
            .expect("well-formed");
        assert_eq!((tree.line, tree.children[0].line, tree.children[1].line), (2, 3, 6));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let problem = parse("t.xml", "<a>".repeat(100_000).as_bytes()).expect_err("too deep");
        assert!(problem.message.contains("nested more than 32"), "{problem}");
    }

    #[test]
    fn faults_name_line_and_element() {
        let cases: [(&[u8], usize, &str, &str); 8] = [
            (b"<a>\n<b>\n</a>", 3, "a / b", "not well-formed"),
            (b"<a>\n<b>", 2, "a / b", "never closed"),
            (b"<a>\n<b>&nope;</b></a>", 2, "a / b", "unknown entity &nope;"),
            (b"<a/>\n<b/>", 2, "", "second root"),
            (b"<a/>\nstray", 1, "", "text outside"),
            (b"", 0, "", "no element"),
            (b"<a>\n\xff</a>", 2, "", "not UTF-8"),
            (b"<a>\n<b x=1/></a>", 2, "a", "bad attribute"),
        ];
        for (source, line, element, message) in cases {
            let problem = parse("t.xml", source).expect_err("must fail");
            assert_eq!((problem.line, problem.element.as_str()), (line, element), "{problem}");
            assert!(problem.message.contains(message), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn escaped_text_comes_back_unchanged(text in "[\\x09\\x0a\\x20-\\x7e\\u{a0}-\\u{d7ff}\\u{10000}-\\u{10fff}]{0,60}") {
            let escaped = quick_xml::escape::escape(text.as_str());
            prop_assert_eq!(text_of(&escaped), text);
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "[<>&;!?a-c/ \\-\\[\\]=\"#0-9]{0,60}") {
            drop(parse("t.xml", &bytes));
            drop(parse("t.xml", text.as_bytes()));
        }
    }
}
