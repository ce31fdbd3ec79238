//! The notebooks of a site, for the backends that execute them: found by name, given their parameters, kept with a page.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::tasks::call::{StepCall, StepId};
use crate::tasks::notebook;
use crate::tasks::shelf::{Content, Shelf, StepFile};

/// The folder that the site names.
#[derive(Debug, Clone)]
pub(super) struct Notebooks(pub(super) PathBuf);

impl Notebooks {
    /// The file of a notebook, inside of the folder.
    ///
    /// # Errors
    /// It is not there, or the name leads out of the folder.
    pub(super) fn file(&self, name: &str) -> Result<PathBuf, String> {
        let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
        if !name.ends_with(".ipynb") || !name.split('/').all(plain) {
            return Err(format!("{name:?} is no path of a notebook (*.ipynb) below the site's folder"));
        }
        let file = self.0.join(name);
        if !file.is_file() {
            return Err(format!("this site has no notebook {name:?} in {}", self.0.display()));
        }
        Ok(file)
    }

    /// Whether the parameters of a step name a notebook that is there.
    ///
    /// # Errors
    /// See [`Notebooks::file`].
    pub(super) fn check(&self, params: &Value) -> Result<(), String> {
        self.file(params.get("notebook").and_then(Value::as_str).unwrap_or_default()).map(drop)
    }

    /// The notebook with its parameters, as text.
    ///
    /// # Errors
    /// There is none, it is no notebook, or a parameter cannot be one.
    pub(super) fn source(
        &self,
        name: &str,
        parameters: &Map<String, Value>,
        call: &StepCall,
    ) -> Result<String, String> {
        let text =
            std::fs::read_to_string(self.file(name)?).map_err(|e| format!("notebook {name:?}: {e}"))?;
        let of = |e: notebook::BadNotebook| format!("notebook {name:?}: {e}");
        let mut notebook = notebook::parse(&text).map_err(of)?;
        notebook::inject(&mut notebook, parameters).map_err(of)?;
        notebook["metadata"]["catcher"] = json!({"rule": call.rule, "run": call.id.run_id, "step": call.id.step, "attempt": call.id.attempt});
        Ok(notebook.to_string())
    }
}

/// The name of a notebook without folder and ending.
pub(super) fn stem(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default().trim_end_matches(".ipynb")
}

/// Keeps an executed notebook and a page made of it. What cannot be kept is told in our log only: the result counts without it.
pub(super) async fn keep(shelf: &dyn Shelf, id: &StepId, name: &str, ipynb: &str) -> Vec<StepFile> {
    let stem = stem(name);
    let mut contents = vec![(format!("{stem}.ipynb"), ipynb.to_owned())];
    match notebook::parse(ipynb) {
        Ok(notebook) => contents.push((format!("{stem}.html"), notebook::html(&notebook, stem))),
        Err(e) => tracing::warn!("{id}: {e}"),
    }
    contents.sort();
    let mut files = Vec::new();
    for (name, content) in contents {
        match shelf.keep(id, &name, Content::Bytes(content.as_bytes())).await {
            Ok(file) => files.push(file),
            Err(e) => tracing::warn!("{id}: {e}"),
        }
    }
    files
}
