//! `slack`: a message to a receiver of the site.

use super::keys::{KeySpec, Kind};
use super::{Backend, Form};

pub(super) const BACKEND: Backend = Backend {
    key: "slack",
    about: "A message to one of the site's receivers that are Slack channels.",
    form: Form::Keys(
        &[
            KeySpec::needed("to", Kind::Name, "name of one of the site's receivers with `slack`"),
            KeySpec::needed("text", Kind::Text, "what is said"),
        ],
        None,
    ),
    result: |_, _| Some(Vec::new()),
    commands: true,
};
