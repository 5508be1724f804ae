use std::io;

use tokio::time::Instant;

use super::*;
use crate::shutdown;

const DRAIN: Duration = Duration::from_secs(10);

/// Runs one task to its end under a shutdown that nobody requests.
async fn unrequested<F>(future: F) -> Result<End, Error>
where
    F: Future<Output: Outcome> + Send + 'static,
{
    let (_trigger, shutdown) = shutdown::channel();
    let mut tasks = Tasks::default();
    tasks.spawn("idle", std::future::pending::<()>());
    tasks.spawn("worker", future);
    tasks.run(&shutdown, DRAIN).await
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_unasked_is_an_error_that_names_it() {
    let error = unrequested(async {}).await.unwrap_err();
    assert_eq!(error.to_string(), "task worker ended unasked");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_is_an_error_with_its_cause() {
    let error = unrequested(async { Err::<(), _>(io::Error::other("disk full")) })
        .await
        .unwrap_err();
    assert_eq!(error::chain(&error), "task worker failed: disk full");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_an_error_that_names_it() {
    let error = unrequested(async { assert!(Instant::now().elapsed() > DRAIN, "always") })
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "task worker panicked");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_end_when_asked_drain() {
    let (trigger, shutdown) = shutdown::channel();
    let mut tasks = Tasks::default();
    let (requested, late) = (shutdown.requested(), shutdown.requested());
    tasks.spawn("prompt", requested);
    tasks.spawn("slow", async move {
        late.await;
        time::sleep(DRAIN / 2).await;
        Err::<(), _>(io::Error::other("too late to matter"))
    });
    trigger.request();
    assert_eq!(tasks.run(&shutdown, DRAIN).await.unwrap(), End::Drained);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_drops_what_is_left_and_names_it() {
    let (trigger, shutdown) = shutdown::channel();
    let mut tasks = Tasks::default();
    tasks.spawn("deaf", std::future::pending::<()>());
    tasks.spawn("prompt", shutdown.requested());
    trigger.request();
    let start = Instant::now();
    let end = tasks.run(&shutdown, DRAIN).await.unwrap();
    assert_eq!(end, End::Late(vec!["deaf".to_owned()]));
    assert_eq!(start.elapsed(), DRAIN);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_cuts_the_drain_short() {
    let (trigger, shutdown) = shutdown::channel();
    let mut tasks = Tasks::default();
    tasks.spawn("deaf", std::future::pending::<()>());
    tasks.spawn("impatient", async move {
        time::sleep(DRAIN / 4).await;
        trigger.request();
        time::sleep(DRAIN / 4).await;
        trigger.abort();
    });
    let start = Instant::now();
    let end = tasks.run(&shutdown, DRAIN).await.unwrap();
    assert!(matches!(end, End::Aborted(_)), "{end:?}");
    assert_eq!(start.elapsed(), DRAIN / 2);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_set_ends_its_tasks() {
    let (alive, watcher) = tokio::sync::oneshot::channel::<()>();
    let mut tasks = Tasks::default();
    tasks.spawn("holder", async move {
        let _alive = alive;
        std::future::pending::<()>().await;
    });
    drop(tasks);
    assert!(watcher.await.is_err());
}
