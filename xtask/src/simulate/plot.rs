//! The picture: a small chart for each scenario, all on the same scale, in SVG.
//!
//! One chart has two lines in percent: what the agents' requests take of the server in the worst second of each
//! stretch, and how many of the pods are not well.

use tokio::time::Duration;

use super::Played;
use super::scenario::Scenario;
use super::tally::{MOST, Tally};

const COLUMNS: usize = 2;
/// Of a chart, with what is written around it.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 190.0;
/// Of the lines.
const INNER: f64 = 370.0;
const TALL: f64 = 110.0;
const LEFT: f64 = 48.0;
const TOP: f64 = 40.0;
const LEGEND: f64 = 40.0;
/// A point for every two pixels.
const POINTS: u32 = 185;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.small { font-size: 10px; fill: #59636e }
.back { fill: #ffffff }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.most { stroke: #59636e; stroke-width: 1; stroke-dasharray: 4 3 }
.back-line { stroke: #1a7f37; stroke-width: 1; stroke-dasharray: 2 2 }
.load { fill: #0969da; fill-opacity: 0.25; stroke: #0969da; stroke-width: 1.2 }
.unwell { fill: none; stroke: #bc4c00; stroke-width: 1.6 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #9198a1 }
  .back { fill: #0d1117 }
  .grid { stroke: #3d444d }
  .most { stroke: #9198a1 }
  .back-line { stroke: #3fb950 }
  .load { fill: #4493f8; stroke: #4493f8 }
  .unwell { stroke: #f0883e }
}
";

pub(super) fn svg(played: &[Played], agents: u32) -> String {
    let rows = played.len().div_ceil(COLUMNS);
    let (width, height) = (number(COLUMNS) * WIDTH, number(rows) * HEIGHT + LEGEND);
    let charts = played.iter().enumerate().map(|(index, played)| {
        let (row, column) = (index / COLUMNS, index % COLUMNS);
        let (x, y) = (number(column) * WIDTH, number(row) * HEIGHT + LEGEND);
        let chart = chart(&played.scenario, &played.tally, agents);
        format!("<g transform=\"translate({x} {y})\">\n{chart}</g>\n")
    });
    let charts: String = charts.collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"The fleet in every scenario: load of the server, and pods that \
         are not well\">\n<style>\n{STYLE}</style>\n<rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n\
         {}{charts}</svg>\n",
        legend()
    )
}

fn legend() -> String {
    let entry = |x: f64, mark: &str, text: &str| {
        let (at, words) = (x + 30.0, x + 30.0);
        let mark = mark
            .replace("X2", &at.to_string())
            .replace('X', &x.to_string());
        let words = words + 6.0;
        format!("{mark}<text x=\"{words}\" y=\"24\">{text}</text>\n")
    };
    let line = |class: &str| format!("<path class=\"{class}\" d=\"MX 20HX2\"/>");
    [
        entry(LEFT, &line("load"), "load of the server"),
        entry(LEFT + 170.0, &line("unwell"), "pods not well"),
        entry(LEFT + 310.0, &line("most"), "0.7 of the server"),
        entry(
            LEFT + 470.0,
            &line("back-line"),
            "the server is back, every pod is there",
        ),
    ]
    .concat()
}

fn chart(scenario: &Scenario, tally: &Tally, agents: u32) -> String {
    let length = scenario.length;
    let share = |unwell: usize| number(unwell) / f64::from(agents);
    let unwell = tally.unwell.iter();
    let unwell: Vec<_> = unwell.map(|(at, unwell)| (*at, share(*unwell))).collect();
    let (load, unwell) = (path(&loads(tally, length), length), path(&unwell, length));
    let (right, floor) = (LEFT + INNER, TOP + TALL);
    let (back, most) = (x(scenario.back, length), y(MOST));
    format!(
        "<text class=\"title\" x=\"{LEFT}\" y=\"18\">{}</text>\n{}{}{}\
         <path class=\"most\" d=\"M{LEFT} {most:.1}H{right}\"/>\n\
         <path class=\"back-line\" d=\"M{back:.1} {TOP}V{floor}\"/>\n\
         <path class=\"load\" d=\"M{LEFT} {floor}{load}V{floor}Z\"/>\n\
         <path class=\"unwell\" d=\"M{LEFT} {floor}{unwell}\"/>\n",
        scenario.title,
        peak(tally),
        percents(),
        times(length)
    )
}

/// Where the line leaves the chart, how far.
fn peak(tally: &Tally) -> String {
    let load = tally.worst().load;
    if load <= 1.0 {
        return String::new();
    }
    small(
        LEFT + INNER,
        33.0,
        "end",
        &format!("worst second {:.0} %", load * 100.0),
    )
}

fn percents() -> String {
    let line = |percent: u8| {
        let (y, right) = (y(f64::from(percent) / 100.0), LEFT + INNER);
        let label = small(LEFT - 6.0, y + 3.5, "end", &format!("{percent} %"));
        format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>{label}")
    };
    [0, 50, 100].map(line).concat()
}

fn times(length: Duration) -> String {
    let scale = Scale::of(length);
    let floor = TOP + TALL;
    let tick = |(at, label): (Duration, u32)| {
        let (x, below) = (x(at, length), floor + 4.0);
        let label = small(x, floor + 16.0, "middle", &label.to_string());
        format!("<path class=\"grid\" d=\"M{x:.1} {floor}V{below}\"/>{label}")
    };
    let ticks: String = scale.ticks(length).into_iter().map(tick).collect();
    ticks + &small(LEFT + INNER, floor + 29.0, "end", scale.name)
}

fn small(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!(
        "<text class=\"small\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n"
    )
}

/// The worst second of each stretch.
fn loads(tally: &Tally, length: Duration) -> Vec<(Duration, f64)> {
    let stretch = length / POINTS;
    let mut loads: Vec<_> = (0..POINTS)
        .map(|point| (stretch * point, 0.0_f64))
        .collect();
    for (second, at) in tally.seconds.iter().zip(0_u64..) {
        let point = u128::from(at) * 1000 / stretch.as_millis().max(1);
        let point = usize::try_from(point).unwrap_or(usize::MAX);
        if let Some((_, load)) = loads.get_mut(point) {
            *load = load.max(second.load);
        }
    }
    loads
}

/// Points that look the same are one.
fn path(points: &[(Duration, f64)], length: Duration) -> String {
    let point = |(at, share): &(Duration, f64)| format!("L{:.0} {:.1}", x(*at, length), y(*share));
    let mut points: Vec<_> = points.iter().map(point).collect();
    points.dedup();
    points.concat()
}

fn x(at: Duration, length: Duration) -> f64 {
    LEFT + at.as_secs_f64() / length.as_secs_f64() * INNER
}

/// What is above the top is cut off there.
fn y(share: f64) -> f64 {
    TOP + TALL * (1.0 - share.min(1.0))
}

/// How time is written below a chart.
struct Scale {
    unit: Duration,
    /// Between two ticks, in units.
    step: u32,
    name: &'static str,
}

impl Scale {
    fn of(length: Duration) -> Self {
        let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
        let (unit, step, name) = if length > 4 * hour {
            (hour, 1, "hours")
        } else {
            (
                minute,
                if length > hour * 3 / 2 { 20 } else { 10 },
                "minutes",
            )
        };
        Self { unit, step, name }
    }

    fn ticks(&self, length: Duration) -> Vec<(Duration, u32)> {
        let labels = (0_u32..).map(|tick| tick * self.step);
        let ticks = labels.map(|label| (self.unit * label, label));
        ticks.take_while(|(at, _)| *at <= length).collect()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "pods and charts are counted in thousands"
)]
fn number(count: usize) -> f64 {
    count as f64
}
