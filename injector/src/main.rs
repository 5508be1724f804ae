//! `keyside-injector`: the mutating webhook that puts the agent into annotated pods.

#[expect(dead_code, reason = "called by the webhook, which lands next")]
mod admission;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "called by admission, which lands next")
)]
mod inject;

fn main() {}
