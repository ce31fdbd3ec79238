//! The JSON schema of the configuration, made from the types.

use schemars::generate::SchemaSettings;

use super::CatcherConfig;

/// `config_schema/Catcher.yaml`: draft 7, as salobj's configuration validation wants it.
pub fn schema_yaml() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<CatcherConfig>();
    let body = serde_saphyr::to_string(&schema).expect("a JSON schema is plain data");
    format!("# Generated from src/config/mod.rs by `catcher schema config`; a test keeps it equal.\n{body}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_schema_is_that_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config_schema/Catcher.yaml");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, super::schema_yaml()).expect("config_schema/Catcher.yaml can be written");
        }
        let on_disk = std::fs::read_to_string(path).expect("config_schema/Catcher.yaml exists");
        assert_eq!(
            on_disk,
            super::schema_yaml(),
            "run this test with UPDATE_SCHEMA=1, or `cargo run -- schema config > config_schema/Catcher.yaml`"
        );
    }
}
