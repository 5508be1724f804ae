use http::{HeaderMap, Method};

use super::*;
use crate::cache::identity::Identity;
use crate::cache::key::Parts;
use crate::cache::lease::{Outcome, Renewal};
use crate::cache::revocation::Revoked;

mod renewed;
mod saved;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// A store on a clock that tests move.
struct Bench {
    store: Store,
    now: Instant,
}

impl Bench {
    fn new(answers: usize, records: usize) -> Self {
        let bounds = Bounds {
            answers,
            bytes: 1 << 20,
            records,
        };
        Self {
            store: Store::new(bounds),
            now: Instant::now(),
        }
    }

    fn large() -> Self {
        Self::new(100, 100)
    }

    fn insert(
        &mut self,
        place: &str,
        what: What,
        lasts: Duration,
        maker: Option<&str>,
    ) -> Result<(), Skip> {
        let maker = maker.map(|text| Maker {
            token: token(text),
            accessor: None,
            ends: None,
        });
        self.insert_by(place, what, lasts, maker)
    }

    fn insert_by(
        &mut self,
        place: &str,
        what: What,
        lasts: Duration,
        maker: Option<Maker>,
    ) -> Result<(), Skip> {
        let made = Made {
            what,
            lasts: Some(lasts),
            renewable: true,
        };
        let new = New {
            key: key(place),
            answer: Arc::new(Answer::new(&HeaderMap::new(), b"{}", self.now)),
            made,
            maker,
            place: place.to_owned(),
            since: self.now,
        };
        self.store.insert(new, self.now, 0.0).map(drop)
    }

    fn lease(&mut self, place: &str, maker: &str) {
        let id = format!(
            "{}/1",
            place.trim_start_matches("ns1/").trim_start_matches("ns2/")
        );
        self.insert(place, What::Lease { id }, HOUR, Some(maker))
            .unwrap();
    }

    fn token(&mut self, place: &str, name: &str, maker: Option<&str>) {
        let what = What::Token {
            token: token(name),
            accessor: format!("accessor of {name}"),
            orphan: maker.is_none(),
        };
        self.insert(place, what, HOUR, maker).unwrap();
    }

    fn holds(&mut self, place: &str) -> bool {
        !matches!(self.store.find(&key(place), self.now), Found::Nothing)
    }

    /// Which of these are still there.
    fn left<'a>(&mut self, places: &[&'a str]) -> Vec<&'a str> {
        places
            .iter()
            .copied()
            .filter(|place| self.holds(place))
            .collect()
    }

    fn pass(&mut self, time: Duration) -> Option<Renewal> {
        self.now += time;
        self.store.due(self.now)
    }

    /// Nothing may be left in any index once everything has ended.
    fn assert_empty(&self) {
        let store = &self.store;
        assert_eq!((store.records(), store.answers(), store.bytes()), (0, 0, 0));
        let indexes = [
            &store.by_key,
            &store.by_token,
            &store.by_accessor,
            &store.by_lease,
            &store.by_maker,
        ];
        assert_eq!(indexes.map(Index::len), [0; 5]);
        assert_eq!((store.parents.len(), store.timers.len()), (0, 0));
    }
}

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

fn key(place: &str) -> Key {
    Key::of(&Parts {
        identity: Identity::AutoAuth,
        method: &Method::GET,
        place,
        query: None,
        headers: &HeaderMap::new(),
        body: b"",
    })
}

fn prefix(namespace: &str, prefix: &str) -> Revoked {
    Revoked::Prefix {
        namespace: namespace.to_owned(),
        prefix: prefix.to_owned(),
    }
}

/// root → a (a token) → b (a token) → its lease; a's lease; and one that root made.
fn family() -> Bench {
    let mut bench = Bench::large();
    bench.token("auth/token/create/a", "a", Some("root"));
    bench.token("auth/token/create/b", "b", Some("a"));
    bench.lease("db/of-root", "root");
    bench.lease("db/of-a", "a");
    bench.lease("db/of-b", "b");
    bench
}

const FAMILY: [&str; 5] = [
    "auth/token/create/a",
    "auth/token/create/b",
    "db/of-root",
    "db/of-a",
    "db/of-b",
];

#[tokio::test(start_paused = true)]
async fn a_tokens_end_ends_its_subtree() {
    let of = |text: &str| TokenId::of(text);
    for (revoked, left) in [
        (Revoked::Token(of("a")), &["db/of-root"][..]),
        (
            Revoked::Accessor("accessor of a".to_owned()),
            &["db/of-root"],
        ),
        (
            Revoked::Token(of("b")),
            &["auth/token/create/a", "db/of-root", "db/of-a"],
        ),
        (
            Revoked::Orphaning(of("a")),
            &["auth/token/create/b", "db/of-root", "db/of-b"],
        ),
        (Revoked::Token(of("root")), &[]),
        (Revoked::Token(of("another")), &FAMILY),
        (
            Revoked::Lease("db/of-b/1".to_owned()),
            &[
                "auth/token/create/a",
                "auth/token/create/b",
                "db/of-root",
                "db/of-a",
            ],
        ),
        (
            prefix("", "db"),
            &["auth/token/create/a", "auth/token/create/b"],
        ),
        // Where root's token was made is not known.
        (prefix("", "auth/token/create"), &[]),
        (prefix("ns1", "db"), &FAMILY),
        (Revoked::Namespace("ns1".to_owned()), &FAMILY),
    ] {
        let mut bench = family();
        bench.store.revoke(&revoked);
        assert_eq!(bench.left(&FAMILY), left, "{revoked:?}");
        bench.store.revoke(&Revoked::Token(of("root")));
        bench.store.revoke(&Revoked::Token(of("b")));
        bench.assert_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefix_ends_only_its_own_namespace() {
    let places = ["db/x", "ns1/db/x", "ns2/db/x", "db/xy"];
    for (revoked, left) in [
        (prefix("", "db/x"), &["ns1/db/x", "ns2/db/x", "db/xy"][..]),
        (prefix("ns1", "db"), &["db/x", "ns2/db/x", "db/xy"]),
        (
            Revoked::Namespace("ns2".to_owned()),
            &["db/x", "ns1/db/x", "db/xy"],
        ),
    ] {
        let mut bench = Bench::large();
        for place in places {
            bench.lease(place, "root");
        }
        bench.store.revoke(&revoked);
        assert_eq!(bench.left(&places), left, "{revoked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn space_is_made_of_what_was_longest_unused_and_renewal_goes_on() {
    let mut bench = Bench::new(2, 3);
    for place in ["one", "two"] {
        bench.lease(place, "root");
    }
    assert!(bench.holds("one"), "and is the latest used now");
    bench.lease("three", "root");
    assert_eq!(bench.left(&["one", "two", "three"]), ["one", "three"]);
    assert_eq!((bench.store.answers(), bench.store.records()), (2, 3));
    let what = What::Lease {
        id: "four/1".to_owned(),
    };
    assert_eq!(
        bench.insert("four", what, HOUR, Some("root")),
        Err(Skip::Full)
    );
    let mut renewed: Vec<_> = bench.pass(HOUR * 3 / 4).into_iter().collect();
    while let Some(renewal) = bench.pass(Duration::ZERO) {
        renewed.push(renewal);
    }
    let mut leases: Vec<_> = renewed
        .into_iter()
        .filter_map(|renewal| renewal.lease)
        .collect();
    leases.sort();
    assert_eq!(leases, ["one/1", "three/1", "two/1"]);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_moves_the_end_until_it_moves_no_more() {
    let mut bench = Bench::large();
    bench.lease("db/x", "root");
    for _ in 0..3 {
        let renewal = bench.pass(HOUR * 2 / 3).unwrap();
        assert_eq!(renewal.increment, HOUR);
        assert_eq!(renewal.token.expose(), "root");
        bench
            .store
            .renewed(renewal.id, Outcome::Renewed(HOUR), bench.now, 0.0);
        assert!(matches!(
            bench.store.find(&key("db/x"), bench.now),
            Found::Fresh(..)
        ));
    }
    // At its maximum: what is left is what was left.
    let renewal = bench.pass(HOUR * 2 / 3).unwrap();
    bench
        .store
        .renewed(renewal.id, Outcome::Renewed(HOUR / 3), bench.now, 0.0);
    assert!(bench.pass(HOUR / 4 + SECOND).is_none(), "asked for no more");
    assert!(matches!(
        bench.store.find(&key("db/x"), bench.now),
        Found::Ending(..)
    ));
    assert!(bench.pass(HOUR / 12).is_none());
    bench.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn what_a_renewal_brought_decides() {
    for (outcome, kept, asked_again) in [
        (Outcome::Refused, true, false),
        (Outcome::Away, true, true),
        (Outcome::Gone, false, false),
        (Outcome::TokenDead, false, false),
    ] {
        let mut bench = Bench::large();
        bench.lease("db/x", "root");
        bench.lease("db/y", "root");
        let renewal = bench.pass(HOUR * 2 / 3).unwrap();
        let of_x = renewal.lease.as_deref() == Some("db/x/1");
        let (ours, other) = if of_x {
            ("db/x", "db/y")
        } else {
            ("db/y", "db/x")
        };
        bench.store.renewed(renewal.id, outcome, bench.now, 0.0);
        assert_eq!(bench.holds(ours), kept, "{outcome:?}");
        assert_eq!(
            bench.holds(other),
            outcome != Outcome::TokenDead,
            "{outcome:?}"
        );
        let mut again = Vec::new();
        while let Some(renewal) = bench.pass(SECOND * 60) {
            again.extend(renewal.lease);
        }
        let asked = again.iter().any(|lease| lease.starts_with(ours));
        assert_eq!(asked, asked_again, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_outlives_the_token_that_made_it() {
    let mut bench = Bench::large();
    let root = TokenId::of("root");
    bench
        .store
        .token_lives_until(root, Some(bench.now + SECOND * 100));
    bench.lease("db/x", "root");
    let Found::Fresh(_, ends) = bench.store.find(&key("db/x"), bench.now) else {
        panic!("it is there");
    };
    assert_eq!(ends, Some(bench.now + SECOND * 100));
    // The token is renewed.
    bench
        .store
        .token_lives_until(root, Some(bench.now + SECOND * 200));
    assert!(bench.pass(SECOND * 150).is_none());
    assert!(bench.holds("db/x"));
    assert!(bench.pass(SECOND * 50).is_none());
    bench.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_knows_an_older_end_of_its_token_does_not_bring_it_back() {
    let mut bench = Bench::large();
    let root = TokenId::of("root");
    let later = bench.now + HOUR;
    bench.store.token_lives_until(root, Some(later));
    let maker = Maker {
        token: token("root"),
        accessor: None,
        ends: Some(bench.now + SECOND),
    };
    let slot = bench.store.adopt(maker, 1);
    assert_eq!(bench.store.parents.get(slot).unwrap().ends, Some(later));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_revoked_is_renewed_and_not_given_out() {
    let accessor = || Revoked::Accessor("of a token made elsewhere".to_owned());
    for (revoked, left) in [
        (accessor(), &["db/of-auto-auth"][..]),
        (prefix("", "auth/approle"), &[]),
        (prefix("", "ns1/auth/approle"), &[]),
    ] {
        let mut bench = family();
        let maker = Maker {
            token: token("auto-auth"),
            accessor: Some("of auto-auth".to_owned()),
            ends: None,
        };
        let what = What::Lease { id: "1".to_owned() };
        bench
            .insert_by("db/of-auto-auth", what, HOUR, Some(maker))
            .unwrap();
        bench.store.revoke(&revoked);
        assert_eq!(bench.left(&["db/of-auto-auth"]), left, "{revoked:?}");
        assert_eq!(bench.left(&FAMILY), Vec::<&str>::new(), "{revoked:?}");
        assert_eq!(bench.store.records(), FAMILY.len() + 1);
        bench
            .store
            .revoke(&Revoked::Accessor("of auto-auth".to_owned()));
        assert_eq!(bench.store.records(), FAMILY.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_answer_takes_the_key_and_the_older_record_goes_on() {
    let mut bench = Bench::large();
    for id in ["db/x/1", "db/x/2"] {
        let what = What::Lease { id: id.to_owned() };
        bench.insert("db/x", what, HOUR, Some("root")).unwrap();
    }
    assert_eq!((bench.store.answers(), bench.store.records()), (1, 2));
    bench.store.revoke(&Revoked::Lease("db/x/1".to_owned()));
    assert!(
        bench.holds("db/x"),
        "the older one's end is not the newer one's"
    );
    bench.store.revoke(&Revoked::Lease("db/x/2".to_owned()));
    bench.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn clearing_a_path_ends_what_is_below_it() {
    let mut bench = family();
    bench.store.clear_path("db");
    assert_eq!(
        bench.left(&FAMILY),
        ["auth/token/create/a", "auth/token/create/b"]
    );
    bench.store.clear();
    bench.assert_empty();
}

#[test]
fn the_namespace_is_what_stands_before_the_apis_own_part() {
    let lease = |id: &str| What::Lease { id: id.to_owned() };
    let login = || What::Token {
        token: token("a"),
        accessor: String::new(),
        orphan: true,
    };
    for (what, place, expected) in [
        (lease("db/creds/x/1"), "db/creds/x", Some("")),
        (
            lease("db/creds/x/1.nsid"),
            "ns1/ns2/db/creds/x",
            Some("ns1/ns2"),
        ),
        (lease("other/x/1"), "db/creds/x", None),
        (lease("creds/x/1"), "mydb-creds/x", None),
        (login(), "auth/approle/login", Some("")),
        (login(), "ns1/auth/approle/login", Some("ns1")),
    ] {
        assert_eq!(namespace(&what, place).as_deref(), expected, "{place}");
    }
}
