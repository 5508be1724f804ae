use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;

/// A leaf lives 90, an authority 900; a new authority is published for 10.
const POLICY: Policy = Policy {
    leaf_lifetime: Duration::from_secs(90),
    settle: Duration::from_secs(10),
};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(10_000 + seconds)
}

fn lives(from: u64, until: u64) -> Validity {
    Validity {
        from: at(from),
        until: at(until),
    }
}

/// One authority from 0 and its leaf from 0.
fn fresh() -> Facts {
    Facts {
        authorities: vec![lives(0, 900)],
        leaf: lives(0, 90),
        signed_by_newest: true,
        names_fit: true,
    }
}

fn check(facts: Option<&Facts>, seen: Option<u64>, now: u64, expected: Step) {
    let step = next(facts, seen.map(at), at(now), &POLICY);
    assert_eq!(step, expected, "{facts:?} seen {seen:?} at {now}");
}

#[test]
fn what_to_do_with_one_authority() {
    let fresh = fresh();
    let misnamed = Facts {
        names_fit: false,
        ..fresh.clone()
    };
    let none = Facts {
        authorities: Vec::new(),
        ..fresh.clone()
    };
    for (facts, seen, now, expected) in [
        (None, None, 0, Step::Make),
        (Some(&none), Some(0), 0, Step::Make),
        (Some(&fresh), None, 0, Step::Rest),
        (Some(&fresh), Some(0), 59, Step::Rest),
        (Some(&fresh), Some(0), 60, Step::RenewLeaf),
        // A leaf that nobody could verify would be of no use.
        (Some(&fresh), None, 60, Step::Rest),
        (Some(&fresh), Some(0), 200, Step::RenewLeaf),
        (Some(&misnamed), Some(0), 1, Step::RenewLeaf),
        (Some(&fresh), Some(0), 449, Step::RenewLeaf),
        (Some(&fresh), Some(0), 450, Step::AddAuthority),
        (Some(&fresh), None, 450, Step::AddAuthority),
        (Some(&fresh), Some(0), 900, Step::Make),
    ] {
        check(facts, seen, now, expected);
    }
}

#[test]
fn what_to_do_while_one_authority_follows_another() {
    let added = Facts {
        authorities: vec![lives(450, 1350), lives(0, 900)],
        leaf: lives(450, 540),
        signed_by_newest: false,
        names_fit: true,
    };
    let followed = Facts {
        leaf: lives(460, 550),
        signed_by_newest: true,
        ..added.clone()
    };
    for (facts, seen, now, expected) in [
        (&added, None, 450, Step::Rest),
        (&added, Some(451), 460, Step::Rest),
        (&added, Some(451), 461, Step::RenewLeaf),
        // Never settled, but the leaf is due and the new authority is there.
        (&added, Some(510), 510, Step::RenewLeaf),
        (&added, None, 510, Step::Rest),
        (&followed, Some(451), 500, Step::Rest),
        (&followed, Some(451), 520, Step::RenewLeaf),
        (&added, None, 899, Step::Rest),
    ] {
        check(Some(facts), seen, now, expected);
    }
    let renewed = Facts {
        leaf: lives(600, 690),
        ..followed
    };
    check(Some(&renewed), Some(451), 629, Step::Rest);
    check(Some(&renewed), Some(451), 630, Step::DropOldAuthorities);
}

/// One replica with a Secret, an API that may refuse to be changed for a while, and API servers that learn of a change
/// within `lag`.
#[derive(Debug, Default)]
struct World {
    secret: Option<Facts>,
    /// Which authorities signed the leaf of the Secret and the one that is served.
    signer: Option<Validity>,
    served: Option<(Validity, Validity)>,
    published: Vec<Validity>,
    /// What each API server trusted until when.
    outdated: Vec<(Vec<Validity>, u64)>,
    seen: Option<u64>,
}

impl World {
    fn round(&mut self, now: u64, lag: u64) {
        let authorities = self.secret.as_ref().map(|facts| facts.authorities.clone());
        if let Some(authorities) = authorities {
            if authorities != self.published {
                let before = std::mem::replace(&mut self.published, authorities);
                self.outdated.push((before, now + lag));
                self.seen = None;
                return;
            }
            self.seen.get_or_insert(now);
            let leaf = self.secret.as_ref().map(|facts| facts.leaf);
            self.served = leaf.zip(self.signer);
        }
        let step = next(self.secret.as_ref(), self.seen.map(at), at(now), &POLICY);
        self.apply(step, now);
    }

    fn apply(&mut self, step: Step, now: u64) {
        let (leaf, authority) = (lives(now, now + 90), lives(now, now + 900));
        let newest = self
            .secret
            .as_ref()
            .and_then(|facts| facts.authorities.first().copied());
        match (step, &mut self.secret) {
            (Step::Rest, _) => {}
            (Step::Make, secret) => {
                let facts = Facts {
                    authorities: vec![authority],
                    leaf,
                    ..fresh()
                };
                *secret = Some(facts);
                self.signer = Some(authority);
            }
            (_, None) => unreachable!("without a Secret there is only Make"),
            (Step::AddAuthority, Some(facts)) => {
                facts.authorities.truncate(1);
                facts.authorities.insert(0, authority);
                facts.leaf = leaf;
                facts.signed_by_newest = false;
                self.signer = newest;
            }
            (Step::RenewLeaf, Some(facts)) => {
                facts.leaf = leaf;
                facts.signed_by_newest = true;
                self.signer = newest;
            }
            (Step::DropOldAuthorities, Some(facts)) => facts.authorities.truncate(1),
        }
    }

    /// Whether every API server accepts what is served.
    fn is_trusted(&self, now: u64) -> bool {
        let Some((leaf, signer)) = self.served else {
            return false;
        };
        let is_valid = at(now) <= leaf.until && at(now) <= signer.until;
        let knows = |bundle: &Vec<Validity>| bundle.contains(&signer);
        let outdated = self.outdated.iter().filter(|(_, until)| now < *until);
        is_valid && knows(&self.published) && outdated.map(|(bundle, _)| bundle).all(knows)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Through several authorities, while the API is away now and then, but never so long that a leaf cannot be made
    /// and served in the third of its life that is left, and with every API server learning within the time to settle.
    #[test]
    fn no_api_server_ever_meets_a_leaf_that_it_does_not_trust(
        lag in 0_u64..=9,
        pace in 1_u64..=3,
        outages in proptest::collection::vec((0_u64..4_000, 1_u64..=12), 0..60),
    ) {
        let mut world = World::default();
        let mut looked = 0;
        let mut trusted_once = false;
        for now in 0..4_000 {
            let away = outages.iter().any(|(from, length)| (*from..from + length).contains(&now));
            if (now % pace == 0 && !away) || now >= looked + 13 {
                world.round(now, lag);
                looked = now;
            }
            // The very first authority is served as soon as it is published, for there is nothing to keep.
            trusted_once |= world.is_trusted(now);
            if trusted_once {
                prop_assert!(world.is_trusted(now), "at {now}: {world:?}");
            }
        }
        prop_assert!(trusted_once);
        let authorities = world.secret.map(|facts| facts.authorities).unwrap_or_default();
        prop_assert!(authorities.first().is_some_and(|newest| newest.from > at(2_000)), "never rotated: {authorities:?}");
        prop_assert!(authorities.len() <= 2);
    }
}
