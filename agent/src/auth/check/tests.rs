use tokio::task::JoinSet;

use super::*;
use crate::token::Token;
use crate::vault::fake::{self, Asked, Fake, Reply};

fn live(generation: u64) -> Arc<Live> {
    Arc::new(Live {
        token: Token::new(format!("t{generation}")).unwrap(),
        wrapped: false,
        accessor: String::new(),
        policies: Vec::new(),
        generation,
        obtained: Instant::now(),
        expires: None,
    })
}

/// A checker with the token `t1`, obtained just now.
struct World {
    fake: Fake,
    tokens: watch::Sender<TokenState>,
    checks: Checks,
    start: Instant,
    _tasks: JoinSet<Infallible>,
}

impl World {
    fn new(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        let fake = Fake::start(answer);
        let (tokens, receiver) = watch::channel(TokenState::Live(live(1)));
        let checks = Checks::new(receiver);
        let checker = Checker {
            client: fake.client(),
            namespace: Some("team".to_owned()),
            checks: checks.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(checker.run());
        Self {
            fake,
            tokens,
            checks,
            start: Instant::now(),
            _tasks: tasks,
        }
    }

    /// When it was looked up, in seconds since the start.
    fn times(&self) -> Vec<f64> {
        let asked = self.fake.asked();
        let times = asked.iter().map(|asked| asked.at - self.start);
        times.map(|after| after.as_secs_f64()).collect()
    }

    fn is_dead(&self) -> bool {
        self.checks.doubt.borrow().dead().is_some()
    }
}

fn alive() -> Reply {
    Reply(200, None, serde_json::json!({ "data": { "ttl": 600 } }))
}

fn refused() -> Reply {
    fake::error(403, "permission denied")
}

#[tokio::test(start_paused = true)]
async fn however_many_refusals_there_are_look_ups_are_thirty_seconds_apart() {
    let world = World::new(|_| alive());
    for _ in 0..300 {
        for _ in 0..50 {
            world.checks.refused(1);
            world.checks.refused(7);
        }
        time::sleep(Duration::from_secs(1)).await;
    }
    let times = world.times();
    assert_eq!(times.len(), 10, "{times:?}");
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] >= 30.0),
        "{times:?}"
    );
    let first = &world.fake.asked()[0];
    assert_eq!(first.path, "/v1/auth/token/lookup-self");
    assert_eq!(first.token.as_deref(), Some("t1"));
    assert_eq!(first.namespace.as_deref(), Some("team"));
    assert!(!world.is_dead());
}

#[tokio::test(start_paused = true)]
async fn a_young_token_is_asked_about_again_before_it_is_called_dead() {
    for (age, answers, asked, dead) in [
        (0, [403, 200], 2, false),
        (9, [403, 403], 2, true),
        (9, [200, 403], 1, false),
        (11, [403, 200], 1, true),
        (0, [503, 403], 1, false),
    ] {
        let mut next = answers.into_iter();
        let world = World::new(move |_| match next.next() {
            Some(200) => alive(),
            Some(status) => fake::error(status, "no"),
            None => panic!("asked too often"),
        });
        time::sleep(Duration::from_secs(age)).await;
        world.checks.refused(1);
        time::sleep(Duration::from_secs(3)).await;
        assert_eq!(world.times().len(), asked, "{age} s, {answers:?}");
        assert_eq!(world.is_dead(), dead, "{age} s, {answers:?}");
    }
}

/// From its refusal until the answer, in seconds, and the generation of the successor.
async fn wait(world: &World) -> (u64, Option<u64>) {
    let start = Instant::now();
    world.checks.refused(1);
    let successor = world.checks.successor(1).await;
    let after = start.elapsed().as_secs_f64().round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few seconds"
    )]
    let after = after as u64;
    (after, successor.map(|live| live.generation))
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_where_the_token_lives_or_no_look_up_is_due() {
    let world = World::new(|_| alive());
    assert_eq!(wait(&world).await, (0, None));
    world.fake.answers(|_| refused());
    assert_eq!(wait(&world).await, (0, None), "none is due");
    assert_eq!(world.times().len(), 1);
    world.tokens.send_replace(TokenState::Live(live(2)));
    assert_eq!(
        wait(&world).await,
        (0, Some(2)),
        "it was replaced meanwhile"
    );
    assert_eq!(world.times().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_was_refused_waits_for_the_next_token_and_not_for_ever() {
    let world = World::new(|_| refused());
    time::sleep(LAG).await;
    let renewed = async {
        time::sleep(Duration::from_secs(3)).await;
        world.tokens.send_replace(TokenState::Live(live(2)));
    };
    let (waited, ()) = tokio::join!(wait(&world), renewed);
    assert_eq!(waited, (3, Some(2)));

    let world = World::new(|_| refused());
    time::sleep(LAG).await;
    assert_eq!(wait(&world).await, (5, None));
    assert_eq!(wait(&world).await, (0, None), "the patience is for all");
    time::sleep(Duration::from_hours(2)).await;
    assert_eq!(wait(&world).await, (0, None));
    assert_eq!(world.times().len(), 1, "it stays dead");
}

#[test]
fn a_token_that_may_not_look_itself_up_costs_fewer_and_fewer_logins() {
    let start = Instant::now();
    let (mut doubt, mut generation, mut begun) = (Doubt::default(), 1, Vec::new());
    for second in 0..86_400 {
        let now = start + Duration::from_secs(second);
        if doubt.raise(&live(generation), now) {
            begun.push(second);
            doubt.settle(Finding::Dead);
            generation += 1;
        }
    }
    assert_eq!(begun[..4], [0, 60, 180, 420]);
    assert!(begun.len() < 40, "{begun:?}");
    // One that lives ends that.
    let day = start + Duration::from_hours(48);
    assert!(doubt.raise(&live(generation), day));
    doubt.settle(Finding::Alive);
    assert!(!doubt.raise(&live(generation), day + GAP - PAUSE));
    assert!(doubt.raise(&live(generation), day + GAP));
}
