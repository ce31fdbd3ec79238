//! What a site says about its script queues. Pure.

use regex::Regex;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The script queues that rules may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScriptQueueConfig {
    /// One entry for each queue; rules cannot use others.
    pub queues: Vec<QueuePermission>,
}

/// What rules may do with one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct QueuePermission {
    /// Its SAL index: MainTel 1, AuxTel 2, OCS 3.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub index: i32,
    /// Scripts that may be added: globs (`*` within a folder, `**` over folders, `?`) of their paths, e.g. `catcher/*.py`.
    pub scripts: Vec<String>,
    /// Also while the queue is observing: it runs, or has in line, scripts that no rule added, or it is paused. Without, a
    /// step waits until it is idle (`wait_idle`), or fails as one that may be tried again.
    #[serde(default)]
    pub while_observing: bool,
    /// Also before the scripts of others: `location: first`, `before` and `after`. Without, only at the end.
    #[serde(default)]
    pub ahead: bool,
    /// A queue that paused itself because a script of a rule failed is resumed. Without, it stays paused until somebody
    /// resumes it, and so does everything behind.
    #[serde(default = "yes")]
    pub resume_after_failure: bool,
}

fn yes() -> bool {
    true
}

impl ScriptQueueConfig {
    /// Everything that no schema can say.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (n, queue) in self.queues.iter().enumerate() {
            if self.queues[..n].iter().any(|other| other.index == queue.index) {
                problems.push(format!("queues[{n}]: index {} stands twice; keep one entry", queue.index));
            }
            if queue.scripts.is_empty() {
                problems.push(format!("queues[{n}]: no script may be added; name some, e.g. catcher/*.py"));
            }
        }
        problems
    }

    /// What rules may do with a queue.
    pub(super) fn queue(&self, index: i32) -> Result<&QueuePermission, String> {
        self.queues.iter().find(|q| q.index == index).ok_or_else(|| {
            format!(
                "rules of this site may not use ScriptQueue:{index}; backends.script_queue.queues has to name it"
            )
        })
    }
}

impl QueuePermission {
    /// Whether a script may be added at that place.
    pub(super) fn allows(&self, path: &str, at_the_end: bool) -> Result<(), String> {
        let index = self.index;
        if !self.scripts.iter().any(|glob| pattern(glob).is_match(path)) {
            return Err(format!(
                "rules of this site may not add {path} to ScriptQueue:{index}; backends.script_queue.queues says which"
            ));
        }
        if !at_the_end && !self.ahead {
            return Err(format!(
                "rules of this site may add scripts at the end of ScriptQueue:{index} only (`ahead` in \
                 backends.script_queue.queues)"
            ));
        }
        Ok(())
    }
}

fn pattern(glob: &str) -> Regex {
    let escaped = regex::escape(glob);
    let any = escaped.replace("\\*\\*", "\u{0}").replace("\\*", "[^/]*").replace("\\?", "[^/]");
    let whole = format!("^{}$", any.replace('\u{0}', ".*"));
    Regex::new(&whole).expect("an escaped text with these in it is a regular expression")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(text: &str) -> ScriptQueueConfig {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn queues_scripts_and_places_are_allowed_one_by_one() {
        let site = site("queues: [{index: 3, scripts: ['catcher/*.py', 'maintel/**']}]");
        let queue = site.queue(3).unwrap();
        assert!(queue.allows("catcher/mute.py", true).is_ok());
        assert!(queue.allows("maintel/a/b.py", true).is_ok());
        for path in ["catcher/x/mute.py", "catcher/mute.pyc", "other.py", "xcatcher/mute.py"] {
            assert!(queue.allows(path, true).unwrap_err().contains("may not add"), "{path}");
        }
        assert!(queue.allows("catcher/mute.py", false).unwrap_err().contains("at the end"));
        assert!(site.queue(1).unwrap_err().contains("ScriptQueue:1"));
        assert!(queue.resume_after_failure && !queue.while_observing);
        assert_eq!(site.problems(), Vec::<String>::new());
    }

    #[test]
    fn mistakes_are_told() {
        let site = site("queues: [{index: 3, scripts: [a]}, {index: 3, scripts: []}]");
        assert_eq!(site.problems().len(), 2, "{:?}", site.problems());
    }
}
