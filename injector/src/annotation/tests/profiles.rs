//! What a profile gives, allows and locks.

use super::*;
use crate::profile::Profiles;
use crate::profile::set::{Set, Texts};

/// The installation of the other tests with this profile as `gold`.
fn with(profile: &str) -> Defaults {
    let mut set = Set::default();
    set.update(Texts::from([("gold".to_owned(), profile.to_owned())]));
    assert_eq!(set.wrong().collect::<Vec<_>>(), Vec::<&str>::new());
    Defaults {
        profiles: set.profiles(),
        ..defaults()
    }
}

fn ask(profile: &str, pairs: &[(&str, &str)]) -> Result<(Injection, Vec<String>), Error> {
    let mut all = annotations(pairs);
    all.insert("keyside.dev/profile".to_owned(), "gold".to_owned());
    read(&all, &with(profile))
}

#[track_caller]
fn refused(profile: &str, pairs: &[(&str, &str)]) -> String {
    ask(profile, pairs).unwrap_err().to_string()
}

#[test]
fn gives_what_the_pod_does_not_say() {
    let profile = "
defaults:
  role: shop
  address: https://gold.example
  namespace: gold
  image: gold/agent:1
  token-mode: '0600'
  proxy-port: '9000'
  audience: gold
  log-level: debug";
    let (injection, warnings) = ask(profile, &[("proxy-port", "9001")]).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let address = value::shown(&injection.vault.address);
    assert_eq!(address, "https://gold.example:443");
    assert_eq!(injection.vault.namespace.as_deref(), Some("gold"));
    assert_eq!(injection.agent.image, "gold/agent:1");
    assert_eq!(injection.proxy.unwrap().port, Port::Asked(9001));
    let token = injection.service_account.unwrap();
    assert_eq!(token.audience.as_deref(), Some("gold"));
    // The flags still stand where the profile says nothing.
    let (injection, _) = ask("defaults: {role: shop}", &[]).unwrap();
    assert_eq!(injection.vault.namespace.as_deref(), Some("team"));
    // And what it gives is for other pods where this one has no use for it.
    let (_, warnings) = ask(profile, &[("proxy", "false")]).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_pod_that_names_none_has_the_default_one() {
    let mut set = Set::default();
    let text = "defaults: {role: shop}";
    set.update(Texts::from([("default".to_owned(), text.to_owned())]));
    let all = Defaults {
        profiles: set.profiles(),
        ..defaults()
    };
    read(&annotations(&[]), &all).unwrap();
    read(&annotations(&[("profile", "default")]), &all).unwrap();
    bad(
        &[("profile", "gold")],
        &["annotation keyside.dev/profile: read \"gold\"; allowed: default"],
    );
}

#[test]
fn one_with_mistakes_can_not_be_used() {
    let broken = |name: &str| (name.to_owned(), None);
    let all = Defaults {
        profiles: Profiles::from_iter([broken("default"), broken("gold")]),
        ..defaults()
    };
    for (pairs, expected) in [
        (
            &[][..],
            "annotation keyside.dev/profile is missing; this profile has mistakes",
        ),
        (
            &[("profile", "gold")],
            "annotation keyside.dev/profile: read \"gold\"; this profile has mistakes",
        ),
    ] {
        let message = read(&annotations(pairs), &all).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
        assert!(
            message.ends_with("cannot be used; allowed: none"),
            "{message}"
        );
    }
}

#[test]
fn locks_what_pods_may_only_say_as_the_profile_does() {
    let profile = "
defaults: {role: shop, token-path: /keyside/gold}
locked: [role, token-path, audience]";
    ask(profile, &[("role", "shop")]).unwrap();
    assert_eq!(
        refused(
            profile,
            &[("role", "admin"), ("audience", "x"), ("token-path", "?")]
        ),
        "annotation keyside.dev/audience: read \"x\"; allowed: nothing, for profile \"gold\" does not let pods choose \
         it: leave it away. \
         annotation keyside.dev/role: read \"admin\"; allowed: \"shop\", for profile \"gold\" does not let pods choose \
         it. \
         annotation keyside.dev/token-path: read \"?\"; allowed: \"/keyside/gold\", for profile \"gold\" does not let \
         pods choose it"
    );
    let only = "
defaults: {role: shop}
overridable: [containers]";
    ask(only, &[("containers", "app")]).unwrap();
    assert!(
        refused(only, &[("log-level", "debug")])
            .contains("log-level: read \"debug\"; allowed: nothing")
    );
}

#[test]
fn allows_addresses_namespaces_and_images_by_name() {
    let profile = "
defaults: {role: shop}
allow:
  addresses: ['https://eu.example:8200']
  namespaces: ['team/*']
  images: ['mirror/agent:*']";
    for pairs in [
        [
            ("address", "https://eu.example:8200/"),
            ("namespace", "team/shop"),
            ("image", "mirror/agent:2"),
        ],
        // What the installation says anyway.
        [
            ("address", "https://vault.example:8200"),
            ("namespace", "team"),
            ("image", "keyside-agent:0.1.0"),
        ],
    ] {
        ask(profile, &pairs).unwrap();
    }
    assert_eq!(
        refused(
            profile,
            &[
                ("address", "https://eu.example:8201"),
                ("namespace", "other"),
                ("image", "mirror/agents:2")
            ],
        ),
        "annotation keyside.dev/address: read \"https://eu.example:8201\"; allowed: https://vault.example:8200, \
         https://eu.example:8200 (profile \"gold\"). \
         annotation keyside.dev/namespace: read \"other\"; allowed: team, team/* (profile \"gold\"). \
         annotation keyside.dev/image: read \"mirror/agents:2\"; allowed: keyside-agent:0.1.0, mirror/agent:* (profile \
         \"gold\")"
    );
    // A list is the whole of what is allowed, also where a flag would allow more.
    let mut open = with(profile);
    open.allow_address_override = true;
    let asked = annotations(&[("profile", "gold"), ("address", "https://other.example")]);
    assert!(read(&asked, &open).is_err());
    ask(
        "{defaults: {role: a}, allow: {addresses: ['*']}}",
        &[("address", "http://any:1")],
    )
    .unwrap();
    assert!(
        refused(
            "{defaults: {role: a}, allow: {images: []}}",
            &[("image", "x")]
        )
        .contains("allowed: keyside-agent:0.1.0 (profile \"gold\")")
    );
}

#[test]
fn denies_unknown_keys_where_it_is_strict() {
    let profile = "{strict: true, defaults: {role: shop}}";
    assert_eq!(
        refused(profile, &[("tokn", "true"), ("colour", "red")]),
        "annotation keyside.dev/colour: read \"red\"; there is no such key, and profile \"gold\" is strict. \
         annotation keyside.dev/tokn: read \"true\"; there is no such key, and profile \"gold\" is strict; did you \
         mean keyside.dev/token?"
    );
}

#[test]
fn says_where_a_value_comes_from() {
    assert_eq!(
        refused(
            "defaults: {role: shop, memory-request: 48Mi}",
            &[("memory-limit", "32Mi")]
        ),
        "annotation keyside.dev/memory-request of profile \"gold\": read \"48Mi\"; allowed: at most the limit, 32Mi"
    );
}
