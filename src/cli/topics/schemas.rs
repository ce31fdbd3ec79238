//! `catcher topics schemas`: saves schemas, so that rules can be checked without interfaces and registry.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::rules::files::read;
use crate::cli::schemas::Interfaces;
use crate::rules::{GivenSchemas, SourceFile, compile_files};

/// Arguments of `catcher topics schemas`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Components, e.g. `ESS`, or rule files or folders: the topics that they name.
    #[arg(required = true, value_name = "WHAT")]
    what: Vec<String>,
    /// Where to; without it, standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    interfaces: Interfaces,
}

pub(in crate::cli) fn save(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    let library = args.interfaces.library()?;
    let mut rules: Vec<SourceFile> = Vec::new();
    let mut components = Vec::new();
    for what in &args.what {
        if Path::new(what).exists() {
            rules.extend(read(&[PathBuf::from(what)])?);
        } else if library.contains(what) && !args.interfaces.is_registry() {
            components.push(library.component(what)?);
        } else if library.contains(what) {
            bail!("with --registry only the topics of rule files are asked for; '{what}' is a component");
        } else {
            bail!("'{what}' is neither a component nor a rule file");
        }
    }
    let mut given = if args.interfaces.is_registry() {
        args.interfaces.ask(&rules)?
    } else {
        let mut given = GivenSchemas::default();
        // Compiling asks for what the rules read; what is not in the library stays unknown.
        loop {
            drop(compile_files(&rules, &given));
            let mut any = false;
            for (component, sal_name) in given.take_missed() {
                let Ok(found) = library.component(&component) else { continue };
                let Some(topic) = found.topics.iter().find(|t| t.sal_name == sal_name) else { continue };
                given.add(&component, &sal_name, &topic.schema_compact).map_err(anyhow::Error::msg)?;
                given.add_enumerations(&component, found.enums.clone());
                any = true;
            }
            if !any {
                break given;
            }
        }
    };
    for component in components {
        for topic in &component.topics {
            given.add(&component.name, &topic.sal_name, &topic.schema_compact).map_err(anyhow::Error::msg)?;
        }
        given.add_enumerations(&component.name, component.enums.clone());
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
