//! What must hold for any text: called by the fuzz target, and by the tests with what fuzzing found worth keeping
//! (`fuzz/corpus/config`).

use crate::load::{Flags, load_with_notes};
use crate::model::Config;
use crate::source::{Source, Syntax};

/// Any text is read, in each syntax, as a configuration or as mistakes; a configuration that is written is read as the
/// same one.
///
/// # Panics
/// Where that does not hold.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for syntax in [Syntax::Hcl, Syntax::Json, Syntax::Yaml] {
        if let Some(config) = read(syntax, text) {
            for written in [config.to_json(), config.to_json_pretty()] {
                let again = read(Syntax::Json, &written);
                assert_eq!(again.as_ref(), Some(&config), "{written}");
                assert_eq!(again.map(|again| again.to_json()), Some(config.to_json()));
            }
            assert!(!config.to_json_without_secrets().is_empty());
        }
    }
}

fn read(syntax: Syntax, text: &str) -> Option<Config> {
    let source = Source {
        name: "fuzzed".to_owned(),
        syntax,
        text: text.to_owned(),
    };
    match load_with_notes(&[source], &|_| None, &Flags::default()) {
        Ok(loaded) => {
            assert!(loaded.notes.iter().all(|note| !note.to_string().is_empty()));
            Some(loaded.config)
        }
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty() && !mistakes.to_string().is_empty());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/config");
        let mut played = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            config(&std::fs::read(file.unwrap().path()).unwrap());
            played += 1;
        }
        assert!(played > 10, "{folder} has {played} files");
    }
}
