//! What can go wrong while interfaces are read: every error says which file, which line, which element.

use std::fmt;

/// One fault in one place of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File as the user knows it: a path, or `embedded:<path in xml/>`.
    pub file: String,
    /// Line, counted from 1; 0 if the fault belongs to the whole file.
    pub line: usize,
    /// Where in the file: `SALEvent Test_logevent_scalars / item int0 / Count`. Empty if nowhere in particular.
    pub element: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.element.is_empty() {
            write!(f, ": {}", self.element)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Why an interface could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IdlError {
    /// The folder is not one of interface definitions.
    #[error(
        "{path} has no SALSubsystems.xml (looked in {looked_in}); give the `data` folder of ts_xml, or a folder like our own xml/"
    )]
    NotAnXmlFolder {
        /// Folder that was given.
        path: String,
        /// Places that were tried.
        looked_in: String,
    },
    /// A file could not be read.
    #[error("cannot read {file}: {message}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        message: String,
    },
    /// `SALSubsystems.xml` does not have that component.
    #[error("no such component {name}{}", hint(suggestions))]
    UnknownComponent {
        /// The name that was asked for.
        name: String,
        /// Similar names that exist.
        suggestions: Vec<String>,
    },
    /// The definitions are wrong; all faults of all files that were read.
    #[error("{}", list(problems))]
    Invalid {
        /// The faults, in file order.
        problems: Vec<Problem>,
    },
}

impl IdlError {
    /// The faults, if the definitions were wrong; empty for other errors.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems } => problems,
            _ => &[],
        }
    }
}

fn hint(suggestions: &[String]) -> String {
    if suggestions.is_empty() { String::new() } else { format!("; did you mean {}?", suggestions.join(", ")) }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Collects the faults of one file, so that a user sees all of them at once.
#[derive(Debug)]
pub(crate) struct Problems {
    file: String,
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    pub(crate) fn push(&mut self, line: usize, element: impl Into<String>, message: impl Into<String>) {
        self.found.push(Problem {
            file: self.file.clone(),
            line,
            element: element.into(),
            message: message.into(),
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    pub(crate) fn into_inner(self) -> Vec<Problem> {
        self.found
    }
}
