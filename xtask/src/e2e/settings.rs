//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use lexopt::{Arg, ValueExt as _};

use super::checks;

const HELP: &str = "\
Usage: cargo xtask e2e [options]

Installs Keyside into the cluster of the kubeconfig with an OpenBao and a PostgreSQL, and checks what only a cluster
can show. Everything is in namespaces `keyside-e2e-…` of this run, and is removed in the end. Without a cluster
nothing is checked, and it says so.

  --context NAME         of the kubeconfig, instead of the current one
  --kind NAME            first load target/images, as `cargo xtask images` makes them, into the kind cluster NAME
  --agent-image REF      (keyside-agent:VERSION)
  --injector-image REF   (keyside-injector:VERSION)
  --openbao-image REF    (openbao/openbao:2)
  --postgres-image REF   also the application's: it takes bash and psql (postgres:18)
  --timeout SECONDS      for each thing that is waited for (240)
  --only NAME            this check, beside `install` and `uninstall`; repeatable
  --keep                 leave everything there, for a look
  --require              fail where there is no cluster
  --docs                 instead: run the blocks `sh cluster` of docs/quick-start.md, in order; takes kind and docker
  --kubectl PROGRAM      (the one in .tools/venv)
  --helm PROGRAM         (`helm` in the path; without one the rendered chart is applied)

";

pub(super) struct Settings {
    pub(super) context: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) agent_image: String,
    pub(super) injector_image: String,
    pub(super) openbao_image: String,
    pub(super) postgres_image: String,
    pub(super) timeout: Duration,
    only: Vec<String>,
    pub(super) keep: bool,
    pub(super) require: bool,
    pub(super) docs: bool,
    pub(super) kubectl: Option<PathBuf>,
    pub(super) helm: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self {
            context: None,
            kind: None,
            agent_image: format!("keyside-agent:{version}"),
            injector_image: format!("keyside-injector:{version}"),
            openbao_image: "openbao/openbao:2".to_owned(),
            postgres_image: "postgres:18".to_owned(),
            timeout: Duration::from_mins(4),
            only: Vec::new(),
            keep: false,
            require: false,
            docs: false,
            kubectl: None,
            helm: "helm".into(),
        }
    }
}

impl Settings {
    /// Nothing where only the help is wanted.
    pub(super) fn read(arguments: &mut lexopt::Parser) -> anyhow::Result<Option<Self>> {
        let mut settings = Self::default();
        while let Some(argument) = arguments.next()? {
            let Arg::Long(option) = argument else {
                match argument {
                    Arg::Short('h') => return Ok(None),
                    _ => return Err(argument.unexpected().into()),
                }
            };
            match option.to_owned().as_str() {
                "help" => return Ok(None),
                "keep" => settings.keep = true,
                "require" => settings.require = true,
                "docs" => settings.docs = true,
                name => {
                    let text = arguments.value()?.string()?;
                    settings.set(name, text)?;
                }
            }
        }
        Ok(Some(settings))
    }

    fn set(&mut self, name: &str, text: String) -> anyhow::Result<()> {
        match name {
            "context" => self.context = Some(text),
            "kind" => self.kind = Some(text),
            "agent-image" => self.agent_image = text,
            "injector-image" => self.injector_image = text,
            "openbao-image" => self.openbao_image = text,
            "postgres-image" => self.postgres_image = text,
            "kubectl" => self.kubectl = Some(text.into()),
            "helm" => self.helm = text.into(),
            "timeout" => {
                let seconds = text.parse().context("--timeout takes seconds")?;
                self.timeout = Duration::from_secs(seconds);
            }
            "only" => {
                let is_known = checks::all().iter().any(|check| check.name == text);
                anyhow::ensure!(is_known, "--only {text}: no such check");
                self.only.push(text);
            }
            other => anyhow::bail!("unknown option --{other}"),
        }
        Ok(())
    }

    pub(super) fn wants(&self, check: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == check)
    }
}

pub(super) fn help() -> String {
    let rows = checks::all()
        .into_iter()
        .map(|check| format!("  {:<22} {}\n", check.name, check.says));
    HELP.to_owned() + "Checks:\n" + &rows.collect::<String>()
}

/// An image's repository, tag and digest, as the chart takes them.
pub(super) fn image(reference: &str) -> (String, String, String) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name.to_owned(), String::new(), digest.to_owned());
    }
    // A colon before the last slash is a port's.
    let tail = reference.rfind('/').map_or(0, |slash| slash + 1);
    let colon = reference.rfind(':').filter(|colon| *colon > tail);
    let (name, tag) = match colon.and_then(|colon| reference.split_at_checked(colon)) {
        Some((name, tag)) => (name, tag.trim_start_matches(':')),
        None => (reference, "latest"),
    };
    (name.to_owned(), tag.to_owned(), String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> anyhow::Result<Option<Settings>> {
        Settings::read(&mut lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn options_say_what_to_check_and_where() {
        let settings = read(&["--kind=e2e", "--only", "job", "--timeout=5", "--keep"])
            .unwrap()
            .unwrap();
        assert_eq!(settings.kind.as_deref(), Some("e2e"));
        assert_eq!(settings.timeout, Duration::from_secs(5));
        assert!(settings.keep && settings.wants("job") && !settings.wants("pod"));
        assert!(read(&[]).unwrap().unwrap().wants("pod"));
        assert!(read(&["--help"]).unwrap().is_none());
        for wrong in [
            ["--only", "everything"],
            ["--timeout", "soon"],
            ["--colour", "red"],
        ] {
            assert!(read(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn references_are_split_as_the_chart_wants_them() {
        let check = |text: &str, expected: (&str, &str, &str)| {
            let (name, tag, digest) = image(text);
            assert_eq!((&*name, &*tag, &*digest), expected, "{text}");
        };
        check("keyside-agent:0.1.0", ("keyside-agent", "0.1.0", ""));
        check("localhost:5001/a/b", ("localhost:5001/a/b", "latest", ""));
        check("localhost:5001/a/b:c", ("localhost:5001/a/b", "c", ""));
        check("a/b:c@sha256:00", ("a/b:c", "", "sha256:00"));
    }
}
