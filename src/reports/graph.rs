//! Boxes in columns with curves between them, as an SVG of its own: what feeds what.

use std::fmt::Write as _;

use super::text::escape;

/// A box.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GraphBox {
    /// What edges name it by; unique.
    pub id: String,
    /// In the box, first line.
    pub title: String,
    /// Smaller, below it.
    pub lines: Vec<String>,
    /// Column, from the left.
    pub column: usize,
}

/// Boxes and what leads from one to another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// In each column in the order in which they are given.
    pub boxes: Vec<GraphBox>,
    /// From one box to another, by id.
    pub edges: Vec<(String, String)>,
}

const WIDTH: f64 = 270.0;
const GAP_X: f64 = 110.0;
const GAP_Y: f64 = 12.0;
const MARGIN: f64 = 20.0;
const HEAD: f64 = 34.0;
const TITLE: f64 = 24.0;
const LINE: f64 = 15.0;
/// Characters that a box has room for.
const LETTERS: usize = 40;

const STYLE: &str = "svg { background: #fbfbf9; font: 12px system-ui, \"Liberation Sans\", Arial, sans-serif; }
.head { font-size: 14px; font-weight: 700; fill: #5c6670; } .title { font-weight: 600; fill: #1c2126; } .line { fill: #5c6670; font-size: 11px; }
rect { fill: #fff; stroke: #9aa5ad; } .c0 { fill: #eef5fa; } .c1 { fill: #fff; } .c2 { fill: #f7f0fa; } .c3 { fill: #fdf3ea; }
path { fill: none; stroke: #2a6f97; stroke-width: 1.2; opacity: .45; }";

impl Graph {
    /// Sorts the boxes of every column but `fixed` by where their neighbours stand, so that few edges cross.
    pub fn arrange(&mut self, fixed: usize) {
        let place = |boxes: &[GraphBox], id: &str| {
            let column = boxes.iter().find(|b| b.id == id).map(|b| b.column)?;
            boxes.iter().filter(|b| b.column == column).position(|b| b.id == id)
        };
        let mut order: Vec<usize> = (0..self.columns.len()).filter(|c| *c != fixed).collect();
        order.sort_by_key(|c| c.abs_diff(fixed));
        for column in order {
            let towards = |id: &str, boxes: &[GraphBox]| {
                let near = self.edges.iter().filter_map(|(a, b)| match (a == id, b == id) {
                    (true, _) => Some(b),
                    (_, true) => Some(a),
                    _ => None,
                });
                let places: Vec<f64> = near
                    .filter(|other| {
                        let c = boxes.iter().find(|b| b.id == **other).map_or(column, |b| b.column);
                        c.abs_diff(fixed) < column.abs_diff(fixed)
                    })
                    .filter_map(|other| place(boxes, other).map(|p| p as f64))
                    .collect();
                if places.is_empty() { f64::MAX } else { places.iter().sum::<f64>() / places.len() as f64 }
            };
            let mut keyed: Vec<(f64, GraphBox)> = self
                .boxes
                .iter()
                .filter(|b| b.column == column)
                .map(|b| (towards(&b.id, &self.boxes), b.clone()))
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut sorted = keyed.into_iter().map(|(_, b)| b);
            for slot in self.boxes.iter_mut().filter(|b| b.column == column) {
                if let Some(next) = sorted.next() {
                    *slot = next;
                }
            }
        }
    }

    /// The drawing.
    pub fn svg(&self, title: &str) -> String {
        let height_of = |b: &GraphBox| TITLE + LINE * b.lines.len() as f64 + 6.0;
        let column_height = |c: usize| -> f64 {
            self.boxes.iter().filter(|b| b.column == c).map(|b| height_of(b) + GAP_Y).sum()
        };
        let tallest = (0..self.columns.len()).map(column_height).fold(0.0, f64::max);
        let total_height = tallest + HEAD + 2.0 * MARGIN;
        let total_width = 2.0 * MARGIN + self.columns.len() as f64 * (WIDTH + GAP_X) - GAP_X;
        let mut placed: Vec<(&GraphBox, f64, f64)> = Vec::new();
        for column in 0..self.columns.len() {
            let x = MARGIN + column as f64 * (WIDTH + GAP_X);
            let mut y = MARGIN + HEAD + (tallest - column_height(column)) / 2.0;
            for b in self.boxes.iter().filter(|b| b.column == column) {
                placed.push((b, x, y));
                y += height_of(b) + GAP_Y;
            }
        }
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total_width:.0}\" height=\"{total_height:.0}\" \
             viewBox=\"0 0 {total_width:.0} {total_height:.0}\">\n<title>{}</title>\n<style>{STYLE}</style>\n",
            escape(title)
        );
        for (column, head) in self.columns.iter().enumerate() {
            let x = MARGIN + column as f64 * (WIDTH + GAP_X);
            put(
                &mut svg,
                format_args!(
                    "<text class=\"head\" x=\"{x:.0}\" y=\"{:.0}\">{}</text>",
                    MARGIN + 12.0,
                    escape(head)
                ),
            );
        }
        for (from, to) in &self.edges {
            let find = |id: &str| placed.iter().find(|(b, ..)| b.id == id);
            let (Some((a, ax, ay)), Some((b, bx, by))) = (find(from), find(to)) else { continue };
            let (x1, y1) = (ax + WIDTH, ay + height_of(a) / 2.0);
            let (x2, y2) = (*bx, by + height_of(b) / 2.0);
            if a.column == b.column {
                // Between two of one column: a bow to the left of them.
                put(
                    &mut svg,
                    format_args!(
                        "<path d=\"M{ax:.0} {y1:.0}C{:.0} {y1:.0} {:.0} {y2:.0} {x2:.0} {y2:.0}\"/>",
                        ax - 40.0,
                        ax - 40.0
                    ),
                );
                continue;
            }
            let bend = (x2 - x1) / 2.0;
            put(
                &mut svg,
                format_args!(
                    "<path d=\"M{x1:.0} {y1:.0}C{:.0} {y1:.0} {:.0} {y2:.0} {x2:.0} {y2:.0}\"/>",
                    x1 + bend,
                    x2 - bend
                ),
            );
        }
        for (b, x, y) in &placed {
            put(
                &mut svg,
                format_args!(
                    "<g><title>{}</title><rect class=\"c{}\" x=\"{x:.0}\" y=\"{y:.0}\" width=\"{WIDTH:.0}\" height=\"{:.0}\" rx=\"5\"/>",
                    escape(&b.title),
                    b.column % 4,
                    height_of(b)
                ),
            );
            put(
                &mut svg,
                format_args!(
                    "<text class=\"title\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
                    x + 9.0,
                    y + 17.0,
                    escape(&short(&b.title))
                ),
            );
            for (i, line) in b.lines.iter().enumerate() {
                put(
                    &mut svg,
                    format_args!(
                        "<text class=\"line\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
                        x + 9.0,
                        y + 17.0 + LINE * (i + 1) as f64,
                        escape(&short(line))
                    ),
                );
            }
            svg.push_str("</g>\n");
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= LETTERS {
        return text.to_owned();
    }
    let start: String = text.chars().take(LETTERS - 1).collect();
    format!("{start}…")
}

fn put(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_stand_near_what_they_belong_to_and_text_is_escaped() {
        let one =
            |id: &str, column| GraphBox { id: id.into(), title: format!("<{id}>"), lines: vec![], column };
        let mut graph = Graph {
            columns: vec!["a".into(), "b".into()],
            boxes: vec![one("x", 0), one("y", 0), one("p", 1), one("q", 1)],
            edges: vec![("x".into(), "q".into()), ("y".into(), "p".into())],
        };
        graph.arrange(1);
        let order: Vec<&str> = graph.boxes.iter().map(|b| b.id.as_str()).collect();
        assert_eq!(order, ["y", "x", "p", "q"]);
        let svg = graph.svg("a & b");
        assert!(svg.contains("&lt;x&gt;") && svg.contains("<title>a &amp; b</title>"));
        assert_eq!(svg.matches("<path").count(), 2);
    }
}
