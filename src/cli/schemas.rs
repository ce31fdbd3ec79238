//! Where the command line takes schemas from: interfaces in XML, a registry, a saved file; and `catcher topics schemas`,
//! which saves one.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sal_idl::{Library, names};
use salobj::env::Secret;
use salobj::registry::RegistryClient;

use super::topics::XmlDir;
use crate::intake::topics_named;
use crate::rules::{GivenSchemas, SchemaSource};

/// A registry or a saved file instead of the interfaces.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Instead {
    /// A schema registry: the topics that the rules name are asked for there.
    #[arg(long, value_name = "URL", conflicts_with = "schemas")]
    registry: Option<String>,
    /// Subname of the topics in the registry.
    #[arg(long, env = "LSST_TOPIC_SUBNAME", default_value = "sal", value_name = "NAME")]
    subname: String,
    /// A file that `catcher topics schemas` wrote.
    #[arg(long, value_name = "FILE")]
    schemas: Option<PathBuf>,
}

impl Instead {
    /// The source for rules with these texts.
    pub(super) fn source(&self, texts: &[&str], library: Library) -> anyhow::Result<Box<dyn SchemaSource>> {
        Ok(match (&self.registry, &self.schemas) {
            (Some(url), _) => Box::new(self.ask(url, texts, &library)?),
            (None, Some(path)) => Box::new(load(path)?),
            (None, None) => Box::new(library),
        })
    }

    /// What the registry has of the topics named; the enumerations are the library's, a registry has none.
    fn ask(&self, url: &str, texts: &[&str], library: &Library) -> anyhow::Result<GivenSchemas> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = RegistryClient::new(&Secret::new(url))?;
            let mut given = GivenSchemas::default();
            let prefix = format!("lsst.{}.", self.subname);
            for subject in client.subjects().await? {
                let topic = subject.strip_prefix(&prefix).and_then(|s| s.strip_suffix("-value"));
                if let Some((component, sal_name)) = topic.and_then(|t| t.split_once('.')) {
                    given.mention(component, sal_name);
                }
            }
            for (component, sal_name) in texts.iter().flat_map(|text| topics_named(text)) {
                let subject = names::subject(&names::kafka_topic(&self.subname, &component, &sal_name));
                if let Some((_, schema)) = client.latest(&subject).await? {
                    given.add(&component, &sal_name, &schema).map_err(anyhow::Error::msg)?;
                    given.add_enumerations(&component, library.enumerations(&component));
                }
            }
            Ok(given)
        })
    }
}

fn load(path: &Path) -> anyhow::Result<GivenSchemas> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let saved = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    GivenSchemas::load(&saved).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))
}

/// Arguments of `catcher topics schemas`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Components, e.g. `ESS`, or rule files: the topics that they name.
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    /// Where to; without it, standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    instead: Instead,
    #[command(flatten)]
    xml: XmlDir,
}

/// Saves schemas, so that rules can be checked without interfaces and registry.
pub(super) fn save(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    let library = args.xml.library()?;
    let mut texts = Vec::new();
    let mut given = GivenSchemas::default();
    for what in &args.what {
        if library.contains(what) && args.instead.registry.is_none() {
            let component = library.component(what)?;
            for topic in &component.topics {
                given.add(what, &topic.sal_name, &topic.schema_compact).map_err(anyhow::Error::msg)?;
            }
            given.add_enumerations(what, component.enums.clone());
        } else if Path::new(what).exists() {
            texts.push(std::fs::read_to_string(what).with_context(|| format!("cannot read {what}"))?);
        } else {
            bail!("'{what}' is neither a component nor a rule file");
        }
    }
    if !texts.is_empty() {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        match &args.instead.registry {
            Some(url) => given = args.instead.ask(url, &texts, &library)?,
            None => {
                for (component, sal_name) in texts.iter().flat_map(|t| topics_named(t)) {
                    let Ok(found) = library.component(&component) else { continue };
                    let Some(topic) = found.topics.iter().find(|t| t.sal_name == sal_name) else { continue };
                    given.add(&component, &sal_name, &topic.schema_compact).map_err(anyhow::Error::msg)?;
                    given.add_enumerations(&component, found.enums.clone());
                }
            }
        }
    }
    if given.is_empty() {
        bail!("no topic was found");
    }
    let text = format!("{:#}\n", given.save());
    match &args.out {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            writeln!(out, "{}: {} topics", path.display(), given.len())?;
        }
        None => out.write_all(text.as_bytes())?,
    }
    Ok(())
}
