//! A value over the items of a `foreach`: which detector is the odd one.

use super::fan::{Seen, label};
use super::model::FanOut;
use super::page::{put, state_class};
use super::scale::{Scale, nice_ticks, padded};
use super::svg;
use super::text::{escape, number};

/// Values that are drawn.
const MOST_DRAWN: usize = 3;
const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 120.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 26.0;

/// A value of items: (key, unit, value by place).
type Drawn<'a> = (&'a str, &'a str, Vec<(usize, f64)>);

/// The first values that are numbers and differ.
pub(super) fn drawn<'a>(items: &[Seen<'_>], columns: &'a [(String, String)]) -> Vec<Drawn<'a>> {
    let numbers = |key: &str| -> Vec<(usize, f64)> {
        let number = |i: &Seen<'_>| Some((i.item.index, i.value(key)?.as_f64().filter(|v| v.abs() < 1e300)?));
        items.iter().filter_map(number).collect()
    };
    let worth = |values: &[(usize, f64)]| values.len() >= 4 && values.iter().any(|(_, v)| *v != values[0].1);
    let all = columns.iter().map(|(key, unit)| (key.as_str(), unit.as_str(), numbers(key)));
    all.filter(|(_, _, values)| worth(values)).take(MOST_DRAWN).collect()
}

/// A value as a dot for each item. Items without it are crosses at the bottom.
pub(super) fn over_items(
    fan: &FanOut,
    step: &str,
    (key, unit): (&str, &str),
    values: &[(usize, f64)],
) -> String {
    let (low, high) =
        values.iter().fold((f64::MAX, f64::MIN), |(low, high), (_, v)| (low.min(*v), high.max(*v)));
    let (low, high) = padded(low, high);
    let y = Scale::new((low, high), (TOP + HEIGHT, TOP));
    let last = fan.items.iter().map(|i| i.index).max().unwrap_or(1).max(1) as f64;
    let x = Scale::new((-0.5, last + 0.5), (LEFT, WIDTH - 14.0));
    let name = key.strip_prefix("values.").unwrap_or(key);
    let unit = if unit.is_empty() { String::new() } else { format!(" [{unit}]") };
    let title = format!("{name}{unit} of each item of step {step}");
    let desc = format!("{} of {} items have it.", values.len(), fan.items.len());
    let mut svg = svg::head(&title, &desc, (WIDTH, TOP + HEIGHT + 30.0));
    let (left, right) = x.pixels();
    put(
        &mut svg,
        format_args!("<text class=\"label\" x=\"{left}\" y=\"14\">{}{}</text>", escape(name), escape(&unit)),
    );
    let (ticks, decimals) = nice_ticks(low, high, 4);
    for tick in ticks {
        let at = y.pixel(tick);
        put(
            &mut svg,
            format_args!(
                "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                at + 4.0,
                format!("{tick:.decimals$}").replace('-', "\u{2212}")
            ),
        );
    }
    for tick in nice_ticks(0.0, last, 10).0.into_iter().filter(|t| t.fract() == 0.0) {
        put(
            &mut svg,
            format_args!(
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick:.0}</text>",
                x.pixel(tick),
                TOP + HEIGHT + 20.0
            ),
        );
    }
    for item in &fan.items {
        let at = x.pixel(item.index as f64);
        match values.iter().find(|(i, _)| *i == item.index) {
            Some((_, v)) => put(
                &mut svg,
                format_args!(
                    "<circle class=\"dot {}\" cx=\"{at:.1}\" cy=\"{:.1}\" r=\"2.6\"><title>{}: {}</title></circle>",
                    state_class(&item.state),
                    y.pixel(*v),
                    escape(&label(item)),
                    number(*v)
                ),
            ),
            None => put(
                &mut svg,
                format_args!(
                    "<path class=\"cross\" d=\"M{:.1} {bottom}l6 -6m0 6l-6 -6\"><title>{}: {}</title></path>",
                    at - 3.0,
                    escape(&label(item)),
                    escape(&item.state.replace('_', " ")),
                    bottom = TOP + HEIGHT
                ),
            ),
        }
    }
    svg.push_str("</svg>\n");
    svg
}
