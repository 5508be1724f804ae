//! The top level.

use crate::peer::Kind::{self, Top};
use crate::reference::Takes::{Block, Blocks, Count, Duration, Flag, OneOf, Path, True, Uses};
use crate::reference::{Row, row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(Top, "vault", Block(Kind::Vault), "{}", "which server, and how to trust it"),
    row(Top, "auto_auth", Block(Kind::AutoAuth), "{}", "how to log in, and where the token goes")
        .otherwise("the agent has no token of its own"),
    row(Top, "cache", Block(Kind::Cache), "{}", "what the proxy keeps").otherwise("nothing is kept"),
    row(Top, "api_proxy", Block(Kind::ApiProxy), "{}", "whose token the proxy uses")
        .otherwise("that of whoever asks"),
    row(Top, "listener", Blocks(Kind::Listener), "[]", "where applications reach the proxy")
        .otherwise("there is no proxy"),
    row(Top, "limits", Block(Kind::Limits), "{}", "the ceiling on what the agent sends by itself").keyside(),
    row(Top, "admin", Block(Kind::Admin), "{}", "probes, status, metrics").keyside()
        .otherwise("there is no admin socket"),
    row(Top, "resume", Block(Kind::Resume), "{}", "what the next process goes on with").keyside()
        .otherwise("it starts anew"),
    row(Top, "log_level", OneOf(&["trace", "debug", "info", "warn", "error"]), "\"debug\"",
        "what is told; `notice`, `warning` and `err` are known too").variable("LOG_LEVEL").flag("log-level"),
    row(Top, "log_format", OneOf(&["standard", "json"]), "\"json\"",
        "how: one line per event, to standard error").variable("LOG_FORMAT").flag("log-format"),
    row(Top, "pid_file", Path, "\"/run/agent.pid\"",
        "a file of mode 0600 for the process id, there while the agent serves").otherwise("none"),
    row(Top, "exit_after_auth", Flag, "true",
        "log in, fill every sink once, end with status 0; with 1 where a signal comes first").flag("exit-after-auth"),
    row(Top, "start_timeout", Duration, "\"120s\"",
        "the agent ends with status 1 where by then it has no token or has not filled a sink; the last line of its log says what was waited for")
        .keyside().otherwise("it goes on trying"),
    row(Top, "shutdown_delay", Duration, "\"28s\"",
        "how long the agent goes on serving after the first SIGTERM or SIGINT, unless there is a second one; requests that are under way then have 1.5 s")
        .keyside().otherwise("none"),
    row(Top, "disable_keep_alives", Uses, "[\"caching\"]", "what closes its connection to the server after each request")
        .variable("AGENT_DISABLE_KEEP_ALIVES").otherwise("none"),
    row(Top, "disable_idle_connections", Uses, "[\"proxying\"]", "the same: no connection is kept idle")
        .variable("AGENT_DISABLE_IDLE_CONNECTIONS").shown("/disable_keep_alives").otherwise("none"),
    row(Top, "disable_mlock", True, "true", "memory is never locked, so that this changes nothing")
        .otherwise("the same"),
    row(Top, "worker_threads", Count(0, 65535), "2", "threads that serve; `0`: everything on one thread").keyside(),
];
