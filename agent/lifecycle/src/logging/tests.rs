use std::io;
use std::sync::{Arc, Mutex};

use super::*;

/// A writer that tests can read back.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `say` prints at `level`, and the handle to change it.
fn printed(level: LevelFilter, json: bool, say: impl FnOnce(&Level)) -> String {
    let page = Page::default();
    let writer = page.clone();
    let (subscriber, level) = subscriber(level, json, move || writer.clone());
    tracing::subscriber::with_default(subscriber, || say(&level));
    page.text()
}

#[test]
fn a_json_line_holds_time_level_message_and_fields_at_its_top() {
    let text = printed(LevelFilter::INFO, true, |_| {
        tracing::info!(event = "listening", address = "127.0.0.1:8200", "ready");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["event"], "listening");
    assert_eq!(line["address"], "127.0.0.1:8200");
    assert_eq!(line["message"], "ready");
    assert_eq!(line["level"], "INFO");
    let time = line["timestamp"].as_str().unwrap();
    assert!(
        time.contains('T') && time.ends_with('Z'),
        "not RFC 3339 in UTC: {time}"
    );
}

#[test]
fn a_text_line_is_one_line_without_colour_whatever_a_field_holds() {
    let text = printed(LevelFilter::INFO, false, |_| {
        tracing::warn!(
            event = "login_failed",
            error = "first\nsecond \u{1b}[31mred",
            "trying again"
        );
    });
    assert_eq!(text.lines().count(), 1, "{text:?}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(
        text.contains("WARN") && text.contains("event=\"login_failed\""),
        "{text:?}"
    );
}

#[test]
fn the_level_changes_while_running() {
    let text = printed(LevelFilter::INFO, false, |level| {
        for round in 0..3 {
            tracing::debug!("debug {round}");
            level
                .set(if round == 0 {
                    LevelFilter::DEBUG
                } else {
                    LevelFilter::WARN
                })
                .unwrap();
        }
        tracing::info!("info");
    });
    let said: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split("tests: ").nth(1))
        .collect();
    assert_eq!(said, ["debug 1"]);
}

#[test]
fn other_crates_are_silent_below_warn_at_every_level() {
    let text = printed(LevelFilter::TRACE, false, |_| {
        tracing::info!(target: "hyper::client", "authorization: Bearer s.canary");
        tracing::warn!(target: "hyper::client", "pool is full");
        tracing::trace!("ours");
    });
    assert!(!text.contains("canary"), "{text}");
    assert!(
        text.contains("pool is full") && text.contains("ours"),
        "{text}"
    );
}

#[test]
fn a_panic_is_logged_with_its_place_and_without_its_message() {
    let text = printed(LevelFilter::INFO, true, |_| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        let outcome = std::panic::catch_unwind(|| panic!("token s.canary is wrong"));
        std::panic::set_hook(before);
        assert!(outcome.is_err());
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["event"], "panicked");
    assert!(
        line["location"]
            .as_str()
            .unwrap()
            .contains("logging/tests.rs:"),
        "{line}"
    );
    assert!(!text.contains("canary"), "{text}");
}
