//! `auto_auth` and `method`.

use crate::peer::Kind::{self, AutoAuth, Method, Sinks};
use crate::reference::Takes::{Block, Blocks, Config, Duration, Flag, Text, Type};
use crate::reference::{Row, row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(AutoAuth, "method", Block(Kind::Method), "{}", "how to log in").required(),
    row(AutoAuth, "sink", Blocks(Kind::Sink), "[]", "where the token goes").otherwise("nowhere"),
    row(AutoAuth, "sinks", Block(Sinks), "{}", "a block around `sink` blocks, for files written so")
        .otherwise("nothing"),
    row(AutoAuth, "enable_reauth_on_new_credentials", Flag, "false",
        "a new credential in the file of `jwt`, `token_file`, `cert` (with `reload`), `userpass` or `ldap` leads to a \
         login; a new one for any method does where logins are failing"),
    row(AutoAuth, "revoke_on_exit", Flag, "true",
        "the token is revoked when a signal ends the agent, and all that was leased with it; not with `token_file` or `wrap_ttl`")
        .keyside().otherwise("`false`"),
    row(Sinks, "sink", Blocks(Kind::Sink), "[]", "as in `auto_auth`").otherwise("nothing"),
    row(Method, "type", Type, "", "the method; the block's label says it too").required(),
    row(Method, "config", Config, "{}", "what to log in with").otherwise("an empty block"),
    row(Method, "mount_path", Text, "\"auth/other\"", "where the method is mounted").otherwise("`auth/` and the type")
        .only(MOUNTED),
    row(Method, "namespace", Text, "\"team\"", "of the login").otherwise("`vault.namespace`"),
    row(Method, "min_backoff", Duration, "\"2s\"", "the least time between failed logins, before jitter"),
    row(Method, "max_backoff", Duration, "\"600s\"", "the most; not less than `min_backoff`"),
    row(Method, "wrap_ttl", Duration, "\"300s\"",
        "the login is wrapped: the one file sink gets the wrapping token, of so long a life, as JSON; the agent renews \
         nothing")
        .otherwise("none").only(MOUNTED),
    row(Method, "exit_on_err", Flag, "true", "the first failed login ends the agent with status 1"),
];

/// `token_file` logs in nowhere.
const MOUNTED: &[&str] = &[
    "alicloud",
    "approle",
    "aws",
    "azure",
    "cert",
    "gcp",
    "jwt",
    "kubernetes",
    "ldap",
    "userpass",
];
