//! A schema registry's memory: subjects, versions, ids, compatibility, as Confluent's registry keeps them. No network:
//! the in-memory transport asks it directly, the test bed serves it over HTTP.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;

/// Which schemas a new version must be able to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// No check.
    None,
    /// The new schema reads what the last one wrote (a registry's default).
    #[default]
    Backward,
    /// As `Backward`, for all earlier versions.
    BackwardTransitive,
    /// The last schema reads what the new one writes (what the observatory sets).
    Forward,
    /// As `Forward`, for all earlier versions.
    ForwardTransitive,
    /// Both directions.
    Full,
    /// Both directions, for all earlier versions.
    FullTransitive,
}

const LEVELS: [(&str, Compatibility); 7] = [
    ("NONE", Compatibility::None),
    ("BACKWARD", Compatibility::Backward),
    ("BACKWARD_TRANSITIVE", Compatibility::BackwardTransitive),
    ("FORWARD", Compatibility::Forward),
    ("FORWARD_TRANSITIVE", Compatibility::ForwardTransitive),
    ("FULL", Compatibility::Full),
    ("FULL_TRANSITIVE", Compatibility::FullTransitive),
];

impl Compatibility {
    /// The name that the REST interface uses.
    pub fn name(self) -> &'static str {
        LEVELS.iter().find(|l| l.1 == self).map_or("NONE", |l| l.0)
    }

    fn transitive(self) -> bool {
        self.name().ends_with("_TRANSITIVE")
    }

    fn backward(self) -> bool {
        !matches!(self, Compatibility::None | Compatibility::Forward | Compatibility::ForwardTransitive)
    }

    fn forward(self) -> bool {
        !matches!(self, Compatibility::None | Compatibility::Backward | Compatibility::BackwardTransitive)
    }
}

impl FromStr for Compatibility {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        LEVELS.iter().find(|l| l.0 == text).map(|l| l.1).ok_or_else(|| StoreError::Level(text.to_owned()))
    }
}

/// Why the store refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The text is no Avro schema.
    #[error("Invalid schema: {0}")]
    Invalid(String),
    /// The schema breaks the compatibility level of its subject.
    #[error("Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: {}", reasons.join("; "))]
    Incompatible {
        /// Subject.
        subject: String,
        /// Version and reason, one for each clash.
        reasons: Vec<String>,
    },
    /// No compatibility level of that name.
    #[error("Invalid compatibility level {0}")]
    Level(String),
}

/// One version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// 1, 2, ...
    pub version: u32,
    /// Global id; the same text has the same id under every subject.
    pub id: u32,
    /// Schema text as registered.
    pub schema: Arc<str>,
}

/// Subjects, versions and ids.
#[derive(Debug, Default)]
pub struct SchemaStore {
    by_id: BTreeMap<u32, Arc<str>>,
    id_of: BTreeMap<String, u32>,
    subjects: BTreeMap<String, Vec<Version>>,
    level: Compatibility,
    levels: BTreeMap<String, Compatibility>,
}

impl SchemaStore {
    /// Adds a schema to a subject, or finds it there; the version.
    pub fn register(&mut self, subject: &str, text: &str) -> Result<Version, StoreError> {
        let canonical = canonical(text)?;
        if let Some(known) = self.lookup(subject, text) {
            return Ok(known);
        }
        self.check(subject, text)?;
        let next = self.by_id.len() as u32 + 1;
        let id = *self.id_of.entry(canonical).or_insert(next);
        let schema = Arc::clone(self.by_id.entry(id).or_insert_with(|| text.into()));
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        let version = versions.last().map_or(1, |v| v.version + 1);
        versions.push(Version { version, id, schema });
        Ok(versions[versions.len() - 1].clone())
    }

    /// Whether the schema may become the next version of the subject.
    pub fn check(&self, subject: &str, text: &str) -> Result<(), StoreError> {
        let level = self.level_of(subject);
        let new = parse(text)?;
        let versions = self.subjects.get(subject).map_or(&[][..], Vec::as_slice);
        let first = if level.transitive() { 0 } else { versions.len().saturating_sub(1) };
        let mut reasons = Vec::new();
        for old in &versions[first..] {
            let schema = parse(&old.schema)?;
            let mut told = |writer: &Schema, reader: &Schema, how: &str| {
                if let Err(error) = SchemaCompatibility::can_read(writer, reader) {
                    reasons.push(format!("version {}: {how}: {error}", old.version));
                }
            };
            if level.backward() {
                told(&schema, &new, "the new schema cannot read the old data");
            }
            if level.forward() {
                told(&new, &schema, "the old schema cannot read the new data");
            }
        }
        if reasons.is_empty() {
            Ok(())
        } else {
            Err(StoreError::Incompatible { subject: subject.to_owned(), reasons })
        }
    }

    /// The version of a subject that has this schema.
    pub fn lookup(&self, subject: &str, text: &str) -> Option<Version> {
        let id = *self.id_of.get(&canonical(text).ok()?)?;
        self.subjects.get(subject)?.iter().find(|v| v.id == id).cloned()
    }

    /// The text of an id.
    pub fn schema(&self, id: u32) -> Option<Arc<str>> {
        self.by_id.get(&id).cloned()
    }

    /// Subjects and versions that use an id.
    pub fn uses(&self, id: u32) -> Vec<(String, u32)> {
        let of = |(subject, versions): (&String, &Vec<Version>)| {
            versions.iter().find(|v| v.id == id).map(|v| (subject.clone(), v.version))
        };
        self.subjects.iter().filter_map(of).collect()
    }

    /// All versions of a subject, oldest first; empty if unknown.
    pub fn versions(&self, subject: &str) -> &[Version] {
        self.subjects.get(subject).map_or(&[], Vec::as_slice)
    }

    /// The newest version of a subject.
    pub fn latest(&self, subject: &str) -> Option<&Version> {
        self.versions(subject).last()
    }

    /// All subjects, sorted.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.subjects.keys().map(String::as_str)
    }

    /// Forgets a subject (its ids stay readable); the versions that it had.
    pub fn delete(&mut self, subject: &str) -> Vec<u32> {
        self.subjects.remove(subject).unwrap_or_default().iter().map(|v| v.version).collect()
    }

    /// The level of a subject: its own, else the global one.
    pub fn level_of(&self, subject: &str) -> Compatibility {
        self.levels.get(subject).copied().unwrap_or(self.level)
    }

    /// The global level.
    pub fn level(&self) -> Compatibility {
        self.level
    }

    /// Sets the global level, or that of one subject.
    pub fn set_level(&mut self, subject: Option<&str>, level: Compatibility) {
        match subject {
            Some(subject) => {
                self.levels.insert(subject.to_owned(), level);
            }
            None => self.level = level,
        }
    }
}

fn parse(text: &str) -> Result<Schema, StoreError> {
    Schema::parse_str(text).map_err(|e| StoreError::Invalid(e.to_string()))
}

/// The text without insignificant blanks, so that layouts of one schema are one schema; descriptions count.
fn canonical(text: &str) -> Result<String, StoreError> {
    parse(text)?;
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|e| StoreError::Invalid(e.to_string()))?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> String {
        format!(r#"{{"type": "record", "name": "x", "namespace": "lsst.sal.Test", "fields": [{fields}]}}"#)
    }

    const A: &str = r#"{"name": "a", "type": "int", "default": 0}"#;
    const B: &str = r#"{"name": "b", "type": "double", "default": 0.0}"#;
    const B_TEXT: &str = r#"{"name": "b", "type": "string", "default": ""}"#;
    const B_REQUIRED: &str = r#"{"name": "b", "type": "double"}"#;

    #[test]
    fn ids_are_global_and_layout_does_not_matter() {
        let mut store = SchemaStore::default();
        let one = store.register("s-value", &record(A)).unwrap();
        assert_eq!((one.id, one.version), (1, 1));
        assert_eq!(store.register("s-value", &record(A).replace(": ", ":")).unwrap(), one);
        assert_eq!(store.register("t-value", &record(A)).unwrap().id, 1);
        assert_eq!(store.register("t-value", &record(&format!("{A}, {B}"))).unwrap().version, 2);
        assert_eq!(store.latest("t-value").unwrap().id, 2);
        assert_eq!(store.uses(1), [("s-value".to_owned(), 1), ("t-value".to_owned(), 1)]);
        assert_eq!(store.subjects().collect::<Vec<_>>(), ["s-value", "t-value"]);
        assert_eq!(store.schema(3), None);
    }

    #[test]
    fn compatibility_levels() {
        let mut store = SchemaStore::default();
        store.register("s", &record(&format!("{A}, {B}"))).unwrap();
        let clash = store.register("s", &record(&format!("{A}, {B_TEXT}"))).unwrap_err();
        assert!(clash.to_string().contains("version 1"), "{clash}");
        store.register("s", &record(A)).unwrap();
        let required = record(&format!("{A}, {B_REQUIRED}"));
        assert!(matches!(store.register("s", &required), Err(StoreError::Incompatible { .. })));
        store.set_level(Some("s"), "FORWARD".parse().unwrap());
        assert_eq!(store.register("s", &required).unwrap().version, 3);
        store.set_level(Some("s"), Compatibility::None);
        assert_eq!(store.register("s", &record(&format!("{A}, {B_TEXT}"))).unwrap().version, 4);
        assert_eq!(store.level_of("t"), Compatibility::Backward);
        assert!("SIDEWAYS".parse::<Compatibility>().is_err());
        assert_eq!(store.delete("s"), [1, 2, 3, 4]);
        assert!(store.latest("s").is_none());
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let mut store = SchemaStore::default();
        assert!(matches!(store.register("s", "{"), Err(StoreError::Invalid(_))));
        assert!(matches!(store.register("s", r#"{"type": "nonsense"}"#), Err(StoreError::Invalid(_))));
    }
}
