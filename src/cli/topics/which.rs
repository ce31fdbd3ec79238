//! Which topics a user means: as rules name them, by pattern, or by their names on the bus.
//!
//! | written | means |
//! |---|---|
//! | `ESS:301.tel_airFlow`, `ESS.tel_airFlow` | a SAL topic, of one instance or of all |
//! | `'ESS.*'`, `'*.evt_summaryState'` | all SAL topics of this bus that fit |
//! | `lsst.square.metric`, `'lsst.square.*'` | topics by their names on the bus |

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use sal_idl::Library;
use sal_idl::names::{kafka_topic, parse_kafka_topic};

use crate::rules::{glob_matches, suggest};

/// What a user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Named {
    /// Component, instance, and the topic as an attribute (`tel_airFlow`); both names may be patterns.
    Sal { component: String, index: Option<i64>, attr: String },
    /// Name on the bus, or a pattern of such.
    Bus(String),
}

/// A topic of the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Chosen {
    /// Name on the bus.
    pub(in crate::cli) kafka: String,
    /// Component and SAL name, if it is a SAL topic of this bus.
    pub(in crate::cli) sal: Option<Sal>,
    /// Only these instances; all if there are none.
    pub(in crate::cli) indices: Vec<i64>,
    /// False: the interfaces have it, the bus does not have it yet.
    pub(in crate::cli) there: bool,
}

/// Component and SAL name.
type Sal = (String, String);

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

impl Named {
    /// Reads what a user wrote.
    pub(in crate::cli) fn read(text: &str) -> anyhow::Result<Named> {
        let bus = || Ok(Named::Bus(text.to_owned()));
        let Some((component, attr)) = text.split_once('.') else { return bus() };
        let known = ["tel_", "evt_", "cmd_"].iter().any(|kind| attr.starts_with(kind));
        if attr.contains('.') || !(known || attr == "ackcmd" || is_pattern(attr)) {
            return bus();
        }
        let (component, index) = match component.split_once(':') {
            None => (component, None),
            Some((component, "*")) => (component, None),
            Some((component, index)) => {
                let index = index.parse().map_err(|_| anyhow!("'{text}': '{index}' is no index"))?;
                (component, Some(index))
            }
        };
        Ok(Named::Sal { component: component.to_owned(), index, attr: attr.to_owned() })
    }
}

/// `tel_airFlow` of `airFlow`.
pub(in crate::cli) fn attr_of(sal_name: &str) -> String {
    match sal_name.split_once('_') {
        Some(("logevent", name)) => format!("evt_{name}"),
        Some(("command", name)) => format!("cmd_{name}"),
        _ if sal_name == "ackcmd" => sal_name.to_owned(),
        _ => format!("tel_{sal_name}"),
    }
}

fn sal_name_of(attr: &str) -> String {
    match attr.split_once('_') {
        Some(("evt", name)) => format!("logevent_{name}"),
        Some(("cmd", name)) => format!("command_{name}"),
        Some(("tel", name)) => name.to_owned(),
        _ => attr.to_owned(),
    }
}

/// The topics that are meant, each once, in the order of their names. `known` are the topics of the bus.
///
/// # Errors
/// Nothing of that name, or nothing that fits a pattern; with the name that was probably meant.
pub(in crate::cli) fn chosen(
    named: &[Named],
    known: &[String],
    subname: &str,
    library: &Library,
) -> anyhow::Result<Vec<Chosen>> {
    // None: all instances.
    let mut all: BTreeMap<String, (Option<Sal>, Option<Vec<i64>>)> = BTreeMap::new();
    let mut add = |kafka: &str, index: Option<i64>| {
        let sal = parse_kafka_topic(kafka).filter(|(of, ..)| *of == subname);
        let sal = sal.map(|(_, component, sal_name)| (component.to_owned(), sal_name.to_owned()));
        let entry = all.entry(kafka.to_owned()).or_insert((sal, Some(Vec::new())));
        match (index, &mut entry.1) {
            (Some(index), Some(indices)) => indices.push(index),
            (None, indices) => *indices = None,
            (Some(_), None) => {}
        }
    };
    for one in named {
        match one {
            Named::Sal { component, index, attr } if is_pattern(component) || is_pattern(attr) => {
                let fits = |kafka: &&String| {
                    parse_kafka_topic(kafka).is_some_and(|(of, own, sal_name)| {
                        of == subname && fits(component, own) && fits(attr, &attr_of(sal_name))
                    })
                };
                let before = known.iter().filter(fits).map(|kafka| add(kafka, *index)).count();
                if before == 0 {
                    bail!("no SAL topic of this bus (subname {subname}) fits {component}.{attr}");
                }
            }
            Named::Sal { component, index, attr } => {
                let kafka = kafka_topic(subname, component, &sal_name_of(attr));
                if !known.contains(&kafka) {
                    exists(component, attr, known, subname, library)?;
                }
                add(&kafka, *index);
            }
            Named::Bus(pattern) => {
                let before =
                    known.iter().filter(|kafka| fits(pattern, kafka)).map(|kafka| add(kafka, None)).count();
                if before == 0 {
                    let names = known.iter().map(String::as_str);
                    let help = suggest(pattern, names, "topics").unwrap_or_default();
                    bail!("the bus has no topic '{pattern}'; {help}");
                }
            }
        }
    }
    let chosen = |(kafka, (sal, indices)): (String, (_, Option<Vec<i64>>))| {
        let there = known.contains(&kafka);
        Chosen { kafka, sal, indices: indices.unwrap_or_default(), there }
    };
    Ok(all.into_iter().map(chosen).collect())
}

fn fits(pattern: &str, name: &str) -> bool {
    if is_pattern(pattern) { glob_matches(pattern, name) } else { pattern == name }
}

/// Do the interfaces have it? Then it may still come.
fn exists(
    component: &str,
    attr: &str,
    known: &[String],
    subname: &str,
    library: &Library,
) -> anyhow::Result<()> {
    if library.contains(component) {
        let topics = &library.component(component)?.topics;
        let sal_name = sal_name_of(attr);
        if topics.iter().any(|t| t.sal_name == sal_name) {
            return Ok(());
        }
        let attrs: Vec<String> = topics.iter().map(|t| attr_of(&t.sal_name)).collect();
        let help = suggest(attr, attrs.iter().map(String::as_str), "topics").unwrap_or_default();
        bail!("component {component} has no topic {attr}; {help}");
    }
    let of_bus: Vec<(&str, &str)> = known
        .iter()
        .filter_map(|kafka| parse_kafka_topic(kafka))
        .filter(|(of, ..)| *of == subname)
        .map(|(_, component, sal_name)| (component, sal_name))
        .collect();
    let own: Vec<String> = of_bus.iter().filter(|(c, _)| *c == component).map(|(_, s)| attr_of(s)).collect();
    if own.is_empty() {
        let names = library.names().chain(of_bus.iter().map(|(component, _)| *component));
        let help = suggest(component, names, "components").unwrap_or_default();
        bail!("neither the interfaces nor this bus (subname {subname}) have a component {component}; {help}");
    }
    let help = suggest(attr, own.iter().map(String::as_str), "topics").unwrap_or_default();
    bail!("this bus has no topic {component}.{attr}; {help}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        let names = [
            "lsst.sal.Dome.logevent_x",
            "lsst.sal.ESS.airFlow",
            "lsst.sal.ESS.logevent_heartbeat",
            "lsst.square.m",
        ];
        names.map(str::to_owned).to_vec()
    }

    fn meant(texts: &[&str]) -> Result<Vec<Chosen>, String> {
        let named: Vec<Named> = texts.iter().map(|t| Named::read(t).unwrap()).collect();
        chosen(&named, &known(), "sal", &Library::embedded()).map_err(|e| e.to_string())
    }

    fn names(texts: &[&str]) -> Vec<String> {
        meant(texts).unwrap().into_iter().map(|c| c.kafka).collect()
    }

    #[test]
    fn topics_are_named_as_rules_do_by_pattern_and_by_their_names() {
        let one = meant(&["ESS:301.tel_airFlow", "ESS:302.tel_airFlow"]).unwrap();
        assert_eq!((one.len(), &one[0].indices, one[0].there), (1, &vec![301, 302], true));
        assert_eq!(one[0].sal, Some(("ESS".to_owned(), "airFlow".to_owned())));
        assert!(meant(&["ESS:301.tel_airFlow", "ESS.tel_airFlow"]).unwrap()[0].indices.is_empty());
        assert_eq!(names(&["ESS.*"]), known()[1..3]);
        assert_eq!(names(&["*.evt_*"]), [known()[0].clone(), known()[2].clone()]);
        assert_eq!(names(&["lsst.square.*", "Dome:3.evt_x"]), [known()[0].clone(), known()[3].clone()]);
        assert_eq!(meant(&["lsst.square.m"]).unwrap()[0].sal, None);
        assert!(!meant(&["ATCamera.evt_endReadout"]).unwrap()[0].there, "it may still come");
    }

    #[test]
    fn what_is_not_there_is_told_with_what_was_meant() {
        for (text, expected) in [
            ("ESS.tel_airflow", "did you mean \"tel_airFlow\"?"),
            ("Dome.evt_y", "did you mean \"evt_x\"?"),
            ("Esss.tel_airFlow", "did you mean \"ESS\"?"),
            ("lsst.square.n", "did you mean \"lsst.square.m\"?"),
            ("Dome.tel_*", "no SAL topic of this bus"),
        ] {
            let said = meant(&[text]).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
        assert!(Named::read("ESS:x.tel_airFlow").unwrap_err().to_string().contains("no index"));
    }
}
