//! A file that always holds the newest token, whole.
//!
//! Written beside its place under a name that nobody reads, given its mode and owner, synced, and only then renamed
//! over the old one: whoever opens the path sees one token or the other, never half of one and never none.
//!
//! Invariant: what is written is the newest token at that moment, however long the folder was unwritable. A token that
//! is replaced while it still waits for anything goes nowhere.
//! Invariant: the token is never readable under a wrong mode or owner: the temporary file is 0600 until it has both.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyside_config::model::auto_auth::FileSink;
use keyside_lifecycle::backoff::Backoff;
use keyside_lifecycle::error::chain;
use keyside_lifecycle::readiness::Part;
use keyside_lifecycle::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::{self, Duration};
use zeroize::Zeroizing;

use super::encryption::{self, Recipient};
use super::wrapping::{self, Wrapping};
use super::{Metrics, newer, owner};
use crate::token::{Live, Tokens};

/// Soon after whatever was in the way has gone.
const MIN_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// Where each attempt asks Vault: as for a login.
const MIN_ASKING: Duration = Duration::from_secs(1);
const MAX_ASKING: Duration = Duration::from_mins(5);
/// How often a filled sink looks whether its file is still there. Above the ten seconds after which the runtime ends the
/// idle thread that looks.
const LOOK: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{path} names no file")]
    NoName { path: PathBuf },
    #[error("find the owner of {path}")]
    Owner {
        path: PathBuf,
        #[source]
        source: owner::Error,
    },
    #[error("{path} is {what}, and only a regular file is replaced")]
    InTheWay { path: PathBuf, what: &'static str },
    #[error(transparent)]
    Wrap(wrapping::Error),
    #[error(transparent)]
    Encrypt(encryption::Error),
    #[error("{doing} {path}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

pub(crate) struct Sink {
    place: Arc<Place>,
    wrapping: Option<Wrapping>,
    tokens: Tokens,
    written: watch::Sender<u64>,
    metrics: Metrics,
    backoff: Backoff,
    failing: bool,
    first: Option<Part>,
}

impl Sink {
    pub(crate) fn new(config: &FileSink, tokens: Tokens, metrics: Metrics) -> Result<Self, Error> {
        Ok(Self {
            place: Arc::new(Place::new(config)?),
            wrapping: None,
            tokens,
            written: watch::Sender::new(0),
            metrics,
            backoff: Backoff::new(MIN_BACKOFF, MAX_BACKOFF),
            failing: false,
            first: None,
        })
    }

    /// Puts a wrapping token into the file instead.
    pub(crate) fn wrapping(self, wrapping: Wrapping) -> Self {
        Self {
            wrapping: Some(wrapping),
            backoff: Backoff::new(MIN_ASKING, MAX_ASKING),
            ..self
        }
    }

    /// Tells `first` what the first write waits for, and when it is done.
    pub(crate) fn announcing(self, first: Part) -> Self {
        Self {
            first: Some(first),
            ..self
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.place.path
    }

    /// The generation of the token that the file holds; 0 before the first one.
    pub(crate) fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut ending = std::pin::pin!(shutdown.requested());
        loop {
            // Dropping a write half-way is fine: it ends on its own thread, as a whole or not at all.
            tokio::select! {
                biased;
                () = &mut ending => return,
                () = self.step() => {}
            }
        }
    }

    /// Waits for a token that the file does not hold, or not any more, and writes it.
    async fn step(&mut self) {
        let held = *self.written.borrow();
        let live = tokio::select! {
            biased;
            live = newer(&mut self.tokens, held) => live,
            () = self.place.lost(), if held > 0 && self.wrapping.is_none() => {
                self.written.send_replace(0);
                return;
            }
        };
        let generation = live.generation;
        let mut next = self.tokens.clone();
        let outcome = tokio::select! {
            biased;
            text = self.text(&live) => text,
            _newer = newer(&mut next, generation) => return,
        };
        let outcome = match outcome {
            Ok(text) => self.write(live, text).await,
            Err(error) => Err(Error::Wrap(error)),
        };
        let Err(error) = outcome else {
            return self.succeeded(generation);
        };
        self.failed(&error);
        let pause = self.backoff.next(fastrand::f64());
        let asked = match &error {
            Error::Wrap(error) => error.retry_after().unwrap_or_default(),
            _ => Duration::ZERO,
        };
        // What went wrong with this token need not with the next one; but what Vault asked for holds for all.
        tokio::select! {
            () = time::sleep(pause.max(asked)) => {}
            _newer = async {
                time::sleep(asked).await;
                newer(&mut next, generation).await
            } => {}
        }
    }

    /// What Vault says of the wrapping token; nothing where the token itself is written.
    async fn text(&self, live: &Live) -> Result<Option<Zeroizing<Vec<u8>>>, wrapping::Error> {
        match &self.wrapping {
            Some(wrapping) => wrapping.wrap(&live.token).await.map(Some),
            None => Ok(None),
        }
    }

    /// On a thread of its own: a folder on a disk or a network may take its time over `fsync`, and there is only one
    /// thread for everything else.
    async fn write(
        &self,
        live: Arc<Live>,
        wrapped: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(), Error> {
        let place = Arc::clone(&self.place);
        let writing = tokio::task::spawn_blocking(move || match &wrapped {
            Some(text) => place.put(text),
            // JSON ends with a line, as the peers write it; a token alone does not.
            None if live.wrapped => {
                let text = Zeroizing::new(format!("{}\n", live.token.expose()));
                place.put(text.as_bytes())
            }
            None => place.put(live.token.expose().as_bytes()),
        });
        writing.await.unwrap_or_else(|error| {
            Err(Error::Io {
                doing: "write",
                path: self.place.path.clone(),
                source: io::Error::other(error),
            })
        })
    }

    fn succeeded(&mut self, generation: u64) {
        self.metrics.count("success");
        self.backoff.reset();
        self.failing = false;
        let path = self.place.path.display();
        tracing::info!(event = "sink_written", %path, generation, "wrote the token");
        self.written.send_replace(generation);
        self.first = None;
    }

    fn failed(&mut self, error: &Error) {
        self.metrics.count("failure");
        let path = self.place.path.display();
        let error = chain(error);
        if let Some(first) = &self.first {
            first.waits_for(format!("sink {path}: {error}"));
        }
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(event = "sink_failed", %path, error, "the token is still not written");
        } else {
            tracing::warn!(event = "sink_failed", %path, error, "the token is not written; it will be tried again");
        }
    }
}

/// Where the file is and what it is to look like. All of this blocks.
pub(crate) struct Place {
    path: PathBuf,
    folder: PathBuf,
    /// What the names of temporary files begin with.
    prefix: String,
    mode: u32,
    owner: Option<u32>,
    group: Option<u32>,
    recipient: Option<Recipient>,
    /// Whether somebody has looked what the folder is on.
    told: AtomicBool,
}

impl Place {
    pub(crate) fn new(config: &FileSink) -> Result<Self, Error> {
        let path = config.path.clone();
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::NoName { path });
        };
        let unknown = |source| Error::Owner {
            path: path.clone(),
            source,
        };
        let owner = config.owner.as_deref().map(owner::user).transpose();
        let group = config.group.as_deref().map(owner::group).transpose();
        let variable = |name: &str| std::env::var(name).ok();
        let recipient = config.encryption.as_ref();
        let recipient = recipient.map(|config| Recipient::new(config, variable));
        Ok(Self {
            recipient: recipient.transpose().map_err(Error::Encrypt)?,
            folder: if folder.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                folder.to_owned()
            },
            prefix: format!(".{}.keyside-", name.to_string_lossy()),
            mode: config.mode.0,
            owner: owner.map_err(unknown)?,
            group: group.map_err(unknown)?,
            path,
            told: AtomicBool::new(false),
        })
    }

    /// Returns when the path names no file any more. A file that somebody else put there is left to him.
    async fn lost(self: &Arc<Self>) {
        loop {
            time::sleep(LOOK).await;
            let place = Arc::clone(self);
            let look = move || fs::symlink_metadata(&place.path).is_ok_and(|found| found.is_file());
            if let Ok(false) = tokio::task::spawn_blocking(look).await {
                return;
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Encrypts `text` if only one may read it, and replaces the file.
    pub(crate) fn put(&self, text: &[u8]) -> Result<(), Error> {
        if let Some(recipient) = &self.recipient {
            return self.replace(&recipient.encrypt(text).map_err(Error::Encrypt)?);
        }
        self.replace(text)?;
        self.tell_of_disk();
        Ok(())
    }

    /// Once, and only when the folder is there to look at.
    fn tell_of_disk(&self) {
        if !self.told.swap(true, Ordering::Relaxed) && self.is_on_disk() {
            let path = self.path.display();
            tracing::warn!(event = "sink_on_disk", %path, "the token is on a file system that is not in memory");
        }
    }

    fn replace(&self, text: &[u8]) -> Result<(), Error> {
        self.check_target()?;
        self.sweep();
        let temporary = self
            .folder
            .join(format!("{}{:08x}", self.prefix, fastrand::u32(..)));
        let outcome = self.write(&temporary, text).and_then(|()| {
            fs::rename(&temporary, &self.path)
                .map_err(|source| failed("rename the new file to", &self.path, source))
        });
        if outcome.is_err() {
            // Best effort: the next attempt sweeps what is left.
            drop(fs::remove_file(&temporary));
        } else {
            // Best effort as well: not every folder may be opened, nor synced. At worst a crash of the machine
            // brings the old file back, whole.
            drop(File::open(&self.folder).and_then(|folder| folder.sync_all()));
        }
        outcome
    }

    /// `rename` would replace a link rather than follow it, but whoever put it there expects something else.
    fn check_target(&self) -> Result<(), Error> {
        let kind = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(failed("look at", &self.path, source)),
        };
        let what = match kind {
            _ if kind.is_file() => return Ok(()),
            _ if kind.is_symlink() => "a symbolic link",
            _ if kind.is_dir() => "a folder",
            _ => "a special file",
        };
        Err(Error::InTheWay {
            path: self.path.clone(),
            what,
        })
    }

    /// Removes what a killed process left behind. Should another one be at work there, its rename fails and it
    /// tries again: no half-written file is ever renamed.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(&self.prefix)
            {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    /// `create_new` is `O_EXCL`, which also follows no link. Mode and owner are set on the open file, so neither the
    /// umask nor a rename in between has a say.
    fn write(&self, temporary: &Path, text: &[u8]) -> Result<(), Error> {
        let at = |doing| move |source| failed(doing, temporary, source);
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(temporary)
            .map_err(at("create"))?;
        file.write_all(text).map_err(at("write"))?;
        if self.owner.is_some() || self.group.is_some() {
            fchown(&file, self.owner, self.group).map_err(at("change the owner of"))?;
        }
        file.set_permissions(Permissions::from_mode(self.mode))
            .map_err(at("change the mode of"))?;
        file.sync_all().map_err(at("sync"))
    }

    /// A token on a disk outlives the pod. What cannot be told is not claimed.
    fn is_on_disk(&self) -> bool {
        const TMPFS: i128 = 0x0102_1994;
        const RAMFS: i128 = 0x8584_58f6;
        let Ok(found) = rustix::fs::statfs(&self.folder) else {
            return false;
        };
        let kind = i128::from(found.f_type) & 0xffff_ffff;
        kind != TMPFS && kind != RAMFS
    }
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
