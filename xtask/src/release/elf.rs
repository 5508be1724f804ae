//! As much of a 64-bit little-endian ELF file as it takes to tell its kind (System V ABI, "Object Files"). Pure.

use anyhow::Context as _;

pub(super) struct Elf<'a>(pub(super) &'a [u8]);

impl Elf<'_> {
    const PT_INTERP: u64 = 3;
    const SHT_SYMTAB: u64 = 2;

    /// Fails unless the file is what an image `FROM scratch` needs, for a processor of this kind.
    pub(super) fn check(&self, machine: Option<u64>) -> anyhow::Result<()> {
        let unreadable = "no ELF file that can be read";
        let found = self.number(18, 2).context(unreadable)?;
        anyhow::ensure!(
            machine.is_none_or(|machine| found == machine),
            "it is for another processor"
        );
        anyhow::ensure!(
            self.is_static().context(unreadable)?,
            "it needs a dynamic loader"
        );
        anyhow::ensure!(
            self.is_stripped().context(unreadable)?,
            "it has a symbol table"
        );
        Ok(())
    }

    fn is_static(&self) -> Option<bool> {
        let (start, size, count) = (
            self.number(32, 8)?,
            self.number(54, 2)?,
            self.number(56, 2)?,
        );
        let mut kinds = (0..count).map(|index| self.number(start + index * size, 4));
        kinds.try_fold(true, |found, kind| Some(found && kind? != Self::PT_INTERP))
    }

    fn is_stripped(&self) -> Option<bool> {
        let (start, size, count) = (
            self.number(40, 8)?,
            self.number(58, 2)?,
            self.number(60, 2)?,
        );
        let mut kinds = (0..count).map(|index| self.number(start + index * size + 4, 4));
        kinds.try_fold(true, |found, kind| Some(found && kind? != Self::SHT_SYMTAB))
    }

    fn number(&self, offset: u64, size: usize) -> Option<u64> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.0.get(start..start.checked_add(size)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::target::Target;

    #[test]
    fn a_test_binary_is_neither_static_nor_stripped() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Elf(&file).is_static(), Some(false));
        assert_eq!(Elf(&file).is_stripped(), Some(false));
        assert_eq!(Elf(b"\x7fELF").is_static(), None);
        let machine = Target::host().unwrap().machine();
        let error = Elf(&file).check(machine).unwrap_err().to_string();
        assert!(error.contains("dynamic loader"), "{error}");
        let error = Elf(&file).check(Some(0)).unwrap_err().to_string();
        assert!(error.contains("another processor"), "{error}");
    }
}
