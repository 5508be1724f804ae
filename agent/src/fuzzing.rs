//! What must hold for any input: properties that the fuzz targets call, and that the tests call with what fuzzing found
//! worth keeping (`fuzz/corpus`).

#![expect(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a property panics where it does not hold"
)]

mod key;
mod path;
mod response;

pub use key::key;
pub use path::path;
pub use response::response;

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(target: &str, property: fn(&[u8])) {
        let folder = format!("{}/../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut played = 0;
        for file in std::fs::read_dir(&folder).unwrap() {
            property(&std::fs::read(file.unwrap().path()).unwrap());
            played += 1;
        }
        assert!(played > 10, "{folder} has {played} files");
    }

    #[test]
    fn the_corpus_of_keys_holds() {
        replay("key", key);
    }

    #[test]
    fn the_corpus_of_paths_holds() {
        replay("path", path);
    }

    #[test]
    fn the_corpus_of_responses_holds() {
        replay("response", response);
    }
}
