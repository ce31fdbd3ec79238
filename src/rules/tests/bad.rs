//! A corpus of wrong rules, one defect each, and what is said of them.

use crate::rules::{SourceFile, compile};

fn corpus() -> Vec<SourceFile> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rules_bad");
    let mut files: Vec<SourceFile> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| SourceFile {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            text: std::fs::read_to_string(path).unwrap(),
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// One line for each mistake, with what stands at its place: this is the snapshot to read through.
#[test]
fn every_wrong_rule_is_told_what_is_wrong() {
    let library = sal_idl::Library::embedded();
    let files = corpus();
    assert!(files.len() >= 100, "{} files", files.len());
    let mut text = String::new();
    for file in files {
        let found = compile(&file, &library).expect_err(&file.name);
        for d in &found {
            let (from, len) = d.span;
            let place = file.text[from..from + len].lines().next().unwrap_or("");
            assert!(d.render(false).contains(&file.name), "{d}");
            text.push_str(&format!("{d}\n    at: {place}\n"));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn mistakes_are_drawn_with_a_caret() {
    let library = sal_idl::Library::embedded();
    let mut text = String::new();
    for file in
        corpus().iter().filter(|f| ["unit_clash.yaml", "cyclic_tasks.yaml"].contains(&f.name.as_str()))
    {
        for d in compile(file, &library).unwrap_err() {
            text.push_str(&d.render(false));
        }
    }
    insta::assert_snapshot!(text);
}
