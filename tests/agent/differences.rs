//! The real `bao agent` and Keyside side by side: the same configuration, the same requests, the same OpenBao.

mod case;
mod cases;
mod compare;
mod intended;
mod page;
mod seen;
mod side;

use std::collections::BTreeSet;

use keyside_harness::openbao;
use serde_json::json;

use crate::bank::Bank;
use case::{Case, Setting};
use intended::{ROWS, Row};
use side::{SHARED, Side, Starting, Who};

/// Every difference must be one that the page lists; a row that nothing shows is stale.
#[test]
fn keyside_answers_as_the_peer_does_but_for_what_the_page_lists() -> anyhow::Result<()> {
    let ground = Ground::new()?;
    let cases = cases::all();
    let mut verdict = Verdict::default();
    for case in &cases {
        let differences = ground.play(case)?;
        verdict.judge(case, &differences);
    }
    for row in ROWS.iter().filter(|row| row.everywhere) {
        if !verdict.shown.contains(row.name) {
            verdict.wrong.push(format!("nothing shows {}", row.name));
        }
    }
    let requests: usize = cases.iter().map(|case| case.steps.len()).sum();
    assert!(requests >= 200, "{requests}");
    let wrong = verdict.wrong;
    assert!(
        wrong.is_empty(),
        "{} of {requests} requests:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn the_page_has_a_row_for_every_difference_and_no_other() -> anyhow::Result<()> {
    let text = page::read()?;
    let intended: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    assert_eq!(page::rows(&text), intended);
    let shown: BTreeSet<_> = cases::all()
        .iter()
        .flat_map(|case| case.shows.clone())
        .collect();
    for row in ROWS.iter().filter(|row| !row.everywhere) {
        assert!(shown.contains(row.name), "no case shows {}", row.name);
    }
    Ok(())
}

#[test]
fn the_tests_that_the_page_names_exist_and_those_for_it_are_named() -> anyhow::Result<()> {
    let text = page::read()?;
    let named = page::named_tests(&text);
    assert!(named.len() > 15, "{named:?}");
    let tests = page::tests()?;
    for name in &named {
        assert!(
            tests.contains(*name),
            "{}: there is no test {name}",
            page::NAME
        );
    }
    for test in page::tests_in("tests/agent/better.rs")? {
        assert!(
            named.contains(&*test),
            "{} does not name {test}",
            page::NAME
        );
    }
    Ok(())
}

/// What was found wrong, and which rows were shown.
#[derive(Default)]
struct Verdict {
    wrong: Vec<String>,
    shown: BTreeSet<&'static str>,
}

impl Verdict {
    fn judge(&mut self, case: &Case, differences: &[String]) {
        let named = |row: &&Row| case.shows.contains(&row.name);
        for name in &case.shows {
            if !ROWS.iter().any(|row| row.name == *name) {
                self.wrong.push(format!("{}: no row {name}", case.name));
            }
        }
        let mut shown = BTreeSet::new();
        for line in differences {
            let covering = |row: &&Row| row.covers().any(|pattern| compare::matches(pattern, line));
            let mut rows: Vec<_> = ROWS.iter().filter(named).filter(covering).collect();
            if rows.is_empty() {
                rows = ROWS
                    .iter()
                    .filter(|row| row.everywhere)
                    .filter(covering)
                    .collect();
            }
            if rows.is_empty() {
                self.wrong.push(format!("{}: {line}", case.name));
            }
            shown.extend(rows.iter().map(|row| row.name));
        }
        for row in ROWS
            .iter()
            .filter(named)
            .filter(|row| !shown.contains(row.name))
        {
            self.wrong
                .push(format!("{}: does not show {}", case.name, row.name));
        }
        self.shown.extend(shown);
    }
}

/// What all are allowed to do here.
const POLICY: &str = r#"
    path "*"        { capabilities = ["create", "read", "update", "patch", "delete", "list", "scan", "sudo"] }
    path "denied/*" { capabilities = ["deny"] }
"#;

/// One server, and a pair of agents for each configuration.
struct Ground {
    pairs: Vec<(Setting, Side, Side)>,
    approle: openbao::AppRole,
    _bank: Bank,
}

impl Ground {
    fn new() -> anyhow::Result<Self> {
        let bank = Bank::lasting()?;
        let server = &bank.world.server;
        server.policy("bank", POLICY)?;
        let root = server.root();
        server.key_value("kv1", 1)?;
        server.key_value("kv2", 2)?;
        root.write("sys/mounts/transit", &json!({ "type": "transit" }))?;
        root.write("transit/keys/key", &json!({}))?;
        root.write("sys/namespaces/ns1", &json!({}))?;
        root.write("ns1/sys/mounts/kv", &json!({ "type": "kv" }))?;
        root.write("kv1/app", &json!({ "color": "blue" }))?;
        root.write("ns1/kv/app", &json!({ "color": "green" }))?;
        let approle = server.approle(
            "worker",
            &json!({ "token_policies": ["bank"], "token_ttl": "1h" }),
        )?;
        for role in database_roles() {
            server.database_role(&openbao::DatabaseRole {
                name: &role,
                ttl: 3600,
                max_ttl: 86400,
            })?;
        }
        root.write("kv2/data/app", &json!({ "data": { "color": "red" } }))?;
        let pairs = [
            Setting::Attach,
            Setting::Force,
            Setting::Plain,
            Setting::Uncached,
        ]
        .map(|setting| {
            let start = |who| Starting::new(&bank.world, who, setting);
            anyhow::Ok((setting, start(Who::Peer)?, start(Who::Keyside)?))
        })
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()?;
        let pairs = pairs
            .into_iter()
            .map(|(setting, peer, keyside)| {
                anyhow::Ok((
                    setting,
                    peer.ready(root.token())?,
                    keyside.ready(root.token())?,
                ))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            pairs,
            approle,
            _bank: bank,
        })
    }

    /// Every difference of every step.
    fn play(&self, case: &Case) -> anyhow::Result<Vec<String>> {
        let setting = if SHARED.contains(&case.setting) {
            Setting::Attach
        } else {
            case.setting
        };
        let (_, peer, keyside) = self
            .pairs
            .iter()
            .find(|pair| pair.0 == setting)
            .expect("a pair");
        let (mut one, mut other) = (peer.course(case), keyside.course(case));
        for course in [&mut one, &mut other] {
            course.know("role", &self.approle.role_id);
            course.know("secret", &self.approle.secret_id);
        }
        let mut differences = Vec::new();
        for step in &case.steps {
            let pending = [one.start(case, step)?, other.start(case, step)?];
            let [first, second] = pending.map(keyside_harness::web::Pending::wait);
            let (first, second) = (one.finish(step, &first?)?, other.finish(step, &second?)?);
            differences.extend(compare::compare(&first, &second, case.played.is_some()));
        }
        Ok(differences)
    }
}

fn database_roles() -> Vec<String> {
    let mut roles: Vec<String> = [
        "kept",
        "login",
        "bearer",
        "unmanaged",
        "wrapped",
        "uncached",
    ]
    .map(str::to_owned)
    .into();
    for (prefix, count) in [("k", 9), ("r", 4), ("v", 8), ("c", 4)] {
        roles.extend((1..=count).map(|number| format!("{prefix}{number}")));
    }
    roles
}
