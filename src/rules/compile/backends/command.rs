//! `command`: a program on the Catcher's machine, from the site's list.

use super::keys::{KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::expr::scope::ResultType;

pub(super) const BACKEND: Backend = Backend {
    key: "command",
    about: "A program of the Catcher's machine: JSON in, JSON out. The site lists which.",
    form: Form::Keys(
        &[
            KeySpec::needed("program", Kind::Name, "its name in the site's backends.command, e.g. trend.py"),
            KeySpec::may("args", Kind::Texts, "further arguments"),
            KeySpec::may("input", Kind::Any, "what it gets as `input` of its request"),
        ],
        None,
    ),
    result: |_, _| {
        Some(vec![
            ("severity", ResultType::Int),
            ("reason", ResultType::Text),
            ("values", ResultType::Dyn),
            ("units", ResultType::Dyn),
            ("files", ResultType::Dyn),
        ])
    },
    commands: true,
};
