//! Every key of the configuration, one row each: what `docs/configuration.md` is made of.
//!
//! Invariant, held by this module's tests: the rows are the keys that the decoder asks for, no more and no less; what a
//! row says of type, bounds, need and effect is what the decoder does; defaults are not written down here but read off a
//! configuration that leaves the key out. Tools and tests use this module; the agent is built without it.

use crate::peer::Kind;

mod frame;
mod page;
mod rows;

pub use page::page;

/// One key of one kind of block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) key: &'static str,
    /// The types of block that have the key; empty: all.
    pub(crate) only: &'static [&'static str],
    pub(crate) takes: Takes,
    /// A good value that is not the default, as JSON, in the notation in which it is printed.
    pub(crate) example: &'static str,
    pub(crate) absent: Absent,
    pub(crate) whose: Whose,
    /// The environment variable that wins over it, without `VAULT_` or `BAO_`.
    pub(crate) variable: Option<&'static str>,
    /// The flag that wins over both.
    pub(crate) flag: Option<&'static str>,
    /// Keys of the same block without which this one is refused.
    pub(crate) with: &'static [&'static str],
    /// Where its effect is printed, as a JSON pointer in the whole; its own place where absent.
    pub(crate) shown: Option<&'static str>,
    pub(crate) meaning: &'static str,
}

/// What may be written as a key's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Takes {
    Text,
    Path,
    /// A user or group.
    Name,
    Flag,
    /// `true` and nothing else.
    True,
    Duration,
    /// A duration, or 0.
    Span,
    Size,
    Mode,
    Count(u64, u64),
    OneOf(&'static [&'static str]),
    Texts,
    /// Parts of the agent.
    Uses,
    /// The server's address.
    Url,
    HostPort,
    /// `use_auto_auth_token`.
    Attach,
    /// The type of the block.
    Type,
    /// A block of that kind, at most one in each source.
    Block(Kind),
    /// Blocks of that kind, any number.
    Blocks(Kind),
    /// A method's or a sink's `config`.
    Config,
}

/// What it means that a key is not there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Absent {
    /// A mistake.
    Required,
    /// The value that is printed then.
    Default,
    /// In words, where that value says too little or there is none.
    Otherwise(&'static str),
}

/// Who reads the key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Whose {
    Both,
    VaultAgent,
    OpenBao,
    Keyside,
}

const fn row(
    kind: Kind,
    key: &'static str,
    takes: Takes,
    example: &'static str,
    meaning: &'static str,
) -> Row {
    Row {
        kind,
        key,
        only: &[],
        takes,
        example,
        absent: Absent::Default,
        whose: Whose::Both,
        variable: None,
        flag: None,
        with: &[],
        shown: None,
        meaning,
    }
}

impl Row {
    const fn required(mut self) -> Self {
        self.absent = Absent::Required;
        self
    }

    const fn otherwise(mut self, what: &'static str) -> Self {
        self.absent = Absent::Otherwise(what);
        self
    }

    const fn only(mut self, types: &'static [&'static str]) -> Self {
        self.only = types;
        self
    }

    const fn keyside(mut self) -> Self {
        self.whose = Whose::Keyside;
        self
    }

    const fn vault_agent(mut self) -> Self {
        self.whose = Whose::VaultAgent;
        self
    }

    const fn open_bao(mut self) -> Self {
        self.whose = Whose::OpenBao;
        self
    }

    const fn variable(mut self, name: &'static str) -> Self {
        self.variable = Some(name);
        self
    }

    const fn flag(mut self, name: &'static str) -> Self {
        self.flag = Some(name);
        self
    }

    const fn with(mut self, keys: &'static [&'static str]) -> Self {
        self.with = keys;
        self
    }

    const fn shown(mut self, place: &'static str) -> Self {
        self.shown = Some(place);
        self
    }

    /// Whether blocks of that type have the key.
    pub(crate) fn is_for(&self, of: &str) -> bool {
        self.only.is_empty() || self.only.contains(&of)
    }
}

#[cfg(test)]
pub(crate) mod tests;
