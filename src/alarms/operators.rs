//! What operators do to alarms: the commands `acknowledge`, `unacknowledge`, `mute`, `unmute`.
//!
//! An alarm of exactly the name given is meant; if there is none, all alarms whose whole name matches the text as a
//! regular expression (so that `OCPS:1` does not mean `OCPS:101`). Either every alarm that is meant accepts, or none is
//! changed and the refusal names those that did not. Nothing to do is no failure: the text that comes back says so
//! (LOVE shows a failed command as an internal error).

use regex::Regex;
use salobj::Tai;

use super::alarm::{Alarm, Refusal};
use super::book::Book;
use super::severity::Severity;
use super::snapshot::AlarmSnapshot;

/// How many names a text lists before it only counts.
const NAMES_LISTED: usize = 20;

/// Who acts, if the command does not say.
const UNKNOWN_USER: &str = "unknown";

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Neither the name of an alarm nor a regular expression.
    #[error("\"{pattern}\" is neither the name of an alarm nor a regular expression: {reason}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What was asked for is possible for no alarm.
    #[error(transparent)]
    Argument(Refusal),
    /// Some alarms refused.
    #[error("nothing was changed, because of {}", list(.0.iter().map(|(name, why)| format!("{name} ({why})"))))]
    Alarms(Vec<(String, Refusal)>),
    /// The CSC is not enabled.
    #[error("alarms can be changed only in state ENABLED")]
    Frozen,
}

/// A regular expression for whole names.
#[derive(Debug, Clone)]
pub struct Matcher(Regex);

impl Matcher {
    /// Reads the expression.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(pattern: &str) -> Result<Matcher, Refused> {
        // The bare pattern first: wrapped, `a)|(b` would be one too.
        let whole = Regex::new(pattern).and_then(|_| Regex::new(&format!(r"\A(?:{pattern})\z")));
        whole.map(Matcher).map_err(|error| Refused::Pattern {
            pattern: pattern.to_owned(),
            reason: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        })
    }

    /// Does it match the whole name?
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// Those of some names that a command with this text would mean.
///
/// # Errors
/// If the text is neither one of the names nor a regular expression.
pub fn meant<'a>(
    pattern: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<Vec<&'a str>, Refused> {
    if let Some(exact) = names.clone().find(|name| *name == pattern) {
        return Ok(vec![exact]);
    }
    let matcher = Matcher::new(pattern)?;
    Ok(names.filter(|name| matcher.matches(name)).collect())
}

impl Book {
    /// Acknowledges the alarms meant by `pattern`, up to `severity`. Gives the text for the command's result.
    ///
    /// # Errors
    /// If one of them has been worse than `severity`.
    pub fn acknowledge(
        &mut self,
        pattern: &str,
        severity: Severity,
        user: &str,
        now: Tai,
    ) -> Result<String, Refused> {
        self.see(now);
        let ids = self.meant(pattern)?;
        let refusals = ids.iter().filter_map(|&id| {
            let entry = self.entry(id);
            let refusal = entry.alarm.check_acknowledge(severity).err()?;
            Some((entry.name.to_string(), refusal))
        });
        let refusals: Vec<_> = refusals.collect();
        if !refusals.is_empty() {
            return Err(Refused::Alarms(refusals));
        }
        self.chronicle.commanded("acknowledge", who(user));
        Ok(self.each(pattern, &ids, "acknowledged", |alarm| {
            let outcome = alarm.acknowledge(severity, who(user), now).expect("was checked before");
            match (outcome.updated, outcome.publish) {
                (_, true) => (true, None),
                (true, false) => (false, Some("already acknowledged; stays so for the whole time again")),
                (false, false) if alarm.nominal() => (false, Some("nominal")),
                (false, false) => (false, Some("already acknowledged")),
            }
        }))
    }

    /// Takes acknowledgements back. Gives the text for the command's result.
    ///
    /// # Errors
    /// See [`Refused`]; no alarm refuses.
    pub fn unacknowledge(&mut self, pattern: &str, now: Tai) -> Result<String, Refused> {
        self.see(now);
        let ids = self.meant(pattern)?;
        self.chronicle.commanded("unacknowledge", "");
        Ok(self.each(pattern, &ids, "unacknowledged", |alarm| {
            let publish = alarm.unacknowledge(now).publish;
            let why = if alarm.nominal() { "nominal" } else { "not acknowledged" };
            (publish, (!publish).then_some(why))
        }))
    }

    /// Mutes alarms for `duration_s` seconds. Gives the text for the command's result.
    ///
    /// # Errors
    /// If the duration is not finite and above zero, or the severity is none.
    pub fn mute(
        &mut self,
        pattern: &str,
        duration_s: f64,
        severity: Severity,
        user: &str,
        now: Tai,
    ) -> Result<String, Refused> {
        Alarm::check_mute(duration_s, severity).map_err(Refused::Argument)?;
        self.see(now);
        let ids = self.meant(pattern)?;
        self.chronicle.commanded("mute", who(user));
        Ok(self.each(pattern, &ids, "muted", |alarm| {
            let outcome = alarm.mute(duration_s, severity, who(user), now).expect("was checked before");
            (outcome.publish, None)
        }))
    }

    /// Ends mutes. As with the Watcher an alarm that was not muted is published too, and its escalation delay starts
    /// anew. Gives the text for the command's result.
    ///
    /// # Errors
    /// See [`Refused`]; no alarm refuses.
    pub fn unmute(&mut self, pattern: &str, now: Tai) -> Result<String, Refused> {
        self.see(now);
        let ids = self.meant(pattern)?;
        self.chronicle.commanded("unmute", "");
        Ok(self.each(pattern, &ids, "unmuted", |alarm| {
            let why = (!alarm.muted()).then_some("not muted");
            (alarm.unmute(now).publish, why)
        }))
    }

    /// Names of the alarms that a command with this pattern would touch, and whether each is active now (its severity
    /// is above none).
    ///
    /// # Errors
    /// If the pattern is neither a name nor a regular expression.
    pub fn preview(&self, pattern: &str) -> Result<Vec<(String, bool)>, Refused> {
        let ids = self.matching(pattern)?;
        let touched = ids.into_iter().map(|id| self.entry(id));
        Ok(touched.map(|e| (e.name.to_string(), e.alarm.state().severity != Severity::None)).collect())
    }

    /// The alarms that a command with this pattern would mean, as they are published.
    ///
    /// # Errors
    /// If the pattern is neither a name nor a regular expression.
    pub fn find(&self, pattern: &str) -> Result<Vec<AlarmSnapshot>, Refused> {
        Ok(self.matching(pattern)?.into_iter().map(|id| self.entry(id).snapshot()).collect())
    }

    fn meant(&self, pattern: &str) -> Result<Vec<u64>, Refused> {
        if self.frozen() {
            return Err(Refused::Frozen);
        }
        self.matching(pattern)
    }

    pub(super) fn matching(&self, pattern: &str) -> Result<Vec<u64>, Refused> {
        let exact = self.ids_where(pattern, |_| false);
        if !exact.is_empty() {
            return Ok(exact);
        }
        let matcher = Matcher::new(pattern)?;
        Ok(self.ids_where(pattern, |name| matcher.matches(name)))
    }

    fn each(
        &mut self,
        pattern: &str,
        ids: &[u64],
        done: &str,
        mut operation: impl FnMut(&mut Alarm) -> (bool, Option<&'static str>),
    ) -> String {
        if ids.is_empty() {
            return format!("no alarm matches \"{pattern}\": nothing to do");
        }
        let (mut did, mut rest) = (Vec::new(), Vec::new());
        for &id in ids {
            let (name, why) = self.change(id, |entry| {
                let (publish, why) = operation(&mut entry.alarm);
                (publish, (entry.name.clone(), why))
            });
            match why {
                None => did.push(name.to_string()),
                Some(why) => rest.push(format!("{name} ({why})")),
            }
        }
        let mut parts = Vec::new();
        if !did.is_empty() {
            parts.push(format!("{done}: {}", list(did)));
        }
        if !rest.is_empty() {
            parts.push(format!("nothing to do for {}", list(rest)));
        }
        parts.join("; ")
    }
}

fn who(user: &str) -> &str {
    if user.trim().is_empty() { UNKNOWN_USER } else { user }
}

fn list(names: impl IntoIterator<Item = String>) -> String {
    let mut names: Vec<String> = names.into_iter().collect();
    let more = names.len().saturating_sub(NAMES_LISTED);
    names.truncate(NAMES_LISTED);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
