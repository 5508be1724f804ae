//! The token: redacted, wiped on drop, and the watch on which it travels from auto-auth to everything else.

use std::fmt;
use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use ring::digest::{SHA256, digest};
use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// A Vault token's text, in one place however often it is cloned. `Debug` shows nothing of it, and there is no
/// `Display`.
#[derive(Clone)]
pub(crate) struct Token(Arc<Inner>);

struct Inner {
    text: Zeroizing<String>,
    /// Made when it is asked for: the same token comes with every request.
    hash: OnceLock<[u8; 32]>,
}

impl Token {
    /// Takes the text as it is; `None` where it could not be sent as a header's value.
    pub(crate) fn new(text: impl Into<String>) -> Option<Self> {
        let text = Zeroizing::new(text.into());
        let sendable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        sendable.then(|| {
            Self(Arc::new(Inner {
                text,
                hash: OnceLock::new(),
            }))
        })
    }

    /// The text, for a sink or a request.
    pub(crate) fn expose(&self) -> &str {
        &self.0.text
    }

    /// The text's SHA-256.
    pub(crate) fn hash(&self) -> [u8; 32] {
        *self.0.hash.get_or_init(|| sha256(self.expose()))
    }

    /// The text as the value of `X-Vault-Token`, marked so that nothing prints it.
    pub(crate) fn header(&self) -> HeaderValue {
        let mut value =
            HeaderValue::from_str(self.expose()).expect("`new` lets only visible ASCII in");
        value.set_sensitive(true);
        value
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Of a token's text: enough to tell tokens apart, and of no use to whoever reads it.
pub(crate) fn sha256(text: &str) -> [u8; 32] {
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref()
        .try_into()
        .expect("SHA-256 gives 32 bytes, whatever went in")
}

/// A token that auto-auth obtained, and what Vault said of it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) token: Token,
    /// The text is what Vault says of a wrapping token, as JSON: the login was wrapped.
    pub(crate) wrapped: bool,
    /// Empty for a batch token, which has none.
    pub(crate) accessor: String,
    pub(crate) policies: Vec<String>,
    /// Counts logins since the process started, from 1: a renewal keeps it, a new login raises it.
    pub(crate) generation: u64,
    /// When its login was answered.
    pub(crate) obtained: Instant,
    /// When Vault lets it die unless it is renewed; `None` where it never ends. Renewals move it.
    pub(crate) expires: Option<Instant>,
}

/// What auto-auth has to offer at this moment.
#[derive(Clone, Debug, Default)]
pub(crate) enum TokenState {
    /// No login has succeeded yet.
    #[default]
    Pending,
    /// The newest token. It stays here while its replacement is being fetched.
    Live(Arc<Live>),
}

impl TokenState {
    pub(crate) fn live(&self) -> Option<&Arc<Live>> {
        match self {
            Self::Pending => None,
            Self::Live(live) => Some(live),
        }
    }
}

/// Where sinks, proxy and cache watch the token. Await it by predicate (`wait_for`), never by a bare `changed`.
pub(crate) type Tokens = watch::Receiver<TokenState>;
