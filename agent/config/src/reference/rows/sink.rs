//! `sink`.

use crate::peer::Kind::{FileSink, Sink, SocketSink};
use crate::reference::Takes::{Config, Duration, Flag, Mode, Name, OneOf, Path, Text, Type};
use crate::reference::{Row, row};

const FILE: &[&str] = &["file"];
const OWN: &str = "the agent's own";
const OWNER: &str = "/auto_auth/sink/0/config/owner";
const GROUP: &str = "/auto_auth/sink/0/config/group";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(Sink, "type", Type, "", "`file` or `socket`; the block's label says it too").required(),
    row(Sink, "config", Config, "{}", "which file or socket").otherwise("an empty block"),
    row(Sink, "wrap_ttl", Duration, "\"300s\"",
        "the file holds a wrapping token of so long a life, as JSON, instead of the token").only(FILE).otherwise("none"),
    row(Sink, "dh_type", OneOf(&["curve25519"]), "\"curve25519\"",
        "the file can be read by one recipient only").only(FILE).with(&["dh_path"]).otherwise("none"),
    row(Sink, "dh_path", Path, "\"/dh.json\"", "a JSON file with the recipient's `curve25519_public_key`")
        .only(FILE).with(&["dh_type"]).otherwise("none"),
    row(Sink, "derive_key", Flag, "true", "the shared secret goes through HKDF-SHA256 first")
        .only(FILE).with(&["dh_type", "dh_path"]).otherwise("`false`"),
    row(Sink, "aad", Text, "\"a\"", "what is authenticated beside what is encrypted")
        .only(FILE).with(&["dh_type", "dh_path"]).otherwise("nothing"),
    row(Sink, "aad_env_var", Text, "\"AAD\"", "the same: an environment variable, set when the agent starts")
        .only(FILE).with(&["dh_type", "dh_path"]).otherwise("nothing"),
    row(FileSink, "path", Path, "\"/token\"", "the file that always holds the newest token").required(),
    row(FileSink, "mode", Mode, "\"0600\"", "its mode"),
    row(FileSink, "owner", Name, "\"app\"", "its owner").vault_agent().otherwise(OWN),
    row(FileSink, "group", Name, "\"app\"", "its group").vault_agent().otherwise(OWN),
    row(FileSink, "uid", Name, "\"1000\"", "`owner` in OpenBao's spelling").open_bao().shown(OWNER).otherwise(OWN),
    row(FileSink, "gid", Name, "\"1000\"", "`group` in OpenBao's spelling").open_bao().shown(GROUP).otherwise(OWN),
    row(SocketSink, "path", Path, "\"/token.sock\"", "a Unix socket that tells whoever connects the newest token")
        .keyside().required(),
    row(SocketSink, "mode", Mode, "\"0600\"", "its mode").keyside(),
    row(SocketSink, "owner", Name, "\"app\"", "its owner").keyside().otherwise(OWN),
    row(SocketSink, "group", Name, "\"app\"", "its group").keyside().otherwise(OWN),
    row(SocketSink, "uid", Name, "\"1000\"", "the same as `owner`").keyside().shown(OWNER).otherwise(OWN),
    row(SocketSink, "gid", Name, "\"1000\"", "the same as `group`").keyside().shown(GROUP).otherwise(OWN),
];
