//! `times_square`: a page of Times Square.

use super::super::Work;
use super::keys::{KeySpec, Kind};
use super::{Backend, Form, noteburst};
use crate::rules::expr::scope::ResultType;
use crate::rules::yaml::Node;

pub(super) const BACKEND: Backend = Backend {
    key: "times_square",
    about: "A page of Times Square with values for its parameters, computed if need be.",
    form: Form::Keys(
        &[
            KeySpec::may("page", Kind::Text, "its name"),
            KeySpec::may(
                "github",
                Kind::Text,
                "owner/repository/path of its notebook (without .ipynb), instead of its name",
            ),
            KeySpec::may(
                "parameters",
                Kind::Map,
                "values of its parameters; the page's own for those left out",
            ),
            KeySpec::may("hide_code", Kind::Flag, "whether the code is left out; true"),
        ],
        Some(check),
    ),
    result: |_, _| {
        Some(vec![
            ("page", ResultType::Text),
            ("title", ResultType::Text),
            ("url", ResultType::Dyn),
            ("hash", ResultType::Dyn),
            ("started", ResultType::Dyn),
            ("finished", ResultType::Dyn),
            ("duration_s", ResultType::Dyn),
            ("files", ResultType::Dyn),
        ])
    },
    commands: true,
};

fn check(work: &Work<'_>, node: &Node) {
    if node.get("page").is_some() == node.get("github").is_some() {
        let help = "page: seeing, or github: lsst-sqre/times-square-demo/seeing".to_owned();
        work.problems.add_help(node.span, "`times_square` needs one of `page` and `github`", help);
    }
    noteburst::parameters(work, node);
}
