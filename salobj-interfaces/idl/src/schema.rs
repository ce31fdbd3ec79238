//! From the fields of a topic to its Avro schema, the two texts of it, and the revision code.
//!
//! ```text
//! private fields + item elements ─► schema object ─► pretty text ─► MD5 ─► private_revCode
//!                                              └───► compact text ─► schema registry
//! ```
//! The order of the keys, the defaults and every description enter the code, so nothing here may be prettified.

use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use crate::json;
use crate::model::{Field, SalType, Topic, TopicKind};

/// Name, type, units and description of the fields that every record starts with. `salIndex` is the first.
const PRIVATE_FIELDS: [(&str, SalType, &str, &str); 9] = [
    ("salIndex", SalType::Long, "unitless", "SAL index (only present for indexed SAL components)"),
    ("private_sndStamp", SalType::Double, "second", "Time of instance publication"),
    ("private_rcvStamp", SalType::Double, "second", "Time of instance reception"),
    (
        "private_efdStamp",
        SalType::Double,
        "second",
        "UTC time for EFD timestamp. An integer (the number of leap seconds) different from private_sndStamp.",
    ),
    ("private_kafkaStamp", SalType::Double, "second", "TAI time at which the Kafka message was created."),
    ("private_seqNum", SalType::Long, "unitless", "Sequence number"),
    ("private_revCode", SalType::String, "unitless", "Revision hashcode"),
    (
        "private_identity",
        SalType::String,
        "unitless",
        "Identity of publisher: SAL component name for a CSC or user@host for a user",
    ),
    ("private_origin", SalType::Long, "unitless", "Process ID of publisher"),
];

/// The fields of `ackcmd` after the private ones.
const ACKCMD_FIELDS: [(&str, SalType, &str, &str); 7] = [
    ("ack", SalType::Long, "unitless", "Acknowledgement code"),
    ("error", SalType::Long, "unitless", "An error code; only relevant if ack=FAILED"),
    ("result", SalType::String, "unitless", "Message"),
    ("identity", SalType::String, "unitless", "private_identity field of the command being acknowledged"),
    ("origin", SalType::Long, "unitless", "private_origin field of the command being acknowledged"),
    (
        "cmdtype",
        SalType::Long,
        "unitless",
        "Index of command in alphabetical list of commands, with 0 being the first",
    ),
    (
        "timeout",
        SalType::Double,
        "second",
        "Estimated remaining duration of command; only relevant if ack=INPROGRESS",
    ),
];

fn scalar(&(name, sal_type, units, description): &(&str, SalType, &str, &str)) -> Field {
    Field {
        name: name.to_owned(),
        sal_type,
        count: 1,
        units: units.to_owned(),
        description: description.to_owned(),
        nullable: false,
    }
}

/// The private fields in wire order; `salIndex` only if the component is indexed.
pub(crate) fn private_fields(indexed: bool) -> Vec<Field> {
    PRIVATE_FIELDS.iter().skip(usize::from(!indexed)).map(scalar).collect()
}

/// The topic `ackcmd`, which every component has and no XML defines.
pub(crate) fn ackcmd(component: &str, indexed: bool) -> Topic {
    let mut fields = private_fields(indexed);
    fields.extend(ACKCMD_FIELDS.iter().map(scalar));
    topic(component, "ackcmd", "Command acknowledgement", fields)
}

/// A complete topic from its fields (private ones included).
pub(crate) fn topic(component: &str, sal_name: &str, description: &str, fields: Vec<Field>) -> Topic {
    let schema = json!({
        "type": "record",
        "name": sal_name,
        "namespace": format!("lsst.sal.{component}"),
        "fields": fields.iter().map(field_schema).collect::<Vec<_>>(),
        "description": description,
    });
    from_schema(component, sal_name, description, fields, &schema)
}

/// A complete topic whose schema object is known already.
pub(crate) fn from_schema(
    component: &str,
    sal_name: &str,
    description: &str,
    fields: Vec<Field>,
    schema: &Value,
) -> Topic {
    let schema_pretty = json::pretty(schema);
    Topic {
        component: component.to_owned(),
        kind: TopicKind::of(sal_name),
        sal_name: sal_name.to_owned(),
        description: description.to_owned(),
        fields,
        rev_code: rev_code(&schema_pretty),
        schema_compact: json::compact(schema),
        schema_pretty,
    }
}

/// The schema of one field, keys in the order that is hashed.
pub(crate) fn field_schema(field: &Field) -> Value {
    let element = field.sal_type.avro_default();
    let (avro, default) = if field.count == 1 {
        (json!(field.sal_type.avro_name()), element)
    } else {
        (
            json!({"type": "array", "items": field.sal_type.avro_name()}),
            Value::from(vec![element; field.count]),
        )
    };
    let mut schema = Map::new();
    schema.insert("name".to_owned(), json!(field.name));
    schema.insert("type".to_owned(), avro);
    schema.insert("default".to_owned(), default);
    schema.insert("description".to_owned(), json!(field.description));
    schema.insert("units".to_owned(), json!(field.units));
    Value::Object(schema)
}

/// First 8 hex digits of MD5 over the pretty schema text.
pub fn rev_code(schema_pretty: &str) -> String {
    Md5::digest(schema_pretty.as_bytes()).iter().take(4).map(|b| format!("{b:02x}")).collect()
}

impl TopicKind {
    /// The kind that a SAL topic name says: by its prefix, telemetry without one.
    pub fn of(sal_name: &str) -> Self {
        if sal_name == "ackcmd" {
            Self::AckCmd
        } else if sal_name.starts_with("command_") {
            Self::Command
        } else if sal_name.starts_with("logevent_") {
            Self::Event
        } else {
            Self::Telemetry
        }
    }
}

impl SalType {
    /// All of them with the names that `IDL_Type` uses.
    pub const NAMES: [(&'static str, Self); 11] = [
        ("boolean", Self::Boolean),
        ("byte", Self::Byte),
        ("short", Self::Short),
        ("int", Self::Int),
        ("long", Self::Long),
        ("long long", Self::LongLong),
        ("unsigned short", Self::UnsignedShort),
        ("unsigned int", Self::UnsignedInt),
        ("float", Self::Float),
        ("double", Self::Double),
        ("string", Self::String),
    ];

    /// The type of that `IDL_Type` text.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
    }

    /// The SAL type that stands for a primitive Avro type in schemas that no XML defines.
    pub(crate) fn from_avro_name(name: &str) -> Option<Self> {
        Some(match name {
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::LongLong,
            "float" => Self::Float,
            "double" => Self::Double,
            "string" => Self::String,
            _ => return None,
        })
    }

    /// Name of the Avro type on the wire.
    pub fn avro_name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Byte | Self::Short | Self::Int | Self::Long | Self::UnsignedShort => "int",
            Self::LongLong | Self::UnsignedInt => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::String => "string",
        }
    }

    /// Default of one element: false, 0, 0.0 or "".
    pub fn avro_default(self) -> Value {
        match self {
            Self::Boolean => json!(false),
            Self::Float | Self::Double => json!(0.0),
            Self::String => json!(""),
            _ => json!(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two worked examples are exact to the byte (their texts are quoted in the specification of the wire).
    #[test]
    fn worked_examples() {
        let mut fields = private_fields(true);
        let state = ("summaryState", SalType::Long, "unitless", "High level state machine state identifier.");
        fields.push(scalar(&state));
        let event = topic("Test", "logevent_summaryState", "Current summary state of this CSC.", fields);
        assert_eq!(event.schema_pretty, include_str!("../tests/data/Test_logevent_summaryState.json"));
        assert_eq!((event.schema_pretty.len(), event.rev_code.as_str()), (2374, "3259752e"));
        let start = "{\"type\": \"record\", \"name\": \"logevent_summaryState\", \"namespace\": \"lsst.sal.Test\", \"fields\": [{\"name\": \"salIndex\", \"type\": \"int\", \"default\": 0, \"description\": \"SAL index (only ";
        assert!(event.schema_compact.starts_with(start), "{}", event.schema_compact);

        let ack = ackcmd("Test", true);
        assert_eq!(ack.schema_pretty, include_str!("../tests/data/Test_ackcmd.json"));
        assert_eq!((ack.schema_pretty.len(), ack.rev_code.as_str()), (3637, "3a49d1f3"));
    }

    /// `ackcmd` has no descriptions of its own, so its code is the official one for every component.
    #[test]
    fn ackcmd_codes_of_other_components() {
        for (component, indexed, code) in [
            ("Watcher", false, "79259f12"),
            ("OCPS", true, "33c9967f"),
            ("ScriptQueue", true, "d393f649"),
            ("Script", true, "0737073a"),
        ] {
            assert_eq!(ackcmd(component, indexed).rev_code, code, "{component}");
        }
    }

    #[test]
    fn arrays_have_a_default_for_each_element() {
        let field = Field {
            name: "boolean0".into(),
            sal_type: SalType::Boolean,
            count: 5,
            units: "unitless".into(),
            description: "Array of boolean.".into(),
            nullable: false,
        };
        let text = json::compact(&field_schema(&field));
        assert_eq!(
            text,
            r#"{"name": "boolean0", "type": {"type": "array", "items": "boolean"}, "default": [false, false, false, false, false], "description": "Array of boolean.", "units": "unitless"}"#
        );
    }
}
