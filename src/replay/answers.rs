//! What steps answer in a replay that no replay can carry out: a YAML file as the `results` of a rule's tests, by rule.
//!
//! ```yaml
//! Jitter.AuxTel:
//!   isr: {exit_code: 0, delay: 90s}
//! ```

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::rules::{Rule, TestResult};

/// Rule to step to answers, one for each time; the last counts for all later ones.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    told: BTreeMap<String, BTreeMap<String, Vec<TestResult>>>,
    asked: BTreeMap<(String, String), usize>,
}

impl Answers {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no YAML, or something in it is no answer; every such place is named.
    pub fn read(text: &str) -> Result<Answers, String> {
        let all: BTreeMap<String, BTreeMap<String, Json>> =
            serde_saphyr::from_str(text).map_err(|e| format!("not rule: {{step: answer}}: {e}"))?;
        let mut mistakes = Vec::new();
        let mut told = BTreeMap::new();
        for (rule, steps) in all {
            let mut of_rule = BTreeMap::new();
            for (step, answers) in steps {
                let answers = match answers {
                    Json::Array(all) => all,
                    one => vec![one],
                };
                let read: Result<Vec<_>, _> = answers.into_iter().map(TestResult::read).collect();
                match read {
                    Ok(read) if !read.is_empty() => drop(of_rule.insert(step, read)),
                    Ok(_) => mistakes.push(format!("{rule}, {step}: an empty list is no answer")),
                    Err((what, help)) => {
                        let help = help.map_or(String::new(), |h| format!("; {h}"));
                        mistakes.push(format!("{rule}, {step}: {what}{help}"));
                    }
                }
            }
            told.insert(rule, of_rule);
        }
        if mistakes.is_empty() {
            Ok(Answers { told, asked: BTreeMap::new() })
        } else {
            Err(mistakes.join("\n"))
        }
    }

    /// Rules and steps that are named and not there, as sentences.
    pub fn strangers<'a>(&self, rules: impl IntoIterator<Item = &'a Rule>) -> Vec<String> {
        let rules: BTreeMap<&str, &Rule> = rules.into_iter().map(|r| (r.name.as_str(), r)).collect();
        let mut strangers = Vec::new();
        for (name, steps) in &self.told {
            let Some(rule) = rules.get(name.as_str()) else {
                strangers.push(format!("there is no rule \"{name}\""));
                continue;
            };
            let known = |step: &str| rule.workflow.as_ref().is_some_and(|w| w.step(step).is_some());
            strangers.extend(
                steps.keys().filter(|s| !known(s)).map(|s| format!("rule {name} has no step \"{s}\"")),
            );
        }
        strangers
    }

    /// The next answer of a step.
    pub(super) fn next(&mut self, rule: &str, step: &str) -> Option<&TestResult> {
        let all = self.told.get(rule)?.get(step)?;
        let asked = self.asked.entry((rule.to_owned(), step.to_owned())).or_default();
        let answer = all.get(*asked).or(all.last());
        *asked += 1;
        answer
    }
}
