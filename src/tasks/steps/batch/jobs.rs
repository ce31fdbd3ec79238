//! What a rule says about a `batch` step, and the jobs that follow: one for each detector.
//!
//! The arguments of a job are those of DMTN-092, as options of its program in this order; those that the rule does not give
//! are left out. For science images: `--detector`, `--ra`, `--dec` (of the boresight), `--filter`, `--exposure-time` (s),
//! `--distributor`, `--image` (once for each). For calibration images `--intent` in the place of the position. `--data-wait`
//! (s) is how long the job waits for its image to arrive, 120 if the rule says nothing. Further `arguments` come last.

use serde::Deserialize;
use serde_json::Value;

use super::super::service::{text, texts};
use super::config::BatchJob;
use crate::tasks::series::duration;

/// Most jobs of one step.
const MOST: usize = 1000;
/// How long a job waits for its image, s.
const DATA_WAIT_S: f64 = 120.0;

/// Parameters of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Name in the site's list.
    pub job: String,
    /// A number of detectors, a list of them, or a text (`R22_S11, R22_S12`, `0..8`).
    pub detectors: Value,
    /// Boresight, deg.
    #[serde(default)]
    pub ra: Value,
    /// Boresight, deg.
    #[serde(default)]
    pub dec: Value,
    /// Filter.
    #[serde(default)]
    pub filter: Value,
    /// Exposure time, s.
    #[serde(default)]
    pub exposure_time: Value,
    /// Dark, flat, ...
    #[serde(default)]
    pub intent: Value,
    /// Where images come from.
    #[serde(default)]
    pub distributor: Value,
    /// Names of images.
    #[serde(default)]
    pub images: Value,
    /// How long a job waits for its image.
    #[serde(default)]
    pub data_wait: Value,
    /// Further arguments.
    #[serde(default)]
    pub arguments: Value,
    /// How many jobs may fail.
    #[serde(default)]
    pub tolerate: usize,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmittedJob {
    /// Its detector.
    pub detector: String,
    /// All arguments of its program.
    pub arguments: Vec<String>,
}

impl Params {
    /// Reads the parameters of a step.
    ///
    /// # Errors
    /// They do not fit.
    pub fn read(params: &Value) -> Result<Params, String> {
        serde_json::from_value(params.clone()).map_err(|e| format!("the parameters of batch do not fit: {e}"))
    }

    /// The jobs, in the order of the detectors.
    ///
    /// # Errors
    /// Everything that is wrong with the values.
    pub fn jobs(&self, job: &BatchJob) -> Result<Vec<SubmittedJob>, String> {
        let mut wrong = Vec::new();
        let detectors = detectors(&self.detectors).unwrap_or_else(|e| {
            wrong.push(e);
            Vec::new()
        });
        let wait_s = match &self.data_wait {
            Value::Null => DATA_WAIT_S,
            wait => duration(wait).map_or_else(
                || {
                    wrong.push(format!("data_wait {wait} is no duration"));
                    0.0
                },
                |wait| wait.as_secs_f64(),
            ),
        };
        let mut options = Vec::new();
        let mut option = |name: &str, value: &Value| {
            if !value.is_null() {
                options.extend([format!("--{name}"), text(value)]);
            }
        };
        option("ra", &self.ra);
        option("dec", &self.dec);
        option("intent", &self.intent);
        option("filter", &self.filter);
        option("exposure-time", &self.exposure_time);
        option("distributor", &self.distributor);
        for image in texts(&self.images) {
            option("image", &Value::String(image));
        }
        option("data-wait", &Value::String(wait_s.to_string()));
        options.extend(texts(&self.arguments));
        wrong.extend(options.iter().filter_map(|value| bad_value(value)));
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let one = |detector: String| {
            let of_detector = ["--detector".to_owned(), detector.clone()];
            SubmittedJob { arguments: [&job.arguments[..], &of_detector, &options].concat(), detector }
        };
        Ok(detectors.into_iter().map(one).collect())
    }
}

fn detectors(value: &Value) -> Result<Vec<String>, String> {
    let all: Vec<String> = match value {
        Value::Number(n) => {
            let n = n.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= MOST);
            let n = n.ok_or_else(|| format!("detectors: {value} is not between 1 and {MOST}"))?;
            (0..n).map(|n| n.to_string()).collect()
        }
        Value::String(list) => {
            let mut all = Vec::new();
            for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                let ends =
                    part.split_once("..").map(|(from, to)| (from.parse::<usize>(), to.parse::<usize>()));
                match ends {
                    Some((Ok(from), Ok(to))) if from <= to && to - from < MOST => {
                        all.extend((from..=to).map(|n| n.to_string()));
                    }
                    _ => all.push(part.to_owned()),
                }
            }
            all
        }
        list => texts(list),
    };
    let plain = |name: &String| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    if let Some(bad) = all.iter().find(|name| !plain(name)) {
        return Err(format!("{bad:?} is no detector (R22_S11, or a number)"));
    }
    if all.is_empty() || all.len() > MOST {
        return Err(format!("detectors: {} of them, 1 to {MOST} are possible", all.len()));
    }
    let mut sorted = all.clone();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("detector {} stands twice", pair[0])),
        None => Ok(all),
    }
}

/// Why a value cannot be an argument: it would be read as something else by the batch system or by a shell.
pub(super) fn bad_value(value: &str) -> Option<String> {
    let bad = value.chars().find(|c| matches!(c, '"' | '\\' | '$' | '`') || c.is_control())?;
    Some(format!("{value:?} contains {bad:?}, which the batch system would take for something else"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn detectors_in_every_form() {
        let of = |value: Value| detectors(&value);
        assert_eq!(of(json!(9)).unwrap().len(), 9);
        assert_eq!(of(json!(189)).unwrap()[188], "188");
        assert_eq!(of(json!("R22_S11, R22_S12")).unwrap(), ["R22_S11", "R22_S12"]);
        assert_eq!(of(json!("0..2,7")).unwrap(), ["0", "1", "2", "7"]);
        assert_eq!(of(json!(["R22_S11", 4])).unwrap(), ["R22_S11", "4"]);
        for bad in
            [json!(0), json!(1001), json!(""), json!("a b"), json!([1, 1]), json!("$(x)"), json!("0..5000")]
        {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn arguments_are_those_of_the_note_in_its_order() {
        let job = BatchJob { program: "/opt/isr".into(), arguments: vec!["run".into()], submit: Vec::new() };
        let params = Params::read(&json!({
            "job": "isr", "detectors": "R22_S11", "ra": 12.5, "dec": -30, "filter": "r_57", "exposure_time": 30.0,
            "distributor": "dist.example.org:5000", "images": ["MC_O_1", "MC_O_2"], "arguments": "--verbose",
        }));
        let jobs = params.unwrap().jobs(&job).unwrap();
        let words = "run --detector R22_S11 --ra 12.5 --dec -30 --filter r_57 --exposure-time 30.0 --distributor \
                     dist.example.org:5000 --image MC_O_1 --image MC_O_2 --data-wait 120 --verbose";
        assert_eq!(jobs[0].arguments.join(" "), words);
        let flat =
            json!({"job": "cal", "detectors": 1, "intent": "flat", "images": "MC_O_3", "data_wait": "30s"});
        let jobs = Params::read(&flat).unwrap().jobs(&job).unwrap();
        assert_eq!(
            jobs[0].arguments.join(" "),
            "run --detector 0 --intent flat --image MC_O_3 --data-wait 30"
        );
    }

    #[test]
    fn what_the_systems_would_take_for_something_else_is_refused() {
        let job = BatchJob { program: "/opt/isr".into(), arguments: Vec::new(), submit: Vec::new() };
        for bad in ["a\"b", "$(Cluster)", "`id`", "a\\b", "a\nqueue 1000"] {
            let params = Params::read(&json!({"job": "isr", "detectors": 1, "filter": bad})).unwrap();
            assert!(params.jobs(&job).unwrap_err().contains("something else"), "{bad}");
        }
        let params = Params::read(&json!({"job": "isr", "detectors": 1, "data_wait": "soon"})).unwrap();
        assert!(params.jobs(&job).unwrap_err().contains("no duration"));
    }
}
