//! Files that steps left behind: pictures are shown, all are linked.

use base64::Engine as _;

use super::model::{About, FileLink, Image};
use super::page::{link, put};
use super::text::{escape, number};

/// The pictures among the files that came with the report.
pub(super) fn pictures(files: &[FileLink], step: &str, about: &About) -> String {
    let mut html = String::new();
    for file in files {
        let Some(image) = about.images.get(&file.url) else { continue };
        put(
            &mut html,
            format_args!(
                "<figure>\n<img src=\"{}\" alt=\"{} of step {}\">\n<figcaption>{}</figcaption>\n</figure>",
                inline(image),
                escape(&file.name),
                escape(step),
                one(file, about)
            ),
        );
    }
    html
}

/// A picture as an address that holds it. As an image nothing in it is ever run.
fn inline(image: &Image) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.encode(&image.bytes);
    format!("data:{};base64,{bytes}", image.kind)
}

/// Links, one a line.
pub(super) fn list(files: &[FileLink], about: &About) -> String {
    files.iter().map(|file| one(file, about)).collect::<Vec<_>>().join("<br>")
}

/// Links in one line.
pub(super) fn in_a_line(files: &[FileLink], about: &About) -> String {
    files.iter().map(|file| to(file, about)).collect::<Vec<_>>().join(", ")
}

fn one(file: &FileLink, about: &About) -> String {
    let size = file.bytes.map(size);
    let words: Vec<String> = kind(&file.name).map(str::to_owned).into_iter().chain(size).collect();
    let words = if words.is_empty() {
        String::new()
    } else {
        format!(" <span class=\"soft\">({})</span>", words.join(", "))
    };
    format!("{}{words}", to(file, about))
}

/// Of a file in the folder of the reports itself the page knows where it is, whatever the server is called today.
fn to(file: &FileLink, about: &About) -> String {
    let base = about.base.trim_end_matches('/');
    match file.url.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')) {
        Some(rest) if !base.is_empty() && !rest.contains("..") => {
            format!("<a href=\"../{}\">{}</a>", escape(rest), escape(&file.name))
        }
        _ => link(&file.name, &file.url),
    }
}

fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "html" | "htm" => Some("page"),
        "ipynb" => Some("notebook"),
        "pdf" => Some("PDF"),
        "csv" | "ecsv" | "parquet" => Some("table"),
        "png" | "jpg" | "jpeg" | "svg" | "gif" => Some("picture"),
        "log" | "txt" => Some("text"),
        "json" | "yaml" => Some("data"),
        "fits" | "fz" => Some("FITS"),
        _ => None,
    }
}

/// `512 bytes`, `12.3 kB`, `4.2 MB`.
fn size(bytes: u64) -> String {
    let rounded = |value: f64| number((value * 10.0).round() / 10.0);
    match bytes {
        0..1000 => format!("{bytes} bytes"),
        1000..1_000_000 => format!("{} kB", rounded(bytes as f64 / 1e3)),
        _ => format!("{} MB", rounded(bytes as f64 / 1e6)),
    }
}
