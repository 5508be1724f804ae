//! Finds things by name, and keeps no copy of the names: whoever asks compares.
//!
//! A hash table with linear probing. Invariant: from where a name's hash points to its thing, no cell is free.

use std::hash::{BuildHasher as _, RandomState};

use super::slab::Slot;

const FEWEST: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// A power of two of them, of which at least a fifth is free; or none.
    cells: Vec<Option<Cell>>,
    len: usize,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    hash: u32,
    slot: Slot,
}

impl Index {
    /// What has this name: `is` tells of a thing whether it has.
    pub(super) fn find(&self, name: &[u8], is: impl Fn(Slot) -> bool) -> Option<Slot> {
        let (_, cell) = self.search(self.hash(name), is)?;
        Some(cell.slot)
    }

    /// Gives a name to a thing. One that had it before loses it.
    pub(super) fn set(&mut self, name: &[u8], slot: Slot, is: impl Fn(Slot) -> bool) {
        let cell = Cell {
            hash: self.hash(name),
            slot,
        };
        if let Some((at, _)) = self.search(cell.hash, is) {
            self.put(at, Some(cell));
            return;
        }
        if (self.len + 1) * 5 > self.cells.len() * 4 {
            let larger = vec![None; FEWEST.max(2 * self.cells.len())];
            let cells = std::mem::replace(&mut self.cells, larger);
            cells.into_iter().flatten().for_each(|cell| self.add(cell));
        }
        self.add(cell);
        self.len += 1;
    }

    /// Takes a name away from a thing, unless another one has it by now.
    pub(super) fn remove(&mut self, name: &[u8], slot: Slot) {
        let Some((mut hole, _)) = self.search(self.hash(name), |other| other == slot) else {
            return;
        };
        self.len -= 1;
        // What comes after it up to the next free cell may have wanted to be here.
        let mut next = self.after(hole);
        while let Some(cell) = self.cell(next) {
            if self.distance(self.home(cell.hash), next) >= self.distance(hole, next) {
                self.put(hole, Some(cell));
                hole = next;
            }
            next = self.after(next);
        }
        self.put(hole, None);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.cells.iter().flatten().map(|cell| cell.slot)
    }

    fn search(&self, hash: u32, is: impl Fn(Slot) -> bool) -> Option<(usize, Cell)> {
        let mut at = self.home(hash);
        while let Some(cell) = self.cell(at) {
            if cell.hash == hash && is(cell.slot) {
                return Some((at, cell));
            }
            at = self.after(at);
        }
        None
    }

    fn add(&mut self, cell: Cell) {
        let mut at = self.home(cell.hash);
        while self.cell(at).is_some() {
            at = self.after(at);
        }
        self.put(at, Some(cell));
    }

    #[expect(clippy::cast_possible_truncation, reason = "any part of a hash is one")]
    fn hash(&self, name: &[u8]) -> u32 {
        self.hasher.hash_one(name) as u32
    }

    fn home(&self, hash: u32) -> usize {
        self.wrap(hash as usize)
    }

    fn after(&self, at: usize) -> usize {
        self.wrap(at + 1)
    }

    /// How many steps lead from one cell to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        self.wrap(to.wrapping_sub(from))
    }

    fn wrap(&self, at: usize) -> usize {
        at & self.cells.len().wrapping_sub(1)
    }

    fn cell(&self, at: usize) -> Option<Cell> {
        self.cells.get(at).copied().flatten()
    }

    fn put(&mut self, at: usize, cell: Option<Cell>) {
        if let Some(place) = self.cells.get_mut(at) {
            *place = cell;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::super::slab::Slab;
    use super::*;

    #[test]
    fn a_cell_takes_eight_bytes() {
        assert_eq!(size_of::<Option<Cell>>(), 8);
    }

    proptest! {
        /// Against a map that has copies of the names. Few names and few hashes, so that they meet.
        #[test]
        fn finds_what_a_map_finds(
            steps in proptest::collection::vec((0_u8..60, any::<bool>()), 0..400),
        ) {
            let (mut index, mut names, mut map) = (Index::default(), Slab::new(), HashMap::new());
            for (name, sets) in steps {
                let bytes = [name];
                if sets {
                    let slot = names.insert(name);
                    index.set(&bytes, slot, |other| names.get(other) == Some(&name));
                    map.insert(name, slot);
                } else if let Some(slot) = map.remove(&name) {
                    index.remove(&bytes, slot);
                    index.remove(&bytes, slot);
                }
                prop_assert_eq!(index.len(), map.len());
                for name in 0..60 {
                    let found = index.find(&[name], |slot| names.get(slot) == Some(&name));
                    prop_assert_eq!(found, map.get(&name).copied());
                }
                prop_assert!(index.len() * 5 <= index.cells.len() * 4);
            }
        }
    }
}
