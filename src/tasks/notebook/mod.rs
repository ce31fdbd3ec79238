//! Jupyter notebooks as data: parameters written into them, what an executed one gave, a page made of it. Pure.
//!
//! * [`inject()`]: parameters in the way of papermill, for executors that take no parameters
//! * [`values`], [`raised`]: what an executed notebook says
//! * [`html()`]: a page to read, where nothing else makes one

mod html;
mod inject;

use serde_json::Value;

pub use html::html;
pub use inject::{inject, python};

/// A text that is no notebook that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadNotebook(pub String);

/// Reads a notebook of format 4.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<Value, BadNotebook> {
    let notebook: Value = serde_json::from_str(text).map_err(|e| BadNotebook(format!("no notebook: {e}")))?;
    if notebook["nbformat"].as_i64() != Some(4) {
        return Err(BadNotebook("no notebook of format 4".to_owned()));
    }
    if !notebook["cells"].is_array() {
        return Err(BadNotebook("no notebook: it has no cells".to_owned()));
    }
    Ok(notebook)
}

/// The tag of the cell whose JSON output is the notebook's result.
pub const RESULT_TAG: &str = "catcher-result";

/// The last JSON output of the cell tagged [`RESULT_TAG`]; null if there is none.
pub fn values(notebook: &Value) -> Value {
    let tagged = cells(notebook).iter().filter(|cell| has_tag(cell, RESULT_TAG));
    let outputs = tagged.flat_map(outputs);
    outputs.filter_map(|o| o.pointer("/data/application~1json")).last().cloned().unwrap_or_default()
}

/// An error that a cell of an executed notebook raised.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Raised {
    /// The number that Jupyter shows beside it, `In [3]`; else its place among the cells with code, from 1.
    pub cell: u64,
    /// Class of the exception.
    pub name: String,
    /// Its message.
    pub message: String,
}

/// The last error that a cell raised.
pub fn raised(notebook: &Value) -> Option<Raised> {
    let text = |output: &Value, key: &str| output[key].as_str().unwrap_or_default().to_owned();
    let code = cells(notebook).iter().filter(|cell| cell["cell_type"] == "code");
    let all = code.zip(1..).flat_map(|(cell, place)| {
        let number = cell["execution_count"].as_u64().unwrap_or(place);
        outputs(cell).filter(|o| o["output_type"] == "error").map(move |output| (number, output))
    });
    let (cell, output) = all.last()?;
    Some(Raised { cell, name: text(output, "ename"), message: text(output, "evalue") })
}

fn cells(notebook: &Value) -> &[Value] {
    notebook["cells"].as_array().map_or(&[], Vec::as_slice)
}

fn outputs(cell: &Value) -> impl Iterator<Item = &Value> {
    cell["outputs"].as_array().into_iter().flatten()
}

fn has_tag(cell: &Value, tag: &str) -> bool {
    cell.pointer("/metadata/tags").and_then(Value::as_array).is_some_and(|tags| tags.iter().any(|t| t == tag))
}

/// A text of a notebook: one string, or a list of lines.
fn joined(text: &Value) -> String {
    match text {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_notebook_is_told() {
        for (text, words) in
            [("{", "no notebook: EOF"), ("{\"nbformat\": 3}", "format 4"), ("{\"nbformat\": 4}", "no cells")]
        {
            assert!(parse(text).unwrap_err().to_string().contains(words), "{text}");
        }
        assert!(parse("{\"nbformat\": 4, \"cells\": []}").is_ok());
    }

    #[test]
    fn results_and_errors_are_found() {
        let output = |data: Value| json!({"output_type": "display_data", "data": data, "metadata": {}});
        let notebook = json!({"nbformat": 4, "cells": [
            {"cell_type": "code", "metadata": {"tags": ["catcher-result"]}, "source": "", "outputs": [
                output(json!({"text/plain": "x"})), output(json!({"application/json": {"fwhm": 0.8}})),
            ]},
            {"cell_type": "code", "metadata": {}, "source": "1/0", "outputs": [
                {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero", "traceback": []},
                output(json!({"application/json": {"not": "this"}})),
            ]},
        ]});
        assert_eq!(values(&notebook), json!({"fwhm": 0.8}));
        let zero = Raised { cell: 2, name: "ZeroDivisionError".into(), message: "division by zero".into() };
        assert_eq!(raised(&notebook), Some(zero));
        let empty = json!({"nbformat": 4, "cells": [{"cell_type": "markdown", "source": []}]});
        assert_eq!((values(&empty), raised(&empty)), (Value::Null, None));
    }
}
