//! Any text in any syntax is a configuration or all its mistakes; a configuration is read back as it is written.

#![no_main]

use keyside_config::load::{Flags, load};
use keyside_config::source::{Source, Syntax};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, String)| {
    let (choice, text) = input;
    let syntax = match choice % 3 {
        0 => Syntax::Hcl,
        1 => Syntax::Json,
        _ => Syntax::Yaml,
    };
    match read(syntax, text) {
        Ok(config) => {
            let again = read(Syntax::Json, config.to_json());
            assert_eq!(again, Ok(config));
        }
        Err(mistakes) => assert!(!mistakes.0.is_empty()),
    }
});

fn read(
    syntax: Syntax,
    text: String,
) -> Result<keyside_config::model::Config, keyside_config::mistake::Mistakes> {
    let name = "fuzz".to_owned();
    let source = Source { name, syntax, text };
    load(&[source], &|_| None, &Flags::default())
}
