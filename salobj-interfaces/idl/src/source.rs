//! Where definitions come from: the compiled-in folder, or a folder on disk in one of two layouts.

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::embedded::FILES;
use crate::error::IdlError;

/// Places of `SALSubsystems.xml` below the folder that was given: our layout or `sal_interfaces` itself, the `data`
/// folder of ts_xml, the root of its checkout (which is what `TS_XML_DIR` holds where EUPS sets it).
const SUBSYSTEM_FOLDERS: [&str; 3] = ["", "sal_interfaces", "python/lsst/ts/xml/data/sal_interfaces"];

/// Name of a file for messages, and its content.
type Shown = (String, Cow<'static, [u8]>);

/// A readable set of definition files.
#[derive(Debug)]
pub(crate) enum Source {
    /// Compiled in.
    Embedded,
    /// The folder that holds `SALSubsystems.xml`.
    Dir(PathBuf),
}

impl Source {
    pub(crate) fn embedded() -> Self {
        Self::Embedded
    }

    pub(crate) fn dir(path: &Path) -> Result<Self, IdlError> {
        let tried: Vec<_> = SUBSYSTEM_FOLDERS.iter().map(|sub| path.join(sub)).collect();
        match tried.iter().find(|folder| folder.join("SALSubsystems.xml").is_file()) {
            Some(folder) => Ok(Self::Dir(folder.components().collect())),
            None => Err(IdlError::NotAnXmlFolder {
                path: path.display().to_string(),
                looked_in: tried.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Name of a file for messages.
    pub(crate) fn shown(&self, file: &str) -> String {
        match self {
            Self::Embedded => format!("embedded:{file}"),
            Self::Dir(dir) => dir.join(file).display().to_string(),
        }
    }

    /// Content of a file, `None` if there is none.
    pub(crate) fn file(&self, file: &str) -> Result<Option<Cow<'static, [u8]>>, IdlError> {
        match self {
            Self::Embedded => {
                let found = FILES.iter().find(|(path, _)| *path == file);
                Ok(found.map(|(_, text)| Cow::Borrowed(text.as_bytes())))
            }
            Self::Dir(dir) => match fs::read(dir.join(file)) {
                Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(IdlError::Io { file: self.shown(file), message: e.to_string() }),
            },
        }
    }

    /// A file of a component, with its name for messages.
    pub(crate) fn interface_file(&self, component: &str, file: &str) -> Result<Option<Shown>, IdlError> {
        let path = format!("{component}/{file}");
        Ok(self.file(&path)?.map(|text| (self.shown(&path), text)))
    }

    /// The `.avsc` files of a component, sorted: stem, name for messages, text.
    ///
    /// ts_xml keeps them in `interfaces`, beside `sal_interfaces`; our layout with the XML files.
    pub(crate) fn avsc_files(&self, component: &str) -> Result<Vec<(String, String, String)>, IdlError> {
        let Self::Dir(dir) = self else {
            let mut out = Vec::new();
            for (path, text) in FILES {
                let stem =
                    path.strip_prefix(component).and_then(|p| p.strip_prefix('/')?.strip_suffix(".avsc"));
                out.extend(stem.map(|stem| (stem.to_owned(), self.shown(path), (*text).to_owned())));
            }
            return Ok(out);
        };
        let beside =
            dir.file_name().is_some_and(|n| n == "sal_interfaces").then(|| dir.with_file_name("interfaces"));
        let mut out = Vec::new();
        for folder in std::iter::once(dir.clone()).chain(beside) {
            let folder = folder.join(component);
            let io = |e: std::io::Error| IdlError::Io {
                file: folder.display().to_string(),
                message: e.to_string(),
            };
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(io(e)),
            };
            for entry in entries {
                let path = entry.map_err(io)?.path();
                if path.extension().is_none_or(|x| x != "avsc") {
                    continue;
                }
                let shown = path.display().to_string();
                let text = fs::read_to_string(&path)
                    .map_err(|e| IdlError::Io { file: shown.clone(), message: e.to_string() })?;
                let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
                out.push((stem, shown, text));
            }
        }
        out.sort();
        Ok(out)
    }
}
