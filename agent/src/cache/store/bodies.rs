//! The bodies of kept answers, laid side by side in blocks that are too large for the heap.
//!
//! One by one they would lie in the holes that requests leave in the heap, and the next request would need more of it.
//!
//! Invariant: the blocks hold at most about twice what is alive in them: before they hold more, what is alive is laid anew.

use bytes::{Bytes, BytesMut};

/// More than what the C library takes from its heap.
const BLOCK: usize = 256 << 10;
/// A larger body is by itself.
const LARGEST: usize = BLOCK / 8;
/// What may be dead beside what is alive.
const SPARE: usize = 2 * BLOCK;

#[derive(Debug, Default)]
pub(in crate::cache) struct Bodies {
    block: BytesMut,
    /// Since the bodies were last laid anew, those included.
    laid: usize,
    alive: usize,
}

impl Bodies {
    /// A copy of a body, which is to be told of when it goes.
    pub(in crate::cache) fn lay(&mut self, body: &[u8]) -> Bytes {
        if body.len() > LARGEST {
            return Bytes::copy_from_slice(body);
        }
        self.laid += body.len();
        self.alive += body.len();
        if self.block.capacity() < body.len() {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(body);
        self.block.split().freeze()
    }

    pub(super) fn goes(&mut self, body: &[u8]) {
        if body.len() <= LARGEST {
            self.alive -= body.len();
        }
    }

    /// Whether all that is alive should be laid anew, in [`Bodies::default`]. That copies no more than was laid since the
    /// last time.
    pub(super) fn are_sparse(&self) -> bool {
        self.laid > 2 * self.alive + SPARE
    }

    /// Whether these are all that are alive.
    #[cfg(test)]
    pub(super) fn counts<'a>(&self, alive: impl Iterator<Item = &'a [u8]>) -> bool {
        let lengths = alive.map(<[u8]>::len).filter(|length| *length <= LARGEST);
        lengths.sum::<usize>() == self.alive && !self.are_sparse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dead_is_never_much_more_than_what_is_alive() {
        let mut bodies = Bodies::default();
        let mut kept: Vec<Bytes> = Vec::new();
        let mut anew = 0;
        for number in 0..20_000_u32 {
            let body = bodies.lay(&number.to_le_bytes().repeat(200));
            // One in a hundred stays for good.
            kept.push(body);
            if kept.len() > 200 {
                let at = if number % 100 == 0 { 199 } else { 200 };
                bodies.goes(&kept.remove(at));
            }
            if bodies.are_sparse() {
                let mut fresh = Bodies::default();
                for body in &mut kept {
                    *body = fresh.lay(body);
                }
                bodies = fresh;
                anew += 1;
            }
            assert!(bodies.counts(kept.iter().map(|body| &body[..])));
        }
        assert!((1..40).contains(&anew), "{anew}");
        for body in &kept {
            let (first, rest) = body.split_at(4);
            assert!(rest.chunks(4).all(|part| part == first));
        }
    }

    #[test]
    fn a_large_body_is_by_itself() {
        let mut bodies = Bodies::default();
        let large = bodies.lay(&vec![7; LARGEST + 1]);
        assert_eq!(
            (large.len(), bodies.alive, bodies.laid),
            (LARGEST + 1, 0, 0)
        );
        bodies.goes(&large);
        assert!(!bodies.are_sparse());
    }
}
