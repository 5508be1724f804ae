//! What is in a `caBundle`: certificates one after the other, PEM. Pure.
//!
//! Invariant: what cannot be read is no certificate, and no error: a bundle is whatever somebody wrote there.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::issue;
use super::kept;
use super::rotation::Validity;

/// Of authorities that are taken over from a bundle. More than a few come from somebody else's mistake.
const MOST: usize = 4;

/// A certificate that can sign others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    der: CertificateDer<'static>,
    validity: Validity,
    is_ours: bool,
}

impl Authority {
    pub(crate) fn from(&self) -> SystemTime {
        self.validity.from
    }

    pub(crate) fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

/// The authorities in bundles that are not over, each once.
pub(crate) fn authorities<'a>(
    bundles: impl IntoIterator<Item = &'a [u8]>,
    now: SystemTime,
) -> Vec<Authority> {
    let mut found: Vec<Authority> = Vec::new();
    for bundle in bundles {
        let certificates = CertificateDer::pem_slice_iter(bundle).flatten();
        for authority in certificates.filter_map(read) {
            if now < authority.validity.until && !found.contains(&authority) {
                found.push(authority);
            }
        }
    }
    found
}

/// Those that some injector made, the newest first.
pub(crate) fn ours<'a>(
    bundles: impl IntoIterator<Item = &'a [u8]>,
    now: SystemTime,
) -> Vec<Authority> {
    let mut found = authorities(bundles, now);
    found.retain(|authority| authority.is_ours);
    found.sort_by_key(|authority| std::cmp::Reverse(authority.validity.from));
    found.truncate(MOST);
    found
}

/// What to publish for somebody else's authorities: all of them, and beside them what is published already and may
/// still be served by a replica whose files are older. What `may_go` goes, unless it is as new as ours.
pub(crate) fn beside(
    mine: &[Authority],
    published: &[Authority],
    may_go: impl Fn(&Authority) -> bool,
) -> Vec<u8> {
    let newest = mine.iter().map(Authority::from).max();
    let others = published.iter().filter(|other| {
        let is_old = newest.is_some_and(|newest| other.from() < newest);
        !(mine.contains(other) || is_old && may_go(other))
    });
    let all = mine.iter().chain(others.take(MOST));
    all.map(Authority::pem).collect::<String>().into_bytes()
}

fn read(der: CertificateDer<'static>) -> Option<Authority> {
    let (validity, is_ours) = {
        let (_rest, certificate) = X509Certificate::from_der(&der).ok()?;
        let mut names = certificate.subject().iter_common_name();
        let name = names.next().and_then(|name| name.as_str().ok());
        let is_ours = name.is_some_and(|name| name.starts_with(issue::AUTHORITY));
        (kept::validity(&certificate), is_ours)
    };
    Some(Authority {
        der,
        validity,
        is_ours,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(hours: u32) -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(490_000) + HOUR * hours
    }

    fn made(hours: u32) -> String {
        issue::authority(at(hours), HOUR * 100).unwrap().cert
    }

    fn one(pem: &str) -> Authority {
        authorities([pem.as_bytes()], at(0)).pop().unwrap()
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let pem = made(0);
        let again = one(&pem).pem();
        assert_eq!(one(&again), one(&pem));
        assert_eq!(again.replace('\r', ""), pem.replace('\r', ""));
    }

    #[test]
    fn what_cannot_be_read_or_is_over_is_left_out() {
        let (old, new) = (made(0), made(10));
        let bundle = format!(
            "nonsense\n{old}{new}{old}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        );
        let bundles = [bundle.as_bytes(), b"\xff\xfe", b"", new.as_bytes()];
        assert_eq!(authorities(bundles, at(20)), [one(&old), one(&new)]);
        assert_eq!(ours(bundles, at(20)), [one(&new), one(&old)]);
        assert_eq!(authorities(bundles, at(105)), [one(&new)]);
        assert_eq!(authorities(bundles, at(200)), []);
    }

    #[test]
    fn few_are_taken_over_and_the_newest_first() {
        let all: String = (0..9).map(made).collect();
        let taken = ours([all.as_bytes()], at(10));
        assert_eq!(taken.len(), MOST);
        assert!(taken.is_sorted_by(|one, next| one.from() > next.from()));
    }

    #[test]
    fn what_others_may_still_serve_is_kept_until_ours_has_settled() {
        let [old, mine, new] = [0, 10, 20].map(|hours| one(&made(hours)));
        let published = [old.clone(), mine.clone(), new.clone()];
        let check = |gone: &[&Authority], expected: &[&Authority]| {
            let mine = std::slice::from_ref(&mine);
            let bundle = beside(mine, &published, |other| gone.contains(&other));
            let found = authorities([bundle.as_slice()], at(0));
            assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        };
        check(&[], &[&mine, &old, &new]);
        // Another replica has newer files already.
        check(&[&old, &mine, &new], &[&mine, &new]);
    }
}
