//! A plot of lines as SVG: axes with units, a legend, colours for light and dark backgrounds.

use std::fmt::Write as _;

const WIDTH: f64 = 780.0;
const HEIGHT: f64 = 400.0;
/// The area of the lines, between the labels and the legend.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 570.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = 340.0;
/// Decades above which only whole ones have a tick.
const DECADES_FINE: f64 = 2.4;

/// How far a point may lie beyond the end of a logarithmic axis: data of about ten thousand rows begins at ten thousand.
const END_TOLERANCE: f64 = 1.05;

const STYLE: &str = "\
.paper{fill:#fff;stroke:#d1d9e0}text{fill:#1f2328}.unit{fill:#59636e}.grid{stroke:#e4e8ec}.axis{stroke:#818b98}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:5 4}
.c0{stroke:#0969da;fill:#0969da}.c1{stroke:#c2540a;fill:#c2540a}.c2{stroke:#1a7f5a;fill:#1a7f5a}.c3{stroke:#8250df;fill:#8250df}
.c0.line,.c1.line,.c2.line,.c3.line{fill:none}
@media (prefers-color-scheme:dark){.paper{fill:#0d1117;stroke:#30363d}text{fill:#e6edf3}.unit{fill:#9198a1}
.grid{stroke:#21262d}.axis{stroke:#656c76}.c0{stroke:#58a6ff;fill:#58a6ff}.c1{stroke:#f0883e;fill:#f0883e}
.c2{stroke:#3fb98a;fill:#3fb98a}.c3{stroke:#bc8cff;fill:#bc8cff}}";

/// Colours that [`STYLE`] has.
const COLOURS: usize = 4;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// With the unit, if the marks have none.
    pub(super) label: &'static str,
    pub(super) scale: Scale,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scale {
    /// From zero on.
    Linear,
    Logarithmic,
    /// Logarithmic, of seconds; the marks have units.
    Time,
    /// Places at equal distances, the first at 0, the next at 1.
    Named(Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    /// Lines of one thing have one colour.
    pub(super) colour: usize,
    pub(super) is_dashed: bool,
    pub(super) points: Vec<(f64, f64)>,
}

/// An axis with its ends and marks.
struct Ruler {
    is_logarithmic: bool,
    low: f64,
    high: f64,
    marks: Vec<(f64, String)>,
}

impl Plot {
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Ruler::new(&self.x.scale, points().map(|point| point.0));
        let y = Ruler::new(&self.y.scale, points().map(|point| point.1));
        let mut body = String::new();
        self.draw_axes(&mut body, &x, &y);
        for (ix, line) in self.lines.iter().enumerate() {
            line.draw(&mut body, &x, &y);
            line.draw_key(&mut body, TOP + 10.0 + 22.0 * ix as f64);
        }
        let title = escaped(&self.title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\" font-family=\"system-ui,sans-serif\" font-size=\"12\">\n\
             <style>{STYLE}</style>\n\
             <rect class=\"paper\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n\
             <text x=\"{LEFT}\" y=\"30\" font-size=\"15\" font-weight=\"600\">{title}</text>\n{body}</svg>\n",
            WIDTH - 1.0,
            HEIGHT - 1.0,
        )
    }

    fn draw_axes(&self, out: &mut String, x: &Ruler, y: &Ruler) {
        for (value, label) in &y.marks {
            let at = up(y.place(*value));
            push(
                out,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                     <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                    LEFT - 8.0,
                    at + 4.0,
                    escaped(label)
                ),
            );
        }
        for (value, label) in &x.marks {
            let at = along(x.place(*value));
            push(
                out,
                format_args!(
                    "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
                     <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    BOTTOM + 18.0,
                    escaped(label)
                ),
            );
        }
        push(
            out,
            format_args!(
                "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>\n\
                 <text class=\"unit\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
                 <text class=\"unit\" transform=\"translate(22 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
                (LEFT + RIGHT) / 2.0,
                BOTTOM + 42.0,
                escaped(self.x.label),
                (TOP + BOTTOM) / 2.0,
                escaped(self.y.label)
            ),
        );
    }
}

impl Line {
    fn class(&self) -> String {
        let dashed = if self.is_dashed { " dashed" } else { "" };
        format!("line c{}{dashed}", self.colour % COLOURS)
    }

    fn draw(&self, out: &mut String, x: &Ruler, y: &Ruler) {
        let places = self.points.iter();
        let places = places.map(|(at, value)| (along(x.place(*at)), up(y.place(*value))));
        let places: Vec<(f64, f64)> = places.collect();
        let mut text = String::new();
        for (x, y) in &places {
            push(&mut text, format_args!("{x:.1},{y:.1}"));
        }
        let text = text.trim_end().replace('\n', " ");
        let class = self.class();
        push(
            out,
            format_args!("<polyline class=\"{class}\" points=\"{text}\"/>"),
        );
        for (x, y) in places {
            let colour = self.colour % COLOURS;
            push(
                out,
                format_args!("<circle class=\"c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"),
            );
        }
    }

    fn draw_key(&self, out: &mut String, at: f64) {
        let (from, to) = (RIGHT + 16.0, RIGHT + 42.0);
        push(
            out,
            format_args!(
                "<line class=\"{}\" x1=\"{from}\" x2=\"{to}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\">{}</text>",
                self.class(),
                to + 6.0,
                at + 4.0,
                escaped(&self.name)
            ),
        );
    }
}

impl Ruler {
    fn new(scale: &Scale, values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        match scale {
            Scale::Linear => Self::linear(most),
            Scale::Logarithmic => Self::logarithmic(least, most, quantity),
            Scale::Time => Self::logarithmic(least, most, time),
            Scale::Named(names) => Self {
                is_logarithmic: false,
                low: -0.3,
                high: names.len() as f64 - 0.7,
                marks: (0..)
                    .zip(names)
                    .map(|(ix, name)| (f64::from(ix), name.clone()))
                    .collect(),
            },
        }
    }

    fn linear(most: f64) -> Self {
        let step = steps().find(|step| most <= step * 6.0).unwrap_or(most);
        let count = (most / step).ceil().max(1.0) as u32;
        let marks = (0..=count).map(|number| f64::from(number) * step);
        Self {
            is_logarithmic: false,
            low: 0.0,
            high: f64::from(count) * step,
            marks: marks.map(|value| (value, quantity(value))).collect(),
        }
    }

    fn logarithmic(least: f64, most: f64, text: fn(f64) -> String) -> Self {
        let low = steps()
            .take_while(|step| *step <= least * END_TOLERANCE)
            .last();
        let low = low.unwrap_or(least);
        let high = steps().find(|step| *step * END_TOLERANCE >= most && *step > low);
        let high = high.unwrap_or(most);
        let is_fine = (high / low).log10() <= DECADES_FINE;
        let marks = steps().filter(|step| (low..=high).contains(step));
        let marks = marks.filter(|step| is_fine || is_whole(step.log10()));
        Self {
            is_logarithmic: true,
            low,
            high,
            marks: marks.map(|value| (value, text(value))).collect(),
        }
    }

    /// Where `value` lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let of = |value: f64| {
            if self.is_logarithmic {
                value.log10()
            } else {
                value
            }
        };
        (of(value) - of(self.low)) / (of(self.high) - of(self.low))
    }
}

/// 1, 2, 5 and so on, from a billionth on.
fn steps() -> impl Iterator<Item = f64> {
    (-9..=12).flat_map(|exponent| {
        // A text is read without the error of a power.
        [1, 2, 5].map(|digit| format!("{digit}e{exponent}").parse().unwrap_or_default())
    })
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-9
}

/// A short form of a number.
fn quantity(value: f64) -> String {
    in_units(value, &[(1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")])
}

/// A short form of a number of seconds.
fn time(value: f64) -> String {
    in_units(
        value,
        &[(1.0, " s"), (1e-3, " ms"), (1e-6, " µs"), (1e-9, " ns")],
    )
}

/// In the first unit that fits into `value`, or else in the last.
fn in_units(value: f64, units: &[(f64, &str)]) -> String {
    let unit = units.iter().find(|(size, _)| value >= *size);
    let (size, unit) = unit.or(units.last()).copied().unwrap_or((1.0, ""));
    let text = format!("{:.3}", value / size);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

fn along(place: f64) -> f64 {
    LEFT + place * (RIGHT - LEFT)
}

fn up(place: f64) -> f64 {
    BOTTOM - place * (BOTTOM - TOP)
}

/// A line of text; a string takes all that is written.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = writeln!(out, "{text}");
    debug_assert!(written.is_ok());
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
