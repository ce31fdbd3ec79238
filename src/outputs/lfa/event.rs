//! The event `largeFileObjectAvailable`, and who publishes it.

use salobj::Value;

/// Revision of the format of our files.
const VERSION: f64 = 1.0;

/// A file that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Where it is.
    pub url: String,
    /// What made it: a rule's report, or a step.
    pub generator: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// MD5 in hexadecimal digits.
    pub check_sum: String,
    /// MIME type.
    pub mime_type: String,
    /// Id of the run.
    pub id: String,
}

impl Announcement {
    /// The fields of the event. Its size is a 32-bit number: a larger one is given as the largest.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let size = i32::try_from(self.bytes).unwrap_or(i32::MAX);
        vec![
            ("url", self.url.as_str().into()),
            ("generator", self.generator.as_str().into()),
            ("version", Value::Double(VERSION)),
            ("byteSize", Value::Int(size.into())),
            ("checkSum", self.check_sum.as_str().into()),
            ("mimeType", self.mime_type.as_str().into()),
            ("id", self.id.as_str().into()),
        ]
    }
}

/// Who is told what becomes of files.
#[async_trait::async_trait]
pub trait Tell: Send + Sync {
    /// Publishes the event now.
    ///
    /// # Errors
    /// It cannot be published yet; it is tried again.
    fn announce(&self, file: &Announcement) -> Result<(), String>;

    /// The report of that run is at that address now.
    async fn report_at(&self, run_id: String, url: String);

    /// The operators should know: one line, and more text. `bad`: something went wrong; else it is well again.
    fn news(&self, bad: bool, summary: String, details: String);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_does_not_fit_is_the_largest() {
        let file = |bytes| Announcement {
            url: "u".into(),
            generator: "g".into(),
            bytes,
            check_sum: "c".into(),
            mime_type: "m".into(),
            id: "i".into(),
        };
        let size = |bytes| file(bytes).fields()[3].clone();
        assert_eq!(size(2_147_483_647), ("byteSize", Value::Int(2_147_483_647)));
        assert_eq!(size(2_147_483_648), ("byteSize", Value::Int(2_147_483_647)));
        let names: Vec<&str> = file(1).fields().iter().map(|f| f.0).collect();
        let component = sal_idl::Library::embedded().component("Catcher").unwrap();
        let topic = component.topic("evt_largeFileObjectAvailable").unwrap();
        let own = topic.fields.iter().map(|f| f.name.as_str());
        let own: Vec<&str> = own.filter(|n| !n.starts_with("private_") && *n != "salIndex").collect();
        assert_eq!(names, own);
    }
}
