//! Parameters in the way of papermill: a cell of assignments after the one tagged `parameters`, or before all others.

use serde_json::{Map, Value, json};

use super::{BadNotebook, has_tag};

/// Words that cannot be the name of a parameter.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// The tag of the cell with the defaults.
const DEFAULTS: &str = "parameters";
/// The tag of the cell that is written.
const INJECTED: &str = "injected-parameters";

/// Writes parameters into a notebook. One that was written before is replaced.
///
/// # Errors
/// A name is none of Python.
pub fn inject(notebook: &mut Value, parameters: &Map<String, Value>) -> Result<(), BadNotebook> {
    for name in parameters.keys() {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain || KEYWORDS.contains(&name.as_str()) {
            return Err(BadNotebook(format!("{name:?} cannot be the name of a parameter in Python")));
        }
    }
    let lines = parameters.iter().map(|(name, value)| format!("{name} = {}\n", python(value)));
    let source: Vec<String> = std::iter::once("# Parameters\n".to_owned()).chain(lines).collect();
    let mut cell = json!({
        "cell_type": "code", "execution_count": null, "metadata": {"tags": [INJECTED]}, "outputs": [], "source": source,
    });
    // Cells have ids since format 4.5, and must not have them before.
    if notebook["nbformat_minor"].as_i64().is_some_and(|minor| minor >= 5) {
        cell["id"] = json!(INJECTED);
    }
    let Some(cells) = notebook["cells"].as_array_mut() else {
        return Err(BadNotebook("no notebook: it has no cells".to_owned()));
    };
    cells.retain(|cell| !has_tag(cell, INJECTED));
    let at = cells.iter().position(|cell| has_tag(cell, DEFAULTS)).map_or(0, |at| at + 1);
    cells.insert(at, cell);
    notebook["metadata"]["papermill"]["parameters"] = Value::Object(parameters.clone());
    Ok(())
}

/// A value as Python writes it.
pub fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        // What JSON escapes, Python reads in the same way.
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(all) => format!("[{}]", all.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Object(all) => {
            let each =
                all.iter().map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), python(value)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(of: Value) -> Map<String, Value> {
        of.as_object().unwrap().clone()
    }

    fn notebook(minor: i64, tags: [&[&str]; 3]) -> Value {
        let cells = tags.map(|tags| json!({"cell_type": "code", "metadata": {"tags": tags}, "source": ["x = 1\n"], "outputs": []}));
        json!({"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": cells})
    }

    #[test]
    fn a_cell_follows_the_one_with_the_defaults() {
        let mut nb = notebook(5, [&[], &["parameters"], &[]]);
        let values = parameters(
            json!({"day_obs": 20261120, "name": "it's \"x\"\n\\", "ok": true, "none": null, "z": [1.5, {"a b": false}]}),
        );
        inject(&mut nb, &values).unwrap();
        let cell = &nb["cells"][2];
        assert_eq!(cell["metadata"]["tags"], json!(["injected-parameters"]));
        let lines: Vec<&str> = cell["source"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(
            lines,
            [
                "# Parameters\n",
                "day_obs = 20261120\n",
                "name = \"it's \\\"x\\\"\\n\\\\\"\n",
                "ok = True\n",
                "none = None\n",
                "z = [1.5, {\"a b\": False}]\n"
            ]
        );
        assert_eq!(cell["id"], "injected-parameters");
        assert_eq!(nb["metadata"]["papermill"]["parameters"]["day_obs"], 20261120);
        let cells = nb["cells"].as_array().unwrap().len();
        inject(&mut nb, &parameters(json!({"day_obs": 1}))).unwrap();
        assert_eq!(nb["cells"].as_array().unwrap().len(), cells, "it is replaced");
    }

    #[test]
    fn without_defaults_it_comes_first_and_old_formats_have_no_ids() {
        let mut nb = notebook(4, [&[], &[], &[]]);
        inject(&mut nb, &parameters(json!({"a": 1}))).unwrap();
        assert_eq!(nb["cells"][0]["source"][1], "a = 1\n");
        assert!(nb["cells"][0].get("id").is_none());
    }

    #[test]
    fn names_are_names_of_python() {
        for name in ["class", "a b", "1a", "", "a;import os"] {
            let error = inject(&mut notebook(5, [&[], &[], &[]]), &parameters(json!({name: 1}))).unwrap_err();
            assert!(error.to_string().contains("name of a parameter"), "{name}");
        }
    }
}
