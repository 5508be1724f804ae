//! What one process wrote, taken up by the next.

use proptest::prelude::*;

use super::*;
use crate::cache::store::saved::Saved;
use crate::resume::form::{Clock, Reader, Stamp, Writer};

const MOST: usize = 1 << 20;

fn stamp() -> Stamp {
    Stamp {
        boot: "boot".to_owned(),
        fingerprint: [7; 32],
    }
}

/// A day after the start of the node.
fn clock(now: Instant) -> Clock {
    Clock {
        now,
        boot: 86_400_000_000_000,
    }
}

impl Bench {
    fn saved(&self, most: usize) -> Vec<u8> {
        let mut writer = Writer::new(&stamp(), clock(self.now));
        self.store.save(&mut writer, most);
        writer.seal().to_vec()
    }

    /// A store of another process, which starts so much later.
    fn next(&self, bytes: &[u8], later: Duration) -> Self {
        let mut next = Self::new(100, 100);
        next.now = self.now + Duration::from_secs(77);
        let mut clock = clock(next.now);
        clock.boot += u64::try_from(later.as_nanos()).unwrap();
        next.store
            .restore(items(bytes, clock).unwrap(), next.now, || 0.0);
        next
    }
}

fn items(bytes: &[u8], clock: Clock) -> Option<Saved> {
    let mut reader = Reader::open(bytes, &stamp(), clock).ok()?;
    let mut saved = Saved::default();
    while !reader.is_empty() {
        let letter = reader.byte()?;
        saved.item(letter, &mut reader)?;
    }
    Some(saved)
}

#[tokio::test(start_paused = true)]
async fn the_next_process_serves_renews_and_ends_what_the_last_one_kept() {
    let minute = Duration::from_mins(1);
    let left = 59 * minute;
    let bench = family();
    let mut next = bench.next(&bench.saved(MOST), minute);
    assert_eq!((next.store.answers(), next.store.records()), (5, 5));
    assert_eq!(next.store.bytes(), bench.store.bytes());
    match next.store.find(&key("db/of-b"), next.now) {
        Found::Fresh(answer, Some(ends)) => {
            assert_eq!(ends - next.now, left);
            let response = answer.at(next.now, Some(ends));
            assert_eq!(
                (response.body().as_ref(), &response.headers()["age"]),
                (&b"{}"[..], &60.into())
            );
        }
        found => panic!("{found:?}"),
    }
    let mut renewed = 0;
    let mut due = next.pass(left * 2 / 3);
    while let Some(renewal) = due {
        renewed += 1;
        let outcome = Outcome::Renewed(HOUR);
        next.store.renewed(renewal.id, outcome, next.now, 0.0);
        due = next.pass(Duration::ZERO);
    }
    assert_eq!(renewed, 5);
    assert_eq!(next.left(&FAMILY), FAMILY);
    next.store
        .revoke(&Revoked::Accessor("accessor of a".to_owned()));
    assert_eq!(next.left(&FAMILY), ["db/of-root"]);
    next.store
        .revoke(&Revoked::Lease("db/of-root/1".to_owned()));
    next.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn what_ended_meanwhile_is_gone_with_all_below_it() {
    let mut bench = family();
    bench
        .store
        .token_lives_until(TokenId::of("root"), Some(bench.now + 2 * HOUR));
    let bytes = bench.saved(MOST);
    let mut next = bench.next(&bytes, HOUR);
    assert_eq!(next.left(&FAMILY), [""; 0]);
    assert!(next.pass(Duration::ZERO).is_none());
    next.assert_empty();

    // The tokens last, and what they are made with does not.
    let mut bench = Bench::large();
    let maker = |ends| Maker {
        token: token("root"),
        accessor: Some("of root".to_owned()),
        ends,
    };
    let what = What::Lease {
        id: "db/x/1".to_owned(),
    };
    let ends = Some(bench.now + 10 * SECOND);
    bench
        .insert_by("db/x", what, HOUR, Some(maker(ends)))
        .unwrap();
    let bytes = bench.saved(MOST);
    assert_eq!(bench.next(&bytes, 9 * SECOND).left(&["db/x"]), ["db/x"]);
    let mut next = bench.next(&bytes, 10 * SECOND);
    assert_eq!(next.left(&["db/x"]), [""; 0]);
    next.pass(Duration::ZERO);
    next.assert_empty();
    // Auth is told that the token was renewed just before.
    let mut next = bench.next(&bytes, 9 * SECOND);
    next.store
        .token_lives_until(TokenId::of("root"), Some(next.now + HOUR));
    next.pass(10 * SECOND);
    assert_eq!(next.left(&["db/x"]), ["db/x"]);
    next.store.revoke(&Revoked::Accessor("of root".to_owned()));
    next.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn what_fits_is_what_was_used_last_and_never_without_the_tokens_above_it() {
    let mut bench = Bench::large();
    bench.token("auth/token/create/a", "a", Some("root"));
    for place in ["db/one", "db/two", "db/three"] {
        bench.lease(place, "a");
    }
    assert!(bench.holds("db/one"));
    let whole = bench.saved(MOST).len();
    let mut before = 0;
    for most in (0..=whole + 600).step_by(10) {
        let bytes = bench.saved(most);
        assert!(bytes.len() <= most.max(bench.saved(0).len()), "{most}");
        let mut next = bench.next(&bytes, Duration::ZERO);
        let places = ["auth/token/create/a", "db/one", "db/three", "db/two"];
        let (records, left) = (next.store.records(), next.left(&places));
        assert!(records >= before, "{most}: {records} after {before}");
        before = records;
        assert!(
            left.is_empty() || places.starts_with(&left),
            "{most}: {left:?}"
        );
        assert!(records == 0 || next.store.by_token.len() == 1, "{most}");
        next.store.revoke(&Revoked::Token(TokenId::of("root")));
        next.assert_empty();
    }
    assert_eq!(before, 4);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_answer_is_handed_on_as_the_record_that_it_is() {
    let mut bench = Bench::new(1, 10);
    for place in ["db/one", "db/two"] {
        bench.lease(place, "root");
    }
    assert_eq!((bench.store.answers(), bench.store.records()), (1, 2));
    let mut next = bench.next(&bench.saved(MOST), SECOND);
    assert_eq!((next.store.answers(), next.store.records()), (1, 2));
    assert_eq!(next.left(&["db/one", "db/two"]), ["db/two"]);
    assert!(next.pass(HOUR * 2 / 3).is_some() && next.pass(Duration::ZERO).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_smaller_cache_takes_up_what_was_used_last() {
    let mut bench = Bench::large();
    for place in ["db/one", "db/two", "db/three"] {
        bench.lease(place, "root");
    }
    let bytes = bench.saved(MOST);
    for (answers, records, expected) in [(1, 3, 3), (5, 2, 2), (0, 3, 3)] {
        let mut next = Bench::new(answers, records);
        let saved = items(&bytes, clock(next.now)).unwrap();
        next.store.restore(saved, next.now, || 0.0);
        assert_eq!(next.store.records(), expected);
        assert_eq!(next.store.answers(), answers.min(records));
        assert_eq!(next.holds("db/three"), answers > 0);
    }
}

proptest! {
    /// Whatever is behind a good head: items of ours with some of their bytes changed.
    #[test]
    fn no_bytes_make_a_panic_or_a_store_that_does(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 0..40),
        later in 0_u64..10_000_000_000_000,
    ) {
        let bench = family();
        let empty = Writer::new(&stamp(), clock(bench.now)).seal().len();
        let whole = bench.saved(MOST);
        let mut bytes = whole.get(empty..).unwrap_or_default().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + bytes.len() / 2);
        bytes.extend(noise);
        let mut writer = Writer::new(&stamp(), clock(bench.now));
        writer.raw(&bytes);
        let mut clock = clock(bench.now);
        clock.boot += later;
        if let Some(saved) = items(&writer.seal(), clock) {
            let mut next = Bench::large();
            next.store.restore(saved, bench.now, || 0.5);
            for place in FAMILY {
                next.holds(place);
            }
            while let Some(renewal) = next.pass(HOUR) {
                next.store.renewed(renewal.id, Outcome::Refused, next.now, 0.5);
            }
            next.saved(1000);
            next.store.revoke(&prefix("", ""));
            next.store.clear();
            next.assert_empty();
        }
    }
}
