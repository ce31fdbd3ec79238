//! The kind of a file by the ending of its name.

/// The MIME type; what is not known is `application/octet-stream`.
pub(super) fn of_name(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("html" | "htm") => "text/html",
        Some("txt" | "log" | "out" | "err") => "text/plain",
        Some("csv") => "text/csv",
        Some("md") => "text/markdown",
        Some("yaml" | "yml") => "application/yaml",
        Some("json") => "application/json",
        Some("ipynb") => "application/x-ipynb+json",
        Some("xml") => "application/xml",
        Some("pdf") => "application/pdf",
        Some("fits" | "fit" | "fz") => "application/fits",
        Some("h5" | "hdf5") => "application/x-hdf5",
        Some("parquet" | "parq") => "application/vnd.apache.parquet",
        Some("gz" | "tgz") => "application/gzip",
        Some("zip") => "application/zip",
        Some("tar") => "application/x-tar",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// What comes before the last dot, and the rest with the dot; a name that only begins with a dot has no ending.
pub(super) fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_go_by_the_ending() {
        assert_eq!(of_name("a.b.HTML"), "text/html");
        assert_eq!(of_name("result.json"), "application/json");
        assert_eq!(of_name("json"), "application/octet-stream");
        assert_eq!(split("a.b.html"), ("a.b", ".html"));
        assert_eq!((split("plain"), split(".hidden")), (("plain", ""), (".hidden", "")));
    }
}
