//! An image as files: the OCI image layout (github.com/opencontainers/image-spec/blob/main/image-layout.md).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::shell;

pub(super) struct Image {
    pub(super) folder: PathBuf,
    /// Of the manifest: what names the image.
    pub(super) digest: String,
    manifest: Value,
    /// Of how the image is run.
    config: Value,
    /// What a node pulls: the layers, the configuration and the manifest.
    pub(super) compressed: u64,
}

impl Image {
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let index = read(&folder.join("index.json"))?;
        let digest = text(&index, "/manifests/0/digest")?;
        let path = blob(folder, &digest)?;
        let manifest = read(&path)?;
        let config = blob(folder, &text(&manifest, "/config/digest")?)?;
        let mut compressed = path.metadata()?.len() + config.metadata()?.len();
        for layer in layers(&manifest)? {
            compressed += blob(folder, &layer)?.metadata()?.len();
        }
        Ok(Self {
            folder: folder.to_owned(),
            digest,
            config: read(&config)?
                .get("config")
                .context("no configuration")?
                .clone(),
            manifest,
            compressed,
        })
    }

    /// The program that a container runs, and the number of its user.
    pub(super) fn entry(&self) -> anyhow::Result<(String, String)> {
        let user = text(&self.config, "/User")?;
        let user = user.split(':').next().unwrap_or_default();
        let number: u32 = user
            .parse()
            .with_context(|| format!("the user {user} is no number"))?;
        anyhow::ensure!(number != 0, "the image runs as root");
        let words = self.config.get("Entrypoint").and_then(Value::as_array);
        anyhow::ensure!(
            words.is_some_and(|words| words.len() == 1),
            "the image has no single entry point"
        );
        Ok((text(&self.config, "/Entrypoint/0")?, user.to_owned()))
    }

    /// Lays out its root file system.
    pub(super) fn unpack(&self, root: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(root)?;
        for layer in layers(&self.manifest)? {
            let mut tar = Command::new("tar");
            tar.arg("-xzf").arg(blob(&self.folder, &layer)?);
            shell::run(tar.arg("-C").arg(root))?;
        }
        Ok(())
    }

    /// Writes one file that containerd (and so kind) and Docker load under this name: an OCI layout whose index has the
    /// name where containerd looks for it, and beside it the list that Docker reads.
    pub(super) fn archive(&self, name: &str, epoch: u64, path: &Path) -> anyhow::Result<()> {
        let mut index = read(&self.folder.join("index.json"))?;
        let entry = index
            .pointer_mut("/manifests/0")
            .and_then(Value::as_object_mut);
        let annotations = json!({
            "io.containerd.image.name": format!("docker.io/library/{name}"),
            "org.opencontainers.image.ref.name": name.rsplit(':').next(),
        });
        entry
            .context("an empty index")?
            .insert("annotations".to_owned(), annotations);
        write(&self.folder.join("index.json"), &index)?;
        let inside = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
        let layers = layers(&self.manifest)?;
        let docker = json!([{
            "Config": inside(&text(&self.manifest, "/config/digest")?),
            "RepoTags": [name],
            "Layers": layers.iter().map(|layer| inside(layer)).collect::<Vec<_>>(),
        }]);
        write(&self.folder.join("manifest.json"), &docker)?;
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
        tar.args(["--mode=go=rX,u+rw", &format!("--mtime=@{epoch}")]);
        tar.arg("-cf").arg(path).arg("-C").arg(&self.folder);
        shell::run(tar.args(["blobs", "index.json", "manifest.json", "oci-layout"]))
    }
}

/// The bytes of all files below a folder.
pub(super) fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() {
            size(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(sum)
}

fn layers(manifest: &Value) -> anyhow::Result<Vec<String>> {
    let layers = manifest.get("layers").and_then(Value::as_array);
    let layers = layers.context("no layers")?.iter();
    layers.map(|layer| text(layer, "/digest")).collect()
}

fn blob(folder: &Path, digest: &str) -> anyhow::Result<PathBuf> {
    let name = digest.strip_prefix("sha256:");
    let name = name.with_context(|| format!("the digest {digest}"))?;
    Ok(folder.join("blobs/sha256").join(name))
}

fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no {pointer}"))?.to_owned())
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
}

fn write(path: &Path, value: &Value) -> anyhow::Result<()> {
    std::fs::write(path, value.to_string()).with_context(|| format!("write {}", path.display()))
}
