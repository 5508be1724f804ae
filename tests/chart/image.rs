//! The images, packed by buildah from a folder that stands in for the Dockerfile's build stage.
//!
//! buildah is not everywhere, and where it is it may not be allowed to work. Then the test says so and checks nothing,
//! unless `KEYSIDE_REQUIRE_BUILDAH` is set, as CI does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::{Value, json};

const ROOTS: &str = "etc/ssl/certs/ca-certificates.crt";

/// Whether buildah works; an error where it has to.
#[expect(
    clippy::print_stderr,
    reason = "nobody shall take a skipped test for a passed one"
)]
fn works() -> anyhow::Result<bool> {
    let probe = tempfile::tempdir()?;
    let Err(error) = buildah(probe.path(), &["from".to_owned(), "scratch".to_owned()]) else {
        return Ok(true);
    };
    if std::env::var_os("KEYSIDE_REQUIRE_BUILDAH").is_some() {
        return Err(error);
    }
    eprintln!("SKIPPED: no image was built: {error:#}");
    Ok(false)
}

#[test]
fn an_image_holds_one_binary_the_list_of_its_parts_and_the_roots() -> anyhow::Result<()> {
    if !works()? {
        return Ok(());
    }
    for program in ["keyside-agent", "keyside-injector"] {
        let folder = tempfile::tempdir()?;
        let binary = stand_in(folder.path(), program)?;
        let image = build(folder.path(), program)?;

        assert_eq!(image.config["User"], "65532:65532");
        assert_eq!(image.config["Entrypoint"], json!([format!("/{program}")]));
        let labels = &image.config["Labels"];
        assert_eq!(labels["org.opencontainers.image.title"], program);
        assert_eq!(
            labels["org.opencontainers.image.licenses"],
            env!("CARGO_PKG_LICENSE")
        );
        assert_eq!(
            labels["org.opencontainers.image.version"],
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(labels["org.opencontainers.image.revision"], "abc123");
        assert_eq!(
            labels["org.opencontainers.image.source"],
            "https://example.com/keyside"
        );
        let description = labels["org.opencontainers.image.description"].as_str();
        assert!(description.is_some_and(|text| text.len() > 20), "{labels}");

        let parts = format!("usr/share/sbom/{program}.spdx.json");
        assert_eq!(
            image.files,
            BTreeSet::from([ROOTS.to_owned(), parts, program.to_owned()])
        );
        let packed = std::fs::read(folder.path().join("unpacked").join(program))?;
        assert!(
            packed == binary,
            "{program} is not the binary that was built"
        );
    }
    Ok(())
}

/// What a build puts into an image is the same each time, where it is told the time.
#[test]
fn an_image_packed_twice_is_one_image() -> anyhow::Result<()> {
    if !works()? {
        return Ok(());
    }
    let digest = || -> anyhow::Result<_> {
        let folder = tempfile::tempdir()?;
        stand_in(folder.path(), "keyside-agent")?;
        Ok(build(folder.path(), "keyside-agent")?.digest)
    };
    assert_eq!(digest()?, digest()?);
    Ok(())
}

/// The processors that the Dockerfile builds for are those that the programs are released for.
#[test]
fn the_build_stage_knows_the_processors_that_releases_have() -> anyhow::Result<()> {
    let file = std::fs::read_to_string(tools::root()?.join("Dockerfile"))?;
    let releases = std::fs::read_to_string(tools::root()?.join("xtask/src/release/target.rs"))?;
    for (docker, rust, debian) in [
        ("amd64", "x86_64-unknown-linux-gnu", "x86-64"),
        ("arm64", "aarch64-unknown-linux-gnu", "aarch64"),
    ] {
        let line = format!("{docker}) processor={debian} triple={rust} ;;");
        assert!(file.contains(&line), "no {line} in the Dockerfile");
        assert!(releases.contains(&format!("(\"{docker}\", \"{rust}\"")));
    }
    Ok(())
}

/// Lays out what the build stage would hold; answers the bytes of the program's binary.
fn stand_in(folder: &Path, program: &str) -> anyhow::Result<Vec<u8>> {
    let stage = folder.join("stage");
    std::fs::create_dir_all(stage.join("out"))?;
    let roots = stage.join("out/ca-certificates.crt");
    std::fs::write(roots, "-----BEGIN CERTIFICATE-----\n")?;
    let parts = format!("out/{program}.spdx.json");
    std::fs::write(stage.join(parts), "{}")?;
    let binary = format!("the binary of {program}").into_bytes();
    std::fs::write(stage.join("out").join(program), &binary)?;
    Ok(binary)
}

struct Image {
    digest: String,
    config: Value,
    files: BTreeSet<String>,
}

fn build(folder: &Path, program: &str) -> anyhow::Result<Image> {
    let target = program.trim_start_matches("keyside-");
    let (context, layout) = (folder.join("context"), folder.join("layout"));
    std::fs::create_dir_all(&context)?;
    buildah(
        folder,
        &[
            "build".to_owned(),
            format!("--target={target}"),
            "--timestamp=1700000000".to_owned(),
            "--build-arg=REVISION=abc123".to_owned(),
            "--build-arg=SOURCE=https://example.com/keyside".to_owned(),
            format!("--build-context=build={}", folder.join("stage").display()),
            format!("--tag={program}:test"),
            format!("--file={}", tools::root()?.join("Dockerfile").display()),
            context.display().to_string(),
        ],
    )?;
    buildah(
        folder,
        &[
            "push".to_owned(),
            format!("{program}:test"),
            format!("oci:{}:test", layout.display()),
        ],
    )?;

    let blob = |digest: &Value| -> anyhow::Result<_> {
        let digest = digest
            .as_str()
            .and_then(|digest| digest.strip_prefix("sha256:"));
        Ok(layout
            .join("blobs/sha256")
            .join(digest.context("a digest")?))
    };
    let index = read(&layout.join("index.json"))?;
    let digest = at(&index, "/manifests/0/digest");
    let manifest = read(&blob(digest)?)?;
    let unpacked = folder.join("unpacked");
    std::fs::create_dir_all(&unpacked)?;
    for layer in at(&manifest, "/layers").as_array().context("layers")? {
        let tar = Command::new("tar")
            .arg("-xzf")
            .arg(blob(at(layer, "/digest"))?)
            .arg("-C")
            .arg(&unpacked)
            .output()?;
        anyhow::ensure!(
            tar.status.success(),
            "tar: {}",
            String::from_utf8_lossy(&tar.stderr)
        );
    }
    let mut files = BTreeSet::new();
    walk(&unpacked, &unpacked, &mut files)?;
    Ok(Image {
        digest: digest.as_str().context("a digest")?.to_owned(),
        config: at(&read(&blob(at(&manifest, "/config/digest"))?)?, "/config").clone(),
        files,
    })
}

/// Runs buildah with a storage of its own, so that nothing stays behind and no daemon or privilege is needed.
fn buildah(folder: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let output = Command::new("buildah")
        .env("BUILDAH_ISOLATION", "chroot")
        .env("STORAGE_DRIVER", "vfs")
        .arg("--root")
        .arg(folder.join("storage"))
        .arg("--runroot")
        .arg(folder.join("run"))
        .args(arguments)
        .output()
        .context("run buildah")?;
    anyhow::ensure!(
        output.status.success(),
        "buildah {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// What is at a JSON pointer; null where there is nothing.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The paths of all that is not a folder, below the root.
fn walk(root: &Path, folder: &Path, files: &mut BTreeSet<String>) -> anyhow::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(root, &entry.path(), files)?;
        } else {
            files.insert(entry.path().strip_prefix(root)?.display().to_string());
        }
    }
    Ok(())
}
