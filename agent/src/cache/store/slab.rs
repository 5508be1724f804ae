//! Things by number. The number of one that has gone is given to another.

use std::num::NonZeroU32;

/// Where a thing lies: four bytes, also where there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(NonZeroU32);

#[derive(Debug)]
pub(super) struct Slab<T> {
    /// Boxed, so that free places are small.
    things: Vec<Option<Box<T>>>,
    free: Vec<Slot>,
}

impl Slot {
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            things: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.things.len() - self.free.len()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&T> {
        self.things.get(slot.index())?.as_deref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.things.get_mut(slot.index())?.as_deref_mut()
    }

    pub(super) fn insert(&mut self, thing: T) -> Slot {
        let slot =
            self.free.pop().unwrap_or_else(|| {
                self.things.push(None);
                let number = u32::try_from(self.things.len()).ok();
                Slot(number.and_then(NonZeroU32::new).expect(
                    "four billion things do not fit into memory, and one has just been pushed",
                ))
            });
        if let Some(place) = self.things.get_mut(slot.index()) {
            *place = Some(Box::new(thing));
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<T> {
        let thing = self.things.get_mut(slot.index())?.take()?;
        self.free.push(slot);
        Some(*thing)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.things.iter_mut().filter_map(Option::as_deref_mut)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        let places = (1..).map_while(NonZeroU32::new).map(Slot);
        let things = places.zip(&self.things);
        things.filter_map(|(slot, thing)| Some((slot, thing.as_deref()?)))
    }
}
