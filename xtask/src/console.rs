//! What a person reads: headings, remarks and tables. Colours only on a terminal that wants them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one place of xtask that prints"
)]

use std::io::IsTerminal as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

static COLOURS: LazyLock<bool> =
    LazyLock::new(|| std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none());

#[derive(Clone, Copy)]
pub(crate) enum Style {
    Heading,
    Good,
    Bad,
    Faint,
}

/// The text in a style, where there is one to be seen.
pub(crate) fn styled(style: Style, text: &str) -> String {
    let code = match style {
        Style::Heading => "1;36",
        Style::Good => "32",
        Style::Bad => "1;31",
        Style::Faint => "2",
    };
    if *COLOURS {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

pub(crate) fn text(text: &str) {
    print!("{text}");
}

pub(crate) fn heading(text: &str) {
    println!("\n{}", styled(Style::Heading, text));
}

/// A remark below a heading.
pub(crate) fn note(text: &str) {
    println!("   {text}");
}

/// What lies below a remark: output of programs, file contents.
pub(crate) fn quote(text: &str) {
    for line in text.lines() {
        println!("   {}", styled(Style::Faint, &format!("| {line}")));
    }
}

/// The next step of several.
pub(crate) fn step(text: &str) {
    static STEP: AtomicU32 = AtomicU32::new(1);
    heading(&format!("{}. {text}", STEP.fetch_add(1, Ordering::Relaxed)));
}

/// Something that was checked and is as it should be.
pub(crate) fn seen(text: &str) {
    println!("   {} {text}", styled(Style::Good, "ok"));
}

pub(crate) fn error(text: &str) {
    eprintln!("{} {text}", styled(Style::Bad, "error:"));
}

/// Two columns, the first as wide as its widest cell.
pub(crate) fn table(rows: &[(String, String)]) {
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    for (name, value) in rows {
        println!("   {name:<width$}   {value}");
    }
}
