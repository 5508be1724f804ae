//! The rows as a person reads them, and as a program does.

use std::fmt;

use serde::Serialize;

use super::proc;
use super::samples::Samples;

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Count,
    Seconds,
    Milliseconds,
    Microseconds,
    Megabytes,
    /// Of a processor.
    SecondsPerHour,
    PerSecond,
}

/// What a row is held against.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    /// Ours, in the row's unit.
    AtMost(f64),
    /// And this many times better than the peer's.
    AtMostAndBy(f64, f64),
    /// Ours, in the row's unit, where more is better.
    AtLeast(f64),
    /// Ours, in the row's unit, and of every run.
    NeverOver(f64),
    /// This many times better than the peer's.
    By(f64),
}

/// One thing that was measured: less is better, but for what is counted per second.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    what: &'static str,
    unit: Unit,
    ours: Samples,
    peers: Option<Samples>,
    target: Option<Target>,
}

/// How many requests of a kind a server answers.
#[derive(Debug, Serialize)]
pub(super) struct Limit {
    pub(super) what: &'static str,
    pub(super) per_second: Samples,
    /// Of the server, for one of them.
    pub(super) processor_milliseconds: Samples,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// OpenBao's version: server and agent are one program.
    pub(super) server: String,
    cores: usize,
    /// What else the machine was doing before and, with our own share, after.
    load: (f64, f64),
    rows: Vec<Row>,
    /// Beside the bare server.
    pub(super) bare: Vec<Row>,
    /// Of the injector.
    pub(super) admission: Vec<Row>,
    pub(super) capacity: Vec<Limit>,
}

impl Row {
    pub(super) fn beside(
        what: &'static str,
        unit: Unit,
        ours: Vec<f64>,
        peers: Vec<f64>,
        target: Option<Target>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            what,
            unit,
            ours: Samples::new(ours)?,
            peers: Some(Samples::new(peers)?),
            target,
        })
    }

    /// For what has no counterpart.
    pub(super) fn alone(what: &'static str, unit: Unit, values: Vec<f64>) -> anyhow::Result<Self> {
        Ok(Self {
            what,
            unit,
            ours: Samples::new(values)?,
            peers: None,
            target: None,
        })
    }

    pub(super) fn at_most(self, limit: f64) -> Self {
        Self {
            target: Some(Target::AtMost(limit)),
            ..self
        }
    }

    pub(super) fn at_least(self, limit: f64) -> Self {
        Self {
            target: Some(Target::AtLeast(limit)),
            ..self
        }
    }

    pub(super) fn never_over(self, limit: f64) -> Self {
        Self {
            target: Some(Target::NeverOver(limit)),
            ..self
        }
    }

    /// How many times better ours is.
    fn ratio(&self) -> Option<f64> {
        let (ours, peers) = (self.ours.median(), self.peers.as_ref()?.median());
        Some(match self.unit {
            Unit::PerSecond => ours / peers,
            _ => peers / ours,
        })
    }

    fn met(&self) -> Option<bool> {
        let ours = self.ours.median();
        Some(match self.target? {
            Target::AtMost(limit) => ours <= limit,
            Target::AtLeast(limit) => ours >= limit,
            Target::NeverOver(limit) => self.ours.greatest() <= limit,
            Target::AtMostAndBy(limit, times) => {
                ours <= limit && self.ratio().is_some_and(|ratio| ratio >= times)
            }
            Target::By(times) => self.ratio().is_some_and(|ratio| ratio >= times),
        })
    }

    /// For a table that has no peer.
    fn alone_cells(&self) -> [String; 3] {
        let [what, _ratio, ours, _peers, target] = self.cells();
        [what, ours, target]
    }

    fn cells(&self) -> [String; 5] {
        let show = |samples: &Samples| Shown(samples, self.unit).to_string();
        let unit = self.unit;
        let target = self.target.map(|target| match target {
            Target::AtMost(limit) => format!("≤ {limit} {unit}").trim_end().to_owned(),
            Target::AtLeast(limit) => format!("≥ {limit} {unit}"),
            Target::NeverOver(limit) => format!("never over {limit} {unit}"),
            Target::AtMostAndBy(limit, times) => format!("≤ {limit} {unit}, ≥ {times} ×"),
            Target::By(times) => format!("≥ {times} ×"),
        });
        let verdict = match self.met() {
            Some(true) => ": met",
            Some(false) => ": missed",
            None => "",
        };
        let ratio = self.ratio().map(|ratio| format!("{} ×", digits(ratio)));
        [
            self.what.to_owned(),
            ratio.unwrap_or_default(),
            show(&self.ours),
            self.peers.as_ref().map(show).unwrap_or_default(),
            format!("{}{verdict}", target.unwrap_or_default()),
        ]
    }
}

const HEADS: [&str; 5] = ["what", "better by", "Keyside", "bao agent", "target"];
const BARE_HEADS: [&str; 5] = ["what", "as good by", "Keyside", "bare server", "target"];
const ALONE_HEADS: [&str; 3] = ["the injector", "measured", "target"];
const LIMIT_HEADS: [&str; 3] = ["requests", "per second", "processor time for one"];

impl Limit {
    fn cells(&self) -> [String; 3] {
        [
            self.what.to_owned(),
            Shown(&self.per_second, Unit::PerSecond).to_string(),
            Shown(&self.processor_milliseconds, Unit::Milliseconds).to_string(),
        ]
    }
}

impl Report {
    pub(super) fn new() -> anyhow::Result<Self> {
        let load = proc::load()?;
        Ok(Self {
            server: String::new(),
            cores: std::thread::available_parallelism()?.get(),
            load: (load, load),
            rows: Vec::new(),
            bare: Vec::new(),
            admission: Vec::new(),
            capacity: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }

    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.load.1 = proc::load()?;
        Ok(())
    }

    /// For a terminal.
    pub(super) fn table(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        aligned(HEADS, &rows)
    }

    pub(super) fn bare_table(&self) -> String {
        let rows: Vec<_> = self.bare.iter().map(Row::cells).collect();
        aligned(BARE_HEADS, &rows)
    }

    pub(super) fn admission_table(&self) -> String {
        let rows: Vec<_> = self.admission.iter().map(Row::alone_cells).collect();
        aligned(ALONE_HEADS, &rows)
    }

    pub(super) fn capacity_table(&self) -> String {
        let rows: Vec<_> = self.capacity.iter().map(Limit::cells).collect();
        aligned(LIMIT_HEADS, &rows)
    }

    pub(super) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// For the page.
    pub(super) fn markdown(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let bare: Vec<_> = self.bare.iter().map(Row::cells).collect();
        let limits: Vec<_> = self.capacity.iter().map(Limit::cells).collect();
        let admission: Vec<_> = self.admission.iter().map(Row::alone_cells).collect();
        format!(
            "OpenBao {}, {} cores, load {:.1} before the run. Medians, and between which values half of the runs \
             lay.\n\n{}\n{}\n{}\n{}",
            self.server,
            self.cores,
            self.load.0,
            marked(HEADS, &rows),
            marked(BARE_HEADS, &bare),
            marked(LIMIT_HEADS, &limits),
            marked(ALONE_HEADS, &admission)
        )
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Megabytes => "MB",
            Self::SecondsPerHour => "s/h",
            Self::PerSecond => "/s",
        })
    }
}

/// A median with its quartiles.
struct Shown<'a>(&'a Samples, Unit);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lower, upper) = self.0.quartiles();
        let [median, lower, upper] = [self.0.median(), lower, upper].map(digits);
        match self.1 {
            Unit::Count => write!(f, "{median} ({lower} to {upper})"),
            unit => write!(f, "{median} {unit} ({lower} to {upper})"),
        }
    }
}

/// Three digits that mean something, more only before the point.
fn digits(value: f64) -> String {
    if value.is_infinite() {
        return "∞".to_owned();
    }
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// Columns as wide as their widest cells.
pub(crate) fn aligned<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let mut widths = [0; N];
    for row in std::iter::once(&heads).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::from("   ");
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 3 - cell.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The same in Markdown.
pub(crate) fn marked<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head = line(&heads.map(str::to_owned)) + "|" + &"---|".repeat(N) + "\n";
    let rows: String = rows.iter().map(|row| line(row)).collect();
    head + &rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, peers: f64, target: Target) -> Row {
        Row::beside(
            "memory",
            Unit::Megabytes,
            vec![ours],
            vec![peers],
            Some(target),
        )
        .unwrap()
    }

    #[test]
    fn a_target_is_met_or_missed() {
        for (ours, peers, target, met) in [
            (5.0, 1.0, Target::AtMost(5.0), true),
            (5.1, 99.0, Target::AtMost(5.0), false),
            (5.0, 60.0, Target::AtMostAndBy(5.0, 12.0), true),
            (5.0, 59.0, Target::AtMostAndBy(5.0, 12.0), false),
            (5.1, 99.0, Target::AtMostAndBy(5.0, 12.0), false),
            (5.0, 20.0, Target::By(4.0), true),
            (5.0, 19.0, Target::By(4.0), false),
        ] {
            assert_eq!(
                row(ours, peers, target).met(),
                Some(met),
                "{ours} {peers} {target:?}"
            );
        }
    }

    #[test]
    fn more_is_better_of_what_is_counted_per_second() {
        let row = Row::beside("hits", Unit::PerSecond, vec![60.0], vec![10.0], None).unwrap();
        assert_eq!(row.ratio(), Some(6.0));
    }

    #[test]
    fn a_row_shows_the_ratio_before_the_numbers() {
        let cells = row(4.0, 80.0, Target::AtMostAndBy(5.0, 12.0)).cells();
        assert_eq!(
            marked(HEADS, &[cells]),
            "| what | better by | Keyside | bao agent | target |\n|---|---|---|---|---|\n\
             | memory | 20.0 × | 4.00 MB (4.00 to 4.00) | 80.0 MB (80.0 to 80.0) | ≤ 5 MB, ≥ 12 ×: met |\n"
        );
    }

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [
            ["a".to_owned(), "≤ 1".to_owned()],
            ["long".to_owned(), String::new()],
        ];
        assert_eq!(
            aligned(["x", "y"], &rows),
            "   x      y\n   a      ≤ 1\n   long\n"
        );
    }
}
