//! The head of a kept answer. Most of it is what all answers of a server have, so it is kept once for all of them.
//!
//! Invariant: nothing here pins a connection's read buffer. Header values arrive as slices of it (8 KiB and more), so
//! they are copied into one allocation of their exact size.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bytes::{BufMut as _, BytesMut};
use http::header::{AGE, CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

type Line = (HeaderName, HeaderValue);

/// How many different heads are looked through for one that is the same.
const REMEMBERED: usize = 8;

static DATED: HeaderName = DATE;

/// End-to-end headers.
#[derive(Clone, Debug)]
pub(super) struct Head {
    lines: Arc<[Line]>,
    /// What answers of different seconds differ in.
    date: Option<HeaderValue>,
}

impl Head {
    /// Copies what is kept. The length is left out: it changes with the numbers' digits.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let kept = || {
            headers.iter().filter(|(name, _)| {
                ![CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, AGE, DATE].contains(name)
            })
        };
        let mut values = BytesMut::with_capacity(kept().map(|(_, value)| value.len()).sum());
        kept().for_each(|(_, value)| values.put(value.as_bytes()));
        let mut values = values.freeze();
        let lines = kept().map(|(name, value)| {
            let copy = HeaderValue::from_maybe_shared(values.split_to(value.len()));
            (
                name.clone(),
                copy.unwrap_or_else(|_same_bytes| HeaderValue::from_static("")),
            )
        });
        let date = headers.get(DATE);
        Self {
            lines: lines.collect(),
            date: date.and_then(|date| HeaderValue::from_bytes(date.as_bytes()).ok()),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let date = self.date.as_ref().map(|date| (&DATED, date));
        self.lines
            .iter()
            .map(|(name, value)| (name, value))
            .chain(date)
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len() + usize::from(self.date.is_some())
    }
}

/// The heads of the latest answers, as far as they are still kept.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    lines: VecDeque<Weak<[Line]>>,
    date: Option<HeaderValue>,
}

impl Heads {
    /// Lets a head have in common with earlier ones what is the same.
    pub(super) fn share(&mut self, head: &mut Head) {
        let mut known = self.lines.iter().filter_map(Weak::upgrade);
        if let Some(known) = known.find(|known| *known == head.lines) {
            head.lines = known;
        } else {
            self.lines.truncate(REMEMBERED - 1);
            self.lines.push_front(Arc::downgrade(&head.lines));
        }
        if self.date == head.date {
            head.date.clone_from(&self.date);
        } else {
            self.date.clone_from(&head.date);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: &'static str, date: &'static str) -> Head {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(kind));
        headers.insert("content-length", HeaderValue::from_static("7"));
        headers.insert("date", HeaderValue::from_static(date));
        headers.append("warning", HeaderValue::from_static("a"));
        headers.append("warning", HeaderValue::from_static("b"));
        Head::new(&headers)
    }

    fn written(head: &Head) -> Vec<(&str, &[u8])> {
        let lines = head.iter();
        lines
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect()
    }

    #[test]
    fn what_heads_have_in_common_is_kept_once_and_all_of_it_is_there() {
        let mut heads = Heads::default();
        let shared = |kind, date, heads: &mut Heads| {
            let mut head = head(kind, date);
            heads.share(&mut head);
            assert_eq!(head.len(), 4);
            let lines: [(&str, &[u8]); 4] = [
                ("content-type", kind.as_bytes()),
                ("warning", b"a"),
                ("warning", b"b"),
                ("date", date.as_bytes()),
            ];
            assert_eq!(written(&head), lines);
            head
        };
        let is_one = |one: &Head, other: &Head| Arc::ptr_eq(&one.lines, &other.lines);
        let place = |head: &Head| head.date.as_ref().unwrap().as_bytes().as_ptr();
        let first = shared("json", "one", &mut heads);
        let same = shared("json", "one", &mut heads);
        let later = shared("json", "two", &mut heads);
        let other = shared("text", "two", &mut heads);
        let again = shared("json", "one", &mut heads);
        for (head, expected) in [
            (&same, true),
            (&later, true),
            (&other, false),
            (&again, true),
        ] {
            assert_eq!(is_one(&first, head), expected);
        }
        assert_eq!(place(&first), place(&same));
        assert_eq!(place(&later), place(&other));
    }

    #[test]
    fn a_head_goes_with_the_last_answer_that_has_it() {
        let mut heads = Heads::default();
        let mut first = head("json", "one");
        heads.share(&mut first);
        let weak = Arc::downgrade(&first.lines);
        drop(first);
        assert!(weak.upgrade().is_none());
        for _ in 0..100 {
            heads.share(&mut head("json", "one"));
        }
        assert!(heads.lines.len() <= REMEMBERED);
    }
}
