use super::*;

const SEED: u64 = 7;

/// A machine on a clock of its own: what it waits for happens at once, and each request takes `latency`.
struct World {
    machine: Machine,
    step: Step,
    start: Instant,
    now: Instant,
    latency: Duration,
}

impl World {
    fn new() -> Self {
        Self::with(SEED, Duration::from_millis(20))
    }

    fn with(seed: u64, latency: Duration) -> Self {
        let start = Instant::now();
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
        let (machine, step) = Machine::start(false, backoff, seed, start);
        Self {
            machine,
            step,
            start,
            now: start,
            latency,
        }
    }

    /// With a token that an earlier process left, and its end.
    fn resumed(seconds: Option<u64>) -> Self {
        let mut world = Self::new();
        let ends = seconds.map(|seconds| world.start + Duration::from_secs(seconds));
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
        (world.machine, world.step) = Machine::resume(false, backoff, SEED, ends, world.start);
        world
    }

    fn looked_up(&mut self, seconds: u64, renewable: bool) {
        assert!(
            matches!(self.proceed(), Step::LookUp { .. }),
            "{:?}",
            self.step
        );
        let grant = self.grant(seconds, renewable);
        self.step = self.machine.apply(Event::LookedUp(grant), self.now);
    }

    /// Lets the time of waiting pass. The step afterwards is a request, or rest.
    fn proceed(&mut self) -> Step {
        while let Step::Wait { until } = self.step {
            assert!(until > self.now, "waits for what has passed");
            self.now = until;
            self.step = self.machine.apply(Event::Due, self.now);
        }
        self.step
    }

    fn grant(&mut self, seconds: u64, renewable: bool) -> Grant {
        let asked = self.now;
        self.now += self.latency;
        Grant {
            asked,
            lease: Duration::from_secs(seconds),
            renewable,
        }
    }

    fn logged_in(&mut self, seconds: u64, renewable: bool) {
        assert!(
            matches!(self.proceed(), Step::Login { .. }),
            "{:?}",
            self.step
        );
        let grant = self.grant(seconds, renewable);
        self.step = self.machine.apply(Event::LoggedIn(grant), self.now);
    }

    fn renewed(&mut self, seconds: u64) {
        assert!(
            matches!(self.proceed(), Step::Renew { .. }),
            "{:?}",
            self.step
        );
        let grant = self.grant(seconds, true);
        self.step = self.machine.apply(Event::Renewed(grant), self.now);
    }

    /// While the machine waits or rests.
    fn found_dead(&mut self) {
        self.step = self.machine.apply(Event::FoundDead, self.now);
    }

    fn fails(&mut self, failure: Failure) {
        let event = match self.proceed() {
            Step::Login { .. } => Event::LoginFailed(failure),
            Step::Renew { .. } => Event::RenewalFailed(failure),
            Step::LookUp { .. } => Event::LookUpFailed(failure),
            step => panic!("nothing to fail: {step:?}"),
        };
        self.now += self.latency;
        self.step = self.machine.apply(event, self.now);
    }

    fn at(&self) -> f64 {
        (self.now - self.start).as_secs_f64()
    }

    fn left(&self) -> f64 {
        let ends = self.machine.ends().expect("a token that ends");
        ends.saturating_duration_since(self.now).as_secs_f64()
    }
}

const AWAY: Failure = Failure::Away { after: None };

#[test]
fn logs_in_first_and_renews_between_two_thirds_and_three_quarters() {
    for seed in 0..50 {
        let mut world = World::with(seed, Duration::from_millis(20));
        assert_eq!(world.step, Step::Login { within: ATTEMPT });
        world.logged_in(3600, true);
        assert!(matches!(world.proceed(), Step::Renew { .. }));
        assert!((2400.0..=2700.0).contains(&world.at()), "{}", world.at());
        let renewed = world.at();
        world.renewed(3600);
        world.proceed();
        assert!(
            (2400.0..=2700.0).contains(&(world.at() - renewed)),
            "{}",
            world.at()
        );
    }
}

#[test]
fn a_token_that_an_earlier_process_left_is_looked_at_and_then_renewed() {
    let mut world = World::resumed(Some(1800));
    assert_eq!(world.step, Step::LookUp { within: FIRST_LOOK });
    world.looked_up(900, true);
    assert!(matches!(world.proceed(), Step::Renew { .. }));
    assert!((600.0..=676.0).contains(&world.at()), "{}", world.at());
    world.renewed(3600);
    assert!((3599.0..=3600.0).contains(&world.left()));
    for (seconds, renewable) in [(60, false), (0, false)] {
        let mut world = World::resumed(Some(1800));
        world.looked_up(seconds, renewable);
        let next = world.proceed();
        let expected = match seconds {
            0 => matches!(next, Step::Rest),
            _ => matches!(next, Step::Login { .. }) && (40.0..=46.0).contains(&world.at()),
        };
        assert!(expected, "{seconds}: {next:?} at {}", world.at());
    }
}

#[test]
fn a_token_that_an_earlier_process_left_and_vault_refuses_costs_one_login_at_once() {
    let mut world = World::resumed(Some(1800));
    world.fails(Failure::Refused);
    assert!(matches!(world.step, Step::Login { .. }), "{:?}", world.step);
    world.logged_in(3600, true);
    assert!(matches!(world.proceed(), Step::Renew { .. }));
}

#[test]
fn a_token_that_an_earlier_process_left_is_kept_while_vault_is_away() {
    for ends in [Some(1800), None] {
        let mut world = World::resumed(ends);
        let mut looks = 0;
        while world.at() < 900.0 {
            let step = world.proceed();
            assert!(matches!(step, Step::LookUp { .. }), "{step:?}");
            world.fails(AWAY);
            looks += 1;
        }
        assert!((4..60).contains(&looks), "{looks}");
        world.looked_up(1000, true);
        assert!(matches!(world.proceed(), Step::Renew { .. }));
    }
    // Nothing came of it: a login is tried before the token ends.
    let mut world = World::resumed(Some(600));
    while !matches!(world.proceed(), Step::Login { .. }) {
        world.fails(AWAY);
    }
    assert!((500.0..600.0).contains(&world.at()), "{}", world.at());
}

#[test]
fn a_failing_look_never_ends_an_agent_that_gives_up_on_failed_logins() {
    let now = Instant::now();
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
    let (mut machine, _) = Machine::resume(true, backoff, SEED, None, now);
    let step = machine.apply(Event::LookUpFailed(AWAY), now);
    assert!(matches!(step, Step::Wait { .. }), "{step:?}");
    let step = machine.apply(Event::LookUpFailed(Failure::Refused), now + FLOOR);
    assert!(
        matches!(step, Step::Login { .. } | Step::Wait { .. }),
        "{step:?}"
    );
}

#[test]
fn pods_that_started_together_renew_apart() {
    let mut times: Vec<u64> = (0..50)
        .map(|seed| {
            let mut world = World::with(seed, Duration::ZERO);
            world.logged_in(3600, true);
            world.proceed();
            (world.now - world.start).as_secs()
        })
        .collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 30, "{times:?}");
}

#[test]
fn a_token_that_cannot_be_renewed_is_replaced_before_it_ends() {
    let mut world = World::new();
    world.logged_in(60, false);
    assert!(matches!(world.proceed(), Step::Login { .. }));
    assert!((40.0..=45.0).contains(&world.at()), "{}", world.at());
    assert!(world.left() > 10.0, "the old one lives: {}", world.left());
}

#[test]
fn a_token_that_never_ends_is_left_alone() {
    let mut world = World::new();
    world.logged_in(0, false);
    assert_eq!(world.proceed(), Step::Rest);
    assert_eq!(world.machine.ends(), None);
}

#[test]
fn a_renewal_that_grants_less_leads_to_a_login_while_the_token_lives() {
    let mut world = World::new();
    world.logged_in(3600, true);
    world.renewed(3600);
    world.renewed(1500);
    assert!(matches!(world.proceed(), Step::Login { .. }));
    assert!((375.0..=500.0).contains(&world.left()), "{}", world.left());
}

#[test]
fn the_last_second_of_a_token_is_no_token_without_end() {
    let mut world = World::new();
    world.logged_in(3, true);
    world.renewed(0);
    assert!(
        matches!(world.proceed(), Step::Login { .. }),
        "{:?}",
        world.step
    );
}

/// The demonstration: TTL 3 s, at most 10 s. Vault's side is played here, with its answers cut to whole seconds.
#[test]
fn three_seconds_of_ten_are_renewed_several_times_and_then_replaced() {
    for (seed, latency) in [(1, 1), (2, 20), (3, 100), (4, 300)] {
        let mut world = World::with(seed, Duration::from_millis(latency));
        let (mut replaced, mut renewals) = (0, 0);
        world.logged_in(3, true);
        let mut born = world.now;
        while world.now - world.start < Duration::from_mins(2) {
            match world.proceed() {
                Step::Login { .. } => {
                    assert!(renewals >= 3, "only {renewals} renewals");
                    world.logged_in(3, true);
                    (born, renewals, replaced) = (world.now, 0, replaced + 1);
                }
                Step::Renew { .. } => {
                    let left =
                        (born + Duration::from_secs(10)).saturating_duration_since(world.now);
                    world.renewed(left.as_secs().min(3));
                    renewals += 1;
                }
                step => panic!("{step:?}"),
            }
            assert!(
                world.left() > 0.2 || matches!(world.step, Step::Login { .. }),
                "late: {}",
                world.left()
            );
        }
        assert!(replaced >= 10, "{replaced}");
    }
}

#[test]
fn a_refused_renewal_is_final_for_that_token() {
    let mut world = World::new();
    world.logged_in(3600, true);
    world.fails(Failure::Refused);
    assert_eq!(world.step, Step::Login { within: ATTEMPT });
    assert!(
        world.left() > 800.0,
        "the token stays until there is another"
    );
    // The login fails as well: it is tried again, the renewal is not.
    for _ in 0..20 {
        world.fails(Failure::Refused);
        assert!(matches!(world.proceed(), Step::Login { .. }));
    }
}

#[test]
fn an_outage_keeps_the_token_and_renews_it_afterwards() {
    let mut world = World::new();
    world.logged_in(60, true);
    for _ in 0..3 {
        world.fails(AWAY);
        assert!(
            matches!(world.proceed(), Step::Renew { .. }),
            "{:?}",
            world.step
        );
    }
    world.renewed(60);
    let renewed = world.at();
    assert!(matches!(world.proceed(), Step::Renew { .. }));
    assert!((39.0..=45.0).contains(&(world.at() - renewed)));
}

#[test]
fn an_outage_that_ends_seven_seconds_before_the_last_renewal_costs_no_login() {
    for seed in 0..100 {
        let mut world = World::with(seed, Duration::from_millis(20));
        world.logged_in(60, true);
        world.proceed();
        while world.at() < 47.0 {
            world.fails(AWAY);
            assert!(matches!(world.proceed(), Step::Renew { .. }), "seed {seed}");
        }
        world.renewed(60);
    }
}

#[test]
fn an_outage_that_outlasts_the_token_ends_in_a_login() {
    let mut world = World::new();
    world.logged_in(60, true);
    let (mut renewals, mut logins) = (0, 0);
    while world.at() < 600.0 {
        match world.proceed() {
            Step::Renew { .. } => {
                renewals += 1;
                assert_eq!(logins, 0, "no renewal after a login has begun");
                assert!(
                    world.left() >= 6.0,
                    "renewals leave time for a login: {}",
                    world.left()
                );
            }
            Step::Login { .. } => {
                if logins == 0 {
                    assert!(
                        world.left() > 5.0,
                        "the first login is in time: {}",
                        world.left()
                    );
                }
                logins += 1;
            }
            step => panic!("{step:?}"),
        }
        world.fails(AWAY);
    }
    assert!(renewals >= 3, "{renewals}");
    assert!((3..40).contains(&logins), "{logins}");
}

#[test]
fn a_token_that_cannot_be_renewed_survives_an_outage_shorter_than_what_is_left_of_it() {
    for seed in 0..100 {
        let mut world = World::with(seed, Duration::from_millis(20));
        world.logged_in(60, false);
        world.proceed();
        let (over, ends) = (
            world.now + Duration::from_secs(10),
            world.machine.ends().unwrap(),
        );
        let mut tries = 0;
        while world.now < over {
            world.fails(AWAY);
            world.proceed();
            tries += 1;
        }
        assert!(world.now < ends, "seed {seed}: {:?} late", world.now - ends);
        assert!(tries <= 11, "seed {seed}: {tries} tries");
    }
}

#[test]
fn retry_after_is_kept() {
    let after = Some(Duration::from_secs(20));
    let mut world = World::new();
    world.fails(Failure::Away { after });
    world.proceed();
    assert!((21.0..=23.0).contains(&world.at()), "{}", world.at());

    let mut world = World::new();
    world.logged_in(60, true);
    world.proceed();
    let before = world.at();
    world.fails(Failure::Away { after });
    assert!(
        matches!(world.proceed(), Step::Login { .. }),
        "too late to renew"
    );
    assert!(world.at() - before >= 20.0, "{}", world.at() - before);
}

#[test]
fn failed_logins_back_off_up_to_the_maximum_and_success_starts_over() {
    let mut world = World::with(SEED, Duration::ZERO);
    let mut pauses = Vec::new();
    for _ in 0..40 {
        let before = world.at();
        world.fails(AWAY);
        world.proceed();
        pauses.push(world.at() - before);
    }
    assert!(
        pauses.iter().all(|pause| (1.0..=300.0).contains(pause)),
        "{pauses:?}"
    );
    assert!(
        pauses.iter().skip(10).any(|pause| *pause > 100.0),
        "{pauses:?}"
    );
    world.logged_in(60, false);
    world.proceed();
    let before = world.at();
    world.fails(Failure::NoCredential);
    world.proceed();
    assert!(world.at() - before <= 2.0, "{}", world.at() - before);
}

#[test]
fn exit_on_err_gives_up_at_the_first_failed_login_only() {
    let start = Instant::now();
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
    let (mut machine, _) = Machine::start(true, backoff, SEED, start);
    let grant = Grant {
        asked: start,
        lease: Duration::from_mins(1),
        renewable: true,
    };
    machine.apply(Event::LoggedIn(grant), start);
    let step = machine.apply(Event::RenewalFailed(AWAY), start + Duration::from_secs(40));
    assert!(matches!(step, Step::Wait { .. }), "{step:?}");
    assert_eq!(machine.apply(Event::LoginFailed(AWAY), start), Step::GiveUp);
}

#[test]
fn a_token_found_dead_is_replaced_at_once_but_for_the_floor_and_the_pause_of_a_failure() {
    type Before = fn(&mut World);
    let cases: [(&str, Before, std::ops::RangeInclusive<f64>); 7] = [
        (
            "waits to renew",
            |world| world.logged_in(3600, true),
            0.98..=0.99,
        ),
        (
            "waits to log in",
            |world| world.logged_in(3600, false),
            0.98..=0.99,
        ),
        ("never ends", |world| world.logged_in(0, false), 0.98..=0.99),
        (
            "is old",
            |world| {
                world.logged_in(3600, true);
                world.now += Duration::from_secs(100);
            },
            0.0..=0.0,
        ),
        (
            "cannot be renewed now",
            |world| {
                world.logged_in(3600, true);
                world.fails(AWAY);
            },
            1.0..=2.0,
        ),
        (
            "has no successor yet",
            |world| {
                world.logged_in(3600, false);
                world.fails(Failure::Refused);
            },
            1.0..=2.0,
        ),
        (
            "its server asks for quiet",
            |world| {
                world.logged_in(3600, true);
                world.fails(Failure::Away {
                    after: Some(Duration::from_secs(20)),
                });
            },
            21.0..=22.0,
        ),
    ];
    for (name, before, expected) in cases {
        let mut world = World::new();
        before(&mut world);
        let found = world.at();
        world.found_dead();
        assert!(matches!(world.proceed(), Step::Login { .. }), "{name}");
        let waited = world.at() - found;
        assert!(expected.contains(&waited), "{name}: {waited}");
        // It is never renewed again, and failures back off as ever.
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let before = world.at();
            world.fails(AWAY);
            assert!(matches!(world.proceed(), Step::Login { .. }), "{name}");
            pauses.push(world.at() - before);
        }
        assert!(
            pauses.iter().any(|pause| *pause > 10.0),
            "{name}: {pauses:?}"
        );
        world.logged_in(3600, true);
        assert!(matches!(world.proceed(), Step::Renew { .. }), "{name}");
    }
}

/// What a server does next, however mad.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Grants(u64, bool),
    Fails(Failure),
}

fn answer() -> impl proptest::strategy::Strategy<Value = Answer> {
    use proptest::prelude::*;
    let seconds = prop_oneof![0_u64..5, 0_u64..100_000, Just(u64::MAX / 1_000_000_000)];
    let after =
        proptest::option::of(0_u64..100_000).prop_map(|after| after.map(Duration::from_secs));
    prop_oneof![
        4 => (seconds, any::<bool>()).prop_map(|(seconds, renewable)| Answer::Grants(seconds, renewable)),
        1 => Just(Answer::Fails(Failure::Refused)),
        1 => Just(Answer::Fails(Failure::NoCredential)),
        2 => after.prop_map(|after| Answer::Fails(Failure::Away { after })),
    ]
}

#[test]
fn a_server_that_grants_next_to_nothing_is_not_asked_in_a_loop() {
    for (lease, renewable) in [(1, true), (1, false), (2, true), (2, false)] {
        let mut world = World::new();
        let mut begun = Vec::new();
        while world.now < world.start + Duration::from_mins(10) {
            match world.proceed() {
                Step::Login { .. } => world.logged_in(lease, renewable),
                _ => world.fails(Failure::Refused),
            }
            begun.push(world.now - world.start);
        }
        for minute in 0..10 {
            let minute = Duration::from_mins(minute);
            let within = minute..minute + Duration::from_mins(1);
            let count = begun.iter().filter(|at| within.contains(at)).count();
            let most = if minute.is_zero() { 59 } else { 55 };
            assert!(count <= most, "{lease} s, {renewable}: {count} in a minute");
        }
    }
}

#[test]
fn what_was_held_back_costs_nothing() {
    let mut world = World::new();
    world.logged_in(600, true);
    assert!(matches!(world.proceed(), Step::Renew { .. }));
    for _ in 0..200 {
        world.fails(Failure::Held);
        if matches!(world.step, Step::Login { .. }) {
            break;
        }
        assert!(matches!(world.step, Step::Renew { .. }), "{:?}", world.step);
        world.now += Duration::from_secs(30);
    }
    assert!(
        matches!(world.step, Step::Login { .. }),
        "too late to renew"
    );
    let late = world.machine.ends().unwrap();
    assert!(world.now < late, "{:?} before the end", late - world.now);
    for _ in 0..100 {
        world.now += Duration::from_secs(30);
        world.fails(Failure::Held);
        assert!(matches!(world.step, Step::Login { .. }), "{:?}", world.step);
    }
}

#[test]
fn a_new_credential_is_used_at_once_but_not_against_vaults_word() {
    let mut world = World::new();
    world.logged_in(600, true);
    world.now += Duration::from_secs(5);
    world.step = world.machine.apply(Event::NewCredential, world.now);
    assert!(matches!(world.step, Step::Login { .. }), "{:?}", world.step);
    for _ in 0..8 {
        world.fails(Failure::Refused);
        world.proceed();
    }
    world.fails(Failure::Refused);
    let Step::Wait { until } = world.step else {
        panic!("{:?}", world.step)
    };
    world.now += FLOOR;
    assert!(until > world.now);
    world.step = world.machine.apply(Event::NewCredential, world.now);
    assert!(matches!(world.step, Step::Login { .. }), "{:?}", world.step);
    world.fails(Failure::Away {
        after: Some(Duration::from_secs(100)),
    });
    let told = world.now + Duration::from_secs(100);
    world.step = world.machine.apply(Event::NewCredential, world.now);
    assert!(matches!(world.step, Step::Wait { until } if until >= told));
}

#[test]
fn a_host_that_slept_counts_what_it_missed() {
    let hours = |hours| Event::Suspended(Duration::from_hours(hours));
    let mut world = World::new();
    world.logged_in(36_000, true);
    let ends = world.machine.ends().unwrap();
    let woke = world.now;
    world.step = world.machine.apply(hours(1), woke);
    assert_eq!(
        world.machine.ends(),
        ends.checked_sub(Duration::from_hours(1))
    );
    world.renewed(36_000);
    assert!(
        world.now - woke <= Duration::from_secs(91),
        "an hour's part"
    );
    world.now += FLOOR;
    let woke = world.now;
    world.step = world.machine.apply(hours(20), woke);
    world.logged_in(0, false);
    assert!(world.now - woke <= LONGEST_SPREAD + FLOOR);
    assert_eq!(world.machine.apply(hours(20), world.now), Step::Rest);
}

/// When each of a thousand agents asks that stood still together, in order.
fn wakes(event: Event, later: Duration) -> Vec<Duration> {
    let mut after: Vec<_> = (0..1000)
        .map(|seed| {
            let mut world = World::with(seed, Duration::from_millis(20));
            world.logged_in(3600, true);
            world.now += later;
            let woke = world.now;
            world.step = world.machine.apply(event, woke);
            world.proceed();
            world.now - woke
        })
        .collect();
    after.sort();
    after
}

#[test]
fn those_who_slept_together_do_not_ask_together() {
    let time = Duration::from_hours(2);
    let slept = wakes(Event::Suspended(time), Duration::ZERO);
    let late = wakes(Event::Due, time);
    for after in [slept, late] {
        let soonest = after
            .windows(30)
            .map(|thirty| thirty[29].saturating_sub(thirty[0]))
            .min();
        assert!(soonest > Some(Duration::from_secs(1)), "{soonest:?}");
        assert!(after[999] <= time / SPREAD_PART, "{:?}", after[999]);
    }
    let short = wakes(Event::Suspended(Duration::from_secs(20)), Duration::ZERO);
    assert!(short[999] <= FLOOR, "{:?}", short[999]);
}

proptest::proptest! {
    /// The invariants hold for every server, every seed and every latency.
    #[test]
    fn no_server_makes_it_loop_or_forget(
        seed in 0_u64..1000,
        latency in 0_u64..5000,
        answers in proptest::collection::vec(answer(), 1..200),
    ) {
        let mut world = World::with(seed, Duration::from_millis(latency));
        let (mut last_login, mut refused) = (None::<Instant>, false);
        for answer in answers {
            let step = world.proceed();
            match (step, answer) {
                (Step::Rest, _) => break,
                (Step::Login { within }, _) => {
                    proptest::prop_assert!(within <= ATTEMPT);
                    if let Some(last) = last_login {
                        proptest::prop_assert!(world.now - last >= FLOOR, "{:?}", world.now - last);
                    }
                    last_login = Some(world.now);
                }
                (Step::Renew { within }, _) => {
                    proptest::prop_assert!(within <= ATTEMPT && within >= SHORTEST_ATTEMPT);
                    proptest::prop_assert!(!refused, "renews what was refused");
                    proptest::prop_assert!(world.machine.held.is_some());
                }
                (step, _) => proptest::prop_assert!(false, "{step:?}"),
            }
            let held = world.machine.held.is_some();
            match (step, answer) {
                (Step::Login { .. }, Answer::Grants(seconds, renewable)) => {
                    refused = false;
                    world.logged_in(seconds, renewable);
                }
                (_, Answer::Grants(seconds, _)) => world.renewed(seconds),
                (Step::Renew { .. }, Answer::Fails(Failure::NoCredential)) => world.fails(AWAY),
                (step, Answer::Fails(failure)) => {
                    refused |= matches!(step, Step::Renew { .. }) && failure == Failure::Refused;
                    world.fails(failure);
                    proptest::prop_assert_eq!(world.machine.held.is_some(), held, "a failure takes no token away");
                }
            }
        }
    }

    /// However often a token is found dead, and whenever: no login comes sooner for it than the floor and the pause
    /// after a failure allow, and what is dead is not renewed.
    #[test]
    fn found_dead_never_breaks_the_floor(
        seed in 0_u64..1000,
        latency in 0_u64..1500,
        answers in proptest::collection::vec((answer(), proptest::option::of(0_u64..5000)), 1..100),
    ) {
        let mut world = World::with(seed, Duration::from_millis(latency));
        let (mut last_login, mut not_before, mut dead) = (None::<Instant>, None::<Instant>, false);
        for (answer, found) in answers {
            let waits = matches!(world.step, Step::Wait { .. } | Step::Rest);
            if let (true, Some(after)) = (waits, found) {
                let after = world.now + Duration::from_millis(after);
                world.now = match world.step {
                    Step::Wait { until } => after.min(until),
                    _ => after,
                };
                world.found_dead();
                dead = world.machine.held.is_some();
            }
            let step = world.proceed();
            match step {
                Step::Rest => continue,
                Step::Login { .. } => {
                    if let Some(last) = last_login.replace(world.now) {
                        proptest::prop_assert!(world.now - last >= FLOOR, "{:?}", world.now - last);
                    }
                    if let Some(not_before) = not_before {
                        proptest::prop_assert!(world.now >= not_before, "{:?} early", not_before - world.now);
                    }
                }
                _ => proptest::prop_assert!(!dead, "renews what is dead: {step:?}"),
            }
            not_before = None;
            match (step, answer) {
                (Step::Login { .. }, Answer::Grants(seconds, renewable)) => {
                    dead = false;
                    world.logged_in(seconds, renewable);
                }
                (_, Answer::Grants(seconds, _)) => world.renewed(seconds),
                (_, Answer::Fails(failure)) => {
                    world.fails(failure);
                    if let Failure::Away { after: Some(after) } = failure {
                        not_before = Some(world.now + after.min(LONGEST_PAUSE));
                    }
                }
            }
        }
    }

    /// While Vault answers within its time, whoever reads the sink never finds a token that has ended. Shorter leases
    /// than these want more attempts than there may be.
    #[test]
    fn no_token_ends_while_vault_answers(
        seed in 0_u64..1000,
        latency in 0_u64..300,
        lease in 3_u64..120,
        renewals in 0_u64..6,
    ) {
        let mut world = World::with(seed, Duration::from_millis(latency));
        let mut left = renewals;
        world.logged_in(lease, renewals > 0);
        for _ in 0..50 {
            let ends = world.machine.ends().expect("every lease here ends");
            match world.proceed() {
                Step::Login { .. } => {
                    left = renewals;
                    world.logged_in(lease, renewals > 0);
                }
                _ if left == 0 => world.fails(Failure::Refused),
                _ => {
                    left -= 1;
                    world.renewed(lease);
                }
            }
            proptest::prop_assert!(world.now < ends, "replaced {:?} too late", world.now - ends);
        }
    }
}
