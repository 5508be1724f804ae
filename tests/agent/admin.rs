//! Probes, metrics, status, and the verbs that ask for them.

use crate::world::{keyside_agent, run};

#[test]
fn a_probe_without_an_agent_fails_and_says_where_it_asked() -> anyhow::Result<()> {
    let mut command = keyside_agent();
    command.args(["probe", "startup", "-socket=/nonexistent/admin.sock"]);
    let (status, _, stderr) = run(command)?;
    assert_eq!(status, 1);
    assert!(
        stderr.contains("no agent answers at /nonexistent/admin.sock"),
        "{stderr}"
    );
    Ok(())
}
