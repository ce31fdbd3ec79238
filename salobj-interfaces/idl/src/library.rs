//! The set of components that interface definitions describe, read when they are asked for.
//!
//! ```text
//! embedded xml/ ┐                ┌ SALSubsystems.xml  which components, indexed or not, which generics
//! our own dir   ├─► Library::new ┤ SALGenerics.xml    generic topics by name and category
//! ts_xml data   ┘                └ <Name>_{Commands,Events,Telemetry}.xml, <stem>.avsc   ─► component(name)
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::avro;
use crate::error::{IdlError, Problem, Problems};
use crate::interface::{self, Generics, Subsystem};
use crate::model::{Component, EnumItem, Enumeration, Topic};
use crate::schema;
use crate::source::Source;
use crate::xml::{self, Element};

/// Components whose telemetry is also defined by `.avsc` files.
const CAMERAS: [&str; 3] = ["ATCamera", "CCCamera", "MTCamera"];

/// Interface definitions of many components. Cheap to share; components are read once and kept.
#[derive(Debug)]
pub struct Library {
    source: Source,
    subsystems: BTreeMap<String, Subsystem>,
    /// Components whose files are the compiled-in ones although `source` is a folder.
    compiled_in: Vec<String>,
    generics: Generics,
    read: Mutex<BTreeMap<String, Arc<Component>>>,
}

impl Library {
    /// The definitions that are compiled in: the Catcher, and the peers that it watches, commands and simulates.
    ///
    /// Official names, types and units, own descriptions: revision codes differ from those of ts_xml but for `ackcmd`.
    pub fn embedded() -> Self {
        Self::open(Source::embedded()).expect("the compiled-in definitions are checked by a test")
    }

    /// The definitions in a folder: a `data` folder of ts_xml (or the root of a ts_xml checkout), or one like our `xml/`.
    ///
    /// # Errors
    /// No `SALSubsystems.xml` there, or it or `SALGenerics.xml` is wrong (all faults of both). Components are read later.
    pub fn from_dir(path: impl AsRef<Path>) -> Result<Self, IdlError> {
        Self::open(Source::dir(path.as_ref())?)
    }

    /// Adds a component from the compiled-in definitions if the folder does not have it; its generic topics are those of
    /// the folder. So the Catcher runs on a release of ts_xml that does not have it yet.
    ///
    /// # Errors
    /// [`IdlError::UnknownComponent`] if neither has it.
    pub fn with_compiled_in(mut self, name: &str) -> Result<Self, IdlError> {
        if self.contains(name) {
            return Ok(self);
        }
        let mut own = Self::embedded();
        let Some(subsystem) = own.subsystems.remove(name) else {
            let suggestions = crate::suggest(name, self.names());
            return Err(IdlError::UnknownComponent { name: name.to_owned(), suggestions });
        };
        self.subsystems.insert(name.to_owned(), subsystem);
        self.compiled_in.push(name.to_owned());
        Ok(self)
    }

    /// Path and text of each compiled-in file, sorted by path; for those who want to write them out.
    pub fn embedded_files() -> impl Iterator<Item = (&'static str, &'static str)> {
        crate::embedded::FILES.iter().copied()
    }

    fn open(source: Source) -> Result<Self, IdlError> {
        let mut found = Vec::new();
        let subsystems = required_root(&source, "SALSubsystems.xml", &mut found)?.map(|root| {
            let mut problems = Problems::new(&source.shown("SALSubsystems.xml"));
            let list = interface::subsystems(&root, &mut problems);
            found.extend(problems.into_inner());
            list
        });
        let generics = required_root(&source, "SALGenerics.xml", &mut found)?.map(|root| {
            let mut problems = Problems::new(&source.shown("SALGenerics.xml"));
            let list = interface::generics(&root, &mut problems);
            found.extend(problems.into_inner());
            list
        });
        match (subsystems, generics) {
            (Some(subsystems), Some(generics)) if found.is_empty() => {
                Ok(Self { source, subsystems, compiled_in: Vec::new(), generics, read: Mutex::default() })
            }
            _ => Err(IdlError::Invalid { problems: found }),
        }
    }

    /// Names of all components, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.subsystems.keys().map(String::as_str)
    }

    /// True if there is a component of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.subsystems.contains_key(name)
    }

    /// The component of that name, complete.
    ///
    /// # Errors
    /// [`IdlError::UnknownComponent`] with similar names, or all faults of its files.
    pub fn component(&self, name: &str) -> Result<Arc<Component>, IdlError> {
        let Some(subsystem) = self.subsystems.get(name) else {
            let suggestions = crate::suggest(name, self.names());
            return Err(IdlError::UnknownComponent { name: name.to_owned(), suggestions });
        };
        // A panic elsewhere cannot leave the map half changed: it only ever gets whole entries.
        let lock = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(name) {
            return Ok(known.clone());
        }
        let component = Arc::new(self.read_component(subsystem)?);
        Ok(lock().entry(name.to_owned()).or_insert(component).clone())
    }

    /// All components.
    ///
    /// # Errors
    /// All faults of all files.
    pub fn components(&self) -> Result<Vec<Arc<Component>>, IdlError> {
        let (mut all, mut found) = (Vec::new(), Vec::new());
        for name in self.subsystems.keys() {
            match self.component(name) {
                Ok(component) => all.push(component),
                Err(IdlError::Invalid { problems }) => found.extend(problems),
                Err(other) => return Err(other),
            }
        }
        if found.is_empty() { Ok(all) } else { Err(IdlError::Invalid { problems: found }) }
    }

    fn read_component(&self, subsystem: &Subsystem) -> Result<Component, IdlError> {
        let compiled_in = Source::embedded();
        let source = if self.compiled_in.contains(&subsystem.name) { &compiled_in } else { &self.source };
        let mut reading = Reading { subsystem, topics: Vec::new(), enums: Vec::new(), found: Vec::new() };
        reading.add_generics(&self.generics, &source.shown("SALSubsystems.xml"));
        for suffix in ["Commands", "Events", "Telemetry"] {
            let (component, file) = (&subsystem.name, format!("{}_{suffix}.xml", subsystem.name));
            let Some((shown, text)) = source.interface_file(component, &file)? else { continue };
            match xml::parse(&shown, &text) {
                Ok(root) => reading.add_set(&root, &shown, suffix),
                Err(problem) => reading.found.push(problem),
            }
        }
        if CAMERAS.contains(&subsystem.name.as_str()) {
            for (stem, shown, text) in source.avsc_files(&subsystem.name)? {
                reading.add_camera_topic(&stem, &shown, &text);
            }
        }
        reading.finish()
    }
}

/// A component while it is being read.
struct Reading<'a> {
    subsystem: &'a Subsystem,
    topics: Vec<Topic>,
    enums: Vec<Enumeration>,
    found: Vec<Problem>,
}

impl Reading<'_> {
    /// The generic topics: `mandatory`, then each category or single topic that the component lists.
    fn add_generics(&mut self, generics: &Generics, file: &str) {
        let mut problems = Problems::new(file);
        let place = format!("SALSubsystem {} / AddedGenerics", self.subsystem.name);
        let listed = self.subsystem.added_generics.iter().map(String::as_str);
        for name in std::iter::once("mandatory").chain(listed) {
            let wanted: Vec<_> = if name.contains('_') {
                generics.topics.iter().filter(|g| g.sal_name == name).collect()
            } else {
                generics.topics.iter().filter(|g| g.category.as_deref() == Some(name)).collect()
            };
            if wanted.is_empty() {
                problems.push(
                    0,
                    place.as_str(),
                    format!("SALGenerics.xml has no topic or category {name:?}"),
                );
            }
            for generic in wanted {
                self.add(&generic.element, &generic.sal_name, &mut problems);
            }
        }
        self.found.extend(problems.into_inner());
    }

    fn add_set(&mut self, root: &Element, file: &str, suffix: &str) {
        let mut problems = Problems::new(file);
        let tag = match suffix {
            "Commands" => "SALCommand",
            "Events" => "SALEvent",
            _ => "SALTelemetry",
        };
        for enumeration in interface::enumerations(root, &mut problems) {
            self.enums.push(enumeration);
        }
        for element in root.children.iter().filter(|e| e.name == tag) {
            if let Some(name) = interface::sal_name(element, &mut problems) {
                self.add(element, &name, &mut problems);
            }
        }
        self.found.extend(problems.into_inner());
    }

    fn add(&mut self, element: &Element, sal_name: &str, problems: &mut Problems) {
        if self.topics.iter().any(|t| t.sal_name == sal_name) {
            problems.push(
                element.line,
                format!("{} {sal_name}", element.name),
                "this topic is defined twice",
            );
            return;
        }
        let (name, indexed) = (&self.subsystem.name, self.subsystem.indexed());
        self.topics.push(interface::topic(element, name, indexed, sal_name, problems));
    }

    /// A camera topic takes the place of an XML topic of the same name.
    fn add_camera_topic(&mut self, stem: &str, file: &str, text: &str) {
        let mut problems = Problems::new(file);
        let (name, indexed) = (&self.subsystem.name, self.subsystem.indexed());
        if let Some(topic) = avro::camera_topic(name, stem, text, indexed, &mut problems) {
            match self.topics.iter_mut().find(|t| t.sal_name == stem) {
                Some(old) => *old = topic,
                None => self.topics.push(topic),
            }
        }
        self.found.extend(problems.into_inner());
    }

    fn finish(mut self) -> Result<Component, IdlError> {
        if !self.found.is_empty() {
            return Err(IdlError::Invalid { problems: self.found });
        }
        let (name, indexed) = (&self.subsystem.name, self.subsystem.indexed());
        self.topics.push(schema::ackcmd(name, indexed));
        if self.topics.iter().any(|t| t.sal_name == "logevent_summaryState") {
            add_summary_states(&mut self.enums);
        }
        Ok(Component {
            name: name.clone(),
            description: self.subsystem.description.clone(),
            indexed,
            index_enumeration: self.subsystem.index_enumeration.clone(),
            added_generics: self.subsystem.added_generics.clone(),
            topics: self.topics.into_iter().map(Arc::new).collect(),
            enums: self.enums,
        })
    }
}

/// `SummaryState` belongs to SAL itself; no component's XML defines it under the name that clients use.
fn add_summary_states(enums: &mut Vec<Enumeration>) {
    if enums.iter().any(|e| e.name == "SummaryState") {
        return;
    }
    let states = [("DISABLED", 1), ("ENABLED", 2), ("FAULT", 3), ("OFFLINE", 4), ("STANDBY", 5)];
    let items = states.map(|(name, value)| EnumItem { name: name.to_owned(), value });
    enums.push(Enumeration { name: "SummaryState".to_owned(), items: items.to_vec() });
}

fn required_root(source: &Source, file: &str, found: &mut Vec<Problem>) -> Result<Option<Element>, IdlError> {
    let Some(text) = source.file(file)? else {
        return Err(IdlError::Io { file: source.shown(file), message: "not there".to_owned() });
    };
    match xml::parse(&source.shown(file), &text) {
        Ok(root) => Ok(Some(root)),
        Err(problem) => {
            found.push(problem);
            Ok(None)
        }
    }
}

/// Revision code of one topic; displayed as `Component topic revcode`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevCode {
    /// Component, e.g. `Test`.
    pub component: String,
    /// SAL topic name, e.g. `logevent_summaryState`.
    pub sal_name: String,
    /// 8 hex digits.
    pub rev_code: String,
}

impl std::fmt::Display for RevCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.component, self.sal_name, self.rev_code)
    }
}

/// The revision codes of all topics of all components, components and topics sorted by name.
///
/// # Errors
/// All faults of all files.
pub fn revcodes(library: &Library) -> Result<impl Iterator<Item = RevCode>, IdlError> {
    let mut all: Vec<RevCode> = Vec::new();
    for component in library.components()? {
        all.extend(component.topics.iter().map(|topic| RevCode {
            component: topic.component.clone(),
            sal_name: topic.sal_name.clone(),
            rev_code: topic.rev_code.clone(),
        }));
    }
    all.sort_by(|a, b| (&a.component, &a.sal_name).cmp(&(&b.component, &b.sal_name)));
    Ok(all.into_iter())
}
