//! Arguments, in the spelling of Vault's own tools: a verb, then long flags with one dash or two.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt as _};

use super::{Clear, Command, Error, Place, Probe, Socket, help};

/// How one flag is kept.
#[derive(Clone, Copy)]
enum Flag {
    Path(fn(&mut Given, PathBuf)),
    Text(fn(&mut Given) -> &mut Option<String>),
    Switch(fn(&mut Given, bool)),
    /// The peers' alone: noted, with its value.
    Idle,
}

type Group = &'static [(&'static str, Flag)];

/// Where the configuration is.
const CONFIG: Group = &[(
    "config",
    Flag::Path(|given, path| given.place.paths.push(path)),
)];
/// What wins over it.
const OVERRIDES: Group = &[
    (
        "address",
        Flag::Text(|given| &mut given.place.flags.address),
    ),
    (
        "namespace",
        Flag::Text(|given| &mut given.place.flags.namespace),
    ),
    (
        "ca-cert",
        Flag::Text(|given| &mut given.place.flags.ca_cert),
    ),
    (
        "ca-path",
        Flag::Text(|given| &mut given.place.flags.ca_path),
    ),
    (
        "client-cert",
        Flag::Text(|given| &mut given.place.flags.client_cert),
    ),
    (
        "client-key",
        Flag::Text(|given| &mut given.place.flags.client_key),
    ),
    (
        "tls-server-name",
        Flag::Text(|given| &mut given.place.flags.tls_server_name),
    ),
    (
        "tls-skip-verify",
        Flag::Switch(|given, on| given.place.flags.tls_skip_verify = Some(on)),
    ),
    (
        "disable-redirects",
        Flag::Switch(|given, on| given.place.flags.disable_redirects = Some(on)),
    ),
    (
        "log-level",
        Flag::Text(|given| &mut given.place.flags.log_level),
    ),
    (
        "log-format",
        Flag::Text(|given| &mut given.place.flags.log_format),
    ),
    (
        "exit-after-auth",
        Flag::Switch(|given, on| given.place.flags.exit_after_auth = on),
    ),
];
/// What the peers take and what changes nothing here, so that their command lines work.
const IDLE: Group = &[
    ("agent-address", Flag::Idle),
    ("log-file", Flag::Idle),
    ("log-rotate-bytes", Flag::Idle),
    ("log-rotate-duration", Flag::Idle),
    ("log-rotate-max-files", Flag::Idle),
    ("wrap-ttl", Flag::Idle),
];
/// Where the running agent is.
const SOCKET: Group = &[(
    "socket",
    Flag::Path(|given, path| given.socket = Some(path)),
)];

/// What to clear.
const CLEAR: Group = &[
    ("type", Flag::Text(|given| &mut given.clear.kind)),
    ("value", Flag::Text(|given| &mut given.clear.value)),
    ("namespace", Flag::Text(|given| &mut given.clear.namespace)),
];

/// A verb: what it takes, and its help.
struct Verb {
    name: &'static str,
    flags: &'static [Group],
    words: usize,
    help: &'static str,
}

const VERBS: [Verb; 8] = [
    Verb {
        name: "run",
        flags: &[CONFIG, OVERRIDES, IDLE],
        words: 0,
        help: help::RUN,
    },
    Verb {
        name: "check",
        flags: &[CONFIG, OVERRIDES, IDLE],
        words: 0,
        help: help::CHECK,
    },
    Verb {
        name: "probe",
        flags: &[CONFIG, SOCKET],
        words: 1,
        help: help::PROBE,
    },
    Verb {
        name: "status",
        flags: &[CONFIG, SOCKET],
        words: 0,
        help: help::STATUS,
    },
    Verb {
        name: "cache-clear",
        flags: &[CONFIG, SOCKET, CLEAR],
        words: 0,
        help: help::CACHE_CLEAR,
    },
    Verb {
        name: "quit",
        flags: &[CONFIG, SOCKET],
        words: 0,
        help: help::QUIT,
    },
    Verb {
        name: "version",
        flags: &[],
        words: 0,
        help: help::OVERVIEW,
    },
    Verb {
        name: "help",
        flags: &[],
        words: 0,
        help: help::OVERVIEW,
    },
];

/// What the arguments say, before the verb gives it a meaning.
#[derive(Default)]
struct Given {
    place: Place,
    socket: Option<PathBuf>,
    clear: Clear,
    words: Vec<String>,
    help: bool,
}

/// Reads the arguments after the program's name. Without a verb it is `run`.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let mut arguments = arguments.into_iter().map(with_two_dashes).peekable();
    let first = arguments
        .peek()
        .map(|first| first.to_string_lossy().into_owned());
    if first.as_deref() == Some("--version") {
        return Ok(Command::Version);
    }
    let named = first.filter(|first| !first.starts_with('-'));
    if named.is_some() {
        arguments.next();
    }
    let verb = named.as_deref().unwrap_or("run");
    let verb = VERBS
        .iter()
        .find(|known| known.name == verb)
        .ok_or_else(|| Error::UnknownVerb {
            verb: verb.to_owned(),
        })?;
    let given = read(verb, Parser::from_args(arguments))?;
    if given.help {
        return Ok(Command::Help(if named.is_some() {
            verb.help
        } else {
            help::OVERVIEW
        }));
    }
    command(verb, given)
}

fn command(verb: &Verb, given: Given) -> Result<Command, Error> {
    let Given {
        place,
        socket,
        clear,
        words,
        ..
    } = given;
    let socket = |place| Socket {
        path: socket,
        place,
    };
    Ok(match verb.name {
        "check" => Command::Check(place),
        "probe" => Command::Probe(probe(words.first())?, socket(place)),
        "status" => Command::Status(socket(place)),
        "quit" => Command::Quit(socket(place)),
        "cache-clear" => Command::CacheClear(clear, socket(place)),
        "version" => Command::Version,
        "help" => Command::Help(help::OVERVIEW),
        _ => Command::Run(place),
    })
}

fn probe(word: Option<&String>) -> Result<Probe, Error> {
    let word = word.map(String::as_str).unwrap_or_default();
    Probe::ALL
        .into_iter()
        .find(|probe| probe.endpoint().strip_prefix('/') == Some(word))
        .ok_or_else(|| Error::UnknownProbe {
            name: word.to_owned(),
        })
}

fn read(verb: &Verb, mut parser: Parser) -> Result<Given, Error> {
    let unexpected = |argument: String| Error::Unexpected {
        verb: verb.name,
        argument,
    };
    let mut given = Given::default();
    while let Some(argument) = parser.next().map_err(arguments)? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => given.help = true,
            Arg::Long(flag) => {
                let mut known = verb.flags.iter().copied().flatten();
                let Some((name, kind)) = known.find(|(name, _)| *name == flag) else {
                    return Err(unexpected(format!("-{flag}")));
                };
                given.set(name, *kind, &mut parser)?;
            }
            Arg::Short(letter) => return Err(unexpected(format!("-{letter}"))),
            Arg::Value(word) => {
                let word = word.to_string_lossy().into_owned();
                if given.words.len() == verb.words {
                    return Err(unexpected(word));
                }
                given.words.push(word);
            }
        }
    }
    Ok(given)
}

impl Given {
    fn set(&mut self, name: &'static str, kind: Flag, parser: &mut Parser) -> Result<(), Error> {
        match kind {
            Flag::Switch(set) => set(self, switch(name, parser)?),
            Flag::Text(field) => *field(self) = Some(value(parser)?.string().map_err(arguments)?),
            Flag::Path(keep) => keep(self, value(parser)?.into()),
            Flag::Idle => {
                value(parser)?;
                self.place.flags.idle.push(name);
            }
        }
        Ok(())
    }
}

fn value(parser: &mut Parser) -> Result<OsString, Error> {
    parser.value().map_err(arguments)
}

fn arguments(source: lexopt::Error) -> Error {
    Error::Arguments { source }
}

/// A flag that is on when it is there, or says `=true` or `=false`, as Go's.
fn switch(flag: &'static str, parser: &mut Parser) -> Result<bool, Error> {
    let Some(value) = parser.optional_value() else {
        return Ok(true);
    };
    match value.to_str() {
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        _ => Err(Error::Bool {
            flag,
            value: value.to_string_lossy().into_owned(),
        }),
    }
}

/// Go's flags are long with one dash; `lexopt` would take `-config` for six short ones.
///
/// A value that is written apart from its flag (`-address -x`) would be doubled too; no flag here takes a value that
/// starts with a dash.
fn with_two_dashes(argument: OsString) -> OsString {
    let bytes = argument.as_encoded_bytes();
    if bytes.len() > 2 && bytes.starts_with(b"-") && !bytes.starts_with(b"--") {
        let mut long = OsString::from("-");
        long.push(argument);
        return long;
    }
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn place(line: &str) -> Place {
        match parsed(line) {
            Ok(Command::Run(place)) => place,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn one_dash_and_two_mean_the_same_and_so_do_equals_sign_and_space() {
        let paths = |line: &str| place(line).paths;
        for line in [
            "-config=a.hcl",
            "--config=a.hcl",
            "-config a.hcl",
            "run --config a.hcl",
        ] {
            assert_eq!(paths(line), [PathBuf::from("a.hcl")], "{line}");
        }
        assert_eq!(
            paths("-config=b -config=a"),
            [PathBuf::from("b"), PathBuf::from("a")]
        );
    }

    #[test]
    fn every_override_arrives_where_it_belongs() {
        let flags = place(
            "-address=1 -namespace=2 -ca-cert=3 -ca-path=4 -client-cert=5 -client-key=6 -tls-server-name=7 \
             -tls-skip-verify -log-level=8 -log-format=9 -exit-after-auth",
        )
        .flags;
        let texts = [
            flags.address,
            flags.namespace,
            flags.ca_cert,
            flags.ca_path,
            flags.client_cert,
            flags.client_key,
            flags.tls_server_name,
            flags.log_level,
            flags.log_format,
        ];
        for (index, text) in texts.iter().enumerate() {
            assert_eq!(text.as_deref(), Some((index + 1).to_string().as_str()));
        }
        assert_eq!(flags.tls_skip_verify, Some(true));
        assert!(flags.exit_after_auth);
    }

    #[test]
    fn a_switch_can_be_off() {
        let flags = place("-tls-skip-verify=false -exit-after-auth=0").flags;
        assert_eq!(
            (flags.tls_skip_verify, flags.exit_after_auth),
            (Some(false), false)
        );
        assert!(matches!(
            parsed("-exit-after-auth=maybe"),
            Err(Error::Bool { .. })
        ));
    }

    #[test]
    fn a_command_line_of_the_peers_is_taken_and_what_is_idle_in_it_kept() {
        let place = place(
            "-config=a.hcl -log-file=/x -disable-redirects -log-rotate-bytes 7 -exit-after-auth",
        );
        assert_eq!(place.paths, [PathBuf::from("a.hcl")]);
        assert!(place.flags.exit_after_auth);
        assert_eq!(place.flags.disable_redirects, Some(true));
        assert_eq!(place.flags.idle, ["log-file", "log-rotate-bytes"]);
    }

    #[test]
    fn verbs_take_what_is_theirs_and_name_what_is_not() {
        let socket = Socket {
            path: Some("s".into()),
            place: Place::default(),
        };
        assert_eq!(
            parsed("probe startup -socket=s").unwrap(),
            Command::Probe(Probe::Startup, socket)
        );
        for (line, said) in [
            ("probe", "no probe ''"),
            ("probe sideways", "no probe 'sideways'"),
            ("probe ready live", "takes no 'live'"),
            ("check -socket=s", "takes no '-socket'"),
            ("status -address=x", "takes no '-address'"),
            ("-confg=x", "takes no '-confg'"),
            ("-x", "takes no '-x'"),
            ("agent -config=x", "no verb 'agent'"),
        ] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
        assert!(matches!(parsed("-config"), Err(Error::Arguments { .. })));
    }

    #[test]
    fn what_to_clear_is_told_apart_from_where_the_agent_is() {
        let clear = Clear {
            kind: Some("token".to_owned()),
            value: Some("-".to_owned()),
            namespace: Some("team".to_owned()),
        };
        let line = "cache-clear -type=token -value=- -namespace=team";
        assert_eq!(
            parsed(line).unwrap(),
            Command::CacheClear(clear, Socket::default())
        );
    }

    #[test]
    fn each_verb_has_a_help_that_fits_a_screen() {
        for verb in &VERBS {
            let command = parsed(&format!("{} --help", verb.name)).unwrap();
            assert_eq!(command, Command::Help(verb.help));
            assert!(verb.help.lines().count() <= 24, "{}", verb.name);
            assert!(
                verb.help.lines().all(|line| line.len() <= 80),
                "{}",
                verb.name
            );
            assert!(help::OVERVIEW.contains(verb.name));
        }
        assert_eq!(parsed("-h").unwrap(), Command::Help(help::OVERVIEW));
    }

    #[test]
    fn the_help_of_run_names_every_flag() {
        for (flag, _) in CONFIG.iter().chain(OVERRIDES) {
            assert!(help::RUN.contains(&format!("-{flag}")), "{flag}");
        }
    }
}
