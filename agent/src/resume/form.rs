//! The file's form: pure, and told the time.
//!
//! `magic, version, SHA-256 of the rest; boot, fingerprint, time; items`. An item is a letter and what belongs to it.
//! Numbers are 64 bits, little-endian; texts and bytes are framed with their length. The letters and their fields are
//! written and read where the things themselves are: [`super::contents`] has the token,
//! [`saved`](crate::cache::store::saved) the cache.
//!
//! Times are those of the clock that runs since the node was started, its sleep included: no one sets it, and all
//! processes of one boot share it.
//!
//! Invariant: what is not wholly as this version writes it is refused, and no byte of it makes a panic.

use ring::digest::{SHA256, digest};
use tokio::time::{Duration, Instant};
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"KEYSIDE\0";
/// Raise it with any change of this form, of [`Key`](crate::cache::key::Key)'s parts, or of what an item means.
const VERSION: u8 = 1;
/// Times from further ahead are counted as this far: beyond it timers overflow.
const LONGEST: Duration = keyside_config::model::MAX_DURATION;

/// Why a file is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it is no file of an agent's")]
    Foreign,
    #[error("it is of version {0}, and this agent writes and reads version {VERSION}")]
    Version(u8),
    #[error("it is damaged")]
    Damaged,
    #[error("it was written before the node was started")]
    Boot,
    #[error("it was written by an agent with another server or another login")]
    Configuration,
    #[error("it was written later than now")]
    Future,
}

/// Who may go on with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The boot's name, as the kernel tells it.
    pub(crate) boot: String,
    /// Of the configuration that says whose token it is.
    pub(crate) fingerprint: [u8; 32],
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) now: Instant,
    /// In nanoseconds since the node was started.
    pub(crate) boot: u64,
}

impl Clock {
    fn number(&self, at: Instant) -> u64 {
        let ahead = nanoseconds(at.saturating_duration_since(self.now));
        let ago = nanoseconds(self.now.saturating_duration_since(at));
        self.boot.saturating_add(ahead).saturating_sub(ago)
    }

    fn instant(&self, number: u64) -> Instant {
        let ahead = Duration::from_nanos(number.saturating_sub(self.boot)).min(LONGEST);
        let ago = Duration::from_nanos(self.boot.saturating_sub(number));
        // What began before this clock did is long past.
        (self.now + ahead).checked_sub(ago).unwrap_or(self.now)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What is being written. It holds secrets: its memory is wiped when it grows and when it is dropped.
pub(crate) struct Writer {
    bytes: Zeroizing<Vec<u8>>,
    clock: Clock,
}

impl Writer {
    pub(crate) fn new(stamp: &Stamp, clock: Clock) -> Self {
        let mut writer = Self {
            bytes: Zeroizing::new(Vec::with_capacity(4096)),
            clock,
        };
        writer.raw(MAGIC);
        writer.byte(VERSION);
        writer.raw(&[0; 32]);
        writer.text(&stamp.boot);
        writer.raw(&stamp.fingerprint);
        writer.number(clock.boot);
        writer
    }

    /// How much is written so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.bytes.len())));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.byte(flag.into());
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn duration(&mut self, duration: Duration) {
        self.number(nanoseconds(duration));
    }

    pub(crate) fn time(&mut self, at: Instant) {
        self.number(self.clock.number(at));
    }

    /// An end, which may be never.
    pub(crate) fn end(&mut self, at: Option<Instant>) {
        self.flag(at.is_some());
        if let Some(at) = at {
            self.time(at);
        }
    }

    /// The whole, to be put into the file.
    pub(crate) fn seal(mut self) -> Zeroizing<Vec<u8>> {
        if let Some((head, rest)) = self.bytes.split_at_mut_checked(MAGIC.len() + 1 + 32) {
            let sum = digest(&SHA256, rest);
            if let Some(place) = head.get_mut(MAGIC.len() + 1..) {
                place.copy_from_slice(sum.as_ref());
            }
        }
        self.bytes
    }
}

/// What is being read: every answer is `None` where there is no more of it, or where it is not what it should be.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    clock: Clock,
}

impl<'a> Reader<'a> {
    /// The items of a file that `stamp` may go on with.
    pub(crate) fn open(bytes: &'a [u8], stamp: &Stamp, clock: Clock) -> Result<Self, Refusal> {
        let mut reader = Self { rest: bytes, clock };
        if reader.raw(MAGIC.len()) != Some(MAGIC) {
            return Err(Refusal::Foreign);
        }
        match reader.byte() {
            Some(VERSION) => {}
            Some(other) => return Err(Refusal::Version(other)),
            None => return Err(Refusal::Damaged),
        }
        let sum = reader.raw(32).ok_or(Refusal::Damaged)?;
        if digest(&SHA256, reader.rest).as_ref() != sum {
            return Err(Refusal::Damaged);
        }
        let boot = reader.bytes().ok_or(Refusal::Damaged)?;
        let fingerprint = reader.raw(32).ok_or(Refusal::Damaged)?;
        let written = reader.number().ok_or(Refusal::Damaged)?;
        if boot != stamp.boot.as_bytes() {
            return Err(Refusal::Boot);
        }
        if fingerprint != stamp.fingerprint {
            return Err(Refusal::Configuration);
        }
        if written > clock.boot {
            return Err(Refusal::Future);
        }
        Ok(reader)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn hash(&mut self) -> Option<[u8; 32]> {
        self.raw(32)?.try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.raw(1)?.first().copied()
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.raw(8)?.try_into().ok()?))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.raw(length)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn duration(&mut self) -> Option<Duration> {
        Some(Duration::from_nanos(self.number()?).min(LONGEST))
    }

    pub(crate) fn time(&mut self) -> Option<Instant> {
        let number = self.number()?;
        Some(self.clock.instant(number))
    }

    #[expect(
        clippy::option_option,
        reason = "never, and nothing there, are two things"
    )]
    pub(crate) fn end(&mut self) -> Option<Option<Instant>> {
        if self.flag()? {
            Some(Some(self.time()?))
        } else {
            Some(None)
        }
    }
}
