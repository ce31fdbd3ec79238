//! The interfaces as the rule compiler sees them.

use std::sync::Arc;

use sal_idl::{Enumeration, Library};

use crate::rules::{SchemaError, SchemaSource, TopicSchema};

/// Schemas of a library of SAL interfaces.
#[derive(Debug, Clone)]
pub struct LibrarySchemas {
    library: Arc<Library>,
}

impl LibrarySchemas {
    /// Those of this library.
    pub fn new(library: Arc<Library>) -> Self {
        Self { library }
    }

    /// True if the library has that component.
    pub fn has(&self, component: &str) -> bool {
        self.library.contains(component)
    }
}

impl SchemaSource for LibrarySchemas {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        if !self.library.contains(component) {
            return Err(SchemaError::UnknownComponent(component.to_owned()));
        }
        let known = self.library.component(component).map_err(|e| SchemaError::Unreadable {
            component: component.to_owned(),
            reason: e.to_string(),
        })?;
        let topic = known.topics.iter().find(|t| t.sal_name == sal_name);
        let unknown =
            || SchemaError::UnknownTopic { component: component.to_owned(), topic: sal_name.to_owned() };
        topic.map(|topic| Arc::new(TopicSchema::of(topic, known.indexed))).ok_or_else(unknown)
    }

    fn enumerations(&self, component: &str) -> Vec<Enumeration> {
        self.library.component(component).map(|c| c.enums.clone()).unwrap_or_default()
    }

    fn components(&self) -> Vec<String> {
        self.library.names().map(str::to_owned).collect()
    }

    fn topics(&self, component: &str) -> Vec<String> {
        let names = |c: Arc<sal_idl::Component>| c.topics.iter().map(|t| t.sal_name.clone()).collect();
        self.library.component(component).map(names).unwrap_or_default()
    }
}
