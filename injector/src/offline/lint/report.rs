//! What was found, for people and for machines.

use std::path::Path;

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warning,
}

#[derive(Debug)]
pub(super) struct Finding {
    pub file: String,
    /// Absent where the text has no place for it.
    pub line: Option<usize>,
    /// Counted from one; absent where the file as a whole is meant.
    pub document: Option<usize>,
    /// Absent where it could not be read.
    pub object: Option<String>,
    pub severity: Severity,
    pub annotation: Option<String>,
    pub message: String,
}

#[derive(Debug, Default)]
pub(super) struct Report {
    pub findings: Vec<Finding>,
    pub pods: usize,
    /// How many of them ask for the agent.
    pub asking: usize,
}

pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    }
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Report {
    /// One line each, with the place in front as compilers have it.
    pub(super) fn text(&self) -> String {
        let lines = self.findings.iter().map(|one| {
            let line = one.line.map_or_else(String::new, |line| format!("{line}:"));
            let document = one.document.map(|number| format!("document {number}"));
            let place: Vec<String> = document.into_iter().chain(one.object.clone()).collect();
            let place = match place.as_slice() {
                [] => String::new(),
                place => format!("{}: ", place.join(", ")),
            };
            let (file, severity, message) = (&one.file, one.severity.word(), &one.message);
            format!("{file}:{line} {severity}: {place}{message}\n")
        });
        lines.collect()
    }

    pub(super) fn json(&self) -> String {
        let findings = self.findings.iter().map(|one| {
            json!({
                "file": one.file,
                "line": one.line,
                "document": one.document,
                "object": one.object,
                "severity": one.severity.word(),
                "annotation": one.annotation,
                "message": one.message,
            })
        });
        format!("{:#}\n", findings.collect::<Value>())
    }

    pub(super) fn summary(&self) -> String {
        let count = |severity| {
            let of = self.findings.iter().filter(|one| one.severity == severity);
            of.count()
        };
        format!(
            "{}, {} of them asking for the agent: {}, {}\n",
            counted(self.pods, "pod"),
            self.asking,
            counted(count(Severity::Error), "error"),
            counted(count(Severity::Warning), "warning"),
        )
    }
}

fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
