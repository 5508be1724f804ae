//! What outlives the process: after a SIGKILL the next one goes on with the same token and the same leases.
//!
//! One file in a folder in memory holds them, and it is as secret as the token itself: mode 0600, and nothing is read
//! that is not wholly ours. It is replaced soon after each change, never by a hit, and left at the end: whoever starts
//! next may want it. Only a token that Vault has been asked about, or could not be asked about, is gone on with
//! ([`auth`](crate::auth)); leases are confirmed when their renewal is due.
//!
//! Invariant: no file, and no folder, keeps the agent from starting or serving. What is wrong costs a login.
//! Invariant: nothing is written before there is a token where one is to come: the file may hold the one that Vault is
//! being asked about.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyside_config::model;
use keyside_config::model::auto_auth::{AutoAuth, FileSink, Login};
use keyside_config::model::vault::Vault;
use keyside_config::model::{Config, Mode};
use keyside_lifecycle::error::chain;
use keyside_lifecycle::shutdown::Shutdown;
use ring::digest::{Context, SHA256};
use rustix::fs::OFlags;
use rustix::time::ClockId;
use tokio::time::{self, Duration, Instant};
use zeroize::Zeroizing;

use crate::cache::Cache;
use crate::sink::file::{self, Place};
use crate::token::{TokenState, Tokens};
use contents::Contents;
use form::{Clock, Refusal, Stamp, Writer};

mod contents;
pub(crate) mod form;

/// The file's name in its folder.
const NAME: &str = "resume";
/// Between two writes for the sake of the cache.
const GAP: Duration = Duration::from_secs(1);
/// After a write that failed.
const PAUSE: Duration = Duration::from_secs(10);
/// The token is kept however large; what is read may be so much larger than what the cache may fill.
const TOKEN_ROOM: u64 = 64 << 10;
/// What the kernel calls this boot.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Why a file is not gone on with.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{doing} {}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} {what}")]
    NotOurs { path: PathBuf, what: &'static str },
    #[error("{path} cannot be used")]
    Refused {
        path: PathBuf,
        #[source]
        source: Refusal,
    },
}

/// The file, and what was in it at the start.
pub(crate) struct Resume {
    place: Arc<Place>,
    stamp: Stamp,
    most: usize,
    found: Contents,
}

impl Resume {
    /// Reads what an earlier process left. Where no two processes can be told to be of one boot, nothing is kept.
    pub(crate) fn open(config: &model::Resume, whole: &Config) -> Option<Self> {
        let path = config.path.join(NAME);
        let boot = fs::read_to_string(BOOT).map_err(|source| failed("read", BOOT, source));
        let place = Place::new(&FileSink {
            path,
            mode: Mode(0o600),
            owner: None,
            group: None,
            wrap_ttl: None,
            encryption: None,
        });
        let (boot, place) = match (boot, place) {
            (Ok(boot), Ok(place)) => (boot, place),
            (Err(error), _) => return off(&error),
            (_, Err(error)) => return off(&error),
        };
        let stamp = Stamp {
            boot: boot.trim().to_owned(),
            fingerprint: fingerprint(whole),
        };
        let most = config.max_bytes;
        let found = match read(place.path(), most, &stamp) {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(
                    event = "resume_refused",
                    reason,
                    "what an earlier process left is ignored"
                );
                Contents::default()
            }
        };
        Some(Self {
            place: Arc::new(place),
            stamp,
            most,
            found,
        })
    }

    /// What is to be gone on with. To be taken once.
    pub(crate) fn found(&mut self) -> Contents {
        std::mem::take(&mut self.found)
    }

    /// The task that keeps the file up to date.
    pub(crate) fn keeper(self, tokens: Option<Tokens>, cache: Option<Cache>) -> Keeper {
        Keeper {
            place: self.place,
            stamp: self.stamp,
            most: self.most,
            tokens,
            cache,
            failing: false,
        }
    }
}

fn off(error: &dyn std::error::Error) -> Option<Resume> {
    let error = chain(error);
    tracing::warn!(
        event = "resume_failed",
        error,
        "nothing is kept for the next process"
    );
    None
}

/// Whose token and leases these are: another server, login or role must not go on with them. A role id is in a file of
/// its own.
fn fingerprint(config: &Config) -> [u8; 32] {
    let identity = Config {
        vault: Vault {
            address: config.vault.address.clone(),
            namespace: config.vault.namespace.clone(),
            ..Vault::default()
        },
        auto_auth: config.auto_auth.clone().map(|mut auto_auth| {
            auto_auth.sinks.clear();
            auto_auth.login_on_new_credential = false;
            auto_auth.revoke_on_exit = false;
            auto_auth.method.exit_on_err = false;
            auto_auth.method.min_backoff = Duration::ZERO;
            auto_auth.method.max_backoff = Duration::ZERO;
            auto_auth
        }),
        ..Config::default()
    };
    let mut hash = Context::new(&SHA256);
    hash.update(identity.to_json().as_bytes());
    if let Some(AutoAuth { method, .. }) = &config.auto_auth
        && let Login::AppRole { role_id, .. } = &method.login
    {
        hash.update(fs::read(role_id).unwrap_or_default().trim_ascii());
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(hash.finish().as_ref());
    fingerprint
}

fn clock() -> Clock {
    let boot = rustix::time::clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(boot.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(boot.tv_nsec).unwrap_or_default();
    Clock {
        now: Instant::now(),
        boot: seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(nanoseconds),
    }
}

/// Blocks for microseconds: the file is small, and in memory. Absent where there is none.
fn read(path: &Path, most: usize, stamp: &Stamp) -> Result<Option<Contents>, Error> {
    // `NONBLOCK`: a pipe in its place must not hold the start up.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("open", path, source)),
    };
    let most = (most as u64).saturating_add(TOKEN_ROOM);
    check(&file, path, most)?;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = file.by_ref().take(most).read_to_end(&mut bytes);
    read.map_err(|source| failed("read", path, source))?;
    let refused = |source| Error::Refused {
        path: path.to_owned(),
        source,
    };
    Contents::read(&bytes, stamp, clock())
        .map(Some)
        .map_err(refused)
}

/// Others may have the right to write to the folder, as in a pod, but not to what is ours in it.
fn check(file: &File, path: &Path, most: u64) -> Result<(), Error> {
    let found = file
        .metadata()
        .map_err(|source| failed("look at", path, source))?;
    let what = if !found.is_file() {
        "is no regular file"
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else if found.mode() & 0o077 != 0 {
        "can be read or written by others"
    } else if found.nlink() != 1 {
        "has another name as well"
    } else if found.len() > most {
        "is larger than `resume.max_bytes` allows"
    } else {
        return Ok(());
    };
    Err(Error::NotOurs {
        path: path.to_owned(),
        what,
    })
}

fn failed(doing: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
    Error::Io {
        doing,
        path: path.as_ref().to_owned(),
        source,
    }
}

/// Keeps the file up to date.
pub(crate) struct Keeper {
    place: Arc<Place>,
    stamp: Stamp,
    most: usize,
    tokens: Option<Tokens>,
    cache: Option<Cache>,
    failing: bool,
}

enum Event {
    Token,
    Cache,
    Due,
    Shutdown,
}

impl Keeper {
    /// The file's own.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Runs until `shutdown` is requested, and leaves the file then.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut ending = std::pin::pin!(shutdown.requested());
        let (mut changed, mut not_before) = (false, Instant::now());
        loop {
            // Cancel-safe all: a change is seen by the next wait for it.
            let event = tokio::select! {
                biased;
                () = token(&mut self.tokens) => Event::Token,
                () = &mut ending => Event::Shutdown,
                () = cache(self.cache.as_ref()), if !changed => Event::Cache,
                () = time::sleep_until(not_before), if changed => Event::Due,
            };
            match event {
                Event::Cache => changed = true,
                Event::Token | Event::Due => {
                    changed = !self.write().await;
                    let pause = if changed { PAUSE } else { GAP };
                    if changed || matches!(event, Event::Due) {
                        not_before = Instant::now() + pause;
                    }
                }
                Event::Shutdown => {
                    if changed {
                        self.write().await;
                    }
                    return;
                }
            }
        }
    }

    /// Writes what there is now. Tells whether that need not be tried again.
    async fn write(&mut self) -> bool {
        let state = self.tokens.as_ref().map(|it| it.borrow().clone());
        if matches!(state, Some(TokenState::Pending)) {
            return true;
        }
        let mut writer = Writer::new(&self.stamp, clock());
        let live = state.as_ref().and_then(TokenState::live);
        contents::write(
            &mut writer,
            live.map(|live| &**live),
            self.cache.as_ref(),
            self.most,
        );
        let bytes = writer.seal();
        let size = bytes.len();
        let place = Arc::clone(&self.place);
        let writing = tokio::task::spawn_blocking(move || put(&place, &bytes));
        match writing.await {
            Ok(Ok(())) => {
                self.failing = false;
                tracing::debug!(event = "resume_written", size);
                true
            }
            Ok(Err(error)) => self.failed(&error),
            Err(lost) => self.failed(&lost),
        }
    }

    fn failed(&mut self, error: &dyn std::error::Error) -> bool {
        let error = chain(error);
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(event = "resume_failed", error, "still nothing is kept");
        } else {
            tracing::warn!(
                event = "resume_failed",
                error,
                "nothing is kept for the next process; it will be tried again"
            );
        }
        false
    }
}

/// Replaces the file. One that could not be replaced goes: what it says was true once, and may have been revoked.
fn put(place: &Place, bytes: &[u8]) -> Result<(), file::Error> {
    let outcome = place.put(bytes);
    if matches!(outcome, Err(file::Error::Io { .. })) {
        drop(fs::remove_file(place.path()));
    }
    outcome
}

/// Returns when the token has changed.
async fn token(tokens: &mut Option<Tokens>) {
    if let Some(tokens) = tokens
        && tokens.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

async fn cache(cache: Option<&Cache>) {
    match cache {
        Some(cache) => cache.changed().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
