//! Any text is HCL 1 or is refused at a place that it has.

#![no_main]

use keyside_config::hcl;
use keyside_config::node::Position;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let start = Position {
        source: 0,
        line: 1,
        column: 1,
    };
    let tree = hcl::read(text, start);
    assert_eq!(tree.is_ok(), hcl::read(text, start).is_ok());
    if let Err(fault) = tree {
        let lines = text.split('\n').count();
        assert!(fault.at.line as usize <= lines, "{fault:?}");
    }
});
