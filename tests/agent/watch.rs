//! Whoever reads the sink, as often as it can, and asks Vault what the token is worth.

use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::{openbao, poll};

use crate::world::World;

pub(crate) struct Watch<'a> {
    world: &'a World,
    current: Option<openbao::Client>,
    /// Different tokens seen.
    pub(crate) tokens: usize,
    /// Times that Vault was asked and answered.
    pub(crate) asked: usize,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self {
            world,
            current: None,
            tokens: 0,
            asked: 0,
        }
    }

    /// Fails as soon as the sink holds a token that Vault refuses.
    pub(crate) fn throughout(mut self, period: Duration) -> anyhow::Result<Self> {
        poll::throughout("a live token in the sink", period, || {
            let alive = self.look()?;
            anyhow::ensure!(alive, "Vault refuses token number {}", self.tokens);
            anyhow::Ok(())
        })?;
        assert!(self.asked >= 100, "asked only {} times", self.asked);
        Ok(self)
    }

    /// Whether Vault knows the token that the sink holds at this moment. An error: Vault does not answer.
    pub(crate) fn look(&mut self) -> anyhow::Result<bool> {
        let token = self.world.sink()?;
        if self
            .current
            .as_ref()
            .is_none_or(|client| client.token() != token)
        {
            self.current = Some(self.world.server.client(&token)?);
            self.tokens += 1;
        }
        let client = self.current.as_ref().context("made above")?;
        let found = client.look_up_self()?;
        self.asked += 1;
        Ok(found.is_some())
    }
}
