//! Explanations: the same answers as the evaluator's, terms as they are written, and which of them decided.

use super::*;

impl Bench {
    fn explain(&self, text: &str) -> Term {
        let checked = self.check(text).unwrap_or_else(|m| panic!("{text}: {m:?}"));
        self.run(&checked, |checked, env, names| {
            explain::Explainer { env, names, stateful: &[] }.explain(&checked.outline)
        })
    }

    fn same_as_evaluated(&self, text: &str) {
        let (value, why) = self.json(text);
        let term = self.explain(text);
        let known = if term.is_unknown() { json!("unknown") } else { term.value.clone() };
        assert_eq!(known, value, "{text}: {term:#?}");
        if value == json!("unknown") {
            assert_eq!(term.unknown, why.or(term.unknown.clone()), "{text}");
        }
        assert_eq!(term.text, text.trim());
        self.terms_are_expressions(&term, text);
    }

    /// Every term is an expression of its own, with the value that is told of it.
    fn terms_are_expressions(&self, term: &Term, whole: &str) {
        for inner in &term.terms {
            assert!(whole.contains(&inner.text), "{whole}: {}", inner.text);
            // What stands for each element of a list is none.
            if inner.note.is_some() {
                continue;
            }
            // The name of a message alone is none either.
            if inner.value.is_null() && inner.unknown.is_none() {
                continue;
            }
            let value = self.json(&inner.text).0;
            let known = if inner.is_unknown() { json!("unknown") } else { inner.value.clone() };
            assert_eq!(known, value, "{} in {whole}", inner.text);
            self.terms_are_expressions(inner, whole);
        }
    }
}

#[test]
fn the_answer_is_that_of_the_evaluator() {
    let bench = Bench::new();
    for (text, _) in corpus() {
        bench.same_as_evaluated(text);
    }
    for text in [
        "late > 0.0 && c",
        "late > 0.0 || b",
        "late > 0.0 && b",
        "!(late > 0.0)",
        "c ? x : late",
        "(x > 3.0 || b) && (n > 100 || c) || !(b && c)",
        " x>3.0&&(y<1.0||( b )) ",
        "tasks . jitter . result . rms > 0.5 && [1, 2][0] == 1 && xs [ 1 ] > 2.0",
        "s.startsWith('se) && (') || '(' == s || \"a\\\")\" == s",
        "n in [1, (2), 7] && (n in ns || true)",
        "ns.filter(i, i > 2)[0] == 3 && -n < 0 && -(-n) > 0",
        "xs[3] > 1.0 || nan > 0.0",
        // The reason is that of the term that matters.
        "(late > 0.0 || b) && ns[13] > 1",
        "(late > 0.0 && c) || ns[13] > 1",
        "ns.exists(i, i == 1 || late > 0.0) && ns[13] > 1",
    ] {
        bench.same_as_evaluated(text);
    }
}

#[test]
fn the_deciding_terms_are_found() {
    let bench = Bench::new();
    for (text, deciding) in [
        ("x > 3.0", vec!["x > 3.0"]),
        // The first that is false decides, those after it are not looked at.
        ("b && n > 100 && c", vec!["n > 100"]),
        ("b && n > 1", vec!["b", "n > 1"]),
        ("c || n > 1 || b", vec!["n > 1"]),
        ("c || n > 100", vec!["c", "n > 100"]),
        // What is unknown decides where nothing else does; in it, the input.
        ("late > 0.0 && b", vec!["late"]),
        ("late > 0.0 && c", vec!["c"]),
        ("!(b && n > 100)", vec!["n > 100"]),
        ("b ? x > 3.0 : late > 0.0", vec!["b", "x > 3.0"]),
        ("ns.exists(i, i > 2)", vec!["i > 2", "i > 2"]),
        ("ns.all(i, i < 3)", vec!["i < 3", "i < 3"]),
    ] {
        let term = bench.explain(text);
        let found: Vec<&str> = term.deciding().iter().map(|t| t.text.as_str()).collect();
        assert_eq!(found, deciding, "{text}: {term:#?}");
    }
    let term = bench.explain("c && x > 3.0");
    assert!(!term.terms[0].skipped && term.terms[1].skipped);
    assert_eq!(term.terms[1].terms[0].age_s, Some(10.0), "{term:#?}");
}

#[test]
fn elements_of_long_lists_are_few_and_have_the_deciding_one() {
    let mut bench = Bench::new();
    bench.values[8] = Value::Ints((0..500).collect());
    let term = bench.explain("ns.exists(i, i == 300)");
    assert_eq!(term.value, json!(true));
    assert!(term.terms.len() <= 6, "{}", term.terms.len());
    assert!(term.terms.iter().any(|t| t.decides && t.note.as_deref() == Some("i = 300")), "{term:#?}");
    let term = bench.explain("ns.all(i, i >= 0)");
    assert_eq!((term.value.clone(), term.terms.len()), (json!(true), 6));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn conditions_are_explained_as_evaluated(text in condition_of(numeric(2))) {
        Bench::new().same_as_evaluated(&text);
    }

    #[test]
    fn numbers_are_explained_as_evaluated(text in numeric(3)) {
        Bench::new().same_as_evaluated(&text);
    }

    #[test]
    fn unknown_terms_are_explained_as_evaluated(text in condition_of(numeric(2)), late in 0..3_usize) {
        let mut bench = Bench::new();
        // Each of n, m and b in turn is older than it may be.
        bench.marks[[2, 3, 4][late]].fresh_until = 1.0;
        bench.same_as_evaluated(&text);
    }
}
