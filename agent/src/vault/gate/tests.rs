use prometheus::Registry;

use super::*;

fn limits(requests_per_second: u32, burst: u32) -> Limits {
    Limits {
        requests_per_second,
        burst,
    }
}

async fn pass(gate: &Gate, reason: Reason) {
    assert!(matches!(gate.turn(reason, None).await, Turn::Send(_)));
}

fn gate(limits: &Limits) -> Gate {
    Gate::new(limits, Metrics::new(&Registry::new()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn passes_a_burst_at_once_and_then_the_rate() {
    let gate = gate(&limits(10, 3));
    let start = Instant::now();
    let mut passed = Vec::new();
    for _ in 0..6 {
        pass(&gate, Reason::Login).await;
        passed.push(start.elapsed().as_millis());
    }
    assert_eq!(passed[..3], [0, 0, 0]);
    for (late, expected) in passed[3..].iter().zip([100, 200, 300]) {
        assert!(late.abs_diff(expected) <= 3, "{passed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_agents_own_token_overtakes_leases() {
    let gate = gate(&limits(10, 1));
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    pass(&gate, Reason::LeaseRenew).await;
    for reason in [
        Reason::LeaseRenew,
        Reason::LeaseRenew,
        Reason::Renew,
        Reason::Login,
    ] {
        let (gate, order) = (gate.clone(), Arc::clone(&order));
        tasks.spawn(async move {
            pass(&gate, reason).await;
            order.lock().unwrap().push(reason);
        });
        tokio::task::yield_now().await;
    }
    tasks.join_all().await;
    assert_eq!(
        *order.lock().unwrap(),
        [
            Reason::Renew,
            Reason::Login,
            Reason::LeaseRenew,
            Reason::LeaseRenew,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_leaves_the_queue() {
    let gate = gate(&limits(1, 1));
    pass(&gate, Reason::Login).await;
    let start = Instant::now();
    let impatient = tokio::time::timeout(Duration::from_millis(10), pass(&gate, Reason::Renew));
    assert!(impatient.await.is_err());
    pass(&gate, Reason::LeaseRenew).await;
    assert!(
        start.elapsed() <= Duration::from_millis(1010),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn counts_what_had_to_wait() {
    let registry = Registry::new();
    let gate = Gate::new(&limits(10, 1), Metrics::new(&registry).unwrap());
    pass(&gate, Reason::Login).await;
    pass(&gate, Reason::Login).await;
    let metrics = &gate.0.metrics;
    assert_eq!(metrics.passed.with_label_values(&["login"]).get(), 2);
    assert_eq!(metrics.waited.with_label_values(&["login"]).get(), 1);
    assert!(metrics.seconds.with_label_values(&["login"]).get() >= 0.1);
}

fn refused() -> Error {
    Error::Connect {
        target: "https://vault.test".to_owned(),
        source: "connection refused".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_seen_to_its_end_where_nothing_of_the_agent_waits() {
    let gate = gate(&limits(10, 10));
    let start = Instant::now();
    gate.away(None, &refused());
    let (found, after) = gate.absence().unwrap();
    assert!(found.to_string().contains("connection refused"), "{found}");
    assert!(after >= Duration::from_secs(1), "{after:?}");
    for _ in 0..3 {
        gate.duty().await.found(&Err(refused()));
    }
    gate.duty().await.found(&Ok(()));
    let idle = tokio::time::timeout(Duration::from_mins(1), gate.duty()).await;
    assert!(idle.is_err(), "a probe although all is well");
    assert_eq!(gate.away_since(), None);
    assert!(gate.absence().is_none());
    let passed = gate.0.metrics.passed.with_label_values(&["probe"]).get();
    assert_eq!(passed, 4, "in {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_left_to_whoever_waits_for_its_end() {
    let gate = gate(&limits(10, 10));
    gate.away(None, &refused());
    let waiting = gate.turn(Reason::Login, None);
    tokio::select! {
        biased;
        turn = waiting => assert!(matches!(turn, Turn::Probe(_))),
        _probe = gate.duty() => panic!("two who probe"),
    }
    let probe = tokio::time::timeout(Duration::from_secs(5), gate.duty()).await;
    assert!(probe.is_ok(), "nobody took the duty over");
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_becomes_an_outage_only_by_a_probe() {
    let gate = gate(&limits(10, 10));
    let start = Instant::now();
    gate.suspect();
    assert!(gate.absence().is_none());
    gate.duty().await.found(&Ok(()));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(gate.absence().is_none());
    gate.suspect();
    let probe = gate.duty().await;
    assert_eq!(start.elapsed(), breaker::SUSPICION_PAUSE);
    drop(probe);
    assert!(gate.absence().is_none(), "a probe given up found nothing");
    gate.suspect();
    gate.duty().await.found(&Err(refused()));
    assert!(gate.absence().is_some());
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_a_connection_through_an_outage_begins_no_other() {
    let gate = gate(&limits(10, 10));
    let asked = Instant::now();
    gate.unreachable(&refused(), asked);
    assert!(gate.absence().is_some());
    tokio::time::advance(Duration::from_secs(3)).await;
    gate.there();
    gate.unreachable(&refused(), asked);
    assert!(gate.absence().is_none(), "an old story");
    gate.duty().await.found(&Ok(()));
    tokio::time::advance(Duration::from_secs(1)).await;
    gate.unreachable(&refused(), Instant::now());
    assert!(gate.absence().is_some());
}
