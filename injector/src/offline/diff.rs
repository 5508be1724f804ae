//! What became of a text, as `diff -u` writes it.

use std::path::Path;

use similar::{ChangeTag, TextDiff};

/// A difference that `patch` takes; empty where there is none.
pub(crate) fn unified(path: &Path, before: &str, after: &str, is_coloured: bool) -> String {
    let diff = TextDiff::from_lines(before, after);
    let shown = if path == Path::new("-") {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    };
    let paint = |text: &str, colour: &str| {
        if is_coloured {
            format!("\u{1b}[{colour}m{text}\u{1b}[0m\n")
        } else {
            format!("{text}\n")
        }
    };
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        if text.is_empty() {
            text.push_str(&paint(&format!("--- {shown}"), "1"));
            text.push_str(&paint(&format!("+++ {shown}"), "1"));
        }
        text.push_str(&paint(&hunk.header().to_string(), "36"));
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches(['\r', '\n']);
            let line = match change.tag() {
                ChangeTag::Equal => format!(" {line}\n"),
                ChangeTag::Delete => paint(&format!("-{line}"), "31"),
                ChangeTag::Insert => paint(&format!("+{line}"), "32"),
            };
            text.push_str(&line);
            if change.missing_newline() {
                text.push_str("\\ No newline at end of file\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, after: &str, is_coloured: bool, expected: &str) {
        assert_eq!(
            unified(Path::new("a.yaml"), before, after, is_coloured),
            expected
        );
    }

    #[test]
    fn is_what_patch_takes() {
        check("a\n", "a\n", true, "");
        check(
            "a\nb\n",
            "a\nc",
            false,
            "--- a.yaml\n+++ a.yaml\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline at end of file\n",
        );
    }

    #[test]
    fn has_colours_on_a_terminal() {
        check(
            "a\n",
            "b\n",
            true,
            "\u{1b}[1m--- a.yaml\u{1b}[0m\n\u{1b}[1m+++ a.yaml\u{1b}[0m\n\u{1b}[36m@@ -1 +1 @@\u{1b}[0m\n\
             \u{1b}[31m-a\u{1b}[0m\n\u{1b}[32m+b\u{1b}[0m\n",
        );
    }
}
