//! One chart: an SVG that stretches with the page, under labels that do not, so that it can be read at any width.

use std::fmt::Write as _;

use super::{
    markup::{both, escape, plain},
    number,
    scale::Scale,
    series::Grid,
    text::{self, Text},
};

/// Units of the drawing across; its height is 100.
const ACROSS: f64 = 1000.0;

/// What all charts of a curve share: the time axis and what lies behind the lines.
pub(super) struct Frame {
    /// The columns.
    pub(super) grid: Grid,
    /// Labels of the time axis.
    pub(super) times: Vec<(f64, String)>,
    /// Stages: beginning and end, from 0 to 1.
    pub(super) bands: Vec<(f64, f64)>,
    /// Events, from 0 to 1.
    pub(super) marks: Vec<f64>,
    /// Where the server could not be asked: beginning and end, from 0 to 1.
    pub(super) gaps: Vec<(f64, f64)>,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// From point to point.
    Line,
    /// The same, broken into dashes: what was meant, not what was.
    Dashed,
    /// From point to point with what is under it filled.
    Area,
    /// A bar a column.
    Bars,
}

/// One line of a chart.
pub(super) struct Line {
    /// What it is.
    pub(super) text: Text,
    /// Its colour's class.
    pub(super) colour: &'static str,
    /// How it is drawn.
    pub(super) shape: Shape,
    /// A value a column.
    pub(super) values: Vec<Option<f64>>,
    /// The same of an earlier run.
    pub(super) earlier: Vec<Option<f64>>,
}

/// How the axis upwards is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Axis {
    /// From zero.
    Zero,
    /// From zero to at least so much.
    ZeroTo(f64),
    /// Decades of milliseconds, the same for charts that are given the same.
    Decades(Scale),
}

/// A chart.
pub(super) struct Chart {
    /// Its title.
    pub(super) title: Text,
    /// The unit in words, and short for the axis.
    pub(super) unit: (String, &'static str),
    /// The axis upwards.
    pub(super) axis: Axis,
    /// What must be known to read it.
    pub(super) note: Option<Text>,
    /// What stands there when every value is zero.
    pub(super) quiet: Option<Text>,
    /// Its lines; the last lies on top.
    pub(super) lines: Vec<Line>,
}

impl Chart {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.lines
            .iter()
            .flat_map(|line| line.values.iter().chain(&line.earlier))
            .filter_map(|value| *value)
    }

    fn scale(&self) -> Scale {
        let most = self.values().fold(0.0, f64::max);
        match self.axis {
            Axis::Zero => Scale::linear(most),
            Axis::ZeroTo(least) => Scale::linear(most.max(least)),
            Axis::Decades(scale) => scale,
        }
    }

    /// Draws it.
    pub(super) fn draw(&self, frame: &Frame) -> String {
        let scale = self.scale();
        let mut html = format!(
            "<figure class=\"chart\">\n{}<div class=\"plot\">\n",
            self.caption()
        );
        self.upright_labels(scale, &mut html);
        html.push_str("<div class=\"area\">");
        spans("band", &frame.bands, &mut html);
        spans("gap", &frame.gaps, &mut html);
        let _ = write!(
            html,
            "<svg viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            plain(self.title)
        );
        let _ = write!(
            html,
            "<path class=\"grid\" d=\"{}\"/>",
            grid_path(scale, frame)
        );
        if !frame.marks.is_empty() {
            let path: String = frame
                .marks
                .iter()
                .map(|mark| format!("M{:.1} 0V100", mark * ACROSS))
                .collect();
            let _ = write!(html, "<path class=\"mark\" d=\"{path}\"/>");
        }
        for line in &self.lines {
            line.draw(scale, &frame.grid, &mut html);
        }
        html.push_str("</svg>");
        let any = self.values().next().is_some();
        let above = self.values().any(|value| value > 0.0);
        let said = if any {
            self.quiet.filter(|_| !above)
        } else {
            Some(text::NOTHING_MEASURED)
        };
        if let Some(said) = said {
            let _ = write!(html, "<p class=\"quiet\">{}</p>", both(said));
        }
        html.push_str("</div>\n");
        time_labels(frame, &mut html);
        html.push_str("</div>\n</figure>\n");
        html
    }

    fn caption(&self) -> String {
        let mut html = format!(
            "<figcaption><span class=\"title\"><b>{}</b> <span class=\"unit\">· {}</span></span>\n<ul class=\"legend\">",
            both(self.title),
            self.unit.0
        );
        for line in &self.lines {
            let values: Vec<String> = line
                .values
                .iter()
                .map(|value| value.map_or_else(String::new, compact))
                .collect();
            let unit = match self.axis {
                Axis::Decades(_) => "ms",
                _ => self.unit.1,
            };
            let shape = if line.shape == Shape::Dashed {
                " dashed"
            } else {
                ""
            };
            let _ = write!(
                html,
                "<li data-unit=\"{}\" data-values=\"{}\"><i class=\"key {}{shape}\"></i>{} <output></output></li>",
                escape(unit),
                values.join(" "),
                line.colour,
                both(line.text)
            );
        }
        html.push_str("</ul>");
        if let Some(note) = self.note {
            let _ = write!(html, "<p class=\"note\">{}</p>", both(note));
        }
        html.push_str("</figcaption>\n");
        html
    }

    fn upright_labels(&self, scale: Scale, html: &mut String) {
        html.push_str("<div class=\"upright\">");
        let ticks = scale.ticks();
        for (index, value) in ticks.iter().enumerate() {
            let label = match self.axis {
                Axis::Decades(_) => number::time_tick(*value),
                _ if index + 1 == ticks.len() && !self.unit.1.is_empty() => {
                    format!("{} {}", number::tick(*value), escape(self.unit.1))
                }
                _ => number::tick(*value),
            };
            let _ = write!(
                html,
                "<span style=\"bottom:{:.2}%\">{label}</span>",
                scale.place(*value).unwrap_or(0.0) * 100.0
            );
        }
        html.push_str("</div>\n");
    }
}

/// The labels of the time axis; every second one gives way on a narrow page.
pub(super) fn time_labels(frame: &Frame, html: &mut String) {
    html.push_str("<div class=\"across\">");
    for (index, (at, label)) in frame.times.iter().enumerate() {
        let class = if index % 2 == 1 { " class=\"odd\"" } else { "" };
        let _ = write!(
            html,
            "<span{class} style=\"left:{:.2}%\">{}</span>",
            at / frame.grid.span * 100.0,
            escape(label)
        );
    }
    html.push_str("</div>\n");
}

fn spans(class: &str, spans: &[(f64, f64)], html: &mut String) {
    for (index, (from, to)) in spans.iter().enumerate() {
        let odd = if index % 2 == 1 { " odd" } else { "" };
        let _ = write!(
            html,
            "<div class=\"{class}{odd}\" style=\"left:{:.2}%;width:{:.2}%\"></div>",
            from * 100.0,
            (to - from) * 100.0
        );
    }
}

fn grid_path(scale: Scale, frame: &Frame) -> String {
    let mut path = String::new();
    for value in scale.ticks() {
        let _ = write!(path, "M0 {:.2}H1000", down(scale, value).unwrap_or(100.0));
    }
    for (at, _) in &frame.times {
        let _ = write!(path, "M{:.1} 0V100", at / frame.grid.span * ACROSS);
    }
    path
}

/// The place of a value from the top, as SVG counts.
fn down(scale: Scale, value: f64) -> Option<f64> {
    scale.place(value).map(|place| 100.0 - place * 100.0)
}

impl Line {
    fn draw(&self, scale: Scale, grid: &Grid, html: &mut String) {
        if self.earlier.iter().any(Option::is_some) {
            let path = line_path(&self.earlier, scale, grid);
            let _ = write!(
                html,
                "<path class=\"line earlier {}\" d=\"{path}\"/>",
                self.colour
            );
        }
        match self.shape {
            Shape::Bars => {
                let path = bar_path(&self.values, scale, grid);
                let _ = write!(html, "<path class=\"bars {}\" d=\"{path}\"/>", self.colour);
                return;
            }
            Shape::Area => {
                let path = area_path(&self.values, scale, grid);
                let _ = write!(
                    html,
                    "<path class=\"filled {}\" d=\"{path}\"/>",
                    self.colour
                );
            }
            Shape::Line | Shape::Dashed => {}
        }
        let dashed = if self.shape == Shape::Dashed {
            " dashed"
        } else {
            ""
        };
        let path = line_path(&self.values, scale, grid);
        let _ = write!(
            html,
            "<path class=\"line {}{dashed}\" d=\"{path}\"/>",
            self.colour
        );
    }
}

/// Runs of columns that have a value, each with its places.
fn runs(values: &[Option<f64>], scale: Scale, grid: &Grid) -> Vec<Vec<(f64, f64)>> {
    let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for (column, value) in values.iter().enumerate() {
        match value.and_then(|value| down(scale, value)) {
            Some(y) => {
                if let Some(run) = runs.last_mut() {
                    run.push((grid.place(column) * ACROSS, y));
                }
            }
            None => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// From point to point, lifted where nothing was measured. A lone point is a dot.
fn line_path(values: &[Option<f64>], scale: Scale, grid: &Grid) -> String {
    let mut path = String::new();
    for run in runs(values, scale, grid) {
        for (index, (x, y)) in run.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.2}", if index == 0 { "M" } else { "L" });
        }
        if run.len() == 1 {
            path.push_str("h0.1");
        }
    }
    path
}

fn area_path(values: &[Option<f64>], scale: Scale, grid: &Grid) -> String {
    let mut path = String::new();
    for run in runs(values, scale, grid) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let _ = write!(path, "M{:.1} 100", first.0);
        for (x, y) in &run {
            let _ = write!(path, "L{x:.1} {y:.2}");
        }
        let _ = write!(path, "L{:.1} 100Z", last.0);
    }
    path
}

/// Bars as wide as a column, but never too thin to see.
fn bar_path(values: &[Option<f64>], scale: Scale, grid: &Grid) -> String {
    let wide = (grid.width / grid.span * ACROSS).max(1.5);
    let mut path = String::new();
    for (column, value) in values.iter().enumerate() {
        let Some(y) = value
            .filter(|value| *value > 0.0)
            .and_then(|value| down(scale, value))
        else {
            continue;
        };
        let x = (grid.place(column) * ACROSS - wide / 2.0).max(0.0);
        let _ = write!(path, "M{x:.1} 100V{y:.2}h{wide:.1}V100Z");
    }
    path
}

/// A value as short as it can be said, for what is shown under the pointer.
fn compact(value: f64) -> String {
    let text = if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    };
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid::over(10.0)
    }

    #[test]
    fn a_line_is_lifted_where_nothing_was_measured() {
        let values = [
            Some(0.0),
            Some(10.0),
            None,
            Some(5.0),
            None,
            None,
            Some(10.0),
            Some(0.0),
        ];
        assert_eq!(
            line_path(&values, Scale::linear(10.0), &grid()),
            "M50.0 100.00L150.0 0.00M350.0 50.00h0.1M650.0 0.00L750.0 100.00"
        );
    }

    #[test]
    fn an_area_stands_on_zero_on_both_sides_of_a_gap() {
        let values = [Some(10.0), Some(10.0), None, Some(5.0)];
        assert_eq!(
            area_path(&values, Scale::linear(10.0), &grid()),
            "M50.0 100L50.0 0.00L150.0 0.00L150.0 100ZM350.0 100L350.0 50.00L350.0 100Z"
        );
    }

    #[test]
    fn bars_are_only_where_there_is_something_and_can_be_seen() {
        let values = [Some(0.0), Some(10.0), None];
        assert_eq!(
            bar_path(&values, Scale::linear(10.0), &grid()),
            "M100.0 100V0.00h100.0V100Z"
        );
        let long = Grid::over(600.0);
        let mut values = vec![None; long.columns];
        values[0] = Some(1.0);
        assert!(bar_path(&values, Scale::linear(1.0), &long).contains("h1.7V100Z"));
    }

    #[test]
    fn an_earlier_curve_is_faint_and_fits_on_the_same_axis() {
        let line = Line {
            text: text::ONLINE,
            colour: "a",
            shape: Shape::Line,
            values: vec![Some(10.0); 10],
            earlier: vec![Some(40.0); 10],
        };
        let chart = Chart {
            title: text::PRESENT,
            unit: (String::new(), ""),
            axis: Axis::Zero,
            note: None,
            quiet: None,
            lines: vec![line],
        };
        assert_eq!(chart.scale(), Scale::linear(40.0));
        let frame = Frame {
            grid: grid(),
            times: vec![],
            bands: vec![],
            marks: vec![0.5],
            gaps: vec![],
        };
        let html = chart.draw(&frame);
        assert!(
            html.contains("class=\"line earlier a\" d=\"M50.0 0.00L"),
            "{html}"
        );
        assert!(html.contains("class=\"line a\" d=\"M50.0 75.00L"), "{html}");
        assert!(html.contains("class=\"mark\" d=\"M500.0 0V100\""), "{html}");
    }

    #[test]
    fn a_chart_of_nothing_says_so() {
        let chart = |value: Option<f64>| Chart {
            title: text::TROUBLE,
            unit: (String::new(), ""),
            axis: Axis::Zero,
            note: None,
            quiet: Some(text::NO_TROUBLE),
            lines: vec![Line {
                text: text::ERRORS_LINE,
                colour: "a",
                shape: Shape::Bars,
                values: vec![value; 10],
                earlier: vec![],
            }],
        };
        let frame = Frame {
            grid: grid(),
            times: vec![],
            bands: vec![],
            marks: vec![],
            gaps: vec![],
        };
        assert!(chart(Some(0.0)).draw(&frame).contains(text::NO_TROUBLE.da));
        assert!(chart(None).draw(&frame).contains(text::NOTHING_MEASURED.da));
        let something = chart(Some(1.0)).draw(&frame);
        assert!(
            !something.contains(text::NO_TROUBLE.da)
                && !something.contains(text::NOTHING_MEASURED.da)
        );
    }
}
