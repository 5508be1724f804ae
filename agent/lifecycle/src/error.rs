//! Errors as one line, with everything that caused them.

use std::error::Error;

/// `error` and all its sources, joined by `: `, for `error = error::chain(&e)` in a log line.
///
/// The log's formatters print no sources by themselves, and `Display` of our errors never repeats its source.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    #[test]
    fn every_source_is_named_in_order() {
        let inner = Link {
            text: "connection refused",
            source: None,
        };
        let middle = Link {
            text: "connecting to 127.0.0.1:8200",
            source: Some(Box::new(inner)),
        };
        let outer = Link {
            text: "logging in",
            source: Some(Box::new(middle)),
        };
        assert_eq!(
            chain(&outer),
            "logging in: connecting to 127.0.0.1:8200: connection refused"
        );
    }

    #[test]
    fn an_error_without_a_source_is_its_text() {
        assert_eq!(
            chain(&Link {
                text: "alone",
                source: None
            }),
            "alone"
        );
    }
}
