//! For which processor a binary is built, and by which tools.

use std::process::Command;

use anyhow::Context as _;

use crate::shell;

pub(crate) struct Target {
    /// As Rust names it.
    pub(crate) triple: String,
    /// Built here for machines of another kind.
    is_foreign: bool,
}

/// Docker's name, Rust's, and ELF's number.
const KNOWN: [(&str, &str, u64); 2] = [
    ("amd64", "x86_64-unknown-linux-gnu", 62),
    ("arm64", "aarch64-unknown-linux-gnu", 183),
];

impl Target {
    /// This machine.
    pub(crate) fn host() -> anyhow::Result<Self> {
        Ok(Self {
            triple: host()?,
            is_foreign: false,
        })
    }

    /// By the name that Docker has for it, as in `TARGETARCH`; this machine's where that is empty.
    pub(crate) fn named(architecture: &str) -> anyhow::Result<Self> {
        match architecture {
            "" => Self::host(),
            name => Self::of(&host()?, name),
        }
    }

    fn of(host: &str, architecture: &str) -> anyhow::Result<Self> {
        let known = KNOWN.iter().find(|(docker, ..)| *docker == architecture);
        let (_, triple, _) = known.with_context(|| {
            format!("there are images for amd64 and arm64, and not for {architecture}")
        })?;
        Ok(Self {
            triple: (*triple).to_owned(),
            is_foreign: *triple != host,
        })
    }

    /// Docker's name, where there can be an image.
    pub(crate) fn architecture(&self) -> anyhow::Result<&'static str> {
        let known = self.known().map(|(docker, ..)| *docker);
        known.with_context(|| format!("there are no images for {}", self.triple))
    }

    /// The number that ELF files have for the processor, where it is one that images are for.
    pub(super) fn machine(&self) -> Option<u64> {
        self.known().map(|(_, _, machine)| *machine)
    }

    fn known(&self) -> Option<&'static (&'static str, &'static str, u64)> {
        KNOWN.iter().find(|(_, triple, _)| *triple == self.triple)
    }

    /// The C compiler: for another machine the one of Debian's `gcc-aarch64-linux-gnu` or `gcc-x86-64-linux-gnu`.
    pub(super) fn cc(&self) -> String {
        if self.is_foreign {
            let processor = self.triple.split('-').next().unwrap_or_default();
            format!("{processor}-linux-gnu-gcc")
        } else {
            "cc".to_owned()
        }
    }

    /// What links, where it is not rustc's own choice.
    pub(super) fn linker(&self) -> Option<String> {
        self.is_foreign.then(|| self.cc())
    }

    /// rustc for this target, with these flags.
    pub(super) fn rustc(&self, flags: &[&str]) -> Command {
        let mut command = Command::new("rustc");
        command.args(["--target", &self.triple]);
        command.args(self.linker().map(|linker| format!("-Clinker={linker}")));
        command.args(flags);
        command
    }

    /// Whether what is built can be run here.
    pub(crate) fn runs_here(&self) -> bool {
        !self.is_foreign
    }

    /// The version of the C library that is linked.
    pub(crate) fn glibc(&self) -> Option<(u32, u32)> {
        let mut macros = Command::new(self.cc());
        macros.args([
            "-E",
            "-dM",
            "-include",
            "features.h",
            "-x",
            "c",
            "/dev/null",
        ]);
        glibc(&shell::output(&mut macros).ok()?)
    }

    /// The version of the C compiler, whose library unwinds the stack.
    pub(crate) fn gcc(&self) -> Option<String> {
        let mut version = Command::new(self.cc());
        version.arg("-dumpfullversion");
        let text = shell::output(&mut version).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

/// The version among the macros that a C compiler has defined.
fn glibc(macros: &str) -> Option<(u32, u32)> {
    let number = |name: &str| {
        let mut lines = macros.lines();
        lines.find_map(|line| {
            let value = line.strip_prefix("#define ")?.strip_prefix(name)?;
            value.trim().parse().ok()
        })
    };
    Some((number("__GLIBC__ ")?, number("__GLIBC_MINOR__ ")?))
}

fn host() -> anyhow::Result<String> {
    let text = shell::output(Command::new("rustc").arg("--version").arg("--verbose"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_names_become_rusts() {
        let intel = "x86_64-unknown-linux-gnu";
        let native = Target::of(intel, "amd64").unwrap();
        assert_eq!(native.triple, intel);
        assert_eq!((native.cc(), native.linker()), ("cc".to_owned(), None));
        assert!(native.runs_here());

        let foreign = Target::of(intel, "arm64").unwrap();
        assert_eq!(foreign.triple, "aarch64-unknown-linux-gnu");
        assert_eq!(foreign.architecture().unwrap(), "arm64");
        assert_eq!(foreign.linker().unwrap(), "aarch64-linux-gnu-gcc");
        assert!(!foreign.runs_here());
        let back = Target::of("aarch64-unknown-linux-gnu", "amd64").unwrap();
        assert_eq!(back.cc(), "x86_64-linux-gnu-gcc");

        assert!(Target::of(intel, "riscv64").is_err());
    }

    #[test]
    fn the_version_of_glibc_is_read_as_numbers() {
        let macros = "#define __GLIBC_USE(F) x\n#define __GLIBC_MINOR__ 36\n#define __GLIBC__ 2\n";
        assert_eq!(glibc(macros), Some((2, 36)));
        assert!(Some((2, 9)) < Some((2, 36)));
        assert_eq!(glibc("#define __UCLIBC__ 1\n"), None);
    }
}
