//! `/etc/resolv.conf` and `/etc/hosts`, as resolver(5) and hosts(5) describe them.
//!
//! Invariant: a line that says nothing here is skipped, as the C library skips it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const PORT: u16 = 53;
/// As many servers, and as long a wait, as the C library takes.
const SERVERS: usize = 3;
const LONGEST: u64 = 30;
const MOST_DOTS: usize = 15;
const MOST_ATTEMPTS: u64 = 5;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) servers: Vec<SocketAddr>,
    /// What may follow a name.
    pub(super) search: Vec<String>,
    /// A name with so many dots is tried as it is before anything is put behind it.
    pub(super) dots: usize,
    /// For one server, once.
    pub(super) timeout: Duration,
    pub(super) attempts: u64,
}

impl Settings {
    pub(super) fn read(text: &str) -> Self {
        let mut settings = Self {
            servers: Vec::new(),
            search: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => settings.servers.extend(words.next().and_then(server)),
                Some("search" | "domain") => {
                    let names = words.map(|name| name.trim_matches('.').to_ascii_lowercase());
                    settings.search = names.filter(|name| !name.is_empty()).collect();
                }
                Some("options") => words.for_each(|word| settings.option(word)),
                _ => {}
            }
        }
        settings.servers.truncate(SERVERS);
        if settings.servers.is_empty() {
            settings.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        settings
    }

    fn option(&mut self, word: &str) {
        let Some((name, Ok(number))) = word
            .split_once(':')
            .map(|(name, number)| (name, number.parse::<u64>()))
        else {
            return;
        };
        match name {
            "ndots" => self.dots = usize::try_from(number).unwrap_or(MOST_DOTS).min(MOST_DOTS),
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, LONGEST)),
            "attempts" => self.attempts = number.clamp(1, MOST_ATTEMPTS),
            _ => {}
        }
    }

    /// The full names that `name` may mean, in the order in which they are tried.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        let bare = name.trim_end_matches('.').to_owned();
        if name.ends_with('.') {
            return vec![bare];
        }
        let dots = bare.matches('.').count();
        let longer = self.search.iter().map(|end| format!("{bare}.{end}"));
        let mut names: Vec<String> = longer.collect();
        let place = if dots >= self.dots { 0 } else { names.len() };
        names.insert(place, bare);
        names
    }
}

/// An address, with the interface of a link-local one left out: no cluster has its name server there.
fn server(text: &str) -> Option<SocketAddr> {
    let ip: IpAddr = text.parse().ok()?;
    Some(SocketAddr::new(ip, PORT))
}

/// What `/etc/hosts` has for a name: all of it, IPv4 and IPv6, each address once.
pub(super) fn hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else {
            continue;
        };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_s_settings_are_read_as_the_kubelet_writes_them() {
        let settings = Settings::read(
            "search ns.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n\
             options ndots:5 timeout:2 edns0 attempts:3\n",
        );
        let expected = Settings {
            servers: vec![(Ipv4Addr::new(10, 96, 0, 10), 53).into()],
            search: ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local"]
                .map(str::to_owned)
                .into(),
            dots: 5,
            timeout: Duration::from_secs(2),
            attempts: 3,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_is_absent_or_strange_leaves_the_defaults() {
        let local = Settings::read("");
        assert_eq!(local.servers, [(Ipv4Addr::LOCALHOST, 53).into()]);
        assert_eq!((local.dots, local.attempts), (1, 2));
        let strange = "; a comment\n# nameserver 10.0.0.9\nnameserver\nnameserver fe80::1%eth0\nsearch\n\
                       options ndots: timeout:x attempts rotate\n";
        assert_eq!(Settings::read(strange), local);
        let large = Settings::read("options ndots:99 timeout:99 attempts:0\n");
        assert_eq!((large.dots, large.attempts), (15, 1));
        assert_eq!(large.timeout, Duration::from_secs(30));
    }

    #[test]
    fn dots_decide_whether_a_name_is_tried_as_it_is_first() {
        let settings = Settings::read("search a.b c\noptions ndots:2\n");
        for (name, expected) in [
            ("vault", &["vault.a.b", "vault.c", "vault"][..]),
            ("vault.ns", &["vault.ns.a.b", "vault.ns.c", "vault.ns"]),
            ("x.y.z", &["x.y.z", "x.y.z.a.b", "x.y.z.c"]),
            ("vault.", &["vault"]),
        ] {
            assert_eq!(settings.candidates(name), expected, "{name}");
        }
    }

    #[test]
    fn hosts_gives_every_address_of_a_name() {
        let text = "127.0.0.1 localhost # vault\n10.0.0.1\tVault vault.example\n::7 vault\n10.0.0.1 vault\nnonsense vault\n";
        let expected: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "::7".parse().unwrap()];
        assert_eq!(hosts(text, "vault"), expected);
        assert_eq!(hosts(text, "vault.example."), expected[..1]);
        assert!(hosts(text, "vaul").is_empty());
    }
}
