//! From the XML of one file to topics and enumerations.

use std::collections::BTreeMap;

use crate::error::Problems;
use crate::model::{EnumItem, Enumeration, Field, SalType, Topic};
use crate::schema;
use crate::xml::Element;

/// Longest array accepted: the schema text holds a default for each element.
const MAX_COUNT: usize = 100_000;

/// Topic elements that may stand in a set.
pub(crate) const TOPIC_TAGS: [&str; 3] = ["SALCommand", "SALEvent", "SALTelemetry"];

/// One `SALSubsystem` entry.
#[derive(Debug, Clone)]
pub(crate) struct Subsystem {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) index_enumeration: String,
    pub(crate) added_generics: Vec<String>,
}

impl Subsystem {
    pub(crate) fn indexed(&self) -> bool {
        self.index_enumeration != "no"
    }
}

/// The entries of `SALSubsystems.xml` by name.
pub(crate) fn subsystems(root: &Element, problems: &mut Problems) -> BTreeMap<String, Subsystem> {
    let mut out = BTreeMap::new();
    for entry in root.children.iter().filter(|e| e.name == "SALSubsystem") {
        let Some(name) = required(entry, "Name", "SALSubsystem", problems).map(str::trim) else { continue };
        let place = format!("SALSubsystem {name}");
        let index = required(entry, "IndexEnumeration", &place, problems);
        let generics = required(entry, "AddedGenerics", &place, problems);
        let (Some(index), Some(generics)) = (index, generics) else { continue };
        let subsystem = Subsystem {
            name: name.to_owned(),
            description: entry.child_text("Description").unwrap_or("").to_owned(),
            index_enumeration: index.trim().to_owned(),
            added_generics: generics.split(',').map(|g| g.trim().to_owned()).collect(),
        };
        if out.insert(name.to_owned(), subsystem).is_some() {
            problems.push(entry.line, place, "this component is listed twice");
        }
    }
    out
}

/// The generic topics: elements in file order, with name (without `SALGeneric_`) and category.
#[derive(Debug, Clone, Default)]
pub(crate) struct Generics {
    pub(crate) topics: Vec<Generic>,
}

/// One generic topic.
#[derive(Debug, Clone)]
pub(crate) struct Generic {
    pub(crate) sal_name: String,
    pub(crate) category: Option<String>,
    pub(crate) element: Element,
}

/// The topics of `SALGenerics.xml`: the children of its sets.
pub(crate) fn generics(root: &Element, problems: &mut Problems) -> Generics {
    let mut topics: Vec<Generic> = Vec::new();
    for element in root.children.iter().flat_map(|set| &set.children) {
        if !TOPIC_TAGS.contains(&element.name.as_str()) {
            continue;
        }
        let Some(name) = required(element, "EFDB_Topic", &element.name, problems) else { continue };
        let Some(sal_name) = name.strip_prefix("SALGeneric_") else {
            problems.push(
                element.line,
                format!("{} {name}", element.name),
                "EFDB_Topic does not start with SALGeneric_",
            );
            continue;
        };
        if topics.iter().any(|t| t.sal_name == sal_name) {
            problems.push(element.line, format!("{} {name}", element.name), "this topic is defined twice");
            continue;
        }
        topics.push(Generic {
            sal_name: sal_name.to_owned(),
            category: element.child_text("Category").map(|c| c.trim().to_owned()),
            element: element.clone(),
        });
    }
    Generics { topics }
}

/// SAL name of a topic element: what follows the first `_` of `EFDB_Topic`.
pub(crate) fn sal_name(element: &Element, problems: &mut Problems) -> Option<String> {
    let full = required(element, "EFDB_Topic", &element.name, problems)?;
    match full.split_once('_') {
        Some((_, name)) if !name.is_empty() => Some(name.to_owned()),
        _ => {
            let message = "EFDB_Topic has no `_`; expected <component>_command_<x>, <component>_logevent_<x> or <component>_<x>";
            problems.push(element.line, format!("{} {full}", element.name), message);
            None
        }
    }
}

/// The topic that an element defines. Faults go to `problems`; the topic is complete only if there are none.
pub(crate) fn topic(
    element: &Element,
    component: &str,
    indexed: bool,
    sal_name: &str,
    problems: &mut Problems,
) -> Topic {
    let place = format!("{} {}", element.name, element.child_text("EFDB_Topic").unwrap_or(sal_name));
    let mut fields = schema::private_fields(indexed);
    for item in element.children.iter().filter(|c| c.name == "item") {
        if let Some(field) = field(item, &place, problems) {
            if fields.iter().any(|f| f.name == field.name) {
                problems.push(
                    item.line,
                    format!("{place} / item {}", field.name),
                    "this field appears twice, or is a private one",
                );
            } else {
                fields.push(field);
            }
        }
    }
    schema::topic(component, sal_name, element.child_text("Description").unwrap_or(""), fields)
}

fn field(item: &Element, topic: &str, problems: &mut Problems) -> Option<Field> {
    let place = match item.child_text("EFDB_Name") {
        Some(name) => format!("{topic} / item {name}"),
        None => format!("{topic} / item"),
    };
    let name = required(item, "EFDB_Name", &place, problems);
    let sal_type = required(item, "IDL_Type", &place, problems).and_then(|text| {
        let found = SalType::from_name(text);
        if found.is_none() {
            let line = item.child("IDL_Type").map_or(item.line, |e| e.line);
            let known = SalType::NAMES.map(|(n, _)| n).join(", ");
            problems.push(
                line,
                format!("{place} / IDL_Type"),
                format!("{text:?} is not a SAL type; one of {known}"),
            );
        }
        found
    });
    let count = match item.child_text("Count") {
        None => Some(1),
        Some(text) => {
            let count = text.trim().parse().ok().filter(|n| (1..=MAX_COUNT).contains(n));
            if count.is_none() {
                let line = item.child("Count").map_or(item.line, |e| e.line);
                let message = format!("{text:?} is not a whole number from 1 to {MAX_COUNT}");
                problems.push(line, format!("{place} / Count"), message);
            }
            count
        }
    };
    let (name, sal_type, count) = (name?, sal_type?, count?);
    Some(Field {
        name: name.to_owned(),
        sal_type,
        // SAL has no arrays of strings; a count there is history.
        count: if sal_type == SalType::String { 1 } else { count },
        units: item.child_text("Units").unwrap_or("unitless").to_owned(),
        description: item.child_text("Description").unwrap_or("").to_owned(),
        nullable: false,
    })
}

/// The set-level enumerations of a set: `Class_Item[=value], ...`; without values the items count from 1.
pub(crate) fn enumerations(set: &Element, problems: &mut Problems) -> Vec<Enumeration> {
    let elements = set.children.iter().filter(|c| c.name == "Enumeration" && !c.text.trim().is_empty());
    elements.filter_map(|e| enumeration(&e.text, e.line, problems)).collect()
}

fn enumeration(text: &str, line: usize, problems: &mut Problems) -> Option<Enumeration> {
    let mut class: Option<&str> = None;
    let mut items: Vec<EnumItem> = Vec::new();
    let mut next = 1;
    let before = problems.len();
    for raw in text.split(',').map(str::trim) {
        let (full, value) = match raw.split_once('=') {
            Some((full, value)) => (full.trim(), Some(value.trim())),
            None => (raw, None),
        };
        let Some((prefix, item)) = full.split_once('_') else {
            problems.push(
                line,
                "Enumeration",
                format!("{raw:?} is not of the form Class_Item or Class_Item=value"),
            );
            continue;
        };
        if class.is_some_and(|c| c != prefix) {
            let message = format!(
                "{full} does not belong to {}; one element holds one enumeration",
                class.unwrap_or("")
            );
            problems.push(line, "Enumeration", message);
            continue;
        }
        class = Some(prefix);
        let Some(value) = value.map_or(Some(next), integer) else {
            problems.push(line, "Enumeration", format!("{raw:?}: the value is not a decimal or 0x integer"));
            continue;
        };
        if items.iter().any(|i| i.name == item) {
            problems.push(line, "Enumeration", format!("{full} appears twice"));
            continue;
        }
        items.push(EnumItem { name: item.to_owned(), value });
        next = value.saturating_add(1);
    }
    (problems.len() == before).then(|| Enumeration { name: class.unwrap_or("").to_owned(), items })
}

/// Decimal (also with leading zeros) or `0x` hexadecimal, possibly negative.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value.ok().map(|v: i64| v.saturating_mul(sign))
}

fn required<'a>(element: &'a Element, child: &str, place: &str, problems: &mut Problems) -> Option<&'a str> {
    let text = element.child_text(child);
    if text.is_none() {
        let line = element.child(child).map_or(element.line, |e| e.line);
        problems.push(line, place, format!("{child} is missing or empty"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::parse;

    fn topic_of(xml: &str) -> (Topic, Vec<String>) {
        let root = parse("T_Events.xml", xml.as_bytes()).expect("well-formed");
        let mut problems = Problems::new("T_Events.xml");
        let name = sal_name(&root, &mut problems).unwrap_or_default();
        let topic = topic(&root, "T", false, &name, &mut problems);
        (topic, problems.into_inner().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_of_an_item() {
        let (topic, problems) = topic_of(
            "<SALEvent><EFDB_Topic>T_logevent_x_y</EFDB_Topic>
             <item><EFDB_Name>a</EFDB_Name><IDL_Type>unsigned int</IDL_Type></item>
             <item><EFDB_Name>b</EFDB_Name><IDL_Type>string</IDL_Type><Count> 4 </Count></item>
             <item><EFDB_Name>c</EFDB_Name><IDL_Type>float</IDL_Type><Count> 4 </Count><Units>m</Units><Description>\n d &lt; e </Description></item>
             </SALEvent>",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((topic.sal_name.as_str(), topic.description.as_str()), ("logevent_x_y", ""));
        let own: Vec<_> =
            topic.fields[8..].iter().map(|f| (f.name.as_str(), f.count, f.units.as_str())).collect();
        assert_eq!(own, [("a", 1, "unitless"), ("b", 1, "unitless"), ("c", 4, "m")]);
        assert_eq!(topic.fields[10].description, "\n d < e ");
    }

    #[test]
    fn all_faults_of_a_topic_are_told_with_their_lines() {
        let (_, problems) = topic_of(
            "<SALEvent><EFDB_Topic>T_logevent_x</EFDB_Topic>
<item><EFDB_Name>a</EFDB_Name><IDL_Type>uint</IDL_Type><Count>0</Count></item>
<item><IDL_Type>int</IDL_Type></item>
<item><EFDB_Name>c</EFDB_Name></item>
<item><EFDB_Name>d</EFDB_Name><IDL_Type>int</IDL_Type><Count>x</Count></item>
<item><EFDB_Name>e</EFDB_Name><IDL_Type>int</IDL_Type></item>
<item><EFDB_Name>e</EFDB_Name><IDL_Type>int</IDL_Type></item>
<item><EFDB_Name>private_origin</EFDB_Name><IDL_Type>int</IDL_Type></item>
</SALEvent>",
        );
        let starts = [
            "T_Events.xml:2: SALEvent T_logevent_x / item a / IDL_Type: \"uint\" is not a SAL type; one of boolean, byte",
            "T_Events.xml:2: SALEvent T_logevent_x / item a / Count: \"0\" is not a whole number",
            "T_Events.xml:3: SALEvent T_logevent_x / item: EFDB_Name is missing or empty",
            "T_Events.xml:4: SALEvent T_logevent_x / item c: IDL_Type is missing or empty",
            "T_Events.xml:5: SALEvent T_logevent_x / item d / Count: \"x\" is not a whole number",
            "T_Events.xml:7: SALEvent T_logevent_x / item e: this field appears twice",
            "T_Events.xml:8: SALEvent T_logevent_x / item private_origin: this field appears twice, or is a private one",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem}");
        }
    }

    #[test]
    fn enumerations_with_and_without_values() {
        let root = parse(
            "e.xml",
            b"<S><Enumeration>Enum_One, Enum_Two ,\n Enum_Three_B</Enumeration>
              <Enumeration>V_Zero=0, V_Four = 04, V_Five=0x05, V_Less=-3</Enumeration><Enumeration> </Enumeration></S>",
        )
        .expect("well-formed");
        let mut problems = Problems::new("e.xml");
        let found = enumerations(&root, &mut problems);
        assert_eq!(problems.len(), 0);
        let values = |e: &Enumeration| e.items.iter().map(|i| (i.name.clone(), i.value)).collect::<Vec<_>>();
        assert_eq!(found[0].name, "Enum");
        assert_eq!(values(&found[0]), [("One".into(), 1), ("Two".into(), 2), ("Three_B".into(), 3)]);
        let expected = [("Zero".to_owned(), 0), ("Four".into(), 4), ("Five".into(), 5), ("Less".into(), -3)];
        assert_eq!(values(&found[1]), expected);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn faults_of_enumerations() {
        for (text, message) in [
            ("A_x, B_y", "B_y does not belong to A"),
            ("A_x, y", "\"y\" is not of the form"),
            ("A_x=one", "the value is not a decimal"),
            ("A_x=99999999999999999999", "the value is not a decimal"),
            ("A_x, A_x", "A_x appears twice"),
        ] {
            let root = parse("e.xml", format!("<S>\n<Enumeration>{text}</Enumeration></S>").as_bytes())
                .expect("well-formed");
            let mut problems = Problems::new("e.xml");
            assert_eq!(enumerations(&root, &mut problems), Vec::new());
            let problem = problems.into_inner().remove(0).to_string();
            assert!(problem.starts_with("e.xml:2: Enumeration: ") && problem.contains(message), "{problem}");
        }
    }
}
