// SPDX-License-Identifier: GPL-2.0

//! Draws what layout-rs lays out: on a background of its own, with arrows in their own colours,
//! and without what differs from run to run.

use layout::{
    core::{
        format::{ClipHandle, RenderBackend},
        geometry::Point,
        style::StyleAttr,
    },
    topo::layout::VisualGraph,
};
use std::fmt::Write;

/// Space around the drawing.
const MARGIN: f64 = 12.0;
/// How far an arrow that has one against it is moved aside.
const ASIDE: f64 = 7.0;
/// From the middle of a line of text down to where it stands.
const BASELINE: f64 = 4.8;
/// The class of arrows that are moved aside.
pub const BESIDES: &str = "class=\"besides\"";

/// What a line of the legend explains.
pub enum Sign {
    /// An arrow.
    Arrow,
    /// A box.
    Box,
}

/// A line of the legend: the class of its sign, and what that means.
pub type Legend<'a> = &'a [(Sign, &'a str, &'a str)];

#[derive(Default)]
struct Canvas {
    content: String,
    low: (f64, f64),
    high: (f64, f64),
}

/// A coordinate, to a tenth.
fn c(x: f64) -> String {
    format!("{x:.1}")
}

/// Text for XML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The end of an arrow: a triangle at `at` that comes from `from`.
fn head(from: (f64, f64), at: (f64, f64)) -> String {
    let (dx, dy) = (at.0 - from.0, at.1 - from.1);
    let length = dx.hypot(dy).max(0.1);
    let (dx, dy) = (dx / length, dy / length);
    let side = |sign: f64| {
        let (x, y) = (
            at.0 - 10.0 * dx - sign * 4.0 * dy,
            at.1 - 10.0 * dy + sign * 4.0 * dx,
        );
        format!("{},{}", c(x), c(y))
    };
    format!("{},{} {} {}", c(at.0), c(at.1), side(1.0), side(-1.0))
}

impl Canvas {
    fn cover(&mut self, x: f64, y: f64) {
        self.low = (self.low.0.min(x), self.low.1.min(y));
        self.high = (self.high.0.max(x), self.high.1.max(y));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes all.
        let _ = self.content.write_fmt(text);
        self.content.push('\n');
    }
}

impl RenderBackend for Canvas {
    fn draw_rect(
        &mut self,
        xy: Point,
        size: Point,
        _look: &StyleAttr,
        properties: Option<String>,
        _clip: Option<ClipHandle>,
    ) {
        self.cover(xy.x, xy.y);
        self.cover(xy.x + size.x, xy.y + size.y);
        self.push(format_args!(
            "<rect {} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\"/>",
            properties.unwrap_or_default(),
            c(xy.x),
            c(xy.y),
            c(size.x),
            c(size.y)
        ));
    }

    fn draw_text(&mut self, xy: Point, text: &str, _look: &StyleAttr) {
        self.push(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            c(xy.x),
            c(xy.y + BASELINE),
            escape(text)
        ));
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        _dashed: bool,
        ends: (bool, bool),
        _look: &StyleAttr,
        properties: Option<String>,
        _text: &str,
    ) {
        let properties = properties.unwrap_or_default();
        let aside = if properties.contains(BESIDES) {
            ASIDE
        } else {
            0.0
        };
        let at = |point: &Point| (point.x + aside, point.y);
        let [(start, leave), (control, first), rest @ ..] = path else {
            return;
        };
        for (a, b) in path {
            self.cover(a.x, a.y);
            self.cover(b.x + aside, b.y);
        }
        let point = |point: &Point| {
            let (x, y) = at(point);
            format!("{} {}", c(x), c(y))
        };
        let mut d = format!(
            "M {} C {}, {}, {}",
            point(start),
            point(leave),
            point(control),
            point(first)
        );
        for (control, to) in rest {
            let _ = write!(d, " S {}, {}", point(control), point(to));
        }
        // Layout turns some arrows around; their head is at the start then.
        let (from, to) = path
            .last()
            .map_or((control, first), |(control, to)| (control, to));
        let (from, to) = if ends.0 { (leave, start) } else { (from, to) };
        self.push(format_args!(
            "<g {properties}><path d=\"{d}\"/><polygon points=\"{}\"/></g>",
            head(at(from), at(to))
        ));
    }

    // What is laid out has none of these.
    fn draw_line(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}
    fn draw_circle(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}
    fn create_clip(&mut self, _: Point, _: Point, _: usize) -> ClipHandle {
        0
    }
}

const STYLE: &str = "\
text { font: 14px sans-serif; fill: #222 }
rect { fill: #fff; stroke: #222; stroke-width: 1.5 }
rect.section { fill: #e8f1fb }
rect.notifier { fill: #f3f3f3; stroke-dasharray: 2,2 }
path { fill: none; stroke: #222; stroke-width: 1.5 }
polygon { fill: #222 }
.unseen path { stroke-dasharray: 6,4 }
.besides path { stroke: #999; stroke-dasharray: 1,4; stroke-linecap: round }
.besides polygon { fill: #999 }
.undeclared path { stroke: #c00; stroke-width: 3 }
.undeclared polygon { fill: #c00 }";

/// Lays a graph out and draws it, with a title, a description and a legend.
pub fn draw(mut graph: VisualGraph, title: &str, description: &str, legend: Legend<'_>) -> String {
    let mut canvas = Canvas {
        low: (f64::MAX, f64::MAX),
        ..Canvas::default()
    };
    graph.do_it(false, false, false, &mut canvas);

    let left = canvas.low.0;
    for (sign, class, text) in legend {
        let y = canvas.high.1 + 24.0;
        canvas.cover(left, y);
        match sign {
            Sign::Arrow => canvas.push(format_args!(
                "<g class=\"{class}\"><path d=\"M {} {y} H {}\"/><polygon points=\"{}\"/></g>",
                c(left),
                c(left + 34.0),
                head((left, y), (left + 44.0, y)),
                y = c(y),
            )),
            Sign::Box => canvas.push(format_args!(
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"44\" height=\"16\" rx=\"4\"/>",
                c(left),
                c(y - 8.0),
            )),
        }
        canvas.push(format_args!(
            "<text x=\"{}\" y=\"{}\">{}</text>",
            c(left + 54.0),
            c(y + BASELINE),
            escape(text)
        ));
    }

    let (x, y) = (canvas.low.0 - MARGIN, canvas.low.1 - MARGIN);
    let (width, height) = (canvas.high.0 + MARGIN - x, canvas.high.1 + MARGIN - y);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!-- SPDX-License-Identifier: GPL-2.0 -->\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{x} {y} {w} {h}\" \
         width=\"{w}\" height=\"{h}\" role=\"img\">\n\
         <title>{}</title>\n<desc>{}</desc>\n<style>\n{STYLE}\n</style>\n\
         <rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" style=\"stroke:none\"/>\n{}</svg>\n",
        escape(title),
        escape(description),
        canvas.content,
        x = c(x),
        y = c(y),
        w = c(width),
        h = c(height),
    )
}
