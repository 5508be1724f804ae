//! From texts, environment and flags to one [`Config`], or to every mistake in them.

use crate::mistake::{Mistake, Mistakes};
use crate::model::Config;
use crate::report::Report;
use crate::source::Source;
use crate::{decode, node};

#[cfg(test)]
mod tests;

/// What the command line says; it wins over the environment, which wins over files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-address`
    pub address: Option<String>,
    /// `-namespace`
    pub namespace: Option<String>,
    /// `-ca-cert`
    pub ca_cert: Option<String>,
    /// `-ca-path`
    pub ca_path: Option<String>,
    /// `-client-cert`
    pub client_cert: Option<String>,
    /// `-client-key`
    pub client_key: Option<String>,
    /// `-tls-server-name`
    pub tls_server_name: Option<String>,
    /// `-tls-skip-verify`
    pub tls_skip_verify: Option<bool>,
    /// `-disable-redirects`
    pub disable_redirects: Option<bool>,
    /// `-log-level`
    pub log_level: Option<String>,
    /// `-log-format`
    pub log_format: Option<String>,
    /// `-exit-after-auth`
    pub exit_after_auth: bool,
    /// Flags of the peers that change nothing here, as they are written after the dash.
    pub idle: Vec<&'static str>,
}

/// A configuration, and what in it has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What to run.
    pub config: Config,
    /// Keys that peers know, that are accepted, and that change nothing here; for the log.
    pub notes: Vec<Mistake>,
}

/// Reads `sources` in order (later ones win key by key, repeated blocks append), then the environment, then `flags`.
///
/// # Errors
/// All mistakes that were found, in the order of the sources.
pub fn load(
    sources: &[Source],
    environment: &dyn Fn(&str) -> Option<String>,
    flags: &Flags,
) -> Result<Config, Mistakes> {
    load_with_notes(sources, environment, flags).map(|loaded| loaded.config)
}

/// As [`load`], and says which accepted keys have no effect.
///
/// # Errors
/// All mistakes that were found, in the order of the sources.
pub fn load_with_notes(
    sources: &[Source],
    environment: &dyn Fn(&str) -> Option<String>,
    flags: &Flags,
) -> Result<Loaded, Mistakes> {
    let names = sources.iter().map(|source| source.name.clone()).collect();
    let mut report = Report::new(names);
    let mut fields = Vec::new();
    let mut unread = false;
    for (index, source) in sources.iter().enumerate() {
        match node::read(source, index) {
            Ok(more) => fields.extend(more),
            Err(fault) => {
                unread = true;
                report.wrong(fault.at, "", fault.what);
            }
        }
    }
    let config = decode::config(&mut report, &fields, environment, flags, unread);
    let notes = report.finish()?;
    Ok(Loaded { config, notes })
}
