use super::*;

const POLICY: Policy = Policy {
    leaf_lifetime: Duration::from_hours(24),
    settle: Duration::from_mins(1),
};

fn names() -> Vec<String> {
    vec![
        "webhook.keyside.svc".to_owned(),
        "webhook.keyside".to_owned(),
    ]
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(490_000)
}

fn after(step: Step, current: Option<&Kept>, now: SystemTime) -> Kept {
    let made = Kept::after(step, current, &names(), now, &POLICY).expect("it can be made");
    made.expect("the step changes something")
}

#[test]
fn what_is_made_is_trusted_for_its_names_and_its_time_only() {
    let kept = after(Step::Make, None, now());
    let verify = |name: &str, now| verify(kept.bundle(), &kept.leaf(), name, now);
    for name in names() {
        verify(&name, now()).unwrap();
    }
    assert!(verify("other.keyside.svc", now()).is_err());
    // The clock of an API server may be a little behind.
    verify("webhook.keyside", now() - Duration::from_mins(4)).unwrap();
    assert!(verify("webhook.keyside", now() - Duration::from_mins(6)).is_err());
    verify("webhook.keyside", now() + Duration::from_hours(23)).unwrap();
    assert!(verify("webhook.keyside", now() + Duration::from_hours(25)).is_err());
    let stranger = after(Step::Make, None, now());
    assert!(super::verify(stranger.bundle(), &kept.leaf(), "webhook.keyside", now()).is_err());
}

#[test]
fn an_authority_is_followed_by_another_and_the_served_leaf_stays_trusted() {
    let first = after(Step::Make, None, now());
    let later = now() + Duration::from_hours(120);
    let trusted = |bundle: &Kept, leaf: &Kept| {
        verify(bundle.bundle(), &leaf.leaf(), "webhook.keyside", later).is_ok()
    };

    let added = after(Step::AddAuthority, Some(&first), later);
    assert!(!added.facts().signed_by_newest);
    assert_eq!(added.facts().authorities.len(), 2);
    assert!(trusted(&added, &added));
    assert!(
        trusted(&first, &added),
        "the new leaf must be of the authority that API servers know"
    );

    let renewed = after(Step::RenewLeaf, Some(&added), later);
    assert!(renewed.facts().signed_by_newest);
    assert!(trusted(&added, &renewed) && !trusted(&first, &renewed));

    let dropped = after(Step::DropOldAuthorities, Some(&renewed), later);
    assert_eq!(dropped.facts().authorities.len(), 1);
    assert_eq!(dropped.leaf().cert, renewed.leaf().cert);
    assert!(trusted(&dropped, &renewed) && !trusted(&dropped, &added));
}

#[test]
fn facts_are_those_of_the_certificates() {
    let facts = after(Step::Make, None, now()).facts().clone();
    assert_eq!(facts.leaf.until, now() + Duration::from_hours(24));
    assert_eq!(facts.leaf.from, now() - Duration::from_mins(5));
    let authority = facts.authorities.first().unwrap();
    assert_eq!(authority.until, now() + Duration::from_hours(240));
    assert!(facts.names_fit && facts.signed_by_newest);
}

#[test]
fn a_leaf_for_other_names_is_told() {
    let kept = after(Step::Make, None, now());
    let moved = Kept::read(kept.data().clone(), &["webhook.elsewhere".to_owned()]).ok();
    assert!(!moved.expect("it can be read").facts().names_fit);
}

#[test]
fn what_was_spoilt_by_hand_is_an_error_that_names_the_key() {
    let (kept, other) = (
        after(Step::Make, None, now()),
        after(Step::Make, None, now()),
    );
    let spoil = |key: &str, value: Option<&[u8]>| {
        let mut data = kept.data().clone();
        data.remove(key);
        data.extend(value.map(|value| (key.to_owned(), value.to_vec())));
        Kept::read(data, &names())
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(spoil("extra", Some(b"x")), None);
    for key in [AUTHORITIES, AUTHORITY_KEY, LEAF, LEAF_KEY] {
        for value in [
            None,
            Some(&b""[..]),
            Some(b"\xff"),
            Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ] {
            let error = spoil(key, value).expect("spoilt");
            assert!(error.contains(key), "{key}: {error}");
        }
        let foreign = other.data().get(key).map(Vec::as_slice);
        assert!(
            spoil(key, foreign).is_some(),
            "a foreign {key} was accepted"
        );
    }
}

#[test]
fn an_authority_signs_leaves_only() {
    let kept = after(Step::Make, None, now());
    let der = certificates(AUTHORITIES, kept.data()).unwrap();
    let authority = parse(AUTHORITIES, der.first().unwrap()).unwrap();
    let constraints = authority.basic_constraints().unwrap().unwrap().value;
    assert!(constraints.ca);
    assert_eq!(constraints.path_len_constraint, Some(0));
    let leaf = kept.leaf();
    let leaf = parse(LEAF, leaf.cert.first().unwrap()).unwrap();
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
}
