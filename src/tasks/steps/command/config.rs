//! What a site says about programs that rules may run.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::work_folder::Limits;

/// Programs of this machine that rules may run, each by its name. What is not listed is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// Folder whose executable files may be run, by their file names. It is read at `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Further programs: the absolute path of each, and its first arguments.
    #[serde(default)]
    pub programs: BTreeMap<String, Vec<String>>,
    /// Address space that a process may have, MB.
    #[serde(default = "default_memory_mb")]
    #[cfg_attr(test, schemars(range(min = 16)))]
    pub memory_mb: u64,
    /// Size of the largest file that a program may write, MB.
    #[serde(default = "default_file_mb")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub file_mb: u64,
    /// Variables of the programs' environment besides PATH, HOME, LANG and TMPDIR.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Names of variables that programs get from the Catcher's own environment.
    #[serde(default)]
    pub pass_environment: Vec<String>,
}

fn default_memory_mb() -> u64 {
    2048
}

fn default_file_mb() -> u64 {
    100
}

/// Where programs are looked for that a program starts, if the site does not say.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

impl CommandConfig {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            memory_kb: self.memory_mb.saturating_mul(1024),
            file_bytes: self.file_mb.saturating_mul(1 << 20),
        }
    }

    /// Programs by name.
    pub(super) fn programs(&self) -> Result<BTreeMap<String, Vec<String>>, Vec<String>> {
        let mut problems = Vec::new();
        let mut all = BTreeMap::new();
        if self.folder.is_none() && self.programs.is_empty() {
            problems.push("give `folder` or `programs`: without either no program can be run".to_owned());
        }
        if let Some(folder) = &self.folder {
            match executables(folder) {
                Ok(found) => all.extend(found),
                Err(problem) => problems.push(format!("folder {}: {problem}", folder.display())),
            }
        }
        for (name, argv) in &self.programs {
            match argv.first().map(Path::new) {
                None => problems.push(format!("programs.{name}: the program is missing")),
                Some(file) if !file.is_absolute() => {
                    problems.push(format!("programs.{name}: {} is not an absolute path", file.display()));
                }
                Some(file) if !is_executable(file) => {
                    problems.push(format!("programs.{name}: {} is no executable file", file.display()));
                }
                Some(_) => drop(all.insert(name.clone(), argv.clone())),
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }

    /// The environment of programs, but for what belongs to a single step.
    pub(super) fn environment(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<(String, String)>, Vec<String>> {
        environment(&self.environment, &self.pass_environment, lookup)
    }
}

/// The environment of a program: PATH and LANG, variables of our own environment, and those that the site gives.
///
/// # Errors
/// One line for each variable that is to be passed and is not set.
pub(in crate::tasks::steps) fn environment(
    own: &BTreeMap<String, String>,
    pass: &[String],
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, Vec<String>> {
    let mut all: BTreeMap<String, String> =
        BTreeMap::from([("PATH".to_owned(), PATH.to_owned()), ("LANG".to_owned(), "C.UTF-8".to_owned())]);
    let mut problems = Vec::new();
    for name in pass {
        match lookup(name) {
            Some(value) => drop(all.insert(name.clone(), value)),
            None => problems.push(format!("pass_environment: the variable {name} is not set")),
        }
    }
    all.extend(own.clone());
    if problems.is_empty() { Ok(all.into_iter().collect()) } else { Err(problems) }
}

fn executables(folder: &Path) -> Result<BTreeMap<String, Vec<String>>, String> {
    if !folder.is_absolute() {
        return Err("not an absolute path".to_owned());
    }
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let (Some(name), Some(text)) = (path.file_name().and_then(|n| n.to_str()), path.to_str()) else {
            continue;
        };
        if super::is_plain(name) && is_executable(&path) {
            all.insert(name.to_owned(), vec![text.to_owned()]);
        }
    }
    Ok(all)
}

/// Whether a file may be run.
pub(in crate::tasks::steps) fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
