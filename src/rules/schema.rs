//! What the compiler must know of topics: fields, types, units, enumerations. The library of interfaces gives it; a
//! registry or a saved file can.

use std::sync::Arc;

use sal_idl::{Enumeration, SalType, Topic};

/// Where schemas come from.
pub trait SchemaSource: Send + Sync {
    /// The topic `sal_name` (`airFlow`, `logevent_endReadout`) of `component`.
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError>;
    /// The enumerations of a component; empty if it is not known.
    fn enumerations(&self, component: &str) -> Vec<Enumeration>;
    /// All component names, for "did you mean".
    fn components(&self) -> Vec<String>;
    /// SAL names of all topics of a component, for "did you mean".
    fn topics(&self, component: &str) -> Vec<String>;
}

impl<T: SchemaSource + ?Sized> SchemaSource for &T {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        (**self).topic(component, sal_name)
    }
    fn enumerations(&self, component: &str) -> Vec<Enumeration> {
        (**self).enumerations(component)
    }
    fn components(&self) -> Vec<String> {
        (**self).components()
    }
    fn topics(&self, component: &str) -> Vec<String> {
        (**self).topics(component)
    }
}

impl<T: SchemaSource + ?Sized> SchemaSource for Box<T> {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        (**self).topic(component, sal_name)
    }
    fn enumerations(&self, component: &str) -> Vec<Enumeration> {
        (**self).enumerations(component)
    }
    fn components(&self) -> Vec<String> {
        (**self).components()
    }
    fn topics(&self, component: &str) -> Vec<String> {
        (**self).topics(component)
    }
}

/// Why there is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// No such component.
    #[error("there is no component \"{0}\"")]
    UnknownComponent(String),
    /// No such topic.
    #[error("component {component} has no topic \"{topic}\"")]
    UnknownTopic {
        /// The component.
        component: String,
        /// The SAL name asked for.
        topic: String,
    },
    /// The source itself failed.
    #[error("the interface of {component} cannot be read: {reason}")]
    Unreadable {
        /// The component.
        component: String,
        /// What went wrong.
        reason: String,
    },
}

/// A topic as the compiler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicSchema {
    /// Component.
    pub component: String,
    /// SAL name: `airFlow`, `logevent_endReadout`.
    pub sal_name: String,
    /// True if the component has more than one instance.
    pub indexed: bool,
    /// Fields in wire order.
    pub fields: Vec<FieldSchema>,
    /// Further fields, of which the type is known only when a value is there.
    pub untyped: Untyped,
}

/// See [`TopicSchema::untyped`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Untyped {
    /// There are none.
    #[default]
    None,
    /// These.
    Named(Vec<String>),
    /// There may be any.
    All,
}

/// A field as the compiler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSchema {
    /// Name.
    pub name: String,
    /// Type of the field, or of its elements.
    pub kind: FieldKind,
    /// Number of elements; `None` is a scalar.
    pub count: Option<usize>,
    /// Unit as written; `None` where the interface says `unitless` or nothing.
    pub unit: Option<String>,
}

/// The types that rules tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// true or false.
    Bool,
    /// Any integer type.
    Int,
    /// Float or double.
    Double,
    /// Text.
    Text,
}

impl TopicSchema {
    /// The schema of a topic of the interface library.
    pub fn of(topic: &Topic, indexed: bool) -> TopicSchema {
        let fields = topic
            .fields
            .iter()
            .map(|f| FieldSchema {
                name: f.name.clone(),
                kind: FieldKind::of(f.sal_type),
                count: (f.count > 1).then_some(f.count),
                unit: unit(&f.units),
            })
            .collect();
        TopicSchema {
            component: topic.component.clone(),
            sal_name: topic.sal_name.clone(),
            indexed,
            fields,
            untyped: Untyped::None,
        }
    }

    /// True if it may have that field, of a type that is not known beforehand.
    pub fn has_untyped(&self, name: &str) -> bool {
        match &self.untyped {
            Untyped::None => false,
            Untyped::Named(all) => all.iter().any(|n| n == name),
            Untyped::All => self.field(name).is_none(),
        }
    }

    /// The names of all fields that are known, for "did you mean".
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let untyped = if let Untyped::Named(all) = &self.untyped { all.as_slice() } else { &[] };
        self.fields.iter().map(|f| f.name.as_str()).chain(untyped.iter().map(String::as_str))
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&FieldSchema> {
        self.fields.iter().find(|f| f.name == name)
    }
}

impl FieldKind {
    /// The kind of a SAL type.
    pub fn of(sal: SalType) -> FieldKind {
        match sal {
            SalType::Boolean => FieldKind::Bool,
            SalType::Float | SalType::Double => FieldKind::Double,
            SalType::String => FieldKind::Text,
            SalType::Byte
            | SalType::Short
            | SalType::Int
            | SalType::Long
            | SalType::LongLong
            | SalType::UnsignedShort
            | SalType::UnsignedInt => FieldKind::Int,
        }
    }
}

fn unit(text: &str) -> Option<String> {
    match text.trim() {
        "" | "unitless" | "dimensionless" => None,
        unit => Some(unit.to_owned()),
    }
}

impl SchemaSource for sal_idl::Library {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        if !self.contains(component) {
            return Err(SchemaError::UnknownComponent(component.to_owned()));
        }
        let found = self.component(component).map_err(|e| SchemaError::Unreadable {
            component: component.to_owned(),
            reason: e.to_string(),
        })?;
        match found.topics.iter().find(|t| t.sal_name == sal_name) {
            Some(topic) => Ok(Arc::new(TopicSchema::of(topic, found.indexed))),
            None => {
                Err(SchemaError::UnknownTopic { component: component.to_owned(), topic: sal_name.to_owned() })
            }
        }
    }

    fn enumerations(&self, component: &str) -> Vec<Enumeration> {
        self.component(component).map(|c| c.enums.clone()).unwrap_or_default()
    }

    fn components(&self) -> Vec<String> {
        self.names().map(str::to_owned).collect()
    }

    fn topics(&self, component: &str) -> Vec<String> {
        self.component(component)
            .map(|c| c.topics.iter().map(|t| t.sal_name.clone()).collect())
            .unwrap_or_default()
    }
}
