//! Several rule files together: each name stands once, and rules may read what rules of other files find.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{compile_with, step_types};
use crate::rules::diagnose::{Diagnostic, SourceFile};
use crate::rules::links::check_links;
use crate::rules::model::Rule;
use crate::rules::schema::SchemaSource;
use crate::rules::source::StepTypes;

/// What came of some rule files.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The rules of each file, in the order of the files; none for a file with mistakes.
    pub rules: Vec<Vec<Arc<Rule>>>,
    /// All mistakes, in the order of the files.
    pub mistakes: Vec<Diagnostic>,
}

/// Compiles rule files that belong together.
pub fn compile_files(files: &[SourceFile], schemas: &dyn SchemaSource) -> Compiled {
    let mut types = StepTypes::new();
    for file in files {
        types.extend(step_types(file, schemas));
    }
    let mut compiled = Compiled::default();
    for file in files {
        let rules = compile_with(file, schemas, &types).unwrap_or_else(|mistakes| {
            compiled.mistakes.extend(mistakes);
            Vec::new()
        });
        compiled.rules.push(rules);
    }
    let all_good = compiled.mistakes.is_empty();
    let mut first: BTreeMap<&str, &SourceFile> = BTreeMap::new();
    let mut file_of: BTreeMap<&str, &SourceFile> = BTreeMap::new();
    let mut twice = Vec::new();
    for (file, rules) in files.iter().zip(&compiled.rules) {
        for rule in rules {
            file_of.insert(&rule.name, file);
            match first.get(rule.name.as_str()) {
                Some(before) => {
                    let message =
                        format!("there is a rule of the name \"{}\" in {} already", rule.name, before.name);
                    twice.push(at(file, rule.span, &rule.name, message, None));
                }
                None => drop(first.insert(&rule.name, file)),
            }
        }
    }
    compiled.mistakes.extend(twice);
    // While a file has mistakes its rules are not there: others that read them are not wrong because of that.
    if all_good {
        let all: Vec<Arc<Rule>> = compiled.rules.iter().flatten().cloned().collect();
        for problem in check_links(&all) {
            let Some(file) = file_of.get(problem.rule.as_str()) else { continue };
            compiled.mistakes.push(at(file, problem.span, &problem.rule, problem.message, problem.help));
        }
    }
    compiled
}

fn at(
    file: &SourceFile,
    span: (usize, usize),
    rule: &str,
    message: String,
    help: Option<String>,
) -> Diagnostic {
    let text: Arc<str> = file.text.as_str().into();
    let mut diagnostic = Diagnostic::at(file, &text, span, message);
    diagnostic.rule = Some(rule.to_owned());
    diagnostic.help = help;
    diagnostic
}
