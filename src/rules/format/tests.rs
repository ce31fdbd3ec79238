use super::*;

fn file(text: &str) -> SourceFile {
    SourceFile { name: "f.yaml".into(), text: text.into() }
}

fn every_file() -> Vec<SourceFile> {
    let mut found = Vec::new();
    let mut open = vec![
        std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/config_schema/examples")),
        std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rules_bad")),
    ];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(SourceFile { name: path.display().to_string(), text });
        }
    }
    found
}

#[test]
fn the_shipped_files_are_canonical() {
    let shipped: Vec<_> = every_file().into_iter().filter(|f| f.name.contains("examples")).collect();
    assert!(shipped.len() >= 2);
    for file in shipped {
        assert_eq!(format(&file).unwrap(), file.text, "{}", file.name);
    }
}

#[test]
fn formatting_twice_is_formatting_once() {
    let mut count = 0;
    for source in every_file() {
        let Ok(once) = format(&source) else { continue };
        count += 1;
        assert_eq!(format(&file(&once)).unwrap(), once, "{}", source.name);
    }
    assert!(count > 100);
}

#[test]
fn what_is_written_otherwise_becomes_canonical_and_means_the_same() {
    let text = "# head\nrules:\n- name:   A   # why\n  inputs:\n      wind:   { topic: \"ESS:301.tel_airFlow\",field: speed }   \n\
                \x20     # about b\n      b: {topic: \"X\",\n  field: 'a,b'}\n\n\n  alarm:\n     levels: {warning: 3,   serious: 4}\n\
                \x20    reason: >\n         some text\n           more\n\n     value: 'a: b,  c'\n# tail\n";
    let canonical = "# head\nrules:\n  - name: A   # why\n    inputs:\n      wind: {topic: \"ESS:301.tel_airFlow\", field: speed}\n\
                \x20     # about b\n      b: {topic: \"X\", field: 'a,b'}\n\n    alarm:\n      levels: {warning: 3, serious: 4}\n\
                \x20     reason: >\n        some text\n          more\n\n      value: 'a: b,  c'\n# tail\n";
    assert_eq!(format(&file(text)).unwrap(), canonical);
    assert_eq!(format(&file(canonical)).unwrap(), canonical);
}

#[test]
fn no_indentation_of_a_file_changes_the_result() {
    for source in every_file().into_iter().filter(|f| f.name.contains("examples")) {
        let wide: Vec<String> = source
            .text
            .lines()
            .map(|l| format!("{}{l}   ", " ".repeat(l.len() - l.trim_start().len())))
            .collect();
        let wide = file(&wide.join("\n"));
        let read = |f: &SourceFile| yaml::parse(f, &f.text.as_str().into()).ok().map(|n| n.json());
        // Where the blanks at line ends belong to a text it is another file.
        if read(&wide).is_some() && read(&wide) == read(&source) {
            assert_eq!(format(&wide).unwrap(), source.text, "{}", source.name);
        }
    }
}

#[test]
fn what_is_not_yaml_is_told_with_its_place() {
    assert_eq!(format(&file("a: [1,\n")).unwrap_err().file, "f.yaml");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { max_shrink_iters: 50, ..Default::default() })]

    #[test]
    fn generated_files_keep_their_meaning(
        names in proptest::collection::vec("[a-z]{1,6}", 1..4),
        texts in proptest::collection::vec("[ -~]{0,20}", 4),
        step in 1..5_usize,
        gap in 1..4_usize,
    ) {
        let mut text = String::from("rules:\n");
        let (one, two) = (" ".repeat(step), " ".repeat(2 * step));
        let quoted = |t: &str| format!("'{}'", t.replace('\'', "''"));
        for (i, name) in names.iter().enumerate() {
            let (a, b) = (quoted(&texts[i % 4]), quoted(&texts[(i + 1) % 4]));
            text.push_str(&format!(
                "{one}-{gap}name: {name}{i}   # {a}\n{one} {gap}flow: {{ x: {a},y: [1,  2, {b} ] }}\n{one} {gap}deep:\n{one} {gap}{two}k: {b}\n",
                gap = " ".repeat(gap),
            ));
        }
        let source = file(&text);
        let made = format(&source).unwrap();
        let read = |t: &str| yaml::parse(&file(t), &t.into()).unwrap().json();
        proptest::prop_assert_eq!(read(&text), read(&made));
        proptest::prop_assert_eq!(format(&file(&made)).unwrap(), made);
    }
}
