//! The schema file of the configuration is that of the types.

use schemars::generate::SchemaSettings;

use super::{CatcherConfig, SCHEMA};

/// `config_schema/Catcher.yaml`: draft 7, as salobj's configuration validation wants it.
fn of_the_types() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<CatcherConfig>();
    let body = serde_saphyr::to_string(&schema).expect("a JSON schema is plain data");
    format!(
        "# Made of the types in src/config; a test keeps it equal and, with UPDATE_SCHEMA=1, writes it.\n{body}"
    )
}

#[test]
fn the_checked_in_schema_is_that_of_the_types() {
    let made = of_the_types();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config_schema/Catcher.yaml");
        return std::fs::write(path, made).expect("config_schema/Catcher.yaml can be written");
    }
    assert_eq!(SCHEMA, made, "run this test with UPDATE_SCHEMA=1");
}
