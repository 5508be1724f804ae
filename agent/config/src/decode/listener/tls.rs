//! TLS of a listener.
//!
//! Invariant: TLS is off only where `tls_disable = true` says so, or on a Unix socket that names no certificate.

use std::path::PathBuf;

use crate::block::Block;
use crate::decode::vault::check_pair;
use crate::model::listener::{Tls, TlsVersion};
use crate::node::Node;
use crate::report::{Found, Report};
use crate::scalar::{self, Read};

/// What was written, whether or not it has an effect.
struct Draft {
    plain: Option<Found<bool>>,
    certificate: Option<Found<PathBuf>>,
    key: Option<Found<PathBuf>>,
    min_version: Option<Found<TlsVersion>>,
    max_version: Option<Found<TlsVersion>>,
    require: Option<Found<bool>>,
    client_ca: Option<Found<PathBuf>>,
}

/// Whether the listener speaks plain HTTP, and what was written of TLS. `by_name`: plain HTTP has to be asked for.
pub(super) fn tls(
    report: &mut Report,
    block: &mut Block<'_>,
    by_name: bool,
) -> (bool, Option<Tls>) {
    let draft = Draft {
        plain: block.value(report, "tls_disable", scalar::flag),
        certificate: block.text(report, "tls_cert_file").map(Found::into_path),
        key: block.text(report, "tls_key_file").map(Found::into_path),
        min_version: block.value(report, "tls_min_version", version),
        max_version: block.value(report, "tls_max_version", version),
        require: block.value(report, "tls_require_and_verify_client_cert", scalar::flag),
        client_ca: block
            .text(report, "tls_client_ca_file")
            .map(Found::into_path),
    };
    let pair = [&draft.certificate, &draft.key].map(Option::as_ref);
    check_pair(report, pair, ["tls_cert_file", "tls_key_file"]);
    let has_pair = pair.iter().any(Option::is_some);
    let unreadable = block.wrote("tls_disable") && draft.plain.is_none();
    let plain = match &draft.plain {
        Some(found) => found.value,
        None => !by_name && !has_pair,
    };
    if plain {
        ignored(report, &draft);
    } else if !unreadable {
        check(report, &draft);
        if !has_pair {
            let what = "is not true, so that TLS needs `tls_cert_file` and `tls_key_file`; for plain HTTP write `tls_disable = true`";
            report.wrong(block.at(), block.path_of("tls_disable"), what);
        }
    }
    (plain, draft.finish())
}

fn version(node: &Node) -> Read<TlsVersion> {
    match scalar::text(node)?.as_str() {
        "tls12" => Ok(TlsVersion::Tls12),
        "tls13" => Ok(TlsVersion::Tls13),
        other => Err(format!(
            "{} is not supported; write tls12 or tls13",
            scalar::quote(other)
        )),
    }
}

/// A file that is there for nothing is rather a slip than a wish.
fn ignored(report: &mut Report, draft: &Draft) {
    let off = draft.plain.as_ref().is_some_and(|found| found.value);
    if let Some(certificate) = draft.certificate.as_ref().filter(|_| off) {
        let origin = certificate.origin.clone();
        report.note_at(origin, "has no effect: `tls_disable` is true");
    }
}

fn check(report: &mut Report, draft: &Draft) {
    if let (Some(min), Some(max)) = (&draft.min_version, &draft.max_version)
        && min.value > max.value
    {
        report.wrong_at(&min.origin, "is later than `tls_max_version`");
    }
    let require = draft.require.as_ref().filter(|found| found.value);
    match (require, &draft.client_ca) {
        (Some(require), None) => {
            let what = "needs `tls_client_ca_file`: it says whose certificates are good, and the system's roots are not meant";
            report.wrong_at(&require.origin, what);
        }
        (None, Some(ca)) => {
            let what = "is of no use without `tls_require_and_verify_client_cert = true`: nobody is asked for a certificate";
            report.wrong_at(&ca.origin, what);
        }
        _ => {}
    }
}

impl Draft {
    fn finish(self) -> Option<Tls> {
        Some(Tls {
            certificate: self.certificate?.value,
            key: self.key?.value,
            min_version: self.min_version.map(|found| found.value),
            max_version: self.max_version.map(|found| found.value),
            require_client_certificate: self.require.is_some_and(|found| found.value),
            client_ca: self.client_ca.map(|found| found.value),
        })
    }
}
