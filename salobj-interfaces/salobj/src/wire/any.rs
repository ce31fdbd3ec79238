//! Records of any schema as JSON, for people to look at: every field by its name, whatever its type.
//!
//! Slower than a [`Plan`](super::Plan), for what nobody has a plan of: maps, bytes and mixed unions are read too. Memory is bounded
//! by apache-avro's own limit.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use serde_json::{Map, Value as Json};

use super::WireError;

/// Reads whole records of one writer's schema.
///
/// ```
/// use salobj::wire::AnyRecord;
/// let schema = r#"{"type": "record", "name": "x", "fields": [
///     {"name": "n", "type": "int", "units": "s"}, {"name": "tags", "type": {"type": "map", "values": "string"}}]}"#;
/// let reader = AnyRecord::new(schema).unwrap();
/// assert_eq!(reader.units().collect::<Vec<_>>(), [("n", "s"), ("tags", "")]);
/// let record = reader.decode(&[6, 2, 2, b'a', 2, b'b', 0]).unwrap();
/// assert_eq!(serde_json::Value::Object(record), serde_json::json!({"n": 3, "tags": {"a": "b"}}));
/// ```
#[derive(Debug, Clone)]
pub struct AnyRecord {
    schema: Schema,
}

impl AnyRecord {
    /// A reader for records of this schema (its JSON text).
    ///
    /// # Errors
    /// [`WireError::Schema`] if the text is no Avro schema of a record.
    pub fn new(writer_schema: &str) -> Result<AnyRecord, WireError> {
        let schema = Schema::parse_str(writer_schema).map_err(|e| WireError::Schema(e.to_string()))?;
        match schema {
            Schema::Record(_) => Ok(AnyRecord { schema }),
            _ => Err(WireError::Schema("it is not a record".to_owned())),
        }
    }

    /// The fields in the writer's order, each with the unit that the schema has of it; empty if it has none.
    pub fn units(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = if let Schema::Record(record) = &self.schema { record.fields.as_slice() } else { &[] };
        fields.iter().map(|field| {
            let unit = field.custom_attributes.get("units").and_then(Json::as_str).unwrap_or_default();
            (field.name.as_str(), unit)
        })
    }

    /// The fields of an Avro body in the writer's order. Numbers that JSON does not have are texts (`NaN`), bytes are
    /// `0x` and hexadecimal digits, values with a logical type what is on the wire.
    ///
    /// # Errors
    /// The body is no record of this schema.
    pub fn decode(&self, body: &[u8]) -> Result<Map<String, Json>, WireError> {
        let mut left = body;
        let bad = |at: usize| WireError::Malformed { at, what: "it does not fit the writer's schema" };
        let reader = GenericDatumReader::builder(&self.schema)
            .build()
            .map_err(|e| WireError::Schema(e.to_string()))?;
        let value = reader.read_value(&mut left).map_err(|_| bad(body.len() - left.len()))?;
        match (value, left.len()) {
            (Avro::Record(fields), 0) => {
                Ok(fields.into_iter().map(|(name, value)| (name, json(value))).collect())
            }
            (Avro::Record(_), left) => Err(WireError::Trailing(left)),
            _ => Err(bad(0)),
        }
    }
}

fn json(value: Avro) -> Json {
    match value {
        Avro::Null => Json::Null,
        Avro::Boolean(v) => Json::from(v),
        Avro::Int(v) | Avro::Date(v) | Avro::TimeMillis(v) => Json::from(v),
        Avro::Long(v)
        | Avro::TimeMicros(v)
        | Avro::TimestampMillis(v)
        | Avro::TimestampMicros(v)
        | Avro::TimestampNanos(v)
        | Avro::LocalTimestampMillis(v)
        | Avro::LocalTimestampMicros(v)
        | Avro::LocalTimestampNanos(v) => Json::from(v),
        // As short as the four bytes allow: 0.1 and not 0.10000000149011612.
        Avro::Float(v) => number(v.to_string().parse().unwrap_or_else(|_| f64::from(v))),
        Avro::Double(v) => number(v),
        Avro::Bytes(v) | Avro::Fixed(_, v) => Json::from(hex(&v)),
        Avro::String(v) | Avro::Enum(_, v) => Json::from(v),
        Avro::Union(_, inner) => json(*inner),
        Avro::Array(all) => all.into_iter().map(json).collect(),
        Avro::Map(all) => {
            let mut all: Vec<(String, Avro)> = all.into_iter().collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all.into_iter().map(|(key, value)| (key, json(value))).collect::<Map<_, _>>().into()
        }
        Avro::Record(all) => {
            all.into_iter().map(|(key, value)| (key, json(value))).collect::<Map<_, _>>().into()
        }
        Avro::Decimal(v) => match Vec::<u8>::try_from(&v) {
            Ok(bytes) => Json::from(hex(&bytes)),
            Err(_) => Json::Null,
        },
        Avro::BigDecimal(v) => Json::from(v.to_string()),
        Avro::Duration(v) => Json::from(format!("{v:?}")),
        Avro::Uuid(v) => Json::from(v.to_string()),
    }
}

fn number(value: f64) -> Json {
    if value.is_finite() { Json::from(value) } else { Json::from(value.to_string()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type": "record", "name": "metric", "fields": [
        {"name": "value", "type": ["null", "double"], "default": null, "units": "arcsec"},
        {"name": "small", "type": "float"},
        {"name": "band", "type": {"type": "enum", "name": "band", "symbols": ["g", "r"]}},
        {"name": "run", "type": {"type": "record", "name": "run", "fields": [{"name": "visit", "type": "long"}]}},
        {"name": "all", "type": {"type": "array", "items": ["string", "long"]}},
        {"name": "raw", "type": "bytes"}]}"#;

    #[test]
    fn whatever_a_record_has_is_told() {
        let reader = AnyRecord::new(SCHEMA).unwrap();
        let mut body = vec![2];
        body.extend(f64::NAN.to_le_bytes());
        body.extend(0.1_f32.to_le_bytes());
        // r; visit 7; ["x", 3]; bytes ab
        body.extend([2, 14, 4, 0, 2, b'x', 2, 6, 0, 2, 0xab]);
        let told = Json::Object(reader.decode(&body).unwrap());
        let expected = serde_json::json!({"value": "NaN", "small": 0.1, "band": "r", "run": {"visit": 7},
            "all": ["x", 3], "raw": "0xab"});
        assert_eq!(told, expected);
        let order: Vec<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(order, ["value", "small", "band", "run", "all", "raw"]);
        assert!(matches!(reader.decode(&body[..12]), Err(WireError::Malformed { .. })));
        body.push(0);
        assert_eq!(reader.decode(&body), Err(WireError::Trailing(1)));
        assert!(matches!(AnyRecord::new("\"int\""), Err(WireError::Schema(_))));
    }
}
