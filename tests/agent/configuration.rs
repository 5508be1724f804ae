//! Arguments and configuration: what the process takes, and what it says about what it does not take.

use crate::world::{keyside_agent, run};

#[test]
fn without_a_configuration_it_says_how_to_give_one() -> anyhow::Result<()> {
    let (status, stdout, stderr) = run(keyside_agent())?;
    assert_eq!((status, stdout.as_str()), (64, ""));
    assert!(
        stderr.contains("-config=PATH") && stderr.contains("KEYSIDE_CONFIG"),
        "{stderr}"
    );
    Ok(())
}

#[test]
fn an_unknown_verb_is_a_usage_error_that_names_those_there_are() -> anyhow::Result<()> {
    let mut command = keyside_agent();
    command.arg("frobnicate");
    let (status, _, stderr) = run(command)?;
    assert_eq!(status, 64);
    for verb in ["frobnicate", "run", "check", "probe", "status", "version"] {
        assert!(stderr.contains(verb), "{verb}: {stderr}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_not_there_is_named() -> anyhow::Result<()> {
    let mut command = keyside_agent();
    command.args(["check", "-config=/nonexistent/agent.hcl"]);
    let (status, _, stderr) = run(command)?;
    assert_eq!(status, 64);
    assert!(
        stderr.contains("/nonexistent/agent.hcl: No such file or directory"),
        "{stderr}"
    );
    Ok(())
}

#[test]
fn the_version_is_that_of_the_package() -> anyhow::Result<()> {
    let mut command = keyside_agent();
    command.arg("version");
    let (status, stdout, _) = run(command)?;
    assert_eq!(
        (status, stdout.trim()),
        (0, concat!("keyside-agent ", env!("CARGO_PKG_VERSION")))
    );
    Ok(())
}
