//! Reports: one self-contained HTML file for each run, with the plots of the data that fired the rule; pages that list the
//! reports ([`index`]); and pages about a stretch of time ([`timeline`], [`health`]).
//!
//! ```text
//! tasks::run::Run ─┐  of_run
//! About (the site) ┴────────► Report ─► render_html ─► String ─► outputs::report_folder (a name of its own, never overwritten)
//!                               └─► index::Entry: in the head of the page, and from there in the lists by night and by rule
//! ```
//!
//! | file | part of the page |
//! |---|---|
//! | `model` | what a report shows, as plain data |
//! | `of_run`, `ending` | that data from a run; how the run ended, in words |
//! | `page` | what all pages share: head, policy, sections, tables, links |
//! | `html` | a report, in its order |
//! | `steps`, `fan`, `fan_plot`, `values`, `files` | one step; the items of a `foreach`; what came out; files and pictures |
//! | `provenance` | where it comes from, and how to run it again |
//! | `svg`, `scale`, `graph` | drawings |
//!
//! Pure: no clock, no files. A page needs nothing from elsewhere and runs no script; what the rule, the bus or a backend
//! wrote is escaped, and the page forbids the browser everything but its own style and the pictures in it ([`POLICY`]).

mod ending;
mod fan;
mod fan_plot;
mod files;
mod graph;
pub mod health;
mod html;
pub mod index;
mod model;
mod of_run;
mod page;
mod provenance;
mod scale;
mod steps;
mod svg;
mod text;
pub mod timeline;
mod values;

pub use graph::{Graph, GraphBox};
pub use html::render_html;
pub use model::{About, FanOut, FileLink, Image, ItemRow, Level, Report, StepSection, Units};
pub use page::POLICY;
pub use text::{escape, escape_line, number};

#[cfg(test)]
mod tests;
