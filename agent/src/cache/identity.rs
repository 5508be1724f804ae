//! Who asks. The token's text takes no part in anything that outlives the request: its hash does.

use ring::digest::Digest;

use crate::token::{Token, sha256};

/// A token's SHA-256: enough to tell tokens apart, and of no use to whoever reads it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TokenId([u8; 32]);

impl TokenId {
    pub(crate) fn of(text: &str) -> Self {
        Self(sha256(text))
    }

    /// Of a token that was hashed before.
    pub(crate) fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<&Token> for TokenId {
    fn from(token: &Token) -> Self {
        Self(token.hash())
    }
}

impl std::fmt::Debug for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenId(..)")
    }
}

pub(super) fn hash(sha256: &Digest) -> [u8; 32] {
    sha256
        .as_ref()
        .try_into()
        .expect("SHA-256 gives 32 bytes, whatever went in")
}

/// Whose answers a request may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The pod itself: a request that the agent attached its token to, or a client that sent the very token which
    /// auto-auth holds now. It survives a new login.
    AutoAuth,
    /// A client with a token of its own.
    Token(TokenId),
    /// A login by whoever can make it: nobody yet, told apart by the body.
    Nobody,
}
