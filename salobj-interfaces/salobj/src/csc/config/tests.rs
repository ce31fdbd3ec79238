use super::*;
use std::fs;

const SCHEMA: &str = r#"
$schema: http://json-schema.org/draft-07/schema#
title: Test v2
type: object
properties:
  string0: {type: string, default: "not applied"}
  bool0: {type: boolean}
  int0: {type: integer}
  nested: {type: object}
  list: {type: array, items: {type: integer}}
required: [string0, int0]
additionalProperties: false
"#;

fn spec() -> ConfigSpec {
    ConfigSpec { package: "TS_CONFIG_OCS".into(), schema: SCHEMA.into() }
}

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new(files: &[(&str, &str)]) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Fixture { dir }
    }

    fn store(&self) -> ConfigStore {
        ConfigStore::open("Test", &spec(), Some(self.dir.path()), None, Some("test")).unwrap()
    }

    fn git(&self, args: &[&str]) {
        let base = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"];
        git(self.dir.path(), &[&base[..], args].concat()).unwrap();
    }
}

const INIT: (&str, &str) = ("_init.yaml", "string0: a\nint0: 1\nnested: {a: 1, b: {c: 2}}\nlist: [1, 2]\n");

#[tokio::test]
async fn layers_merge_in_order_and_metadata_goes() {
    let f = Fixture::new(&[
        INIT,
        ("_test.yaml", "int0: 2\nnested: {b: {d: 3}}\nmetadata: {who: me}\n"),
        ("more.yaml", "list: [7]\nbool0: true\n"),
        ("empty.yaml", "# nothing here\n"),
    ]);
    let c = f.store().load("more.yaml").await.unwrap();
    let expected = serde_json::json!({
        "string0": "a", "int0": 2, "nested": {"a": 1, "b": {"c": 2, "d": 3}}, "list": [7], "bool0": true
    });
    assert_eq!(c.value, expected);
    assert_eq!(c.files, ["_init.yaml", "_test.yaml", "more.yaml"]);
    let c = f.store().load("empty.yaml").await.unwrap();
    assert_eq!(c.value["int0"], 2);
    let available = f.store().available().await;
    assert_eq!(available, Available { overrides: "empty.yaml,more.yaml".into(), version: String::new() });
    assert!(f.store().url().starts_with("file:///"));
    assert_eq!(f.store().schema_version(), "v2");
}

#[tokio::test]
async fn all_validation_errors_are_told() {
    let f = Fixture::new(&[("_init.yaml", "int0: x\nlist: [1, b]\nbool0: 3\nother: 1\nnested: 4\n")]);
    let e = f.store().load("").await.unwrap_err();
    let ConfigError::Invalid(errors) = &e else { panic!("{e}") };
    assert_eq!(errors.len(), 6, "{errors:#?}");
    let text = e.to_string();
    assert!(text.starts_with("Configuration failed validation: "), "{text}");
    for part in ["/int0", "/list/1", "/bool0", "other", "/nested", "string0"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn what_can_be_wrong_with_files() {
    let f = Fixture::new(&[
        INIT,
        ("list.yaml", "- 1\n- 2\n"),
        ("broken.yaml", "a: [1\nb: 2\n"),
        ("clash.yaml", "int0: {a: 1}\n"),
        ("clash2.yaml", "nested: 3\n"),
    ]);
    let store = f.store();
    let text = async |o: &str| store.load(o).await.unwrap_err().to_string();
    let dir = store.directory().display();
    assert_eq!(text("_x.yaml").await, "configurationOverride filename='_x.yaml' must not start with '_'");
    assert_eq!(text("no.yaml").await, format!("Config file '{dir}/no.yaml' does not exist"));
    assert!(
        text("list.yaml").await.starts_with(&format!("Could not parse data in {dir}/list.yaml as a dict: "))
    );
    assert!(
        text("broken.yaml")
            .await
            .starts_with(&format!("Could not parse data in {dir}/broken.yaml as a dict: "))
    );
    assert_eq!(text("clash.yaml").await, "config[int0]=1 is not a dict");
    assert_eq!(text("clash2.yaml").await, "clash2.yaml[nested]=3 is not a dict");
    assert!(
        text(":main")
            .await
            .starts_with(&format!("Could not read config file {dir}/_init.yaml with git hash main: "))
    );
}

#[tokio::test]
async fn git_references_and_version() {
    let f = Fixture::new(&[INIT, ("more.yaml", "int0: 5\n")]);
    f.git(&["init", "-q", "-b", "main"]);
    f.git(&["add", "."]);
    f.git(&["commit", "-q", "-m", "one"]);
    f.git(&["tag", "one"]);
    fs::write(f.dir.path().join("more.yaml"), "int0: 6\n").unwrap();
    let store = f.store();
    assert_eq!(store.load("more.yaml").await.unwrap().value["int0"], 6);
    let old = store.load("more.yaml:one").await.unwrap();
    assert_eq!((&old.value["int0"], old.reference.as_str()), (&serde_json::json!(5), "one"));
    let version = store.available().await.version;
    assert!(version.ends_with("-dirty") && version.contains("-0-g"), "{version}");
    let e = store.load("no.yaml:one").await.unwrap_err();
    assert!(matches!(e, ConfigError::Missing(_)), "it must be on disk also with a reference: {e}");
    let e = store.load("more.yaml:nosuch").await.unwrap_err().to_string();
    assert!(e.contains("with git hash nosuch"), "{e}");
    let e = store.load("more.yaml:--output=x").await.unwrap_err().to_string();
    assert!(e.contains("not a git reference"), "{e}");
}

#[test]
fn what_can_be_wrong_at_construction() {
    let open = |spec: &ConfigSpec, dir: Option<&Path>, package: Option<&Path>, site: Option<&str>| {
        ConfigStore::open("Test", spec, dir, package, site).unwrap_err().to_string()
    };
    let s = spec();
    let nowhere = Path::new("/nonexistent/dir");
    assert_eq!(open(&s, None, None, Some("test")), "Environment variable TS_CONFIG_OCS_DIR not defined");
    assert_eq!(
        open(&s, None, Some(nowhere), Some("test")),
        "/nonexistent/dir/Test/v2 = $TS_CONFIG_OCS_DIR/SAL_component_name/schema_version does not exist or is not a directory"
    );
    assert_eq!(
        open(&s, Some(nowhere), None, Some("test")),
        "config_dir=/nonexistent/dir does not exist or is not a directory"
    );
    assert_eq!(open(&s, Some(nowhere), None, None), "Environment variable $LSST_SITE not defined.");
    let untitled = ConfigSpec { schema: "title: Test\n".into(), ..s.clone() };
    let text = open(&untitled, Some(nowhere), None, Some("test"));
    assert!(text.contains("Schema title 'Test' must end with ' v<version>'"), "{text}");
}

#[test]
fn urls_are_encoded() {
    assert_eq!(file_url(Path::new("/a b/c")), "file:///a%20b/c");
}
