//! Pages about a stretch of time: alarms as bars and runs as ticks, one row for each rule; and columns over settings.

use std::fmt::Write as _;

use salobj::Tai;

use super::page::{close, open};
use super::scale::{Scale, nice_ticks, time_ticks};
use super::svg::head;
use super::text::{escape, number, utc};

const WIDTH: f64 = 920.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 14.0;
const ROW: f64 = 22.0;
const BOTTOM: f64 = 28.0;
const COLUMNS: f64 = 150.0;

/// Rows over one axis of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timeline {
    /// Heading.
    pub title: String,
    /// Begin of the axis.
    pub from: Tai,
    /// End of the axis.
    pub to: Tai,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// What it shows.
    pub label: String,
    /// Stretches of time.
    pub bars: Vec<Bar>,
    /// Moments.
    pub ticks: Vec<Bar>,
}

/// A stretch of time, or a moment (then `to` is not looked at).
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Begin.
    pub from: Tai,
    /// End.
    pub to: Tai,
    /// `warning`, `serious`, `critical`, or another class of the page's style.
    pub class: String,
    /// What is told when the pointer rests on it.
    pub text: String,
}

/// Numbers over settings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Columns {
    /// Heading, with the unit.
    pub title: String,
    /// (setting, value).
    pub values: Vec<(String, f64)>,
}

/// A table: headings and rows.
pub type PageTable = (Vec<String>, Vec<Vec<String>>);

/// One self-contained page: timelines, columns, then a table.
pub fn page(
    title: &str,
    lines: &[String],
    timelines: &[Timeline],
    columns: &[Columns],
    table: &PageTable,
) -> String {
    let mut page = open(title, None, "");
    put(&mut page, format_args!("<header>\n<h1>{}</h1>", escape(title)));
    for line in lines {
        put(&mut page, format_args!("<p class=\"soft\">{}</p>", escape(line)));
    }
    page.push_str("</header>\n");
    for timeline in timelines {
        put(&mut page, format_args!("<section>\n<h2>{}</h2>", escape(&timeline.title)));
        page.push_str(&timeline_svg(timeline));
        page.push_str("</section>\n");
    }
    for one in columns {
        put(&mut page, format_args!("<section>\n<h2>{}</h2>", escape(&one.title)));
        page.push_str(&columns_svg(one));
        page.push_str("</section>\n");
    }
    if !table.1.is_empty() {
        let cells = |row: &Vec<String>| row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        let rows: Vec<String> = table.1.iter().map(cells).collect();
        put(&mut page, format_args!("<section>\n{}</section>", super::page::table("", &table.0, &rows)));
    }
    close(&mut page);
    page
}

/// The rows as one SVG element.
pub(super) fn timeline_svg(timeline: &Timeline) -> String {
    let bottom = ROW * timeline.rows.len() as f64 + 4.0;
    let (from, to) = (timeline.from.0, timeline.to.0.max(timeline.from.0 + 1.0));
    let x = Scale::new((from, to), (LEFT, WIDTH - RIGHT));
    let range = format!("From {} to {}, {} rows.", utc(timeline.from), utc(timeline.to), timeline.rows.len());
    let mut svg = head(&timeline.title, &range, (WIDTH, bottom + BOTTOM));
    for (time, label) in time_ticks(Tai(from), Tai(to), 8) {
        let at = x.pixel(time);
        // At the edge a label would be cut in the middle.
        let half = 4.0 * label.len() as f64;
        let anchor = if at + half > WIDTH { "end" } else { "middle" };
        put(
            &mut svg,
            format_args!(
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{bottom}\"/><text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>",
                bottom + 18.0
            ),
        );
    }
    for (i, row) in timeline.rows.iter().enumerate() {
        let top = ROW * i as f64 + 3.0;
        let label: String = row.label.chars().take(30).collect();
        put(
            &mut svg,
            format_args!(
                "<text x=\"0\" y=\"{:.1}\">{}</text><line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                top + 13.0,
                escape(&label),
                WIDTH - RIGHT,
                top + ROW - 4.0,
                top + ROW - 4.0
            ),
        );
        for bar in &row.bars {
            let (left, right) = (x.pixel(bar.from.0.max(from)), x.pixel(bar.to.0.min(to)));
            rect(&mut svg, (left, top + 1.0), ((right - left).max(1.5), ROW - 8.0), &bar.class, &bar.text);
        }
        for tick in &row.ticks {
            rect(&mut svg, (x.pixel(tick.from.0) - 1.0, top), (2.0, ROW - 5.0), &tick.class, &tick.text);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The columns as one SVG element.
fn columns_svg(columns: &Columns) -> String {
    let most = columns.values.iter().map(|v| v.1).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let y = Scale::new((0.0, if most > 0.0 { most * 1.05 } else { 1.0 }), (COLUMNS, 6.0));
    let said = format!("{} columns, the highest {}.", columns.values.len(), number(most));
    let mut svg = head(&columns.title, &said, (WIDTH, COLUMNS + BOTTOM));
    let left = 60.0;
    let (ticks, decimals) = nice_ticks(y.low, y.high, 4);
    for tick in ticks {
        let at = y.pixel(tick);
        put(
            &mut svg,
            format_args!(
                "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick:.decimals$}</text>",
                WIDTH - RIGHT,
                left - 8.0,
                at + 4.0
            ),
        );
    }
    let step = (WIDTH - RIGHT - left) / columns.values.len().max(1) as f64;
    let every = (70.0 / step).ceil().max(1.0) as usize;
    for (i, (label, value)) in columns.values.iter().enumerate() {
        let at = left + step * i as f64;
        let top = y.pixel(if value.is_finite() { *value } else { 0.0 });
        rect(
            &mut svg,
            (at + step * 0.15, top),
            (step * 0.7, COLUMNS - top),
            "run",
            &format!("{label}: {value}"),
        );
        if i % every == 0 {
            put(
                &mut svg,
                format_args!(
                    "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    at + step / 2.0,
                    COLUMNS + 18.0,
                    escape(label)
                ),
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn rect(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), class: &str, text: &str) {
    put(
        svg,
        format_args!(
            "<rect class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{}</title></rect>",
            escape(class),
            escape(text)
        ),
    );
}

fn put(text: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(text, "{element}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_is_drawn_in_its_place_and_nothing_foreign_gets_in() {
        let bar = |from, to, text: &str| Bar {
            from: Tai(from),
            to: Tai(to),
            class: "serious".into(),
            text: text.into(),
        };
        let row = Row {
            label: "<Wind>".into(),
            bars: vec![bar(100.0, 150.0, "a & b")],
            ticks: vec![bar(200.0, 0.0, "run")],
        };
        let timeline = Timeline { title: "A night".into(), from: Tai(0.0), to: Tai(200.0), rows: vec![row] };
        let columns =
            Columns { title: "Alarms".into(), values: vec![("10".into(), 4.0), ("11".into(), 0.0)] };
        let table = (vec!["rule".to_owned()], vec![vec!["<x>".to_owned()]]);
        let page = page("Replay", &["1 < 2".to_owned()], &[timeline], &[columns], &table);
        // The middle of the axis is at 210 + 696 / 2 = 558; a quarter of it is 174 wide.
        assert!(page.contains("class=\"serious\" x=\"558.0\" y=\"4.0\" width=\"174.0\""), "{page}");
        assert!(
            page.contains("a &amp; b")
                && page.contains("&lt;Wind&gt;")
                && page.contains("<td>&lt;x&gt;</td>")
        );
        assert!(page.contains("10: 4") && !page.contains("<script"));
    }
}
