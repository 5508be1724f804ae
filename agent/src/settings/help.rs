//! Help texts. Each fits a screen of 24 lines of 80 characters.

/// For messages.
pub(crate) const VERBS: &str = "run, check, probe, status, cache-clear, quit, version, help";

pub(crate) const OVERVIEW: &str = "\
keyside-agent keeps a Vault or OpenBao token alive at an application's side.

usage: keyside-agent [VERB] [FLAGS]

  run          log in, fill the sinks, serve the proxy (without a verb, too)
  check        report every mistake of a configuration, or print what it says
  probe        startup, ready or live: exit 0 when the running agent is
  status       how the running agent is
  cache-clear  let the running agent forget answers
  quit         let the running agent end
  version      print the version
  help         print this

'keyside-agent VERB --help' says what each takes.
Flags may be written with one dash or two. Exit status: 0 done, 64 a mistake in
the arguments or the configuration, 1 anything else.";

pub(crate) const RUN: &str = "\
usage: keyside-agent [run] -config=PATH [FLAGS]

  -config=PATH          a file, or a folder whose .hcl, .json, .yaml and .yml
                        files are read in name order; may be repeated
  -address=URL          of the server
  -namespace=PATH       of requests that name none
  -ca-cert=FILE  -ca-path=FOLDER  -tls-server-name=NAME  -tls-skip-verify
  -client-cert=FILE  -client-key=FILE  -disable-redirects
  -log-level=LEVEL      trace, debug, info, warn or error
  -log-format=FORMAT    standard or json
  -exit-after-auth      log in, fill every sink once, exit

Later wins: files, KEYSIDE_CONFIG (JSON in the environment), the VAULT_* and
BAO_* variables, flags.

SIGTERM and SIGINT stop it after what is under way; a second one at once.
SIGHUP takes over the log level and the certificates.";

pub(crate) const CHECK: &str = "\
usage: keyside-agent check -config=PATH [FLAGS]

Reads the configuration as 'run' would, with the same flags and environment,
and starts nothing. Mistakes go to standard error, one per line with file, line
and field, and end in exit status 64. Otherwise the effective configuration is
printed as JSON; it holds no secret.";

pub(crate) const PROBE: &str = "\
usage: keyside-agent probe startup|ready|live [-socket=PATH | -config=PATH]

Asks the running agent over its admin socket and prints one line.

  startup  every listener is up and the first token is in every sink
  ready    the agent holds a token that has not ended
  live     the agent answers

Exit status 0 when it is so, 1 when not. The socket is -socket, else the
admin.socket of the configuration (-config, KEYSIDE_CONFIG), else
/run/keyside/admin.sock.";

pub(crate) const STATUS: &str = "\
usage: keyside-agent status [-socket=PATH | -config=PATH]

Asks the running agent over its admin socket and prints, as JSON, what it waits
for, its token's state, and what else its parts tell. The socket is -socket,
else the admin.socket of the configuration (-config, KEYSIDE_CONFIG), else
/run/keyside/admin.sock.";

pub(crate) const CACHE_CLEAR: &str = "\
usage: keyside-agent cache-clear [-type=TYPE [-value=VALUE]] [-socket=PATH]

Lets the running agent forget answers; what was named is gone when this ends.

  -type=all             everything; this is meant without -type
  -type=request_path    -value=/v1/PATH, and all below; -namespace=PATH
  -type=token           -value=-: the token is read from standard input, for
                        other users can see arguments
  -type=token_accessor  -value=ACCESSOR
  -type=lease           -value=LEASE_ID

The socket is -socket, else the admin.socket of the configuration (-config,
KEYSIDE_CONFIG), else /run/keyside/admin.sock.";

pub(crate) const QUIT: &str = "\
usage: keyside-agent quit [-socket=PATH | -config=PATH]

Lets the running agent end as SIGTERM does, without delay and with its token
left alone: it stops listening, finishes what is under way, and exits with
status 0. This ends before that. The socket is -socket, else the admin.socket of
the configuration (-config, KEYSIDE_CONFIG), else /run/keyside/admin.sock.";
