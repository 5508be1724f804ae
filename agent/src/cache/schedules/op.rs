//! What may happen, drawn from a seed.

use tokio::time::Duration;

use super::vault::{ROLES, Weather};

/// Who asks. The numbers pick among what there is when it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    Pod,
    Nobody,
    Own(usize),
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Lease(u64),
    Child { ttl: u64, orphan: bool, uses: u64 },
    Login(u64),
    Plain,
    Renew { target: Target, increment: u64 },
    Revoke(Target),
}

/// Which thing, by its place among the youngest, and how it is named.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Itself,
    Token(usize),
    Accessor(usize),
    Orphaning(usize),
    Lease(usize),
    LeaseInUrl(usize),
    Prefix(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Cleared {
    All,
    Path(u64),
    Token(usize),
    Accessor(usize),
    Lease(usize),
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Ask {
        who: Who,
        what: What,
        /// Which of the spellings of the same request.
        spelling: u8,
        /// Namespace, if not the root.
        inside: bool,
        leaves: Option<Duration>,
    },
    /// Behind the agent's back.
    Revoke(usize),
    Lengthen(usize),
    Token {
        ttl: u64,
        rights: bool,
    },
    Clear(Cleared),
    Wait(Duration),
    Jump(Duration),
    Weather(Weather),
    Relogin,
    Restart,
}

pub(super) fn draw(rng: &mut fastrand::Rng) -> Op {
    match rng.u8(0..100) {
        0..58 => ask(rng),
        58..62 => Op::Revoke(rng.usize(0..12)),
        62..64 => Op::Lengthen(rng.usize(0..12)),
        64..67 => Op::Token {
            ttl: [0, 30, 600, 36_000][rng.usize(0..4)],
            rights: rng.u8(0..4) > 0,
        },
        67..70 => Op::Clear(match rng.u8(0..5) {
            0 => Cleared::All,
            1 => Cleared::Path(rng.u64(0..ROLES)),
            2 => Cleared::Token(rng.usize(0..8)),
            3 => Cleared::Accessor(rng.usize(0..8)),
            _ => Cleared::Lease(rng.usize(0..8)),
        }),
        70..90 => Op::Wait(match rng.u8(0..8) {
            0..4 => Duration::from_millis(rng.u64(0..100)),
            4..6 => Duration::from_secs(rng.u64(0..20)),
            6 => Duration::from_secs(rng.u64(0..600)),
            _ => Duration::from_secs(rng.u64(0..7200)),
        }),
        90..91 => Op::Jump(Duration::from_secs(rng.u64(0..7200))),
        91..97 => Op::Weather(match rng.u8(0..8) {
            0..4 => Weather::Fine,
            4 => Weather::Slow,
            5 => Weather::Away,
            6 => Weather::Lossy,
            _ => Weather::Lagging,
        }),
        97..98 => Op::Relogin,
        _ => Op::Restart,
    }
}

fn ask(rng: &mut fastrand::Rng) -> Op {
    let who = match rng.u8(0..10) {
        0..4 => Who::Pod,
        4 => Who::Nobody,
        _ => Who::Own(rng.usize(0..5)),
    };
    let what = match (who, rng.u8(0..20)) {
        (Who::Nobody, _) => What::Login(rng.u64(0..2)),
        (_, 0..9) => What::Lease(rng.u64(0..ROLES)),
        (_, 9..12) => What::Child {
            ttl: [20, 300, 4000][rng.usize(0..3)],
            orphan: rng.u8(0..4) == 0,
            uses: if rng.u8(0..6) == 0 { 3 } else { 0 },
        },
        (_, 12) => What::Plain,
        (_, 13..16) => What::Renew {
            target: target(rng),
            increment: [5, 60, 1000, 20_000][rng.usize(0..4)],
        },
        (_, 16) if rng.bool() => What::Revoke(target(rng)),
        (_, 16..19) => What::Lease(0),
        _ => What::Revoke(target(rng)),
    };
    Op::Ask {
        who,
        what,
        spelling: rng.u8(..),
        inside: rng.u8(0..5) == 0,
        leaves: (rng.u8(0..5) == 0).then(|| Duration::from_millis(rng.u64(0..80))),
    }
}

fn target(rng: &mut fastrand::Rng) -> Target {
    let young = rng.usize(0..6);
    match rng.u8(0..14) {
        0..2 => Target::Itself,
        2..4 => Target::Token(young),
        4..6 => Target::Accessor(young),
        6 => Target::Orphaning(young),
        7..10 => Target::Lease(young),
        10..13 => Target::LeaseInUrl(young),
        _ => Target::Prefix(rng.u64(0..=ROLES)),
    }
}
