//! `ocps`: a pipeline run by the OCPS CSC.

use super::keys::{KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::expr::scope::ResultType;

pub(super) const BACKEND: Backend = Backend {
    key: "ocps",
    about: "A pipeline run by the OCPS.",
    form: Form::Keys(
        &[
            KeySpec::needed(
                "index",
                Kind::Whole(1, i64::MAX),
                "index of the OCPS: LATISS 1, LSSTComCam 2, LSSTCam 3, rapid analysis 101",
            ),
            KeySpec::needed("pipeline", Kind::Text, "URL or path of the pipeline's YAML file"),
            KeySpec::may("version", Kind::Text, "tag of the stack"),
            KeySpec::may("config", Kind::Text, "further options of the pipeline"),
            KeySpec::may("data_query", Kind::Text, "which data, e.g. instrument='LATISS' AND exposure=1"),
            KeySpec::may("prereq_jobs", Kind::Text, "ids of jobs to wait for, comma-separated"),
            KeySpec::may("output_dataset_types", Kind::Text, "replaces the configured pattern of outputs"),
        ],
        None,
    ),
    result: |_, _| {
        Some(vec![
            ("job_id", ResultType::Text),
            ("exit_code", ResultType::Int),
            ("outcome", ResultType::Text),
            ("result", ResultType::Dyn),
        ])
    },
    commands: true,
};
