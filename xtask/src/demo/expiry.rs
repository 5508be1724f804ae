//! A token that lives for seconds: renewed, replaced before it ends, and never dead in the file.

use std::path::Path;
use std::time::Duration;

use http::Method;
use keyside_harness::poll;
use serde_json::Value;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::example::Example;
use super::room::Room;
use super::shown;
use super::summary::Summary;
use super::world::{SHORT_MAX_TTL, SHORT_ROLE, SHORT_TTL, World};
use crate::console;

const WATCH: Duration = Duration::from_secs(25);

/// In 25 s of tokens that end after 10 s, there are at least these.
const LEAST_REPLACEMENTS: usize = 2;
const LEAST_RENEWALS: usize = 4;

const RENEWAL: &str = "/v1/auth/token/renew-self";

/// The example under the role whose tokens are short, patched.
pub(super) fn pod(cluster: &Cluster, example: &Example) -> anyhow::Result<Value> {
    console::step(&format!(
        "Another pod, whose tokens live {} s and end for good after {} s: watched for {} s",
        SHORT_TTL.as_secs(),
        SHORT_MAX_TTL.as_secs(),
        WATCH.as_secs()
    ));
    cluster.create_quietly(&example.pod_with_role(SHORT_ROLE)?)
}

pub(super) fn watch(room: &mut Room, world: &World, summary: &mut Summary) -> anyhow::Result<()> {
    let path = room.folder_of("/keyside/token")?;
    let before = renewals(world);
    room.wait_until_started()?;
    let mut watch = Watch {
        path: &path,
        world,
        before,
        start: Instant::now(),
        token: String::new(),
        arrived: 0,
        renewals: 0,
        replacements: 0,
        polls: 0,
    };
    poll::throughout("that OpenBao accepts the token in the file", WATCH, || {
        watch.look()
    })?;
    anyhow::ensure!(
        watch.renewals >= LEAST_RENEWALS,
        "only {} renewals",
        watch.renewals
    );
    anyhow::ensure!(
        watch.replacements >= LEAST_REPLACEMENTS,
        "only {} replacements",
        watch.replacements
    );
    let text = format!(
        "{} renewals, {} replacements; {} looks at the file, each token alive",
        watch.renewals, watch.replacements, watch.polls
    );
    console::seen(&text);
    summary.row("token of 3 s, for 25 s", text);
    Ok(())
}

struct Watch<'a> {
    path: &'a Path,
    world: &'a World,
    before: usize,
    start: Instant,
    token: String,
    /// Renewals that had reached OpenBao at the last look: by the next one they are answered.
    arrived: usize,
    renewals: usize,
    replacements: usize,
    polls: usize,
}

impl Watch<'_> {
    /// Reads the file and asks OpenBao about what is in it.
    fn look(&mut self) -> anyhow::Result<()> {
        let (token, secret) = self.read()?;
        let ttl = secret.pointer("/data/ttl").unwrap_or(&Value::Null).clone();
        let seconds = self.start.elapsed().as_secs_f64();
        if token != self.token {
            let what = if self.token.is_empty() {
                "first"
            } else {
                "replaced by"
            };
            console::quote(&format!(
                "{seconds:>5.1} s   {what} {}   {ttl} s to live",
                shown(&token)
            ));
            self.replacements += usize::from(!self.token.is_empty());
            self.token = token;
        } else if self.arrived > self.renewals {
            console::quote(&format!("{seconds:>5.1} s   renewed   {ttl} s to live"));
        }
        self.renewals = self.arrived;
        self.arrived = renewals(self.world) - self.before;
        self.polls += 1;
        Ok(())
    }

    /// The token in the file and what OpenBao knows of it. A token that ended between the two looks was replaced by
    /// then, so the file is looked at again before a dead one is called a fault.
    fn read(&self) -> anyhow::Result<(String, Value)> {
        let first = std::fs::read_to_string(self.path)?;
        if let Some(secret) = self.world.vault.client(&first)?.look_up_self()? {
            return Ok((first, secret));
        }
        let second = std::fs::read_to_string(self.path)?;
        anyhow::ensure!(
            first != second,
            "the file holds a dead token, {}",
            shown(&first)
        );
        match self.world.vault.client(&second)?.look_up_self()? {
            Some(secret) => Ok((second, secret)),
            None => anyhow::bail!("the file holds a dead token, {}", shown(&second)),
        }
    }
}

/// How many renewals have reached OpenBao.
fn renewals(world: &World) -> usize {
    [Method::POST, Method::PUT]
        .iter()
        .map(|method| world.tap.count(method, RENEWAL))
        .sum()
}
