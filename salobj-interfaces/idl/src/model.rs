//! What an interface is once it has been read: components, their topics, the fields of a topic.

use std::sync::Arc;

/// The kind of a SAL topic; it decides naming, message key, partitions and history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicKind {
    /// `command_<x>`, attribute `cmd_<x>`.
    Command,
    /// `logevent_<x>`, attribute `evt_<x>`.
    Event,
    /// `<x>`, attribute `tel_<x>`.
    Telemetry,
    /// `ackcmd`, one for each component.
    AckCmd,
}

/// The eleven SAL data types (`IDL_Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SalType {
    /// Avro boolean.
    Boolean,
    /// Avro int.
    Byte,
    /// Avro int.
    Short,
    /// Avro int.
    Int,
    /// Avro int: 32 bits.
    Long,
    /// Avro long.
    LongLong,
    /// Avro int.
    UnsignedShort,
    /// Avro long.
    UnsignedInt,
    /// Avro float, 4 bytes.
    Float,
    /// Avro double.
    Double,
    /// Avro string.
    String,
}

/// One field of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// `EFDB_Name`.
    pub name: String,
    /// `IDL_Type`.
    pub sal_type: SalType,
    /// Number of elements; 1 is a scalar, 0 an array whose length the schema does not say (registered schemas only).
    pub count: usize,
    /// Unit as written in the XML, `unitless` if none.
    pub units: String,
    /// Description, to the byte as in the XML: it enters the revision code.
    pub description: String,
    /// True for a camera field that may be null (a union with null in the `.avsc` file).
    pub nullable: bool,
}

impl Field {
    /// True for `salIndex` and the `private_` fields, which SAL itself fills in.
    pub fn is_private(&self) -> bool {
        self.name == "salIndex" || self.name.starts_with("private_")
    }

    /// True if the field holds several elements.
    pub fn is_array(&self) -> bool {
        self.count != 1
    }
}

/// A named set of integer constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enumeration {
    /// Class name, e.g. `AlarmSeverity`.
    pub name: String,
    /// Its items in file order.
    pub items: Vec<EnumItem>,
}

impl Enumeration {
    /// The value of that item. Upper and lower case and `_` do not matter: the XML has `ConfigureFailed` where clients
    /// write `CONFIGURE_FAILED`.
    pub fn value(&self, item: &str) -> Option<i64> {
        let plain = |name: &str| name.replace('_', "").to_lowercase();
        let exact = self.items.iter().find(|i| i.name == item);
        exact.or_else(|| self.items.iter().find(|i| plain(&i.name) == plain(item))).map(|i| i.value)
    }

    /// The item of that value.
    pub fn name_of(&self, value: i64) -> Option<&str> {
        self.items.iter().find(|i| i.value == value).map(|i| i.name.as_str())
    }
}

/// One constant of an [`Enumeration`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumItem {
    /// Name without the class, e.g. `CRITICAL`.
    pub name: String,
    /// Value on the wire.
    pub value: i64,
}

/// One SAL topic, complete: private fields first, then those of the XML.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// Component, e.g. `ESS`.
    pub component: String,
    /// Kind.
    pub kind: TopicKind,
    /// `command_start`, `logevent_summaryState`, `airFlow`, `ackcmd`.
    pub sal_name: String,
    /// Description of the topic.
    pub description: String,
    /// All fields in wire order, private ones included.
    pub fields: Vec<Field>,
    /// Schema text in the pretty form that is hashed (4 blanks, ASCII).
    pub schema_pretty: String,
    /// Schema text in the compact form that is registered (`", "`, `": "`).
    pub schema_compact: String,
    /// First 8 hex digits of MD5 over `schema_pretty`.
    pub rev_code: String,
}

impl Topic {
    /// Client-side name: `cmd_start`, `evt_summaryState`, `tel_airFlow`, `ack_ackcmd`.
    pub fn attr_name(&self) -> String {
        match self.kind {
            TopicKind::Command => format!("cmd_{}", self.short_name()),
            TopicKind::Event => format!("evt_{}", self.short_name()),
            TopicKind::Telemetry => format!("tel_{}", self.sal_name),
            TopicKind::AckCmd => "ack_ackcmd".to_owned(),
        }
    }

    /// Name without its kind prefix: `start`, `summaryState`, `airFlow`, `ackcmd`.
    pub fn short_name(&self) -> &str {
        self.sal_name
            .strip_prefix("command_")
            .or_else(|| self.sal_name.strip_prefix("logevent_"))
            .unwrap_or(&self.sal_name)
    }

    /// Fields without the private ones and `salIndex`: what the XML defines.
    pub fn own_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|f| !f.is_private())
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

/// A SAL component with all its topics.
#[derive(Debug, Clone)]
pub struct Component {
    /// Name, e.g. `Catcher`.
    pub name: String,
    /// What the component is, from `SALSubsystems.xml`.
    pub description: String,
    /// True if instances are told apart by a `salIndex` field.
    pub indexed: bool,
    /// `IndexEnumeration` as written: `no`, `any`, or names with values.
    pub index_enumeration: String,
    /// `AddedGenerics`, trimmed.
    pub added_generics: Vec<String>,
    /// All topics in definition order, `ackcmd` last.
    pub topics: Vec<Arc<Topic>>,
    /// Set-level enumerations, and `SummaryState` if the component has one.
    pub enums: Vec<Enumeration>,
}

impl Component {
    /// The topic of that SAL name (`logevent_x`) or attribute name (`evt_x`).
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.iter().find(|t| t.sal_name == name || t.attr_name() == name)
    }

    /// The topics of one kind, in definition order.
    pub fn topics_of(&self, kind: TopicKind) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.iter().filter(move |t| t.kind == kind)
    }

    /// The enumeration of that name.
    pub fn enumeration(&self, name: &str) -> Option<&Enumeration> {
        self.enums.iter().find(|e| e.name == name)
    }
}
