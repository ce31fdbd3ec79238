//! `start`: from the merged configuration to rules in the core.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use salobj::csc::Configuration;

use super::CatcherCsc;
use crate::alarms::AlarmConfig;
use crate::config::{self, CatcherConfig};
use crate::core::Settings;
use crate::journal::Keep;
use crate::outputs::efd::Efd;
use crate::outputs::lfa::S3;
use crate::outputs::love::Manager;
use crate::outputs::notify::Notify;
use crate::rules::{Rule, SchemaSource, SourceFile, compile, compile_files};
use crate::tasks::driver::Order;

/// What talks to the servers that a site names.
type Clients = (Option<Arc<dyn Efd>>, Notify, Option<Manager>, Option<S3>);

/// Sub-folder of the configuration that holds rule files.
const RULES: &str = "rules";

impl CatcherCsc {
    /// Checks everything first, then changes what runs.
    pub(super) async fn apply(&self, index: i32, configuration: Configuration) -> Result<(), String> {
        let config = config::load(&configuration.value, index).map_err(|problems| problems.to_string())?;
        let instance = config.instance(index).expect("load has checked that there is one");
        let files = rule_files(&configuration, &instance.rules).await?;
        for file in &files {
            self.schemas.learn(&file.text).await;
        }
        let disabled = instance.disabled_rules.clone();
        let files = Arc::new(files);
        let compile = || {
            let (files, schemas) = (Arc::clone(&files), Arc::clone(&self.schemas));
            tokio::task::spawn_blocking(move || compile_all(&files, schemas.as_ref()))
        };
        let failed = |e: tokio::task::JoinError| format!("the rules could not be compiled: {e}");
        let mut compiled = compile().await.map_err(failed)?;
        if compiled.is_err() && self.schemas.learn_missed().await {
            compiled = compile().await.map_err(failed)?;
        }
        let mut rules = compiled?;
        rules.retain(|rule| !disabled.contains(&rule.name));
        let (efd, notify, love, lfa) = self.clients(&config)?;
        let made = self.backends.make(&config).map_err(|problems| problems.join("\n"))?;
        self.backends.refuse(&rules, &made)?;
        let incidents =
            notify.escalation.is_some().then(|| sal_idl::names::name_index("Catcher", Some(index)));
        let settings = Settings { incident_owner: incidents, ..settings(&config, &self.report_base) };
        let (limits, rates) = (config.max_concurrent_steps.clone(), config.max_steps_per_minute.clone());
        self.site.set(config, efd, notify, love);
        // In SAL simulation mode nothing outside of this process is touched.
        self.lfa.set(lfa.filter(|_| !self.backends.simulated()));
        self.backends.set(&made);
        let order = Order::Configure { backends: made, limits, rates };
        self.driver.order(order).await.map_err(|gone| gone.to_string())?;
        self.core.configure(rules, settings).await
    }
}

impl CatcherCsc {
    /// Clients of the servers that the site names; what is wrong with any of them is told together.
    fn clients(&self, config: &CatcherConfig) -> Result<Clients, String> {
        let secrets = |name: &str| (self.secrets)(name);
        let efd = config.efd.as_ref().map(|efd| efd.client(secrets)).transpose();
        let notify = Notify::new(&config.notify(), &secrets);
        let love = config.love.as_ref().map(|love| love.manager(&secrets)).transpose();
        let lfa = config.lfa.as_ref().map(|lfa| lfa.client(&self.lfa_place, &secrets)).transpose();
        match (efd, notify, love, lfa) {
            (Ok(efd), Ok(notify), Ok(love), Ok(lfa)) => Ok((efd, notify, love, lfa)),
            (efd, notify, love, lfa) => {
                let efd = efd.err().into_iter().flatten().map(|p| format!("at efd: {p}"));
                let notify = notify.err().into_iter().flatten().map(|p| format!("at {p}"));
                let love = love.err().into_iter().flatten().map(|p| format!("at {p}"));
                let lfa = lfa.err().into_iter().flatten().map(|p| format!("at {p}"));
                Err(efd.chain(notify).chain(love).chain(lfa).collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

fn settings(config: &CatcherConfig, own_base: &str) -> Settings {
    let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or_default();
    let base = if config.report_url.is_empty() { own_base } else { &config.report_url };
    Settings {
        alarm: AlarmConfig {
            auto_acknowledge: seconds(config.auto_acknowledge_delay_s),
            auto_unacknowledge: seconds(config.auto_unacknowledge_delay_s),
            ..AlarmConfig::default()
        },
        report_base: base.trim_end_matches('/').to_owned(),
        incident_owner: None,
        storms: config.storms.storms().unwrap_or_default(),
        keep_history: Keep { days: config.alarm_history.days, bytes: config.alarm_history.megabytes << 20 },
        mute_windows: config.mute_windows.iter().filter_map(|window| window.window().ok()).collect(),
    }
}

/// The rule files that the globs name, at the configuration's git reference if it has one. A glob that matches nothing
/// is an error: it is a mistake more often than not.
async fn rule_files(configuration: &Configuration, globs: &[String]) -> Result<Vec<SourceFile>, String> {
    let (directory, reference) = (configuration.directory.clone(), configuration.reference.clone());
    let names = tokio::task::spawn_blocking(move || list(&directory, &reference))
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| format!("rule files of {}: {e}", configuration.directory.display()))?;
    let mut problems = Vec::new();
    let mut files = BTreeMap::new();
    for glob in globs {
        let pattern = glob_pattern(glob);
        let found: Vec<&String> = names.iter().filter(|name| pattern.is_match(name)).collect();
        if found.is_empty() {
            problems.push(format!("at instances.rules: no file in {RULES}/ matches '{glob}'"));
        }
        for name in found {
            let path = format!("{RULES}/{name}");
            match configuration.read(&path).await {
                Ok(text) => drop(files.insert(path.clone(), SourceFile { name: path, text })),
                Err(error) => problems.push(error.to_string()),
            }
        }
    }
    if problems.is_empty() { Ok(files.into_values().collect()) } else { Err(problems.join("\n")) }
}

/// Names below `rules/`, with `/` between folders.
fn list(directory: &Path, reference: &str) -> Result<Vec<String>, String> {
    if reference.is_empty() {
        let mut names = Vec::new();
        walk(&directory.join(RULES), "", &mut names).map_err(|e| e.to_string())?;
        names.sort();
        return Ok(names);
    }
    let output = Command::new("git")
        .args(["ls-tree", "-r", "--name-only", reference, "--", &format!("{RULES}/")])
        .current_dir(directory)
        .output()
        .map_err(|e| format!("git ls-tree {reference}: {e}"))?;
    if !output.status.success() {
        return Err(format!("git ls-tree {reference}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.strip_prefix("rules/")).map(str::to_owned).collect())
}

fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) -> std::io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

fn glob_pattern(glob: &str) -> regex::Regex {
    let escaped = regex::escape(glob).replace(r"\*", "[^/]*").replace(r"\?", "[^/]");
    regex::Regex::new(&format!("^{escaped}$"))
        .expect("an escaped text with two replacements is a valid expression")
}

/// Compiles rule files; a name may occur once in all of them. Every mistake of every file is told.
///
/// # Errors
/// All diagnostics, as text.
pub fn compile_all(files: &[SourceFile], schemas: &dyn SchemaSource) -> Result<Vec<Arc<Rule>>, String> {
    let compiled = compile_files(files, schemas);
    if compiled.mistakes.is_empty() {
        return Ok(compiled.rules.into_iter().flatten().collect());
    }
    Err(compiled.mistakes.iter().map(|d| d.render(false)).collect::<Vec<_>>().join("\n"))
}

/// Compiles the text of one definition, as `addRule` has it. Rules of others that it reads are looked up when it is
/// added.
///
/// # Errors
/// All diagnostics, as text.
pub fn compile_text(name: &str, text: &str, schemas: &dyn SchemaSource) -> Result<Vec<Arc<Rule>>, String> {
    let file = SourceFile { name: name.to_owned(), text: text.to_owned() };
    let rules = compile(&file, schemas)
        .map_err(|all| all.iter().map(|d| d.render(false)).collect::<Vec<_>>().join("\n"))?;
    if rules.is_empty() { Err("the definition has no rule".to_owned()) } else { Ok(rules) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names_within_a_folder() {
        assert!(glob_pattern("*.yaml").is_match("wind.yaml"));
        assert!(!glob_pattern("*.yaml").is_match("night/wind.yaml"));
        assert!(glob_pattern("night/w?nd.yaml").is_match("night/wind.yaml"));
        assert!(!glob_pattern("wind").is_match("wind.yaml"));
    }

    #[test]
    fn files_are_listed_with_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("rules/night")).unwrap();
        std::fs::write(dir.path().join("rules/b.yaml"), "").unwrap();
        std::fs::write(dir.path().join("rules/night/a.yaml"), "").unwrap();
        assert_eq!(list(dir.path(), "").unwrap(), ["b.yaml", "night/a.yaml"]);
        assert!(list(Path::new("/nonexistent"), "").unwrap().is_empty());
    }
}
