//! `batch`: one job for each detector, on a batch system.

use super::super::Work;
use super::keys::{KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::expr::scope::ResultType;
use crate::rules::yaml::{Node, Yaml};

pub(super) const BACKEND: Backend = Backend {
    key: "batch",
    about: "One job for each detector on HTCondor or SLURM. The site lists which.",
    form: Form::Keys(
        &[
            KeySpec::needed("job", Kind::Name, "its name in the site's backends.batch.jobs"),
            KeySpec::needed(
                "detectors",
                Kind::Any,
                "how many (9, 189), a list, or a text: R22_S11, R22_S12 or 0..8",
            ),
            KeySpec::may("ra", Kind::Text, "boresight, deg"),
            KeySpec::may("dec", Kind::Text, "boresight, deg"),
            KeySpec::may("filter", Kind::Text, "filter"),
            KeySpec::may("exposure_time", Kind::Text, "s"),
            KeySpec::may("intent", Kind::Text, "of a calibration image: dark, flat, ..."),
            KeySpec::may("distributor", Kind::Text, "where images come from"),
            KeySpec::may("images", Kind::Texts, "names of images"),
            KeySpec::may("data_wait", Kind::Duration, "how long a job waits for its image; 2m"),
            KeySpec::may("arguments", Kind::Texts, "further arguments"),
            KeySpec::may("tolerate", Kind::Whole(0, 1000), "how many jobs may fail; 0"),
        ],
        Some(check),
    ),
    result: |_, _| {
        Some(vec![
            ("cluster", ResultType::Text),
            ("jobs", ResultType::Int),
            ("succeeded", ResultType::Int),
            ("failed", ResultType::Int),
            ("detectors", ResultType::Dyn),
            ("failures", ResultType::Dyn),
        ])
    },
    commands: true,
};

fn check(work: &Work<'_>, node: &Node) {
    let Some(detectors) = node.get("detectors") else { return };
    let scalar = |n: &Node| n.scalar_text(&work.problems.source).is_some_and(|t| !t.trim().is_empty());
    let good = match &detectors.value {
        Yaml::Int(n) => (1..=1000).contains(n),
        Yaml::Text(text) => !text.trim().is_empty(),
        Yaml::List(all) => (1..=1000).contains(&all.len()) && all.iter().all(scalar),
        _ => false,
    };
    if !good {
        let help = "detectors: 9, or [R22_S10, R22_S11], or \"0..8\"".to_owned();
        work.problems.add_help(
            detectors.span,
            "`detectors` is a number, a list or a text, for 1 to 1000 jobs",
            help,
        );
    }
}
