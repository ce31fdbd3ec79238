//! The terminal: what happens, in colour, with times.

use std::io::{IsTerminal, Write};

use owo_colors::{OwoColorize, Stream, Style};
use salobj::Tai;

use super::stage::Stage;
use super::story::{Line, Mood};
use super::summary::Summary;

/// Where the lines go.
pub(super) struct View {
    start: Tai,
    quiet: bool,
}

impl View {
    pub(super) fn new(start: Tai, quiet: bool) -> Self {
        Self { start, quiet }
    }

    pub(super) fn title(&self, stage: &Stage) {
        if self.quiet {
            return;
        }
        let clear = if std::io::stdout().is_terminal() { "\n" } else { "" };
        print(&format!(
            "{clear}The Catcher watches a simulated night, {} times faster than real.\n\
             bus {}   registry {}   reports http://{}/reports\n",
            stage.clock.speed(),
            stage.broker,
            stage.registry,
            stage.web,
        ));
    }

    pub(super) fn line(&self, line: &Line) {
        if self.quiet {
            return;
        }
        let style = match line.mood {
            Mood::Plain => Style::new(),
            Mood::Good => Style::new().green(),
            Mood::Warning => Style::new().yellow().bold(),
            Mood::Bad => Style::new().red().bold(),
        };
        let minutes = (line.at - self.start).max(0.0) / 60.0;
        let text = line.text.if_supports_color(Stream::Stdout, |t| t.style(style)).to_string();
        let what = line.what.if_supports_color(Stream::Stdout, |t| t.cyan()).to_string();
        let utc = line.at.utc_iso();
        let time = utc.get(11..19).unwrap_or(&utc);
        print(&format!("{time}  +{minutes:5.1} min  {what:<8} {text}\n"));
    }

    pub(super) fn end(&self, summary: &Summary, json: bool) -> anyhow::Result<()> {
        if json {
            print(&format!("{}\n", serde_json::to_string_pretty(summary)?));
            return Ok(());
        }
        print("\n");
        for check in &summary.checks {
            let mark = if check.ok { "yes" } else { " NO" };
            let style = if check.ok { Style::new().green() } else { Style::new().red().bold() };
            print(&format!(
                "{}  {}: {}\n",
                mark.if_supports_color(Stream::Stdout, |t| t.style(style)),
                check.what,
                check.seen
            ));
        }
        print(&format!("\n{:.1} s from start to end\n", summary.duration_s));
        Ok(())
    }
}

/// A reader who has gone (a closed pipe) is no error of the demo.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
