//! Patterns of alarm names: `*` for any text, `?` for one letter; the whole name, capital and small letters as written.

use serde::{Deserialize, Serialize};

/// A pattern. A text without `*` and `?` is a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Letter(char),
    One,
    Any,
}

fn parts(text: &str) -> Vec<Part> {
    let part = |c| match c {
        '*' => Part::Any,
        '?' => Part::One,
        c => Part::Letter(c),
    };
    text.chars().map(part).collect()
}

impl Glob {
    /// The pattern that this text is; every text is one.
    pub fn new(text: impl Into<String>) -> Glob {
        Glob(text.into())
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The one name that it stands for, if it is no pattern.
    pub fn name(&self) -> Option<&str> {
        (!self.0.contains(['*', '?'])).then_some(self.text())
    }

    /// Is this its name?
    pub fn matches(&self, name: &str) -> bool {
        match self.name() {
            Some(own) => own == name,
            None => meet(&parts(&self.0), &name.chars().map(Part::Letter).collect::<Vec<_>>()),
        }
    }

    /// Is there a name that begins with this text, goes on, and is its name?
    pub fn matches_beginning(&self, beginning: &str) -> bool {
        let mut names: Vec<Part> = beginning.chars().map(Part::Letter).collect();
        names.extend([Part::One, Part::Any]);
        meet(&parts(&self.0), &names)
    }
}

/// Is there a text that both describe? `reach[j]`: what was read of `a` so far and the first `j` parts of `b` can be the same.
fn meet(a: &[Part], b: &[Part]) -> bool {
    let mut reach = vec![false; b.len() + 1];
    for i in 0..=a.len() {
        let before = std::mem::replace(&mut reach, vec![false; b.len() + 1]);
        for j in 0..=b.len() {
            // The last part of either may stand for nothing, if it is any text; else both stand for one same letter.
            let nothing = (i == 0 && j == 0)
                || (i > 0 && a[i - 1] == Part::Any && before[j])
                || (j > 0 && b[j - 1] == Part::Any && reach[j - 1]);
            let longer = i > 0 && j > 0 && {
                let (x, y) = (a[i - 1], b[j - 1]);
                let both = match (x, y) {
                    (Part::Letter(x), Part::Letter(y)) => x == y,
                    _ => true,
                };
                let from = (x == Part::Any && reach[j - 1]) || (y == Part::Any && before[j]);
                both && (before[j - 1] || from)
            };
            reach[j] = nothing || longer;
        }
    }
    reach[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_match() {
        for (glob, name) in [
            ("Power", "Power"),
            ("Power.*", "Power."),
            ("*", ""),
            ("D?me.*r", "Dome.Shutter"),
            ("a*b*c", "abbc"),
        ] {
            assert!(Glob::new(glob).matches(name), "{glob} {name}");
        }
        for (glob, name) in
            [("Power", "Power.Main"), ("Power", "power"), ("?", ""), ("a*b", "ac"), ("*x", "xy")]
        {
            assert!(!Glob::new(glob).matches(name), "{glob} {name}");
        }
    }

    #[test]
    fn names_that_only_begin_are_met() {
        for (glob, beginning) in [
            ("Alert.*", "Alert."),
            ("*", "Alert."),
            ("*7", "Alert."),
            ("Alert.7", "Alert."),
            ("A*t?7", "Alert."),
        ] {
            assert!(Glob::new(glob).matches_beginning(beginning), "{glob} {beginning}");
        }
        for (glob, beginning) in
            [("Alert.", "Alert."), ("Alert", "Alert."), ("Power.*", "Alert."), ("?", "Alert.")]
        {
            assert!(!Glob::new(glob).matches_beginning(beginning), "{glob} {beginning}");
        }
    }

    proptest::proptest! {
        #[test]
        fn as_a_regular_expression_says(glob in "[ab*?]{0,7}", name in "[ab]{0,8}") {
            let regex = format!("^{}$", glob.replace('*', ".*").replace('?', "."));
            let says = regex::Regex::new(&regex).unwrap().is_match(&name);
            proptest::prop_assert_eq!(Glob::new(glob).matches(&name), says);
        }
    }
}
