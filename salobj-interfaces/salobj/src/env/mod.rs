//! The environment of a SAL process: the `LSST_*` variables and the client configuration files that they name.
//!
//! [`Env::from_process`] reads everything once and tells every problem at once. Secrets are never shown by `Debug`.

mod secret;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use secret::{Secret, hide_user_info};

/// Properties of the Kafka client library, by name.
pub type Properties = BTreeMap<String, String>;

/// Everything that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct EnvError(pub Vec<String>);

/// How to log in to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// `LSST_KAFKA_SECURITY_USERNAME`.
    pub username: String,
    /// `LSST_KAFKA_SECURITY_PASSWORD`.
    pub password: Secret,
    /// `LSST_KAFKA_SECURITY_PROTOCOL`.
    pub protocol: String,
    /// `LSST_KAFKA_SECURITY_MECHANISM`.
    pub mechanism: String,
}

/// The environment, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Env {
    /// `LSST_TOPIC_SUBNAME`: the second part of each Kafka topic name.
    pub topic_subname: String,
    /// `LSST_KAFKA_BROKER_ADDR`.
    pub broker_addr: String,
    /// `LSST_SCHEMA_REGISTRY_URL`; credentials, if any, are in it.
    pub schema_registry_url: Secret,
    /// Set if user name and password are both given.
    pub sasl: Option<Sasl>,
    /// `LSST_KAFKA_REPLICATION_FACTOR` of topics that are created.
    pub replication_factor: i32,
    /// `LSST_KAFKA_PRODUCER_WAIT_ACKS`.
    pub producer_acks: String,
    /// Content of the file `LSST_KAFKA_BROKER_CLIENT_CONFIGURATION`: for admin, consumer and producer.
    pub broker_config: Properties,
    /// Content of the file `LSST_KAFKA_CONSUMER_CONFIGURATION`.
    pub consumer_config: Properties,
    /// Content of the file `LSST_KAFKA_PRODUCER_CONFIGURATION`.
    pub producer_config: Properties,
    /// `LSST_MAX_HISTORY_READ`: records read back per event topic of an indexed component.
    pub max_history_read: u64,
    /// Content of the file `LSST_HISTORY_READ_CONFIG`: the same for single components.
    pub history_read: BTreeMap<String, u64>,
    /// `LSST_SITE`.
    pub site: Option<String>,
    /// `S3_ENDPOINT_URL`, `None` if unset or empty (AWS).
    pub s3_endpoint_url: Option<String>,
    /// All variables named `..._DIR`: configuration packages and the like.
    pub dirs: BTreeMap<String, PathBuf>,
}

impl Env {
    /// The environment of this process.
    pub fn from_process() -> Result<Env, EnvError> {
        Env::from_vars(
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        )
    }

    /// The environment of these variables; the files that they name are read.
    pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Env, EnvError> {
        let vars: BTreeMap<String, String> = vars.into_iter().collect();
        let mut source = Source { vars: &vars, problems: Vec::new() };
        let env = Env {
            topic_subname: source.subname(),
            broker_addr: source.text("LSST_KAFKA_BROKER_ADDR", "broker:29092"),
            schema_registry_url: source.registry_url(),
            sasl: source.sasl(),
            replication_factor: source.number("LSST_KAFKA_REPLICATION_FACTOR", 1, 1),
            producer_acks: source.acks(),
            broker_config: source.properties("LSST_KAFKA_BROKER_CLIENT_CONFIGURATION"),
            consumer_config: source.properties("LSST_KAFKA_CONSUMER_CONFIGURATION"),
            producer_config: source.properties("LSST_KAFKA_PRODUCER_CONFIGURATION"),
            max_history_read: source.number("LSST_MAX_HISTORY_READ", 500, 0),
            history_read: source.history_read(),
            site: source.set("LSST_SITE"),
            s3_endpoint_url: source.set("S3_ENDPOINT_URL"),
            dirs: vars
                .iter()
                .filter(|(name, value)| name.ends_with("_DIR") && !value.is_empty())
                .map(|(name, value)| (name.clone(), PathBuf::from(value)))
                .collect(),
        };
        if source.problems.is_empty() { Ok(env) } else { Err(EnvError(source.problems)) }
    }

    /// An environment with all defaults, for tests and the embedded bus. The subname is not checked.
    pub fn for_subname(subname: &str) -> Env {
        let defaults = [("LSST_TOPIC_SUBNAME".to_owned(), "test".to_owned())];
        let env = Env::from_vars(defaults).expect("the defaults are valid");
        Env { topic_subname: subname.to_owned(), ..env }
    }

    /// The site, which configurable CSCs need.
    pub fn required_site(&self) -> Result<&str, EnvError> {
        self.site
            .as_deref()
            .ok_or_else(|| EnvError(vec!["Environment variable $LSST_SITE not defined.".to_owned()]))
    }

    /// Folder of a configuration package: the variable `<PACKAGE>_DIR`, e.g. `TS_CONFIG_OCS_DIR` for `ts_config_ocs`.
    pub fn package_dir(&self, package: &str) -> Result<&Path, EnvError> {
        let name = format!("{}_DIR", package.to_uppercase());
        self.dirs
            .get(&name)
            .map(PathBuf::as_path)
            .ok_or_else(|| EnvError(vec![format!("Environment variable ${name} not defined.")]))
    }

    /// How many records back to read of an event topic of an indexed component.
    pub fn history_of(&self, component: &str) -> u64 {
        self.history_read.get(component).copied().unwrap_or(self.max_history_read)
    }

    /// Properties of the admin client: those of the broker.
    pub fn admin_properties(&self) -> Properties {
        let mut all = Properties::from([("bootstrap.servers".to_owned(), self.broker_addr.clone())]);
        if let Some(sasl) = &self.sasl {
            let settings = [
                ("security.protocol", sasl.protocol.as_str()),
                ("sasl.mechanism", &sasl.mechanism),
                ("sasl.username", &sasl.username),
                ("sasl.password", sasl.password.expose()),
            ];
            all.extend(settings.map(|(k, v)| (k.to_owned(), v.to_owned())));
        }
        all.extend(self.broker_config.clone());
        all
    }

    /// Properties of a consumer: built-in ones, then its file, then those of the broker.
    pub fn consumer_properties(&self, group: &str) -> Properties {
        let defaults = [
            ("group.id", group),
            ("allow.auto.create.topics", "false"),
            ("auto.offset.reset", "earliest"),
            // Once enough is fetched ahead librdkafka pauses: by default a whole second, in which a fast reader runs dry.
            ("fetch.queue.backoff.ms", "10"),
        ];
        let mut all: Properties = defaults.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        all.extend(self.consumer_config.clone());
        all.extend(self.admin_properties());
        all
    }

    /// Properties of a producer: built-in ones, then its file, then those of the broker.
    pub fn producer_properties(&self) -> Properties {
        let defaults = [("acks", self.producer_acks.as_str()), ("queue.buffering.max.ms", "0")];
        let mut all: Properties = defaults.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        all.extend(self.producer_config.clone());
        all.extend(self.admin_properties());
        all
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env")
            .field("topic_subname", &self.topic_subname)
            .field("broker_addr", &self.broker_addr)
            .field("schema_registry_url", &hide_user_info(self.schema_registry_url.expose()))
            .field("sasl", &self.sasl)
            .field("replication_factor", &self.replication_factor)
            .field("producer_acks", &self.producer_acks)
            .field("broker_config", &secret::Redacted(&self.broker_config))
            .field("consumer_config", &secret::Redacted(&self.consumer_config))
            .field("producer_config", &secret::Redacted(&self.producer_config))
            .field("max_history_read", &self.max_history_read)
            .field("history_read", &self.history_read)
            .field("site", &self.site)
            .field("s3_endpoint_url", &self.s3_endpoint_url.as_deref().map(hide_user_info))
            .finish_non_exhaustive()
    }
}

/// The variables while they are being read, and what was wrong so far.
struct Source<'a> {
    vars: &'a BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Source<'_> {
    /// The value, `None` if unset or empty.
    fn set(&self, name: &str) -> Option<String> {
        self.vars.get(name).filter(|v| !v.is_empty()).cloned()
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.set(name).unwrap_or_else(|| default.to_owned())
    }

    fn subname(&mut self) -> String {
        let subname = self.text("LSST_TOPIC_SUBNAME", "");
        if subname.is_empty() {
            self.problems.push("You must define environment variable LSST_TOPIC_SUBNAME".to_owned());
        } else if !subname.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            self.problems.push(format!("LSST_TOPIC_SUBNAME={subname:?}: use letters, digits and _ only"));
        } else if subname.contains(['-', '.']) {
            tracing::warn!(%subname, "LSST_TOPIC_SUBNAME has - or ., which the maintenance tools do not understand");
        }
        subname
    }

    fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
        &mut self,
        name: &str,
        default: T,
        min: T,
    ) -> T {
        let Some(text) = self.set(name) else { return default };
        match text.trim().parse::<T>() {
            Ok(value) if value >= min => value,
            _ => {
                self.problems.push(format!("{name}={text:?}: expected an integer, at least {min}"));
                default
            }
        }
    }

    fn acks(&mut self) -> String {
        let acks = self.text("LSST_KAFKA_PRODUCER_WAIT_ACKS", "1");
        if acks != "all" && acks.parse::<i16>().is_err() {
            self.problems.push(format!("LSST_KAFKA_PRODUCER_WAIT_ACKS={acks:?}: expected 0, 1, -1 or all"));
        }
        acks
    }

    fn registry_url(&mut self) -> Secret {
        let url = self.text("LSST_SCHEMA_REGISTRY_URL", "http://schema-registry:8081");
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            let shown = hide_user_info(&url);
            self.problems.push(format!("LSST_SCHEMA_REGISTRY_URL={shown:?}: expected http:// or https://"));
        }
        Secret::new(url)
    }

    fn sasl(&mut self) -> Option<Sasl> {
        let username = self.set("LSST_KAFKA_SECURITY_USERNAME")?;
        let password = self.set("LSST_KAFKA_SECURITY_PASSWORD")?;
        Some(Sasl {
            username,
            password: Secret::new(password),
            protocol: self.text("LSST_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
            mechanism: self.text("LSST_KAFKA_SECURITY_MECHANISM", "SCRAM-SHA-512"),
        })
    }

    /// A YAML mapping of a file; an error never shows the content.
    fn mapping(&mut self, name: &str, path: &str) -> BTreeMap<String, serde_json::Value> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(format!("{name}={path}: {error}"));
                return BTreeMap::new();
            }
        };
        if text.trim().is_empty() {
            return BTreeMap::new();
        }
        match serde_saphyr::from_str::<BTreeMap<String, serde_json::Value>>(&text) {
            Ok(map) => map,
            Err(error) => {
                let place = error.location().map_or(String::new(), |l| format!(" (line {})", l.line()));
                self.problems.push(format!("{name}={path}: not a YAML mapping{place}"));
                BTreeMap::new()
            }
        }
    }

    fn properties(&mut self, name: &str) -> Properties {
        let Some(path) = self.set(name) else { return Properties::new() };
        let mut out = Properties::new();
        for (key, value) in self.mapping(name, &path) {
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Number(number) => number.to_string(),
                serde_json::Value::Bool(flag) => flag.to_string(),
                _ => {
                    self.problems
                        .push(format!("{name}={path}: {key}: expected a text, a number, true or false"));
                    continue;
                }
            };
            out.insert(key, text);
        }
        out
    }

    fn history_read(&mut self) -> BTreeMap<String, u64> {
        let name = "LSST_HISTORY_READ_CONFIG";
        // A path that does not exist is ignored, as upstream does.
        let Some(path) = self.set(name).filter(|p| Path::new(p).exists()) else { return BTreeMap::new() };
        let mut out = BTreeMap::new();
        for (component, count) in self.mapping(name, &path) {
            match count.as_u64() {
                Some(count) => {
                    out.insert(component, count);
                }
                None => {
                    self.problems.push(format!("{name}={path}: {component}: expected a count of records"))
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
