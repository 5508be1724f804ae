//! Both images, packed from binaries that are built here, run as a cluster would run them, and held against what is
//! promised of their size. Nothing is pushed.

mod buildah;
mod layout;
mod trial;
mod twin;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::{process, tools as parts};
use lexopt::{Arg, ValueExt as _};

use self::buildah::{Buildah, Labels};
use self::layout::Image;
use crate::demo::interrupt;
use crate::release::{PROGRAMS, Stage, Target, epoch};
use crate::{console, shell};

const HELP: &str = "\
Usage: cargo xtask images [options]

Builds both binaries, packs them by the Dockerfile with buildah, and runs the images. Nothing is pushed.

  --arch NAME   amd64 or arm64; for another one than this machine's a C compiler for it has to be there, and the
                images are not run
  --out DIR     where they go (target/images)
  --reproduce   build everything again in another folder, and compare
";

/// What is promised of an image as it lies on a node.
const LIMITS: [u64; 2] = [5_000_000, 9_000_000];

struct Options {
    target: Target,
    out: PathBuf,
    reproduce: bool,
}

/// What was made of one program.
struct Packed {
    program: &'static str,
    image: Image,
    /// The unpacked root file system.
    root: PathBuf,
    archive: PathBuf,
}

pub(crate) fn run(arguments: &mut lexopt::Parser) -> anyhow::Result<()> {
    let Some(options) = read(arguments)? else {
        console::text(HELP);
        return Ok(());
    };
    process::keep_quiet();
    interrupt::watch()?;
    let buildah = Buildah::new()?;
    let root = parts::root()?;

    console::step("Build the release binaries (a few minutes, the first time)");
    let folder = options.out.join("stage");
    clear(&folder)?;
    let epoch = epoch(&root);
    let stage = Stage::lay_out(&root, &options.target, &folder.join("out"), epoch)?;
    for (program, binary) in &stage.binaries {
        let (crates, bytes) = (binary.crates.len(), binary.bytes);
        console::seen(&format!(
            "{program}: {bytes} bytes, static, stripped; {crates} crates, each listed with its licence"
        ));
    }

    console::step("Pack each image twice");
    let labels = Labels::of(&root);
    let mut packed = Vec::new();
    for program in PROGRAMS {
        packed.push(pack(&buildah, &options, &labels, epoch, program)?);
    }
    if options.reproduce {
        console::step("Build everything again, in another folder");
        twin::compare(&root, &options.target, &stage, epoch)?;
    }
    if options.target.runs_here() {
        trial::run(&packed)?;
    } else {
        console::note("They are for another processor, and are not run here.");
    }
    summarize(&packed)
}

fn read(arguments: &mut lexopt::Parser) -> anyhow::Result<Option<Options>> {
    let mut options = Options {
        target: Target::host()?,
        out: parts::root()?.join("target/images"),
        reproduce: false,
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("arch") => options.target = Target::named(&arguments.value()?.string()?)?,
            Arg::Long("out") => options.out = std::path::absolute(arguments.value()?)?,
            Arg::Long("reproduce") => options.reproduce = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn pack(
    buildah: &Buildah,
    options: &Options,
    labels: &Labels,
    epoch: u64,
    program: &'static str,
) -> anyhow::Result<Packed> {
    let folder = options.out.join(program);
    clear(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let architecture = options.target.architecture()?;
    let stage = options.out.join("stage");
    let once = |name: &str| {
        let layout = folder.join(name);
        buildah.pack(program, architecture, &stage, labels, epoch, &layout)?;
        Image::read(&layout)
    };
    let (image, again) = (once("layout")?, once("again")?);
    anyhow::ensure!(
        image.digest == again.digest,
        "{program}: packed twice, {} and {}",
        image.digest,
        again.digest
    );
    clear(&again.folder)?;
    console::seen(&format!("{program}: {}, both times", image.digest));
    let root = folder.join("root");
    image.unpack(&root)?;
    let version = &labels.version;
    let archive = options
        .out
        .join(format!("{program}-{version}-{architecture}.tar"));
    image.archive(&format!("{program}:{version}"), epoch, &archive)?;
    buildah.load(&archive)?;
    Ok(Packed {
        program,
        image,
        root,
        archive,
    })
}

fn clear(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

fn summarize(packed: &[Packed]) -> anyhow::Result<()> {
    console::heading("Images");
    let mut rows = Vec::new();
    for (packed, limit) in packed.iter().zip(LIMITS) {
        let Packed { program, image, .. } = packed;
        let unpacked = layout::size(&packed.root)?;
        rows.push((
            (*program).to_owned(),
            format!("{} bytes, {unpacked} unpacked", image.compressed),
        ));
        rows.push((String::new(), image.digest.clone()));
        rows.push((String::new(), packed.archive.display().to_string()));
        anyhow::ensure!(
            unpacked <= limit,
            "{program} takes {unpacked} bytes, where {limit} are promised"
        );
    }
    console::table(&rows);
    console::note("`docker load` and `kind load image-archive` take the archives.");
    Ok(())
}

/// What a program says of the repository; nothing where there is no git, or no history.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    let text = shell::output(command.args(arguments).current_dir(root)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
