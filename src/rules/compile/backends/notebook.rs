//! `notebook`: a notebook executed on the Catcher's machine.

use super::keys::{KeySpec, Kind};
use super::{Backend, Form, noteburst};
use crate::rules::expr::scope::ResultType;

pub(super) const BACKEND: Backend = Backend {
    key: "notebook",
    about: "A notebook of the site, executed on the Catcher's machine by papermill and kept with a page made of it.",
    form: Form::Keys(
        &[
            KeySpec::needed(
                "notebook",
                Kind::Name,
                "its path below the site's folder of notebooks, e.g. night/seeing.ipynb",
            ),
            KeySpec::may(
                "parameters",
                Kind::Map,
                "values that replace those of the cell tagged `parameters`",
            ),
            KeySpec::may(
                "kernel_name",
                Kind::Text,
                "its kernel; the site's, or that of the notebook, if left out",
            ),
        ],
        Some(noteburst::notebook),
    ),
    result: |_, _| {
        Some(vec![
            ("outcome", ResultType::Text),
            ("started", ResultType::Dyn),
            ("finished", ResultType::Dyn),
            ("files", ResultType::Dyn),
            ("values", ResultType::Dyn),
            ("error", ResultType::Dyn),
        ])
    },
    commands: true,
};
