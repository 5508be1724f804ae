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
