//! What must hold for any text: called by the fuzz target, and by the tests with a corpus (`fuzz/corpus/template`).

use crate::{Answer, Dependency, Limits, Now, Options, Outcome, Sources, Template};

/// Answers everything with the same secret.
struct One;

const SECRET: &[u8] = br#"{"data":{"data":{"user":"app","port":5432,"list":["a",1,null],"map":{"k":"v"}},"keys":["a"],"certificate":"c"}}"#;
const LIMITS: Limits = Limits {
    output: 100_000,
    steps: 20_000,
    bytes: 1_000_000,
    depth: 100,
};

impl Sources for One {
    fn fetch(&self, dependency: &Dependency) -> Option<Answer<'_>> {
        let is_there = !format!("{dependency:?}").contains("nope");
        is_there.then_some(SECRET.into())
    }

    fn variable(&self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn now(&self) -> Now {
        Now {
            seconds: 1_700_000_000,
            nanoseconds: 5,
        }
    }
}

/// Any text is read, and rendered within the limits, the same each time; or refused with a place in it.
///
/// # Panics
/// Where that does not hold.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let read = match Template::parse("fuzzed", text, Options::default()) {
        Ok(read) => read,
        Err(error) => {
            assert!(error.line >= 1 && error.column >= 1 && !error.what.is_empty());
            return;
        }
    };
    let first = read.render(&One, LIMITS);
    assert_eq!(first, read.render(&One, LIMITS), "{text}");
    match first {
        Ok(Outcome::Rendered(output)) => assert!(output.len() <= LIMITS.output),
        Ok(Outcome::Missing(missing)) => assert!(!missing.is_empty()),
        Err(error) => assert!(error.line <= text.lines().count() + 1),
    }
}
