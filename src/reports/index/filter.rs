//! Choosing among the rows of a list, by the style of the page alone.

use std::collections::BTreeMap;

use super::Entry;
use crate::reports::text::escape;

/// Rules of a night that can be chosen.
const CHOICES: usize = 40;

/// The rules that can be chosen: those with the most reports, numbered in the order of their names.
pub(super) fn choices(entries: &[&Entry]) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        *counts.entry(&entry.rule).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    if counts.len() < 2 {
        return BTreeMap::new();
    }
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let mut names: Vec<&str> = counts.into_iter().take(CHOICES).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.into_iter().enumerate().map(|(i, name)| (name.to_owned(), i)).collect()
}

/// Choices that hide rows by the style of the page alone; a browser that does not know how shows all rows.
pub(super) fn filter(rules: &BTreeMap<String, usize>) -> String {
    let choice = |name: &str, id: &str, text: &str, chosen: bool| {
        let chosen = if chosen { " checked" } else { "" };
        format!(
            "<label><input type=\"radio\" name=\"{name}\" id=\"{id}\"{chosen}> {}</label>\n",
            escape(text)
        )
    };
    let mut html = String::from("<fieldset class=\"filter\">\n<legend>Show</legend>\n<p>");
    html.push_str(&choice("severity", "all", "all", true));
    html.push_str(&choice("severity", "f-alarm", "alarms", false));
    html.push_str(&choice("severity", "f-high", "serious and critical", false));
    html.push_str("</p>\n<p>");
    html.push_str(&choice("outcome", "any", "any outcome", true));
    html.push_str(&choice("outcome", "f-bad", "not succeeded", false));
    if !rules.is_empty() {
        html.push_str("</p>\n<p>");
        html.push_str(&choice("rule", "every", "every rule", true));
        for (name, n) in rules {
            html.push_str(&choice("rule", &format!("f-r{n}"), name, false));
        }
    }
    html.push_str("</p>\n</fieldset>\n");
    html
}

/// What hides them, for so many rules.
pub(super) fn filter_style(rules: usize) -> String {
    let mut style = String::from(
        "main:has(#f-alarm:checked) tr.e:not(.alarm), main:has(#f-high:checked) tr.e:not(.high), \
         main:has(#f-bad:checked) tr.e:not(.bad-run)",
    );
    for n in 0..rules {
        style.push_str(&format!(", main:has(#f-r{n}:checked) tr.e:not(.r{n})"));
    }
    style.push_str(" { display: none; }\n");
    style
}
