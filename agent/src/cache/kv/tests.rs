use http::HeaderMap;
use serde_json::{Value, json};

use super::version::Read;
use super::*;
use crate::cache::identity::Identity;
use crate::cache::key::Parts;

const PLACE: &str = "kv/data/app";
const TTL: Duration = Duration::from_secs(30);
const STALE: Duration = Duration::from_mins(10);

/// A moment before now.
const EARLIER: Duration = Duration::from_secs(1);

struct Played {
    secrets: Secrets,
    now: Instant,
    tick: u64,
}

fn key(place: &str) -> Key {
    Key::of(&Parts {
        identity: Identity::Nobody,
        method: &http::Method::GET,
        place,
        query: None,
        headers: &HeaderMap::new(),
        body: b"",
    })
}

fn asker(token: &str) -> Asker {
    Asker {
        token: TokenId::of(token),
        ends: None,
    }
}

fn version(number: u64) -> Option<Version> {
    if number == 0 {
        return None;
    }
    let metadata = json!({ "version": number, "created_time": format!("2026-01-01T00:00:{number:02}Z"),
                           "deletion_time": "", "destroyed": false });
    let body = json!({ "data": { "data": {}, "metadata": metadata } });
    match version::read(&body) {
        Read::Version(version) => Some(version),
        _ => None,
    }
}

fn text(found: &Found) -> (Decision, String) {
    let body = found.answer.at(Instant::now(), None).into_body();
    let body: Value = serde_json::from_slice(&body).unwrap();
    (found.decision, body["text"].as_str().unwrap().to_owned())
}

impl Played {
    fn new(max_stale: Duration) -> Self {
        Self {
            secrets: Secrets::new(StaticSecrets {
                ttl: TTL,
                max_stale,
            }),
            now: Instant::now(),
            tick: 0,
        }
    }

    /// `token` reads, of version 1 of the engine where the number is 0; it took no time.
    fn read(&mut self, token: &str, number: u64, text: &str) -> Result<Decision, Skip> {
        let writes = self.secrets.writes.seen(PLACE);
        self.read_since(token, number, text, self.now, writes)
    }

    fn read_since(
        &mut self,
        token: &str,
        number: u64,
        text: &str,
        began: Instant,
        writes: u64,
    ) -> Result<Decision, Skip> {
        let body = json!({ "text": text }).to_string();
        let new = New {
            key: key(PLACE),
            place: PLACE.to_owned(),
            answer: Arc::new(Answer::new(&HeaderMap::new(), body.as_bytes(), self.now)),
            version: version(number),
            mount: 2,
            began,
            writes,
        };
        self.tick += 1;
        let found = self
            .secrets
            .insert(new, &asker(token), self.now, 0.0, self.tick)?;
        Ok(found.decision)
    }

    /// What `token` gets without asking Vault, or what has to be asked.
    fn ask(&mut self, token: &str) -> String {
        self.tick += 1;
        let step = self
            .secrets
            .step(&key(PLACE), &asker(token), self.now, self.tick);
        match step {
            Step::Serve(found) => {
                let (decision, text) = text(&found);
                format!("{} {text}", decision.label())
            }
            Step::Refresh { look_up, .. } => match look_up {
                Some(_) => "look up".to_owned(),
                None => "read again".to_owned(),
            },
            Step::Read => "read".to_owned(),
        }
    }

    fn away(&mut self, token: &str) -> Option<String> {
        let found = self.secrets.stale(&key(PLACE), &asker(token), self.now)?;
        self.secrets.away(&key(PLACE), self.now);
        Some(text(&found).1)
    }

    fn confirm(&mut self, number: u64) -> bool {
        let version = version(number).unwrap();
        let found = self.secrets.confirm(&key(PLACE), &version, self.now, 0.0);
        found.is_some_and(|found| found.decision == Decision::Revalidated)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_given_what_it_has_read_itself() {
    let mut play = Played::new(STALE);
    assert_eq!(play.ask("a"), "read");
    assert_eq!(play.read("a", 1, "one"), Ok(Decision::Stored));
    assert_eq!(play.ask("a"), "hit one");
    assert_eq!(play.ask("b"), "read", "it has not read it");
    assert_eq!(play.read("b", 2, "two"), Ok(Decision::Stored));
    assert_eq!(play.ask("a"), "hit two", "one answer for both");
    play.secrets.withdraw(PLACE, TokenId::of("a"));
    assert_eq!(play.ask("a"), "read");
    assert_eq!(play.away("a"), None);
    assert_eq!(play.ask("b"), "hit two");
}

#[tokio::test(start_paused = true)]
async fn looking_at_the_version_proves_nothing() {
    let mut play = Played::new(STALE);
    play.read("a", 1, "one").unwrap();
    let began = play.now;
    while play.now < began + PROOF {
        play.pass(TTL);
        if play.now < began + PROOF {
            assert_eq!(play.ask("a"), "look up");
            assert!(play.confirm(1));
            assert_eq!(play.ask("a"), "hit one");
        }
    }
    assert_eq!(play.ask("a"), "read");
    // With Vault away, the proof lasts as much longer as the answer does.
    assert_eq!(play.away("a").as_deref(), Some("one"));
    assert_eq!(play.away("b"), None);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_is_given_nothing() {
    let mut play = Played::new(STALE);
    play.read("a", 1, "one").unwrap();
    let ended = Asker {
        ends: Some(play.now + EARLIER),
        ..asker("a")
    };
    let found = |play: &mut Played| {
        let fresh = play.secrets.fresh(&key(PLACE), &ended, play.now, 9);
        let stale = play.secrets.stale(&key(PLACE), &ended, play.now);
        (fresh.is_some(), stale.is_some())
    };
    assert_eq!(found(&mut play), (true, true));
    play.pass(EARLIER);
    assert_eq!(found(&mut play), (false, false));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_fresh_is_looked_after_by_its_version_where_there_is_one() {
    for (number, expected) in [(1, "look up"), (0, "read again")] {
        let mut play = Played::new(STALE);
        play.read("a", number, "one").unwrap();
        play.pass(TTL.saturating_sub(EARLIER));
        assert_eq!(play.ask("a"), "hit one");
        play.pass(EARLIER);
        assert_eq!(play.ask("a"), expected);
        assert_eq!(play.ask("b"), "read");
    }
    let mut play = Played::new(STALE);
    play.read("a", 1, "one").unwrap();
    play.read("b", 1, "one").unwrap();
    play.pass(TTL);
    assert!(!play.confirm(2), "another version");
    play.secrets.blind(&key(PLACE), TokenId::of("a"));
    assert_eq!(play.ask("a"), "read again");
    assert_eq!(play.ask("b"), "look up");
    play.read("a", 1, "one").unwrap();
    play.pass(TTL);
    assert_eq!(play.ask("a"), "read again", "it may still not look");
}

#[tokio::test(start_paused = true)]
async fn freshness_is_spread_and_never_longer_than_configured() {
    let play = Played::new(STALE);
    for (random, seconds) in [(0.0, 30), (0.5, 27), (1.0, 24), (7.0, 24)] {
        assert_eq!(play.secrets.fresh_for(random).as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn with_vault_away_what_is_stale_is_served_within_its_bound() {
    let mut play = Played::new(Duration::from_mins(1));
    play.read("a", 1, "one").unwrap();
    play.pass(TTL);
    assert_eq!(play.away("a").as_deref(), Some("one"));
    assert_eq!(play.ask("a"), "stale one", "Vault is not asked at once");
    play.pass(PAUSE);
    assert_eq!(play.ask("a"), "look up");
    play.pass(Duration::from_secs(57));
    assert_eq!(play.away("a").as_deref(), Some("one"));
    play.pass(EARLIER);
    assert_eq!(play.away("a"), None);
    assert_eq!(play.ask("a"), "look up");
    assert!(play.confirm(1));
    assert_eq!(play.ask("a"), "hit one");

    let mut never = Played::new(Duration::ZERO);
    never.read("a", 1, "one").unwrap();
    assert_eq!(never.away("a").as_deref(), Some("one"));
    never.pass(TTL);
    assert_eq!(never.away("a"), None);
}

#[tokio::test(start_paused = true)]
async fn an_older_version_takes_no_place_while_a_standby_may_lag() {
    for max_stale in [Duration::ZERO, STALE] {
        let mut play = Played::new(max_stale);
        play.read("a", 3, "three").unwrap();
        assert_eq!(play.read("b", 2, "two"), Ok(Decision::Newer));
        assert_eq!(play.ask("a"), "hit three");
        assert_eq!(play.ask("b"), "hit three", "it has read the secret");
        let bound = TTL + max_stale.max(LAG);
        play.pass(bound.saturating_sub(EARLIER));
        assert_eq!(play.read("a", 2, "two"), Ok(Decision::Newer));
        // As after a snapshot was restored.
        play.pass(EARLIER);
        assert_eq!(play.read("a", 2, "two"), Ok(Decision::Stored));
        assert_eq!(play.ask("a"), "hit two");
        assert_eq!(play.read("a", 4, "four"), Ok(Decision::Stored));
        // A read that took all that time says nothing of now.
        let before = play.now;
        play.pass(bound);
        let slow = play.read_since("b", 2, "two", before, 0);
        assert_eq!(slow, Err(Skip::Older));
    }
}

#[tokio::test(start_paused = true)]
async fn of_one_version_or_none_what_was_asked_for_later_counts() {
    for number in [0, 1] {
        let mut play = Played::new(STALE);
        let before = play.now;
        play.pass(EARLIER);
        play.read("a", number, "later").unwrap();
        let slow = play.read_since("b", number, "earlier", before, 0);
        assert_eq!(slow, Ok(Decision::Newer));
        assert_eq!(play.ask("a"), "hit later");
        assert_eq!(play.read("a", number, "last"), Ok(Decision::Stored));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_ends_what_is_kept_and_what_is_on_its_way() {
    let mut play = Played::new(STALE);
    play.read("a", 1, "one").unwrap();
    let before = play.secrets.writes.seen(PLACE);
    let places = writes::concerned("kv/metadata/app");
    play.secrets.write_begins(&places);
    assert_eq!(play.ask("a"), "read");
    assert_eq!(play.read("a", 1, "one"), Err(Skip::Written));
    play.secrets.write_ends(&places, play.now);
    assert_eq!(
        play.read("a", 1, "one"),
        Err(Skip::Written),
        "a standby lags"
    );
    play.pass(Duration::from_secs(5));
    let slow = play.read_since("a", 1, "one", play.now, before);
    assert_eq!(slow, Err(Skip::Written), "it began before");
    assert_eq!(play.read("a", 2, "two"), Ok(Decision::Stored));
    play.secrets.gone(PLACE, play.now);
    assert_eq!(play.read("a", 2, "two"), Err(Skip::Written));
    play.pass(Duration::from_secs(5));
    play.secrets.gone(PLACE, play.now);
    assert_eq!(
        play.read("a", 2, "two"),
        Ok(Decision::Stored),
        "none was seen"
    );
}

#[tokio::test(start_paused = true)]
async fn revocations_end_proofs_and_mounts_that_go_end_answers() {
    let prefix = Revoked::Prefix {
        namespace: String::new(),
        prefix: "kv".to_owned(),
    };
    for (revoked, answers, expected) in [
        (Revoked::Lease("a/b".to_owned()), 1, "hit one"),
        (Revoked::Token(TokenId::of("its maker, perhaps")), 1, "read"),
        (Revoked::Orphaning(TokenId::of("a")), 1, "read"),
        (Revoked::Accessor("a".to_owned()), 1, "read"),
        (prefix, 0, "read"),
        (Revoked::Namespace("ns1".to_owned()), 0, "read"),
    ] {
        let mut play = Played::new(STALE);
        play.read("a", 1, "one").unwrap();
        play.secrets.revoke(&revoked);
        assert_eq!(play.secrets.answers(), answers, "{revoked:?}");
        assert_eq!(play.ask("a"), expected, "{revoked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_and_indexes_are_those_of_what_is_there() {
    let mut play = Played::new(STALE);
    let check = |secrets: &Secrets| {
        let bytes: usize = secrets.entries.values().map(Entry::size).sum();
        assert_eq!(secrets.bytes(), bytes);
        let places = secrets.by_place.values().map(Vec::len).sum::<usize>();
        let all = secrets.entries.len();
        assert_eq!((places, secrets.by_use.len()), (all, all));
    };
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..3_000 {
        let token = format!("{}", random.u8(..100));
        match random.u8(..12) {
            0 => play.secrets.evict(PLACE),
            1 => play.secrets.withdraw(PLACE, TokenId::of(&token)),
            2 => play.secrets.forget_proofs(),
            3 => play.secrets.drop_oldest(),
            4 => drop(play.ask(&token)),
            _ => drop(play.read(&token, random.u64(1..9), "text")),
        }
        check(&play.secrets);
        play.pass(EARLIER);
    }
    for number in 0..MOST_PROOFS + 9 {
        play.read(&format!("{number}"), 9, "text").unwrap();
    }
    check(&play.secrets);
    let entry = play.secrets.entries.values().next().unwrap();
    assert_eq!(entry.proofs.len(), MOST_PROOFS);
    assert_eq!(play.ask("0"), "read", "forgotten");
    play.secrets.clear_under("kv/other");
    assert_eq!(play.secrets.answers(), 1);
    play.secrets.clear_under("kv");
    assert_eq!(play.secrets.answers(), 0);
    check(&play.secrets);
}

/// Vault, with standbys that lag, as far as one secret goes.
struct Vault {
    /// What was written, and when it had reached every node.
    versions: Vec<Instant>,
    may_read: [bool; 3],
}

impl Vault {
    /// The version that a node answers with: the latest, or one that was so a moment ago.
    fn version(&self, now: Instant, random: &mut fastrand::Rng) -> usize {
        let settled = self.versions.iter().rposition(|at| *at <= now);
        random.usize(settled.map_or(1, |at| at + 1)..=self.versions.len())
    }
}

/// A read on its way.
struct Flight {
    token: usize,
    began: Instant,
    writes: u64,
    /// What it will bring: the version, or a refusal.
    brings: Option<usize>,
}

/// What must hold of what a token is given without a read of its own.
fn judge(seed: u64, rights: Option<Instant>, asked: Instant, bound: Duration) {
    let since = rights.unwrap_or_else(|| panic!("seed {seed}: it has never read, or was refused"));
    let age = asked.saturating_duration_since(since);
    assert!(age < bound, "seed {seed}: it has read {age:?} ago");
}

/// One random schedule of reads, look-ups, writes that settle late, refusals and time.
fn schedule(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let max_stale = Duration::from_secs(random.u64(..1_200));
    let mut play = Played::new(max_stale);
    let mut vault = Vault {
        versions: vec![play.now],
        may_read: [true, true, false],
    };
    let tokens = ["a", "b", "c"];
    // When each began its last read that was good; and the latest version that anybody was given by the cache.
    let mut rights = [None; 3];
    let mut newest = 0;
    let mut written = None;
    let mut flights: Vec<Flight> = Vec::new();
    for _ in 0..60 {
        let token = random.usize(..3);
        match random.u8(..10) {
            0 => {
                let places = writes::concerned(PLACE);
                play.secrets.write_begins(&places);
                play.pass(Duration::from_millis(random.u64(..2_000)));
                let settles = play.now + Duration::from_millis(random.u64(..5_000));
                vault.versions.push(settles);
                play.secrets.write_ends(&places, play.now);
                written = Some(vault.versions.len());
            }
            1 => vault.may_read[token] ^= true,
            // Not through the proxy.
            2 if random.bool() => {
                let settles = play.now + Duration::from_millis(random.u64(..9_000));
                vault.versions.push(settles);
            }
            2 => play.pass(Duration::from_secs(random.u64(..400))),
            3..=5 => {
                let writes = play.secrets.writes.seen(PLACE);
                let version = vault.version(play.now, &mut random);
                flights.push(Flight {
                    token,
                    began: play.now,
                    writes,
                    brings: vault.may_read[token].then_some(version),
                });
            }
            6 | 7 if !flights.is_empty() => {
                let flight = flights.swap_remove(random.usize(..flights.len()));
                let Some(version) = flight.brings else {
                    play.secrets
                        .withdraw(PLACE, TokenId::of(tokens[flight.token]));
                    rights[flight.token] = None;
                    continue;
                };
                let number = u64::try_from(version).unwrap();
                let (name, text) = (tokens[flight.token], version.to_string());
                let landed = play.read_since(name, number, &text, flight.began, flight.writes);
                if landed.is_ok() {
                    rights[flight.token] = Some(flight.began);
                }
            }
            _ => {
                let is_away = random.bool();
                let found = if is_away {
                    let asker = asker(tokens[token]);
                    play.secrets.stale(&key(PLACE), &asker, play.now)
                } else {
                    let asker = asker(tokens[token]);
                    play.secrets.fresh(&key(PLACE), &asker, play.now, 0)
                };
                let Some(found) = found else { continue };
                let beyond = if is_away { max_stale } else { Duration::ZERO };
                judge(seed, rights[token], play.now, PROOF + beyond);
                let age = play.now.saturating_duration_since(found.validated);
                assert!(age < TTL + beyond, "seed {seed}: {age:?} old");
                let version: usize = text(&found).1.parse().unwrap();
                assert!(version >= newest, "seed {seed}: {version} after {newest}");
                assert!(Some(version) >= written, "seed {seed}: before a write");
                newest = version;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_schedule_gives_out_too_much_or_too_old() {
    for seed in 0..5_000 {
        schedule(seed);
    }
}
