//! The schema of rule files, as the specification types give it; `config_schema/rules.yaml` is compared with it by a test.

use schemars::JsonSchema;
use serde_json::Value as Json;

use super::compile::backends;
use super::spec::{At, Cel, Free, RuleSpec, Seconds, Table};

/// A file of rules.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct RuleFile {
    /// The rules.
    #[expect(dead_code, reason = "each rule is read by itself")]
    rules: Vec<RuleSpec>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only for the schema")]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// JSON schema of a rule file, as YAML.
pub(super) fn of_the_types() -> String {
    let mut schema = schemars::schema_for!(RuleFile);
    let object = schema.ensure_object();
    let described = "Rules of the Catcher. `catcher rules check` also checks fields, types and units.";
    object.shift_insert(0, "title".to_owned(), Json::from("Catcher rules v1"));
    object.shift_insert(1, "description".to_owned(), Json::from(described));
    let tasks = schema.pointer_mut("/$defs/TaskSpec/properties").and_then(Json::as_object_mut);
    let tasks = tasks.expect("a task has keys");
    for (place, (key, backend)) in backends::schema().into_iter().enumerate() {
        tasks.shift_insert(place, key.to_owned(), backend);
    }
    // The types hold empty lists and tables where a key is left out.
    const LEFT_OUT: &[&str] = &[
        "parameters",
        "inputs",
        "tasks",
        "tests",
        "conditions",
        "needs",
        "retry_on",
        "series",
        "results",
        "actions",
    ];
    schemars::transform::transform_subschemas(
        &mut |schema: &mut schemars::Schema| {
            let required = schema.get_mut("required").and_then(Json::as_array_mut);
            if let Some(required) = required {
                required.retain(|name| !name.as_str().is_some_and(|n| LEFT_OUT.contains(&n)));
            }
        },
        &mut schema,
    );
    let mut text = String::from(
        "# Made of the types in src/rules; a test keeps it equal and, with UPDATE_SCHEMA=1, writes it.\n",
    );
    write(schema.as_value(), 0, &mut text);
    text
}

/// Block style, every text quoted as JSON quotes it, so that YAML 1.1 readers agree.
fn write(value: &Json, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    match value {
        Json::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", quoted_key(key)));
                nested(value, indent, out);
            }
        }
        Json::Array(all) if !all.is_empty() => {
            for value in all {
                out.push_str(&format!("{pad}-"));
                nested(value, indent, out);
            }
        }
        other => out.push_str(&format!("{pad}{other}\n")),
    }
}

fn nested(value: &Json, indent: usize, out: &mut String) {
    match value {
        Json::Object(map) if !map.is_empty() => {
            out.push('\n');
            write(value, indent + 1, out);
        }
        Json::Array(all) if !all.is_empty() => {
            if all.iter().all(|v| !v.is_object() && !v.is_array()) {
                let texts: Vec<String> = all.iter().map(Json::to_string).collect();
                out.push_str(&format!(" [{}]\n", texts.join(", ")));
            } else {
                out.push('\n');
                write(value, indent + 1, out);
            }
        }
        other => out.push_str(&format!(" {other}\n")),
    }
}

fn quoted_key(key: &str) -> String {
    if key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        key.to_owned()
    } else {
        Json::from(key).to_string()
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Table<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Table_of_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let of = generator.subschema_for::<T>();
        schemars::json_schema!({"type": "object", "additionalProperties": of})
    }
}

/// The schema of a type, written out where the type is used.
macro_rules! written {
    ($of:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $of {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

written!(Seconds, "Duration", {
    "type": "string", "pattern": "^([0-9.]+(d|h|m|s|ms|us))+$", "examples": ["30s", "10m", "1h30m", "500ms"]
});
written!(Cel, "Expression", {"type": ["string", "boolean", "number"], "examples": ["wind > 10.0"]});
written!(Free, "Any", true);
