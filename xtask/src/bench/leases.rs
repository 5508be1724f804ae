//! Far more leases than a pod has, from a Vault that is played, for the real one would need an hour for them: what a
//! hundred thousand take, whether they are renewed on time, and that a flood leaves memory under its bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use keyside_harness::tap::{Action, Recorded, Tap};
use keyside_harness::{poll, web};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::contender::{Agent, Contender, Place};
use super::load::{self, Until};
use super::memory::resident;
use super::report::{Row, Unit};

const LEASES: u64 = 100_000;
const QUICK_LEASES: u64 = 2000;
/// Makes an answer some 1,000 bytes long.
const PADDING: usize = 750;
/// Of those that are renewed while somebody watches.
const WATCHED: u64 = 1000;
const SHORT: u64 = 30;
const QUICK_SHORT: u64 = 5;
const FLOOD: u64 = 200_000;
const QUICK_FLOOD: u64 = 10_000;
/// What the injector gives an agent whose memory limit is 64 MiB.
const FLOODED_ANSWERS: u64 = 2000;
const FLOODED_BYTES: u64 = 8 << 20;
/// The records that an agent keeps are five for each answer.
const FLOODED_RECORDS: u64 = 5 * FLOODED_ANSWERS;

pub(super) fn rows(contender: &Contender, quick: bool) -> anyhow::Result<Vec<Row>> {
    let mut rows = many(contender, quick)?;
    rows.extend(flood(contender, quick)?);
    Ok(rows)
}

/// A hundred thousand leases of eight hours, and then a thousand short ones beside them.
fn many(contender: &Contender, quick: bool) -> anyhow::Result<Vec<Row>> {
    let (leases, short) = if quick {
        (QUICK_LEASES, QUICK_SHORT)
    } else {
        (LEASES, SHORT)
    };
    let vault = Vault::play()?;
    let agent = vault.agent(
        contender,
        json!({
            "cache": { "max_entries": leases + WATCHED, "max_bytes": "512MiB" },
            "limits": { "requests_per_second": 1000, "burst": 1000 },
        }),
    )?;
    lease(&agent, "long", 0, leases, 1)?;
    let held = resident(&agent.child)?;
    let counted = Counted::of(&agent)?;
    anyhow::ensure!(
        counted.entries == leases,
        "{} of {leases} leases are kept",
        counted.entries
    );
    vault.tap.clear();
    vault.lasting(short);
    lease(&agent, "short", 0, WATCHED, load::CLIENTS)?;
    let renewed = vault.renewals(WATCHED, Duration::from_secs(2 * short))?;
    Ok(vec![
        Row::alone(
            "resident memory, 100,000 leases of 1 KB",
            Unit::Megabytes,
            vec![held],
        )?
        .at_most(200.0),
        Row::alone("threads for it", Unit::Count, vec![threads(&agent)?])?.at_most(1.0),
        Row::alone(
            "a lease of 30 s beside them is renewed after",
            Unit::Seconds,
            renewed,
        )?
        .never_over(0.8 * to_float(short)),
    ])
}

/// Distinct requests for leases, far more than the bounds allow.
fn flood(contender: &Contender, quick: bool) -> anyhow::Result<Vec<Row>> {
    let flood = if quick { QUICK_FLOOD } else { FLOOD };
    let vault = Vault::play()?;
    let agent = vault.agent(
        contender,
        json!({ "cache": { "max_entries": FLOODED_ANSWERS, "max_bytes": FLOODED_BYTES } }),
    )?;
    let rounds = 20;
    let mut held = Vec::new();
    for round in 0..rounds {
        let from = round * flood / rounds;
        lease(&agent, "flood", from, flood / rounds, load::CLIENTS)?;
        vault.tap.clear();
        held.push(resident(&agent.child)?);
    }
    let counted = Counted::of(&agent)?;
    anyhow::ensure!(
        counted.entries <= FLOODED_ANSWERS
            && counted.records <= FLOODED_RECORDS
            && counted.bytes <= FLOODED_BYTES,
        "over its bounds: {counted:?}"
    );
    anyhow::ensure!(
        counted.full > 0 || quick,
        "nothing was left out, so the flood was none: {counted:?}"
    );
    Ok(vec![
        Row::alone(
            "resident memory in a flood of 200,000 distinct leases, bounds of a 64 MiB pod",
            Unit::Megabytes,
            held,
        )?
        .never_over(32.0),
    ])
}

fn lease(agent: &Agent, kind: &str, from: u64, count: u64, clients: usize) -> anyhow::Result<()> {
    let ask = |number: u64, out: &mut Vec<u8>| {
        let number = from + number;
        let request = format!(
            "GET /v1/database/creds/{kind}-{number} HTTP/1.1\r\nHost: {}\r\nX-Vault-Token: s.client\r\n\r\n",
            agent.address
        );
        out.extend_from_slice(request.as_bytes());
    };
    load::run(&agent.address, clients, &ask, Until::answers(count))?;
    Ok(())
}

/// A Vault that lends to everybody.
struct Vault {
    tap: Tap,
    lender: Arc<Mutex<Lender>>,
}

struct Lender {
    /// Seconds.
    lasts: u64,
    /// When the leases that are watched were lent.
    lent: HashMap<String, Instant>,
    /// After how many seconds they were renewed for the first time.
    renewed: Vec<f64>,
}

impl Vault {
    fn play() -> anyhow::Result<Self> {
        let lender = Arc::new(Mutex::new(Lender {
            lasts: 8 * 3600,
            lent: HashMap::new(),
            renewed: Vec::new(),
        }));
        let played = Arc::clone(&lender);
        let tap = Tap::played(move |request| {
            let mut lender = played.lock().unwrap_or_else(PoisonError::into_inner);
            Action::Answer {
                status: http::StatusCode::OK,
                headers: json_headers(),
                body: lender.answer(request).to_string().into(),
            }
        })?;
        Ok(Self { tap, lender })
    }

    fn agent(&self, contender: &Contender, further: Value) -> anyhow::Result<Agent> {
        Place::without_login(contender, &self.tap.address(), further)?.start(contender)
    }

    /// From now on leases last so many seconds, and are watched.
    fn lasting(&self, seconds: u64) {
        let mut lender = self.lender.lock().unwrap_or_else(PoisonError::into_inner);
        lender.lasts = seconds;
    }

    /// Waits until so many leases were renewed once.
    fn renewals(&self, count: u64, within: Duration) -> anyhow::Result<Vec<f64>> {
        poll::until("the renewals", within, || {
            let lender = self.lender.lock().unwrap_or_else(PoisonError::into_inner);
            let renewed = lender.renewed.clone();
            if renewed.len() as u64 >= count {
                Ok(renewed)
            } else {
                Err(format!("{} of {count}", renewed.len()))
            }
        })
    }
}

impl Lender {
    fn answer(&mut self, request: &Recorded) -> Value {
        if request.is(&Method::POST, "/v1/sys/leases/renew") {
            return self.renew(&request.body);
        }
        let path = request.path.trim_start_matches("/v1/");
        let lease = format!("{path}/{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..));
        if path.contains("/short-") {
            self.lent.insert(lease.clone(), Instant::now());
        }
        json!({
            "request_id": "8a9f5c1e-7f7e-4a52-9d9b-5b3f1f0f4c53",
            "lease_id": lease,
            "renewable": true,
            "lease_duration": self.lasts,
            "data": { "username": "v-token-app", "password": "p".repeat(PADDING) },
            "wrap_info": null,
            "warnings": null,
            "auth": null,
        })
    }

    fn renew(&mut self, body: &[u8]) -> Value {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let lease = asked.get("lease_id").and_then(Value::as_str);
        if let Some(lent) = lease.and_then(|lease| self.lent.remove(lease)) {
            self.renewed.push(lent.elapsed().as_secs_f64());
        }
        json!({ "lease_id": lease, "renewable": true, "lease_duration": self.lasts })
    }
}

fn json_headers() -> http::HeaderMap {
    let kind = http::HeaderValue::from_static("application/json");
    std::iter::once((http::header::CONTENT_TYPE, kind)).collect()
}

/// What the agent's own metrics say.
#[derive(Debug)]
struct Counted {
    entries: u64,
    records: u64,
    bytes: u64,
    /// Answers that were not kept because the records are full.
    full: u64,
}

impl Counted {
    fn of(agent: &Agent) -> anyhow::Result<Self> {
        let client = web::Client::new(&format!("http://{}", agent.address), None)?;
        let answer = client.get("/agent/v1/metrics")?;
        let text = String::from_utf8(answer.body().to_vec())?;
        let count = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value.map(|value| value.trim().parse::<u64>()).transpose()
        };
        let there = |name: &str| count(name)?.with_context(|| format!("no {name}"));
        Ok(Self {
            entries: there("keyside_agent_cache_entries ")?,
            records: there("keyside_agent_cache_records ")?,
            bytes: there("keyside_agent_cache_bytes ")?,
            full: count("keyside_agent_cache_total{decision=\"skip-full\"} ")?.unwrap_or_default(),
        })
    }
}

fn threads(agent: &Agent) -> anyhow::Result<f64> {
    let path = format!("/proc/{}/task", agent.child.id());
    Ok(to_float(std::fs::read_dir(path)?.count() as u64))
}

#[expect(clippy::cast_precision_loss, reason = "seconds and threads")]
fn to_float(number: u64) -> f64 {
    number as f64
}
