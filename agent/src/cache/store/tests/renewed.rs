//! What a client renewed, and what crossed it.

use super::*;
use crate::cache::renewed::{Name, Renewed, Sent};

impl Bench {
    fn sent(&mut self) -> Sent {
        Sent {
            at: self.now,
            tick: self.store.mark(),
        }
    }

    fn renew(&mut self, name: Name, lasts: Duration) {
        let sent = self.sent();
        self.answer(name, lasts, sent);
    }

    fn answer(&mut self, name: Name, lasts: Duration, sent: Sent) {
        let renewed = Renewed {
            names: vec![name],
            lasts,
            renewable: true,
        };
        self.store.renewed_by_client(&renewed, sent, self.now, 0.0);
    }

    fn ends_in(&mut self, place: &str) -> Option<Duration> {
        match self.store.find(&key(place), self.now) {
            Found::Fresh(_, ends) | Found::Ending(_, ends) => ends.map(|ends| ends - self.now),
            Found::Nothing => None,
        }
    }
}

fn of_lease(id: &str) -> Name {
    Name::Lease(id.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_clients_renewal_moves_the_end_and_the_timer() {
    let mut bench = Bench::large();
    bench.lease("db/x", "root");
    assert!(bench.pass(HOUR / 2).is_none());
    bench.renew(of_lease("db/x/1"), HOUR);
    assert_eq!(bench.ends_in("db/x"), Some(HOUR));
    assert!(bench.pass(HOUR / 2).is_none(), "not as early as before");
    let renewal = bench.pass(HOUR / 6).unwrap();
    assert_eq!(renewal.increment, HOUR);
}

#[tokio::test(start_paused = true)]
async fn every_name_finds_what_it_renews() {
    let named: [fn() -> Name; 2] = [
        || Name::Token(TokenId::of("worker")),
        || Name::Accessor("accessor of worker".to_owned()),
    ];
    for name in named {
        let mut bench = Bench::large();
        bench.token("auth/approle/login", "worker", None);
        bench.lease("db/x", "worker");
        bench.renew(name(), HOUR * 2);
        assert_eq!(bench.ends_in("auth/approle/login"), Some(HOUR * 2));
        bench.renew(name(), HOUR / 2);
        assert_eq!(
            bench.ends_in("db/x"),
            Some(HOUR / 2),
            "it ends with its token"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_longer_one_is_kept_by_the_agents_own_renewals() {
    let mut bench = Bench::large();
    bench.lease("db/x", "root");
    bench.renew(of_lease("db/x/1"), HOUR * 9);
    assert_eq!(bench.pass(HOUR * 6).unwrap().increment, HOUR * 9);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_one_is_given_out_until_it_ends_and_lengthened_again() {
    let mut bench = Bench::large();
    bench.lease("db/x", "root");
    bench.renew(of_lease("db/x/1"), SECOND * 60);
    assert!(matches!(
        bench.store.find(&key("db/x"), bench.now),
        Found::Fresh(..)
    ));
    let renewal = bench.pass(SECOND * 40).unwrap();
    assert_eq!(renewal.increment, HOUR);
    let outcome = Outcome::Renewed(HOUR);
    bench.store.renewed(renewal.id, outcome, bench.now, 0.0);
    assert_eq!(bench.ends_in("db/x"), Some(HOUR));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_cross_the_earlier_end_counts() {
    for agent_last in [true, false] {
        let mut bench = Bench::large();
        bench.lease("db/x", "root");
        assert!(bench.pass(SECOND * 2399).is_none());
        let sent = bench.sent();
        let renewal = bench.pass(SECOND).unwrap();
        let outcome = Outcome::Renewed(HOUR);
        if !agent_last {
            bench.store.renewed(renewal.id, outcome, bench.now, 0.0);
        }
        bench.answer(of_lease("db/x/1"), SECOND * 61, sent);
        assert_eq!(bench.ends_in("db/x"), Some(SECOND * 60), "{agent_last}");
        assert_eq!(bench.pass(Duration::ZERO).map(|it| it.id), None);
        if agent_last {
            bench.store.renewed(renewal.id, outcome, bench.now, 0.0);
            assert_eq!(bench.ends_in("db/x"), Some(SECOND * 60));
        }
        assert!(bench.pass(SECOND * 40).is_some(), "renewed again");
    }
}

#[tokio::test(start_paused = true)]
async fn one_without_a_clear_answer_is_followed_by_the_agents_own() {
    let mut bench = Bench::large();
    bench.lease("db/x", "root");
    bench.store.renew_soon(&[of_lease("db/y/1")], bench.now);
    assert!(bench.pass(Duration::ZERO).is_none());
    bench.store.renew_soon(&[of_lease("db/x/1")], bench.now);
    assert!(bench.pass(Duration::ZERO).is_some());
    bench.store.renew_soon(&[of_lease("db/x/1")], bench.now);
    assert!(bench.pass(Duration::ZERO).is_none(), "one is under way");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_the_agents_token_moves_the_end_of_what_it_made() {
    let mut bench = Bench::large();
    let ends = Some(bench.now + SECOND * 100);
    bench.store.token_lives_until(TokenId::of("root"), ends);
    bench.lease("db/x", "root");
    bench.renew(Name::Token(TokenId::of("root")), SECOND * 200);
    assert_eq!(bench.ends_in("db/x"), Some(SECOND * 200));
    bench.lease("db/y", "root");
    bench.renew(Name::Token(TokenId::of("another")), SECOND * 10);
    assert_eq!(bench.ends_in("db/y"), Some(SECOND * 200));
}

/// Vault counts whole seconds, and cuts them off.
#[tokio::test(start_paused = true)]
async fn what_is_renewed_in_its_last_second_ends() {
    let mut bench = Bench::large();
    bench.lease("db/x", "root");
    let renewal = bench.pass(HOUR * 2 / 3).unwrap();
    let outcome = Outcome::Renewed(Duration::ZERO);
    bench.store.renewed(renewal.id, outcome, bench.now, 0.0);
    assert!(bench.pass(Duration::ZERO).is_none());
    bench.assert_empty();
    bench.lease("db/x", "root");
    bench.renew(of_lease("db/x/1"), Duration::ZERO);
    assert!(bench.pass(Duration::ZERO).is_none());
    bench.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_under_way_when_all_is_cleared_finds_nothing() {
    let mut bench = Bench::large();
    bench.lease("db/x", "root");
    let renewal = bench.pass(HOUR * 2 / 3).unwrap();
    bench.store.clear();
    bench.lease("db/y", "root");
    let outcome = Outcome::Renewed(HOUR * 100);
    bench.store.renewed(renewal.id, outcome, bench.now, 0.0);
    assert_eq!(bench.ends_in("db/y"), Some(HOUR));
}
