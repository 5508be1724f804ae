//! The thread on which the harness's own servers and clients run, so that tests need no runtime of their own.

use std::future::Future;
use std::sync::LazyLock;
use std::sync::mpsc;

use anyhow::Context as _;
use tokio::runtime;
use tokio::task::JoinHandle;

static HANDLE: LazyLock<Result<runtime::Handle, String>> =
    LazyLock::new(|| start().map_err(|error| format!("{error:#}")));

fn start() -> anyhow::Result<runtime::Handle> {
    // Ignoring the outcome is right: whoever installed a provider first installed the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("harness".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// Runs the future on the harness's thread.
pub(crate) fn spawn<F>(future: F) -> anyhow::Result<JoinHandle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match &*HANDLE {
        Ok(handle) => Ok(handle.spawn(future)),
        Err(error) => anyhow::bail!("start the harness's runtime: {error}"),
    }
}

/// What a spawned future will say; waiting for it blocks the calling thread only.
pub(crate) struct Pending<T>(mpsc::Receiver<T>);

impl<T: Send + 'static> Pending<T> {
    pub(crate) fn start(future: impl Future<Output = T> + Send + 'static) -> anyhow::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(1);
        spawn(async move {
            // A receiver that is gone no longer wants to know.
            drop(sender.send(future.await));
        })?;
        Ok(Self(receiver))
    }

    pub(crate) fn wait(self) -> anyhow::Result<T> {
        self.0.recv().context("the harness's task panicked")
    }
}

/// Runs the future on the harness's thread and waits for it.
pub(crate) fn block_on<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> anyhow::Result<T> {
    Pending::start(future)?.wait()
}
