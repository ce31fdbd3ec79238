//! Where the command line takes schemas from: interfaces in XML, a registry, a saved file, the registry of the bus.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use sal_idl::{Library, names};
use salobj::env::Secret;
use salobj::registry::RegistryClient;

use super::outside::Bus;
use super::topics::XmlDir;
use crate::intake::BusSchemas;
use crate::rules::{GivenSchemas, KAFKA, SchemaSource, SourceFile, compile_files};

/// What topics look like: what is built in, or something else instead.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Interfaces {
    #[command(flatten)]
    xml: XmlDir,
    /// A schema registry instead of the interfaces: the topics that the rules name are asked for there.
    #[arg(long, value_name = "URL", conflicts_with = "schemas")]
    registry: Option<String>,
    /// Subname of the topics in the registry.
    #[arg(long, env = "LSST_TOPIC_SUBNAME", default_value = "sal", value_name = "NAME")]
    subname: String,
    /// A file that `catcher topics schemas` wrote, instead of the interfaces.
    #[arg(long, value_name = "FILE")]
    schemas: Option<PathBuf>,
}

impl Interfaces {
    /// The interfaces in XML.
    pub(super) fn library(&self) -> anyhow::Result<Library> {
        self.xml.library()
    }

    /// True if a registry is asked instead of them.
    pub(super) fn is_registry(&self) -> bool {
        self.registry.is_some()
    }

    /// What these rules are checked against.
    pub(super) fn source(&self, rules: &[SourceFile]) -> anyhow::Result<Box<dyn SchemaSource>> {
        Ok(match &self.schemas {
            Some(path) => Box::new(load(path)?),
            None if self.is_registry() => Box::new(self.ask(rules)?),
            None => Box::new(self.library()?),
        })
    }

    /// The same; if nothing is named instead, the registry of the bus is asked for what the interfaces do not have.
    pub(super) async fn source_on(
        &self,
        bus: &Bus,
        rules: &[SourceFile],
    ) -> anyhow::Result<Box<dyn SchemaSource>> {
        match (&self.schemas, &self.registry) {
            (Some(path), _) => Ok(Box::new(load(path)?)),
            (None, Some(url)) => Ok(Box::new(self.answers(url, rules).await?)),
            (None, None) => {
                let library = Arc::new(self.library()?);
                let bus = BusSchemas::new(library, Arc::clone(&bus.transport), &bus.env.topic_subname);
                // Compiled as often as something more was learnt of what it names.
                loop {
                    drop(compile_files(rules, &bus));
                    if !bus.learn_missed().await {
                        return Ok(Box::new(bus));
                    }
                }
            }
        }
    }

    /// What the registry has of the topics that these rules read; the enumerations are the library's, a registry has none.
    pub(super) fn ask(&self, rules: &[SourceFile]) -> anyhow::Result<GivenSchemas> {
        let url = self.registry.as_deref().context("which registry? Name it with --registry URL")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.answers(url, rules))
    }

    async fn answers(&self, url: &str, rules: &[SourceFile]) -> anyhow::Result<GivenSchemas> {
        let client = RegistryClient::new(&Secret::new(url))?;
        let library = self.library()?;
        let mut given = GivenSchemas::default();
        let prefix = format!("lsst.{}.", self.subname);
        for subject in client.subjects().await? {
            let Some(topic) = subject.strip_suffix("-value") else { continue };
            match topic.strip_prefix(&prefix).and_then(|t| t.split_once('.')) {
                Some((component, sal_name)) => given.mention(component, sal_name),
                None => given.mention(KAFKA, topic),
            }
        }
        // Compiling asks for what the rules read, those of templates too.
        let mut asked = BTreeSet::new();
        loop {
            drop(compile_files(rules, &given));
            let mut missed = given.take_missed();
            missed.retain(|key| asked.insert(key.clone()));
            if missed.is_empty() {
                return Ok(given);
            }
            for (component, sal_name) in missed {
                let topic = match component.as_str() {
                    KAFKA => sal_name.clone(),
                    sal => names::kafka_topic(&self.subname, sal, &sal_name),
                };
                if let Some((_, schema)) = client.latest(&names::subject(&topic)).await? {
                    given.add(&component, &sal_name, &schema).map_err(anyhow::Error::msg)?;
                    given.add_enumerations(&component, SchemaSource::enumerations(&library, &component));
                }
            }
        }
    }
}

fn load(path: &Path) -> anyhow::Result<GivenSchemas> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let saved = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    GivenSchemas::load(&saved).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))
}
