//! What the steps of a run said.

use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::told::Told;

/// How long a log may take to come.
const LIMIT: Duration = Duration::from_secs(20);
/// Most of a log that is printed, bytes: its end counts.
const MOST_BYTES: usize = 1 << 20;

/// Prints what a step said. False if its log could not be read.
pub(super) async fn log(step: &Told, as_json: bool, out: &mut impl Write) -> anyhow::Result<bool> {
    let url = step.file("log.txt");
    let read = match &url {
        Some(url) => read(url).await.map(Some),
        None => Ok(None),
    };
    let (text, trouble) = match read {
        Ok(text) => (text.unwrap_or_default(), String::new()),
        Err(trouble) => (String::new(), trouble.to_string()),
    };
    if as_json {
        let told = json!({
            "step": step.step, "state": step.state_word(), "error": step.error, "url": url, "log": text,
            "trouble": trouble,
        });
        writeln!(out, "{told}")?;
        return Ok(trouble.is_empty());
    }
    writeln!(out, "{}: {}", step.step, step.state_word())?;
    if !step.error.is_empty() {
        writeln!(out, "  {}", step.error)?;
    }
    for line in text.lines() {
        writeln!(out, "  | {line}")?;
    }
    if !trouble.is_empty() {
        writeln!(out, "  its log cannot be read: {trouble}")?;
    }
    Ok(trouble.is_empty())
}

async fn read(url: &str) -> Result<String, reqwest::Error> {
    let client = reqwest::Client::builder().timeout(LIMIT).build()?;
    let text = client.get(url).send().await?.error_for_status()?.text().await?;
    let from = text.len().saturating_sub(MOST_BYTES);
    let from = (from..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
    Ok(text[from..].to_owned())
}
