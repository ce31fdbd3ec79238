//! Parameters of a step, and the task that they mean.

use serde::Deserialize;
use serde_json::Value;

use super::super::efd_query::{MOST_CELLS, ROWS, columns};
use crate::outputs::efd::TextColumn;
use crate::rules::is_influx_cron;
use crate::tasks::series::duration;

/// Until when a task is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Keep {
    /// Until the rule, or its step, is removed.
    #[default]
    Rule,
    /// Until the step ends.
    Step,
}

/// Parameters of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    pub(super) flux: String,
    #[serde(default)]
    every: Option<String>,
    #[serde(default)]
    cron: Option<String>,
    #[serde(default)]
    offset: Option<String>,
    #[serde(default)]
    runs: Option<usize>,
    #[serde(default)]
    keep: Keep,
    #[serde(default)]
    pub(super) read: Option<String>,
    #[serde(default)]
    columns: Value,
    #[serde(default)]
    rows: Option<usize>,
}

/// A task as it is to be, and what is done with it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// Its whole text.
    pub(super) flux: String,
    pub(super) runs: usize,
    pub(super) keep: Keep,
    pub(super) read: Option<String>,
    pub(super) columns: Vec<TextColumn>,
    pub(super) rows: usize,
}

impl Params {
    pub(super) fn read(params: &Value) -> Result<Params, String> {
        serde_json::from_value(params.clone())
            .map_err(|e| format!("the parameters of influx_task do not fit: {e}"))
    }

    pub(super) fn wanted(self, name: String) -> Result<Wanted, String> {
        let length = |key: &str, text: &str, least: f64| {
            let text = text.trim();
            let seconds = duration(&Value::from(text)).map(|length| length.as_secs_f64());
            // As it is written, it is a duration of Flux, too.
            match seconds.filter(|s| *s >= least && text.ends_with(|c: char| c.is_ascii_lowercase())) {
                Some(_) => Ok(text.to_owned()),
                None => Err(format!("{key} {text:?} is no duration of at least {least} s")),
            }
        };
        let when = match (&self.every, &self.cron) {
            (Some(every), None) => format!("every: {}", length("every", every, 1.0)?),
            (None, Some(cron)) if is_influx_cron(cron) => format!("cron: \"{}\"", cron.trim()),
            (None, Some(cron)) => return Err(format!("cron {cron:?} is no schedule of five fields")),
            _ => return Err("one of `every` and `cron` is needed".to_owned()),
        };
        let offset = match &self.offset {
            Some(offset) => format!(", offset: {}", length("offset", offset, 0.0)?),
            None => String::new(),
        };
        let columns = columns(&self.columns)?;
        if self.read.is_some() && columns.is_empty() {
            return Err("`columns` is needed with `read`: what is taken of its answer".to_owned());
        }
        let quoted = serde_json::to_string(&name).map_err(|e| e.to_string())?;
        // Behind the text: imports come first in Flux.
        let flux = format!("{}\n\noption task = {{name: {quoted}, {when}{offset}}}\n", self.flux.trim());
        let rows = self.rows.unwrap_or(ROWS).clamp(1, MOST_CELLS / columns.len().max(1)).max(1);
        let runs = self.runs.unwrap_or(1).clamp(1, 100);
        Ok(Wanted { name, flux, runs, keep: self.keep, read: self.read, columns, rows })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(params: Value) -> Result<Wanted, String> {
        Params::read(&params).and_then(|p| p.wanted("Catcher:1/R \"x\"/s".into()))
    }

    #[test]
    fn the_text_of_a_task_says_name_and_times() {
        let one = wanted(json!({"flux": "import \"math\"\nx ", "every": "1h30m", "offset": "10s"})).unwrap();
        assert_eq!(
            one.flux,
            "import \"math\"\nx\n\noption task = {name: \"Catcher:1/R \\\"x\\\"/s\", every: 1h30m, offset: 10s}\n"
        );
        assert_eq!((one.runs, one.keep, one.rows), (1, Keep::Rule, 1000));
        let cron = wanted(json!({"flux": "x", "cron": "*/5 * * * *", "keep": "step", "runs": 3})).unwrap();
        assert!(cron.flux.contains("cron: \"*/5 * * * *\"}") && cron.keep == Keep::Step && cron.runs == 3);
    }

    #[test]
    fn what_was_filled_in_is_looked_at() {
        for (params, words) in [
            (json!({"flux": "x"}), "one of `every` and `cron`"),
            (json!({"flux": "x", "every": "60"}), "every \"60\" is no duration"),
            (json!({"flux": "x", "every": "500ms"}), "at least 1 s"),
            (json!({"flux": "x", "every": "1m", "offset": "5}"}), "offset"),
            (json!({"flux": "x", "cron": "* * * * \"}"}), "no schedule"),
            (json!({"flux": "x", "every": "1m", "keep": "ever"}), "unknown variant"),
            (json!({"flux": "x", "every": "1m", "read": "y"}), "`columns` is needed"),
            (json!({"flux": "x", "evry": "1m"}), "unknown field"),
        ] {
            let told = wanted(params).unwrap_err();
            assert!(told.contains(words), "{told}");
        }
    }
}
