use super::read::profile;
use super::set::{Change, Set, Texts};
use super::*;

#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    let error = profile("team", text).unwrap_err().to_string();
    let all = error.strip_prefix("profile team: ").unwrap();
    all.split(". ").map(str::to_owned).collect()
}

fn strings(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn reads_every_field() {
    let read = profile(
        "team",
        r#"
defaults:
  role: shop
  token-mode: "0600"
locked: [role, auth-mount]
allow:
  addresses: ["https://vault.example.com:8200", "*"]
  namespaces: [team/shop, team/*]
  images: ["registry.example:5000/keyside-agent:*", "mirror/agent@sha256:00"]
strict: true
openshift: true
"#,
    )
    .unwrap();
    let below = |start: &str| Rule::Below(start.to_owned());
    let exactly = |name: &str| Rule::Exactly(name.to_owned());
    let defaults = [("role", "shop"), ("token-mode", "0600")];
    let expected = Profile {
        name: "team".to_owned(),
        defaults: defaults
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        choice: Choice::AllBut(strings(&["role", "auth-mount"])),
        allow: Allow {
            addresses: Some(vec![
                Rule::Exactly("https://vault.example.com:8200".parse().unwrap()),
                Rule::Any,
            ]),
            namespaces: Some(vec![exactly("team/shop"), below("team/")]),
            images: Some(vec![
                below("registry.example:5000/keyside-agent:"),
                exactly("mirror/agent@sha256:00"),
            ]),
        },
        strict: true,
        openshift: true,
    };
    assert_eq!(read, expected);
    let open = profile("team", "overridable: [role, containers]").unwrap();
    assert_eq!(open.choice, Choice::Only(strings(&["role", "containers"])));
    assert!(open.locks("address") && !open.locks("role"));
    assert!(!open.locks("profile") && !open.locks("inject"));
}

#[test]
fn what_says_nothing_is_a_profile_too() {
    for text in ["", "# later\n", "{}", "defaults: {}\n"] {
        let read = profile("team", text).unwrap();
        assert_eq!(read.choice, Choice::All, "{text}");
        assert_eq!(read.allow, Allow::default(), "{text}");
    }
}

#[test]
fn names_all_mistakes_at_once_with_field_value_and_what_is_allowed() {
    assert_eq!(
        mistakes(
            r"
defalts: {}
defaults:
  inject: 'true'
  secret-db: x
  roll: x
  token: true
  proxy-port: 9000
  role: [a]
locked: [address, adress, 7]
overridable: []
allow:
  address: []
  addresses: [vault.example.com, 'https://vault.example.com*']
  namespaces: ['team*', '/a//b']
  images: ['registry.example/agent*', '*/agent']
strict: 'yes'
openshift: 1
",
        ),
        [
            "defalts: there is no such field (did you mean defaults?); allowed: allow, defaults, locked, openshift, \
             overridable, strict",
            "defaults.inject: it is the pod's own to say",
            "defaults.proxy-port: is a number; write text in quotes",
            "defaults.role: is no text; write text in quotes",
            "defaults.roll: there is no such annotation; did you mean role?",
            "defaults.secret-db: not supported by this version of Keyside",
            "defaults.token: is a boolean; write text in quotes",
            "locked[2]: is a number; write text in quotes",
            "locked[1]: read \"adress\"; there is no such annotation; did you mean address?",
            "overridable: locked is there as well: write what is locked, or what is not",
            "allow.address: there is no such field (did you mean addresses?); allowed: addresses, images, namespaces",
            "allow.addresses[0]: read \"vault.example.com\"; allowed: http://HOST[:PORT][/PATH], \
             https://HOST[:PORT][/PATH] or unix:///PATH, without user, query or fragment; or * for any",
            "allow.addresses[1]: read \"https://vault.example.com*\"; allowed: http://HOST[:PORT][/PATH], \
             https://HOST[:PORT][/PATH] or unix:///PATH, without user, query or fragment; or * for any",
            "allow.namespaces[0]: read \"team*\"; allowed: a whole name; or its beginning up to / with * behind it; or * \
             for any",
            "allow.namespaces[1]: read \"/a//b\"; allowed: a namespace of Vault such as team/shop; or its beginning up \
             to / with * behind it; or * for any",
            "allow.images[0]: read \"registry.example/agent*\"; allowed: a whole name; or its beginning up to / or : or \
             @ with * behind it; or * for any",
            "allow.images[1]: read \"*/agent\"; allowed: an image's name, such as registry.example/keyside-agent:1.0; \
             or its beginning up to / or : or @ with * behind it; or * for any",
            "strict: allowed: true or false",
            "openshift: allowed: true or false",
        ]
    );
}

#[test]
fn judges_values_as_the_pods_own() {
    assert_eq!(
        mistakes(
            "defaults: {proxy-port: '80', memory-request: 1Gi, role: '', token: 'false', proxy: 'false'}"
        ),
        [
            "defaults.role: read \"\"; allowed: 1 to 512 bytes of text without control characters or space around it",
            "defaults.proxy-port: read \"80\"; allowed: a port from 1024 to 65535, or none",
            "defaults.proxy: read \"false\"; with keyside.dev/token false as well, nothing is left to inject: one of \
             them must be true",
            "defaults.memory-request: read \"1Gi\"; allowed: at most the limit, 64Mi",
        ]
    );
    // What is not said is the pod's to say.
    profile("team", "defaults: {proxy-port: '9000'}").unwrap();
}

#[test]
fn is_one_mapping_with_a_name() {
    for (text, expected) in [
        ("- a\n", "write one YAML document that is a mapping"),
        ("{}\n---\n{}\n", "write one YAML document that is a mapping"),
        ("a: [\n", "as YAML: line 1, column 4"),
        ("a: 1\na: 2\n", "key \"a\" was written before"),
        ("defaults: text\n", "defaults: allowed: a mapping"),
        ("locked: role\n", "locked: allowed: a list of texts"),
    ] {
        let found = mistakes(text).join(". ");
        assert!(found.contains(expected), "{text}: {found}");
    }
    for name in ["Team", "a.b", "", "-a"] {
        let error = profile(name, "").unwrap_err().to_string();
        assert!(error.contains("a profile's name has"), "{error}");
    }
}

#[test]
fn a_rule_ends_at_a_separator() {
    let below = Rule::Below("team/".to_owned());
    for (value, expected) in [
        ("team/shop", true),
        ("team/shop/eu", true),
        ("team", false),
        ("team/", false),
        ("teamsters", false),
    ] {
        let value = value.to_owned();
        assert_eq!(below.permits(&value, &value), expected, "{value}");
    }
}

fn texts(pairs: &[(&str, &str)]) -> Texts {
    let pairs = pairs.iter();
    pairs
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn keeps_the_last_good_one_and_refuses_what_never_was_good() {
    /// What is written; what it changes; the role of the profile `gold`; how many are wrong.
    type Step<'a> = (
        &'a [(&'a str, &'a str)],
        &'a [&'a str],
        Option<&'a str>,
        usize,
    );
    let role = |set: &Set| match set.profiles().find("gold") {
        Found::Profile(profile) => profile.defaults.get("role").cloned(),
        Found::Broken => Some("broken".to_owned()),
        Found::Unknown => None,
    };
    let mut set = Set::default();
    let names = |changes: Vec<(String, Change)>| -> Vec<String> {
        let text = |(name, change)| match change {
            Change::Loaded => format!("{name} loaded"),
            Change::Removed => format!("{name} removed"),
            Change::Kept(_) => format!("{name} kept"),
            Change::Broken(_) => format!("{name} broken"),
        };
        changes.into_iter().map(text).collect()
    };
    let (bad, one) = ("defaults: []", "defaults: {role: one}");
    let steps: [Step; 7] = [
        (&[("gold", bad)], &["gold broken"], Some("broken"), 1),
        (&[("gold", bad)], &[], Some("broken"), 1),
        (
            &[("gold", one), ("tin", "")],
            &["gold loaded", "tin loaded"],
            Some("one"),
            0,
        ),
        (&[("gold", one), ("tin", "")], &[], Some("one"), 0),
        (
            &[("gold", bad), ("tin", "")],
            &["gold kept"],
            Some("one"),
            1,
        ),
        (
            &[("gold", one)],
            &["tin removed", "gold loaded"],
            Some("one"),
            0,
        ),
        (&[], &["gold removed"], None, 0),
    ];
    for (number, (written, changes, expected, wrong)) in steps.into_iter().enumerate() {
        assert_eq!(names(set.update(texts(written))), changes, "{number}");
        assert_eq!(role(&set).as_deref(), expected, "{number}");
        assert_eq!(set.wrong().count(), wrong, "{number}");
    }
}

#[test]
fn a_broken_default_is_not_replaced_by_nothing() {
    let mut set = Set::default();
    assert!(matches!(set.profiles().find("default"), Found::Profile(_)));
    set.update(texts(&[("default", "["), ("tin", "")]));
    assert!(matches!(set.profiles().find("default"), Found::Broken));
    assert_eq!(set.profiles().names(), ["tin"]);
    set.update(texts(&[("tin", "")]));
    assert_eq!(set.profiles().names(), ["default", "tin"]);
}

#[test]
fn files_are_profiles_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("default.yaml", "a");
    write(".hidden", "b");
    write("gold.yml", "c");
    let read = files::read(folder.path()).unwrap();
    assert_eq!(read, texts(&[("default", "a"), ("gold", "c")]));
    let one = files::read(&folder.path().join("gold.yml")).unwrap();
    assert_eq!(one, texts(&[("gold", "c")]));

    write("gold.yaml", "d");
    let error = files::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("are both of profile gold"), "{error}");
    std::fs::remove_file(folder.path().join("gold.yaml")).unwrap();
    write("notes.txt", "");
    let error = files::read(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("has no name that a profile can have: NAME.yaml"),
        "{error}"
    );
    std::fs::remove_file(folder.path().join("notes.txt")).unwrap();
    write("large.yaml", &" ".repeat((1 << 20) + 1));
    let error = files::read(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("large.yaml has more than 1 MiB"), "{error}");
}
