//! Configuration at `start`: layers of YAML files, validated by a JSON schema.
//!
//! ```text
//!   _init.yaml ─► _<site>.yaml (if it exists) ─► override (if asked for) ─► merged ─► less `metadata` ─► schema ─► configure
//! ```
//! Files come from `$<PACKAGE>_DIR/<component>/<schema version>` or a directory given on the command line; with
//! `override.yaml:ref` their content is that of the git reference. Mappings merge, everything else replaces. Defaults in
//! the schema are not applied: they live in `_init.yaml`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Map, Value};

/// What a configurable CSC says about its configuration.
#[derive(Debug, Clone)]
pub struct ConfigSpec {
    /// Configuration package, `TS_CONFIG_OCS`: the environment variable `TS_CONFIG_OCS_DIR` points to it.
    pub package: String,
    /// JSON schema (draft 7) as JSON or YAML text. Its title ends with a blank and the schema version, `Catcher v1`.
    pub schema: String,
}

/// Why there is no configuration. The texts reach the client behind `Failed: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The schema is unusable.
    #[error("Schema {schema} invalid: {reason}")]
    Schema {
        /// Title or beginning of the schema.
        schema: String,
        /// Why.
        reason: String,
    },
    /// There is no directory to read from.
    #[error("{0}")]
    Directory(String),
    /// `LSST_SITE` is missing.
    #[error("Environment variable $LSST_SITE not defined.")]
    NoSite,
    /// An override that is not one.
    #[error("configurationOverride filename={0} must not start with '_'")]
    BadOverride(String),
    /// A file is not there.
    #[error("Config file '{0}' does not exist")]
    Missing(PathBuf),
    /// A file cannot be read.
    #[error("Could not read config file {file}: {reason}")]
    Unreadable {
        /// Path.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// Git does not have the file at that reference.
    #[error("Could not read config file {file} with git hash {reference}: {reason}")]
    Git {
        /// Path.
        file: PathBuf,
        /// Git reference asked for.
        reference: String,
        /// What git said.
        reason: String,
    },
    /// A file is not a YAML mapping.
    #[error("Could not parse data in {file} as a dict: {reason}")]
    Yaml {
        /// Path.
        file: PathBuf,
        /// What the YAML reader said, with line and column.
        reason: String,
    },
    /// A mapping meets something else in a merge.
    #[error("{0} is not a dict")]
    Merge(String),
    /// What was merged does not fit the schema: all errors.
    #[error("Configuration failed validation: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// Where the configuration of one CSC comes from.
#[derive(Debug, Clone)]
pub struct ConfigStore {
    directory: PathBuf,
    url: String,
    site: String,
    schema_version: String,
    validator: Arc<jsonschema::Validator>,
}

/// What could be asked for at `start`, for `configurationsAvailable`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Available {
    /// Names of the override files, sorted, comma separated.
    pub overrides: String,
    /// `git describe` of the directory, "" if it is no working copy.
    pub version: String,
}

/// A validated configuration.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The merged mapping.
    pub value: Value,
    /// Names of the files it came from, in order.
    pub files: Vec<String>,
    /// Directory of the files.
    pub directory: PathBuf,
    /// Git reference asked for by the override, "" for the working copy.
    pub reference: String,
}

impl ConfigStore {
    /// Opens `config_dir`, or `<package_dir>/<component>/<schema version>` where `package_dir` is the value of
    /// `$<PACKAGE>_DIR`. `site` is `LSST_SITE`.
    pub fn open(
        component: &str,
        spec: &ConfigSpec,
        config_dir: Option<&Path>,
        package_dir: Option<&Path>,
        site: Option<&str>,
    ) -> Result<ConfigStore, ConfigError> {
        let site = site.filter(|s| !s.is_empty()).ok_or(ConfigError::NoSite)?.to_owned();
        let (schema, schema_version) = read_schema(&spec.schema)?;
        let directory = match config_dir {
            Some(dir) if dir.is_dir() => dir.to_owned(),
            Some(dir) => {
                let text = format!("config_dir={} does not exist or is not a directory", dir.display());
                return Err(ConfigError::Directory(text));
            }
            None => package_directory(component, &spec.package, &schema_version, package_dir)?,
        };
        let directory = directory
            .canonicalize()
            .map_err(|e| ConfigError::Directory(format!("config_dir={}: {e}", directory.display())))?;
        let wrong = |reason: String| ConfigError::Schema { schema: schema_version.clone(), reason };
        let validator = jsonschema::draft7::new(&schema).map_err(|e| wrong(e.to_string()))?;
        let url = file_url(&directory);
        Ok(ConfigStore { directory, url, site, schema_version, validator: Arc::new(validator) })
    }

    /// Directory of the files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// `file://` URL of the directory.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Last word of the schema's title, `v1`.
    pub fn schema_version(&self) -> &str {
        &self.schema_version
    }

    /// Looks what is there now.
    pub async fn available(&self) -> Available {
        let dir = self.directory.clone();
        blocking(move || {
            let mut names: Vec<String> = std::fs::read_dir(&dir)
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| name.ends_with(".yaml") && !name.starts_with('_'))
                .collect();
            names.sort();
            let describe = ["describe", "--all", "--long", "--always", "--dirty"];
            let version = git(&dir, &describe).unwrap_or_default();
            Available { overrides: names.join(","), version: version.trim().to_owned() }
        })
        .await
    }

    /// Reads, merges and validates what `start` asked for: `""`, `file.yaml`, `file.yaml:ref` or `:ref`.
    pub async fn load(&self, configuration_override: &str) -> Result<Configuration, ConfigError> {
        let (name, reference) =
            configuration_override.split_once(':').unwrap_or((configuration_override, ""));
        if name.starts_with('_') {
            return Err(ConfigError::BadOverride(crate::error::py_repr(name)));
        }
        let mut files = vec!["_init.yaml".to_owned()];
        let site_file = format!("_{}.yaml", self.site);
        if self.directory.join(&site_file).is_file() {
            files.push(site_file);
        }
        if !name.is_empty() {
            files.push(name.to_owned());
        }
        let mut config = Configuration {
            value: Value::Null,
            files: Vec::new(),
            directory: self.directory.clone(),
            reference: reference.to_owned(),
        };
        let mut merged = Map::new();
        for file in &files {
            let text = config.read(file).await?;
            let layer = parse_layer(&self.directory.join(file), &text)?;
            merge(&mut merged, layer, file)?;
        }
        merged.remove("metadata");
        config.value = Value::Object(merged);
        config.files = files;
        let errors: Vec<String> = self
            .validator
            .iter_errors(&config.value)
            .map(|e| match e.instance_path().to_string() {
                at if at.is_empty() => e.to_string(),
                at => format!("{at}: {e}"),
            })
            .collect();
        if errors.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(errors)) }
    }
}

impl Configuration {
    /// A file of the configuration's directory (or below), at the configuration's git reference.
    pub async fn read(&self, name: &str) -> Result<String, ConfigError> {
        let file = self.directory.join(name);
        if !file.is_file() {
            return Err(ConfigError::Missing(file));
        }
        let (dir, reference, name) = (self.directory.clone(), self.reference.clone(), name.to_owned());
        blocking(move || {
            if reference.is_empty() {
                let unreadable =
                    |e: std::io::Error| ConfigError::Unreadable { file: file.clone(), reason: e.to_string() };
                return std::fs::read_to_string(&file).map_err(unreadable);
            }
            // What looks like an option is no reference.
            let shown = if reference.starts_with('-') {
                Err("not a git reference".to_owned())
            } else {
                git(&dir, &["show", &format!("{reference}:./{name}")])
            };
            shown.map_err(|reason| ConfigError::Git {
                file: file.clone(),
                reference: reference.clone(),
                reason,
            })
        })
        .await
    }
}

/// The schema, and the version its title ends with.
fn read_schema(text: &str) -> Result<(Value, String), ConfigError> {
    let wrong = |schema: &str, reason: String| ConfigError::Schema { schema: schema.to_owned(), reason };
    let schema: Value = serde_saphyr::from_str(text)
        .map_err(|e| wrong(text.lines().next().unwrap_or_default(), e.to_string()))?;
    let title = schema.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
    match title.rsplit_once(' ') {
        Some((_, version)) if version.len() > 1 && version.starts_with('v') => {
            let version = version.to_owned();
            Ok((schema, version))
        }
        _ => {
            Err(wrong(&title, format!("ValueError(\"Schema title '{title}' must end with ' v<version>'\")")))
        }
    }
}

fn package_directory(
    component: &str,
    package: &str,
    schema_version: &str,
    package_dir: Option<&Path>,
) -> Result<PathBuf, ConfigError> {
    let variable = format!("{}_DIR", package.to_uppercase());
    let Some(root) = package_dir else {
        return Err(ConfigError::Directory(format!("Environment variable {variable} not defined")));
    };
    let dir = root.join(component).join(schema_version);
    if dir.is_dir() {
        return Ok(dir);
    }
    Err(ConfigError::Directory(format!(
        "{} = ${variable}/SAL_component_name/schema_version does not exist or is not a directory",
        dir.display()
    )))
}

fn parse_layer(file: &Path, text: &str) -> Result<Map<String, Value>, ConfigError> {
    let bad = |reason: String| ConfigError::Yaml { file: file.to_owned(), reason };
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Map::new());
    }
    match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(other) => Err(bad(format!("{} is not a mapping", kind(&other)))),
        Err(e) => Err(bad(e.to_string())),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Mapping over mapping merges, anything else replaces; mapping against non-mapping is an error.
fn merge(into: &mut Map<String, Value>, layer: Map<String, Value>, file: &str) -> Result<(), ConfigError> {
    for (key, new) in layer {
        match (into.get_mut(&key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new, file)?,
            (Some(Value::Object(_)), new) => {
                return Err(ConfigError::Merge(format!("{file}[{key}]={new}")));
            }
            (Some(old), Value::Object(_)) => {
                return Err(ConfigError::Merge(format!("config[{key}]={old}")));
            }
            (_, new) => {
                into.insert(key, new);
            }
        }
    }
    Ok(())
}

/// Runs git in a directory; its output, or what it said.
fn git(dir: &Path, args: &[&str]) -> Result<String, String> {
    let out = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(args)
        .stdin(Stdio::null())
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .map_err(|e| format!("git cannot be run: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&out.stderr).trim().to_owned())
}

/// Runs file and process work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic and is not cancelled")
}

/// `file://` URL of a path: all but unreserved characters and `/` are percent-encoded.
fn file_url(path: &Path) -> String {
    let mut url = "file://".to_owned();
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                url.push(byte.into())
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests;
