//! Plots as inline SVG. Colours and fonts are classes of the page's style, so that they follow light and dark.

use std::fmt::Write as _;

use salobj::Tai;

use super::scale::{Scale, axis_ticks, nice_ticks, padded};
use super::text::{escape, number, utc};
use crate::tasks::analysis::{Axis, Band, Line, LineKind, Panel, Plot};

const WIDTH: f64 = 920.0;
const LEFT: f64 = 58.0;
/// Room for the labels of limits, and without them.
const RIGHT: f64 = 104.0;
const RIGHT_BARE: f64 = 14.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 30.0;
/// A curve of measured samples is not drawn over pauses longer than this many times the usual distance.
const PAUSE: f64 = 5.0;
/// Up to so many samples each gets a dot.
const DOTS: usize = 150;

/// A horizontal line: (class, label, value).
pub(super) type LevelLine = (String, String, f64);

/// One SVG element; `levels` gives the alarm levels that belong into a panel.
pub(super) fn plot(plot: &Plot, levels: impl Fn(&Panel) -> Vec<LevelLine>) -> String {
    let Some(range) = horizontal_range(plot) else {
        return "<p class=\"none\">There is nothing to draw: no finite sample.</p>\n".to_owned();
    };
    let height = if plot.panels.len() > 1 { 190.0 } else { 320.0 };
    let step = TOP + height + 18.0;
    let total = step * plot.panels.len() as f64 + BOTTOM;
    let all_levels: Vec<Vec<LevelLine>> = plot.panels.iter().map(levels).collect();
    let bare = plot
        .panels
        .iter()
        .zip(&all_levels)
        .all(|(panel, levels)| panel.limits.is_empty() && levels.is_empty());
    let x = Scale::new(range, (LEFT, WIDTH - if bare { RIGHT_BARE } else { RIGHT }));
    let mut svg = head(&plot.title, &description(plot, range), (WIDTH, total));
    for (i, (panel, levels)) in plot.panels.iter().zip(&all_levels).enumerate() {
        let top = step * i as f64 + TOP;
        let below = (i + 1 == plot.panels.len()).then(|| title_below(plot.x, x));
        draw_panel(&mut svg, panel, levels, (plot.x, x), (top, top + height), below);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The begin of an SVG element, with what it shows in words for those who do not see it.
pub(super) fn head(title: &str, description: &str, (width, height): (f64, f64)) -> String {
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<desc>{}</desc>\n",
        escape(description),
        title = escape(title)
    )
}

/// What a plot shows, in words: each curve with its range.
fn description(plot: &Plot, (from, to): (f64, f64)) -> String {
    let mut text = match plot.x {
        Axis::Time => format!("From {} to {}.", utc(Tai(from)), utc(Tai(to))),
        Axis::Frequency => format!("From {} to {} Hz.", number(from), number(to)),
    };
    for panel in &plot.panels {
        for line in &panel.lines {
            let Some((low, high)) = extremes(line.values.iter().copied().filter(|v| v.is_finite())) else {
                continue;
            };
            let range = format!(
                " {}, {}: {} to {} {}",
                panel.label,
                line.label,
                number(low),
                number(high),
                panel.unit
            );
            text.push_str(range.trim_end());
            text.push('.');
        }
    }
    text
}

fn draw_panel(
    svg: &mut String,
    panel: &Panel,
    levels: &[LevelLine],
    (axis, x): (Axis, Scale),
    (top, bottom): (f64, f64),
    below: Option<String>,
) {
    let mut limits: Vec<LevelLine> =
        panel.limits.iter().map(|(label, value)| ("limit".to_owned(), label.clone(), *value)).collect();
    limits.extend_from_slice(levels);
    let y = Scale::new(value_range(panel, &limits), (bottom, top));
    let (left, right) = x.pixels();

    put(
        svg,
        format_args!(
            "<rect class=\"plane\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"/>",
            right - left,
            bottom - top
        ),
    );
    let (ticks, decimals) = nice_ticks(y.low, y.high, 6);
    for tick in ticks {
        let at = y.pixel(tick);
        let label = format!("{tick:.decimals$}").replace('-', "\u{2212}");
        put(
            svg,
            format_args!(
                "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - 8.0,
                at + 4.0
            ),
        );
    }
    for (tick, label) in axis_ticks(axis, x, 7) {
        let at = x.pixel(tick);
        put(
            svg,
            format_args!("<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>"),
        );
        if below.is_some() {
            put(
                svg,
                format_args!(
                    "<text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                    bottom + 18.0
                ),
            );
        }
    }
    for band in &panel.bands {
        draw_band(svg, band, x, y);
    }
    draw_marks(svg, panel, x, (top, bottom));
    draw_levels(svg, &limits, y, (left, right));
    for line in &panel.lines {
        draw_line(svg, line, x, y);
    }
    put(
        svg,
        format_args!(
            "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"/>",
            right - left,
            bottom - top
        ),
    );
    let unit = if panel.unit.is_empty() { String::new() } else { format!(" [{}]", escape(&panel.unit)) };
    put(
        svg,
        format_args!(
            "<text class=\"label\" x=\"{left}\" y=\"{:.1}\">{}{unit}</text>",
            top - 24.0,
            escape(&panel.label)
        ),
    );
    draw_legend(svg, panel, (right, top - 9.0));
    if let Some(title) = below {
        put(
            svg,
            format_args!(
                "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{title}</text>",
                (left + right) / 2.0,
                bottom + 38.0
            ),
        );
    }
}

/// What stands under the last panel.
fn title_below(axis: Axis, x: Scale) -> String {
    match axis {
        Axis::Time => {
            let date = Tai(x.low).utc_iso();
            format!("time (UTC), from {}", date.split('T').next().unwrap_or_default())
        }
        Axis::Frequency => "frequency [Hz]".to_owned(),
    }
}

fn draw_band(svg: &mut String, band: &Band, x: Scale, y: Scale) {
    let clip = |value: f64| y.pixel(value.clamp(y.low, y.high));
    let there = band.times.iter().zip(&band.high);
    let back = band.times.iter().zip(&band.low).rev();
    let points: Vec<String> = (there.chain(back))
        .filter(|(t, v)| t.is_finite() && v.is_finite())
        .map(|(t, v)| format!("{:.1},{:.1}", x.pixel(*t), clip(*v)))
        .collect();
    put(svg, format_args!("<polygon class=\"band\" points=\"{}\"/>", points.join(" ")));
}

fn draw_line(svg: &mut String, line: &Line, x: Scale, y: Scale) {
    let class = class_of(line.kind);
    let samples: Vec<(f64, f64)> = line.times.iter().copied().zip(line.values.iter().copied()).collect();
    let pause = match line.kind {
        LineKind::Data => longest_step(&line.times),
        LineKind::Fit | LineKind::Forecast => f64::INFINITY,
    };
    let mut path = String::new();
    let mut before: Option<f64> = None;
    for &(t, v) in &samples {
        if !(t.is_finite() && v.is_finite()) {
            before = None;
            continue;
        }
        let pen = if before.is_some_and(|b| t - b <= pause) { 'L' } else { 'M' };
        write!(path, "{pen}{:.1} {:.1}", x.pixel(t), y.pixel(v.clamp(y.low, y.high)))
            .expect("a String takes all");
        before = Some(t);
    }
    put(svg, format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
    if line.kind == LineKind::Data && samples.len() <= DOTS {
        for (t, v) in samples.into_iter().filter(|(t, v)| t.is_finite() && v.is_finite() && y.contains(*v)) {
            put(
                svg,
                format_args!(
                    "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.3\"/>",
                    x.pixel(t),
                    y.pixel(v)
                ),
            );
        }
    }
}

fn draw_marks(svg: &mut String, panel: &Panel, x: Scale, (top, bottom): (f64, f64)) {
    for (label, time) in panel.marks.iter().filter(|(_, time)| x.contains(*time)) {
        let at = x.pixel(*time);
        put(
            svg,
            format_args!(
                "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{bottom}\"/><text class=\"note\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                at - 5.0,
                bottom - 7.0,
                escape(label)
            ),
        );
    }
}

/// Labels stand to the right of the plane, moved apart where two would touch.
fn draw_levels(svg: &mut String, limits: &[LevelLine], y: Scale, (left, right): (f64, f64)) {
    let mut shown: Vec<&LevelLine> = limits.iter().filter(|(_, _, value)| y.contains(*value)).collect();
    shown.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut lowest = f64::INFINITY;
    for (class, label, value) in shown {
        let at = y.pixel(*value);
        let text_at = (at + 4.0).min(lowest - 13.0);
        lowest = text_at;
        put(
            svg,
            format_args!(
                "<line class=\"level {}\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"note {}\" x=\"{}\" y=\"{text_at:.1}\">{} {}</text>",
                escape(class),
                escape(class),
                right + 7.0,
                escape(label),
                number(*value)
            ),
        );
    }
}

/// From the right edge to the left, on one line above the plane.
fn draw_legend(svg: &mut String, panel: &Panel, (right, base): (f64, f64)) {
    let bands = panel.bands.iter().map(|band| ("band", band.label.as_str()));
    let lines = panel.lines.iter().map(|line| (class_of(line.kind), line.label.as_str()));
    let mut end = right;
    for (class, label) in bands.chain(lines.rev()) {
        let label: String = label.chars().take(60).collect();
        // Widths of a proportional font are not known here: 6.3 px a character is right for the page's.
        let start = end - 6.3 * label.chars().count() as f64;
        let key = start - 28.0;
        let middle = base - 4.0;
        match class {
            "band" => put(
                svg,
                format_args!(
                    "<rect class=\"band\" x=\"{key:.1}\" y=\"{:.1}\" width=\"22\" height=\"10\"/>",
                    base - 9.0
                ),
            ),
            _ => put(
                svg,
                format_args!(
                    "<line class=\"{class}\" x1=\"{key:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>",
                    key + 22.0
                ),
            ),
        }
        put(
            svg,
            format_args!("<text class=\"note\" x=\"{start:.1}\" y=\"{base}\">{}</text>", escape(&label)),
        );
        end = key - 16.0;
    }
}

fn class_of(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Data => "data",
        LineKind::Fit => "fit",
        LineKind::Forecast => "forecast",
    }
}

/// Beyond this step two samples are not joined.
fn longest_step(times: &[f64]) -> f64 {
    let mut steps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).filter(|step| *step > 0.0).collect();
    PAUSE * crate::tasks::analysis::stats::median(&mut steps)
}

fn horizontal_range(plot: &Plot) -> Option<(f64, f64)> {
    let lines = plot
        .panels
        .iter()
        .flat_map(|panel| &panel.lines)
        .flat_map(|line| line.times.iter().zip(&line.values));
    let times = lines.filter(|(t, v)| t.is_finite() && v.is_finite()).map(|(t, _)| *t);
    let (low, high) = extremes(times)?;
    Some(if high > low { (low, high) } else { (low - 1.0, high + 1.0) })
}

/// All curves, the interval as far as it is not many times as high as them, and the limits: those that were passed and the
/// next one on either side.
fn value_range(panel: &Panel, limits: &[LevelLine]) -> (f64, f64) {
    let curves = panel.lines.iter().flat_map(|line| line.values.iter().copied());
    let (mut low, mut high) = extremes(curves).unwrap_or((0.0, 1.0));
    let room = (high - low).max(high.abs() * 1e-6);
    let bands = panel.bands.iter().flat_map(|band| band.low.iter().chain(&band.high).copied());
    if let Some((band_low, band_high)) = extremes(bands) {
        low = low.min(band_low.max(low - room));
        high = high.max(band_high.min(high + room));
    }
    let (curve_low, curve_high) = (low, high);
    let values = || limits.iter().map(|limit| limit.2).filter(|value| value.is_finite());
    if let Some(above) = values().filter(|value| *value > curve_high).min_by(f64::total_cmp) {
        high = above;
    } else if let Some(below) = values().filter(|value| *value < curve_low).max_by(f64::total_cmp) {
        low = below;
    }
    padded(low, high)
}

fn extremes(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    // Beyond this a difference overflows; such samples are drawn at the edge.
    let finite = values.filter(|v| v.abs() < 1e300);
    finite.fold(None, |range, v| {
        range.map_or(Some((v, v)), |(low, high): (f64, f64)| Some((low.min(v), high.max(v))))
    })
}

fn put(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("writing to a String cannot fail");
}
