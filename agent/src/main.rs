#[expect(dead_code, reason = "wired by app")]
mod token;
#[expect(dead_code, reason = "wired by app")]
mod vault;

fn main() {}
