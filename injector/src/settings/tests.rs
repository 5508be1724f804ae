use super::*;

fn read_words(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Verb, Error> {
    read(
        arguments.iter().map(OsString::from),
        environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value))),
    )
}

fn settings(arguments: &[&str], environment: &[(&str, &str)]) -> Settings {
    match read_words(arguments, environment).expect("no mistakes") {
        Verb::Serve(settings) => *settings,
        other => panic!("{other:?}"),
    }
}

fn mistakes(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let Err(Error(mistakes)) = read_words(arguments, environment) else {
        panic!("no mistake was found in {arguments:?} {environment:?}");
    };
    mistakes
}

const NAMESPACE: (&str, &str) = ("KEYSIDE_INJECTOR_NAMESPACE", "keyside");

#[test]
fn every_default_can_be_read() {
    let settings = settings(&[], &[NAMESPACE]);
    assert_eq!(settings.listen.to_string(), "[::]:8443");
    assert_eq!(settings.health.to_string(), "[::]:8080");
    assert_eq!(settings.defaults.own_namespace.as_deref(), Some("keyside"));
    let Certificate::Own(own) = settings.certificate else {
        panic!("{:?}", settings.certificate);
    };
    assert_eq!(own.leaf_lifetime, Duration::from_hours(168));
}

#[test]
fn a_flag_wins_over_its_twin_and_an_empty_twin_says_nothing() {
    let twins = [
        NAMESPACE,
        ("KEYSIDE_INJECTOR_LISTEN", "127.0.0.1:1"),
        ("KEYSIDE_INJECTOR_AUDIENCE", ""),
    ];
    let settings = settings(&["serve", "--listen", "127.0.0.1:0"], &twins);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:0");
    assert_eq!(settings.defaults.audience, None);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let found = mistakes(
        &[
            "--listen=nowhere",
            "--drian=3s",
            "--settle=3 s",
            "--service=Upper",
            "--max-connections=0",
            "--tls-key-file=x",
            "--settle=4s",
            "--vault-ca-file=/does/not/exist",
            "stray",
            "--recheck",
        ],
        &[
            ("KEYSIDE_INJECTOR_LOG_LEVEL", "loud"),
            ("KEYSIDE_INJECTOR_LOG_LEVLE", "info"),
        ],
    );
    let starts = [
        "KEYSIDE_INJECTOR_LOG_LEVLE: there is no such setting",
        "--drian=3s: there is no such flag",
        "--settle: given twice",
        "stray: there is no such flag",
        "--recheck: needs a value",
        "--listen: \"nowhere\": write",
        "KEYSIDE_INJECTOR_LOG_LEVEL: \"loud\": write",
        "--max-connections: \"0\": write",
        "--tls-key-file: is read with --certificate=given only",
        "--namespace: is needed",
        "--service: \"Upper\": write",
        "--vault-ca-file: /does/not/exist: No such file",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found} is not {start}");
    }
}

#[test]
fn an_unknown_command_is_the_only_mistake_that_is_told() {
    let found = mistakes(&["lnit", "-f", "pod.yaml"], &[]);
    assert_eq!(
        found,
        [
            "lnit: no such command; write serve, inject, lint, migrate, watch, check, version or --help"
        ]
    );
}

#[test]
fn what_every_pod_gets_is_read_as_strictly_as_an_annotation() {
    let found = mistakes(
        &[
            "--namespace=keyside",
            "--agent-image=keyside agent",
            "--vault-address=vault.example:8200",
            "--vault-namespace=/a//b",
            "--vault-tls-server-name=a b",
            "--auth-mount=kubernetes",
            "--audience= vault",
        ],
        &[],
    );
    let starts = [
        "--agent-image: \"keyside agent\": allowed: an image's name",
        "--vault-address: \"vault.example:8200\": allowed: http://",
        "--vault-namespace: \"/a//b\": allowed: a namespace",
        "--vault-tls-server-name: \"a b\": allowed: the name",
        "--auth-mount: \"kubernetes\": allowed: auth/",
        "--audience: \" vault\": allowed: 1 to 512",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found} is not {start}");
    }
}

#[test]
fn certificates_to_trust_are_read_at_the_start() {
    let now = std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50);
    let authority = crate::cert::issue::authority(now, Duration::from_hours(24)).unwrap();
    let long = authority.cert.repeat(200);
    let broken = authority.cert.replace("MII", "MIJ");
    for (text, expected) in [
        (authority.cert.as_str(), None),
        ("# none\n", Some("there is no certificate in it")),
        (&authority.key, Some("there is no certificate in it")),
        (&broken, Some("certificate 1 in it cannot be read")),
        (&long, Some("a pod can be given 98304")),
    ] {
        let found = crate::annotation::value::authorities(text.to_owned()).err();
        match (found, expected) {
            (None, None) => {}
            (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{found:?} for {text}"),
        }
    }
}

#[test]
fn given_certificates_need_both_files() {
    let found = mistakes(&["--certificate=given", "--tls-cert-file=a"], &[]);
    assert_eq!(
        found,
        ["--tls-key-file: is needed with --certificate=given"]
    );
}

#[test]
fn callers_are_told_by_authority_and_name() {
    let one = settings(
        &["--client-ca=ca", "--client-names=api, other"],
        &[NAMESPACE],
    );
    let callers = one.callers.unwrap();
    assert_eq!(callers.authorities.to_str(), Some("ca"));
    assert_eq!(callers.names, ["api", "other"]);
    assert!(settings(&[], &[NAMESPACE]).callers.is_none());
    for (argument, wrong) in [
        (
            "--client-names=api",
            "--client-names: is read with --client-ca only",
        ),
        (
            "--client-names=a,,b",
            "write names with commas between them",
        ),
    ] {
        let found = mistakes(&[argument], &[NAMESPACE]);
        assert!(
            matches!(&found[..], [one] if one.contains(wrong)),
            "{found:?}"
        );
    }
}

#[test]
fn watch_takes_its_own_flags_and_no_others() {
    let words = [
        "watch",
        "--period=5s",
        "--excluded-namespaces=a,b",
        "--events=false",
    ];
    let Ok(Verb::Watch(watch)) = read_words(&words, &[NAMESPACE]) else {
        panic!("{words:?}");
    };
    assert_eq!(watch.period, Duration::from_secs(5));
    assert_eq!(watch.excluded, ["a", "b"]);
    assert!(!watch.events && watch.lease == "keyside-injector-watch");
    assert!(!watch.identity.is_empty());
    let found = mistakes(&["watch", "--leaf-lifetime=5h"], &[]);
    let [unknown, missing] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(unknown.contains("--leaf-lifetime=5h: there is no such flag"));
    assert!(missing.contains("--namespace: is needed with watch"));
}

#[test]
fn check_takes_its_own_flags_and_no_others() {
    let asked = |arguments: &[&str]| match read_words(arguments, &[NAMESPACE]) {
        Ok(Verb::Check(check)) => *check,
        other => panic!("{other:?}"),
    };
    let plain = asked(&["check"]);
    assert_eq!(plain.namespace, "default");
    assert!(plain.annotations.is_empty());
    let eu = r#"--check-annotations={"profile": "eu"}"#;
    let given = asked(&["check", "--check-namespace=shop", eu]);
    assert_eq!(given.namespace, "shop");
    assert_eq!(given.annotations["profile"], "eu");

    let wrong = &["check", "--listen=:1", "--check-annotations=[1]"];
    let found = mistakes(wrong, &[]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].contains("a JSON object of texts"), "{found:?}");
}

#[test]
fn service_links_of_the_kubelet_are_no_settings() {
    let links = [
        NAMESPACE,
        ("KEYSIDE_INJECTOR_PORT", "tcp://10.0.0.1:443"),
        ("KEYSIDE_INJECTOR_PORT_443_TCP_ADDR", "10.0.0.1"),
        ("KEYSIDE_INJECTOR_SERVICE_HOST", "10.0.0.1"),
        ("KEYSIDE_INJECTOR_SERVICE_PORT_HTTPS", "443"),
    ];
    settings(&[], &links);
}

#[test]
fn no_twin_can_be_a_service_link() {
    let found = mistakes(&["--flag"], &[("KEYSIDE_INJECTOR_SERVICE", "a b")]);
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("KEYSIDE_INJECTOR_SERVICE: \"a b\"")),
        "{found:?}"
    );
    for entry in TABLE {
        assert!(!entry.flag.ends_with("port"), "{}", entry.flag);
    }
}

#[test]
fn the_offline_command_gets_the_defaults_and_keeps_its_own_flags() {
    let verb = read_words(
        &["inject", "-f", "pod.yaml", "--agent-image=a:1", "--diff"],
        &[("KEYSIDE_INJECTOR_VAULT_ADDRESS", "https://vault:8200")],
    );
    let Ok(Verb::Offline(_, defaults, rest)) = verb else {
        panic!("{verb:?}");
    };
    assert_eq!(defaults.agent_image, "a:1");
    assert_eq!(
        defaults.vault_address.as_deref(),
        Some("https://vault:8200")
    );
    assert_eq!(rest, ["-f", "pod.yaml", "--diff"]);
}

#[test]
fn help_names_every_flag_and_fits_a_screen() {
    for entry in TABLE {
        assert!(
            HELP.contains(&format!("--{} ", entry.flag)),
            "{}",
            entry.flag
        );
    }
    assert!(HELP.lines().count() <= 52, "{} lines", HELP.lines().count());
    assert!(HELP.lines().all(|line| line.len() <= 100));
    assert!(matches!(read_words(&["--help"], &[]), Ok(Verb::Help)));
}

#[test]
fn durations() {
    for (text, expected) in [
        ("0s", Some(0)),
        ("250ms", Some(250)),
        ("90s", Some(90_000)),
        ("5m", Some(300_000)),
        ("2h", Some(7_200_000)),
        ("7d", Some(604_800_000)),
        ("", None),
        ("5", None),
        ("s", None),
        ("-5s", None),
        ("1.5s", None),
        ("5µs", None),
        ("99999999999999999999s", None),
        ("18446744073709551615d", None),
    ] {
        let found = value::duration(text).ok();
        assert_eq!(found, expected.map(Duration::from_millis), "{text:?}");
    }
}

#[test]
fn addresses() {
    for (text, expected) in [
        (":8443", Some("[::]:8443")),
        ("8080", Some("[::]:8080")),
        ("127.0.0.1:0", Some("127.0.0.1:0")),
        ("[::1]:1", Some("[::1]:1")),
        ("localhost:1", None),
        (":70000", None),
        ("", None),
    ] {
        let found = value::address(text).ok().map(|address| address.to_string());
        assert_eq!(found.as_deref(), expected, "{text:?}");
    }
}
