//! The methods that log in with a request that a cloud's access key has signed. The cloud's services are played on
//! loopback, and so is what Vault makes of the login: the signature is computed anew from the published steps, by code
//! that shares nothing with the agent's.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode};
use keyside_harness::tap::{Action, Recorded, Tap};
use ring::{digest, hmac};
use serde_json::{Value, json};

use crate::world::{Agent, World, keyside_agent, run};

const AWS_LOGIN: &str = "/v1/auth/aws/login";
const ALICLOUD_LOGIN: &str = "/v1/auth/alicloud/login";

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLE//token+with/slashes==";

/// A world whose server takes these logins: each gets a token that is said to live for so many seconds.
fn world(login: &'static str, lease: u64) -> anyhow::Result<World> {
    let world = World::new()?;
    let settings = json!({ "ttl": "1h", "no_parent": true });
    let create = |_| world.server.root().write("auth/token/create", &settings);
    let mut answers = (0..8).map(create).collect::<anyhow::Result<Vec<_>>>()?;
    for answer in &mut answers {
        let auth = answer.get_mut("auth").context("no token was created")?;
        auth["lease_duration"] = lease.into();
        auth["renewable"] = false.into();
    }
    let answers = Mutex::new(answers);
    world.tap.rule(move |request| {
        if !request.is(&Method::POST, login) {
            return Action::Forward;
        }
        let answer = answers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        answer.map_or(Action::Reset, |answer| Action::ok(answer.to_string()))
    });
    Ok(world)
}

/// The agent's command, without what the machine's environment says of clouds.
fn command(world: &World, method: &Value, environment: &[(&str, &str)]) -> anyhow::Result<Command> {
    let mut config = world.config();
    let place = config.pointer_mut("/auto_auth/method");
    place.context("no method")?.clone_from(method);
    let path = world.path("config.json");
    std::fs::write(&path, config.to_string())?;
    let mut command = keyside_agent();
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["AWS_", "ALICLOUD_", "ALIBABA_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command.env("HOME", world.path("home"));
    command.envs(environment.iter().copied());
    command.arg(format!("-config={}", path.display()));
    Ok(command)
}

fn agent(world: &World, method: &Value, environment: &[(&str, &str)]) -> anyhow::Result<Agent> {
    Agent::start(
        command(world, method, environment)?,
        world.path("admin.sock"),
    )
}

/// The method with this `config`, and what it always needs.
fn aws(config: &Value) -> Value {
    let mut method = json!({ "type": "aws", "min_backoff": "100ms", "config": { "type": "iam", "role": "app" } });
    let config = config.as_object().cloned().unwrap_or_default();
    if let Some(all) = method.pointer_mut("/config").and_then(Value::as_object_mut) {
        all.extend(config);
    }
    method
}

/// The bodies of the logins so far.
fn logins(world: &World, path: &str) -> anyhow::Result<Vec<Value>> {
    let requests = world.tap.requests();
    let logins = requests
        .iter()
        .filter(|request| request.is(&Method::POST, path));
    logins
        .map(|login| {
            anyhow::ensure!(
                login.header("x-vault-token").is_none(),
                "a login with a token"
            );
            Ok(serde_json::from_slice(&login.body)?)
        })
        .collect()
}

fn decoded(body: &Value, field: &str) -> anyhow::Result<String> {
    let encoded = body.get(field).and_then(Value::as_str);
    let bytes = STANDARD.decode(encoded.with_context(|| format!("no {field} in {body}"))?)?;
    Ok(String::from_utf8(bytes)?)
}

/// None of the child's lines holds the key or what belongs to it.
fn check_not_told(agent: &Agent) {
    for line in agent.child.lines() {
        for secret in [SECRET, TOKEN, "eyJ.web.identity"] {
            assert!(!line.contains(secret), "a secret is in the log: {line}");
        }
    }
}

/// The machine's time, by other code than the agent's.
fn now() -> anyhow::Result<String> {
    let mut date = Command::new("date");
    let output = date.args(["--utc", "+%Y%m%dT%H%M%SZ"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Checks a login as AWS would: by the headers that `Authorization` names, with the time in `X-Amz-Date`, for the
/// region in the credential's scope. Gives the headers, by their names in lower case.
fn check_aws(body: &Value, id: &str, region: &str) -> anyhow::Result<BTreeMap<String, String>> {
    assert_eq!(body["role"], "app");
    let headers: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&decoded(body, "iam_request_headers")?)?;
    let headers: BTreeMap<_, _> = headers
        .into_iter()
        .map(|(name, values)| (name.to_lowercase(), values.join(",")))
        .collect();
    let header = |name: &str| headers.get(name).with_context(|| format!("no {name}"));
    let authorization = header("authorization")?;
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}="))?;
        rest.split(',').next()
    };
    let credential = part("Credential").context("no credential")?;
    let signed = part("SignedHeaders").context("no signed headers")?;
    let signature = part("Signature").context("no signature")?;

    let time = header("x-amz-date")?;
    let date = time.split('T').next().unwrap_or_default();
    let scope = format!("{date}/{region}/sts/aws4_request");
    assert_eq!(credential, format!("{id}/{scope}"));
    let line = |name| Ok(format!("{name}:{}\n", header(name)?));
    let lines = signed
        .split(';')
        .map(line)
        .collect::<anyhow::Result<Vec<_>>>()?
        .concat();
    // All that counts is signed.
    assert_eq!(signed.split(';').count() + 1, headers.len(), "{headers:?}");
    let url = decoded(body, "iam_request_url")?;
    assert_eq!(url, format!("https://{}/", header("host")?));
    let payload = decoded(body, "iam_request_body")?;
    assert_eq!(payload, "Action=GetCallerIdentity&Version=2011-06-15");
    let method = body["iam_http_request_method"]
        .as_str()
        .context("no method")?;
    let canonical = format!("{method}\n/\n\n{lines}\n{signed}\n{}", sha256(&payload));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(&canonical));
    let mut key = hmac_sha256(format!("AWS4{SECRET}").as_bytes(), date);
    for part in [region, "sts", "aws4_request"] {
        key = hmac_sha256(&key, part);
    }
    assert_eq!(signature, hex(&hmac_sha256(&key, &text)), "{canonical}");
    Ok(headers)
}

fn temporary_key() -> Value {
    json!({
        "Code": "Success", "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": SECRET, "Token": TOKEN,
        "Expiration": "2099-01-01T00:00:00Z",
    })
}

fn instance(request: &Recorded) -> Action {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    let token = request.header("x-aws-ec2-metadata-token");
    match (&request.method, request.path.as_str()) {
        (&Method::PUT, "/latest/api/token") => Action::ok("session"),
        (&Method::GET, _) if token != Some("session") => Action::fail(StatusCode::UNAUTHORIZED),
        (&Method::GET, ROLES) => Action::ok("vm-role"),
        (&Method::GET, path) if path.strip_prefix(ROLES) == Some("vm-role") => {
            Action::ok(temporary_key().to_string())
        }
        _ => Action::fail(StatusCode::NOT_FOUND),
    }
}

/// The key outlives Vault's tokens, so the instance is asked once; what is signed is new each time.
#[test]
fn an_instance_logs_in_to_aws_again_and_again() -> anyhow::Result<()> {
    let world = world(AWS_LOGIN, 3)?;
    let service = Tap::played(instance)?;
    let method = aws(&json!({ "region": "eu-central-1", "header_value": "vault.example" }));
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.address())];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let mut agent = agent(&world, &method, &environment)?;
    agent.child.wait_for_event("started")?;
    agent.child.wait_for_event("replaced")?;
    assert!(world.sink_lives()?);

    let mut dates = Vec::new();
    for body in logins(&world, AWS_LOGIN)? {
        let headers = check_aws(&body, "ASIAEXAMPLE", "eu-central-1")?;
        assert_eq!(headers["host"], "sts.eu-central-1.amazonaws.com");
        assert_eq!(headers["x-amz-security-token"], TOKEN);
        assert_eq!(headers["x-vault-aws-iam-server-id"], "vault.example");
        dates.push(headers["x-amz-date"].clone());
    }
    dates.dedup();
    assert!(dates.len() >= 2, "{dates:?}");
    assert_eq!(service.requests().len(), 3, "a key that lasts is kept");
    check_not_told(&agent);
    Ok(())
}

#[test]
fn a_service_account_of_eks_logs_in_by_its_web_identity() -> anyhow::Result<()> {
    let world = world(AWS_LOGIN, 60)?;
    let sts = Tap::played(|request| {
        let body = String::from_utf8_lossy(&request.body);
        if !body.ends_with("&WebIdentityToken=eyJ.web.identity") {
            return Action::fail(StatusCode::BAD_REQUEST);
        }
        Action::ok(format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
             <AccessKeyId>ASIAWEB</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>\
             <SessionToken>{TOKEN}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ))
    })?;
    let token = world.path("web-identity");
    std::fs::write(&token, "eyJ.web.identity")?;
    let (token, address) = (token.to_string_lossy(), sts.address());
    let environment = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &*token),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/app"),
        ("AWS_ENDPOINT_URL_STS", &address),
    ];
    let mut agent = agent(&world, &aws(&json!({})), &environment)?;
    agent.child.wait_for_event("started")?;
    let bodies = logins(&world, AWS_LOGIN)?;
    let headers = check_aws(bodies.first().context("no login")?, "ASIAWEB", "us-east-1")?;
    assert_eq!(headers["host"], "sts.amazonaws.com");
    check_not_told(&agent);
    Ok(())
}

#[test]
fn a_configured_key_logs_in_and_check_does_not_show_it() -> anyhow::Result<()> {
    let world = world(AWS_LOGIN, 60)?;
    let method = aws(&json!({ "access_key": "AKIAEXAMPLE", "secret_key": SECRET }));
    let before = now()?;
    let mut agent = agent(&world, &method, &[])?;
    agent.child.wait_for_event("started")?;
    let bodies = logins(&world, AWS_LOGIN)?;
    let headers = check_aws(
        bodies.first().context("no login")?,
        "AKIAEXAMPLE",
        "us-east-1",
    )?;
    let signed = &headers["x-amz-date"];
    assert!(
        (&before..=&now()?).contains(&signed),
        "{signed} is not after {before}"
    );
    assert!(!headers.contains_key("x-amz-security-token"), "{headers:?}");
    check_not_told(&agent);

    let mut check = keyside_agent();
    let config = world.path("config.json");
    check
        .arg("check")
        .arg(format!("-config={}", config.display()));
    let (status, shown, _) = run(check)?;
    assert_eq!(status, 0);
    assert!(
        shown.contains("AKIAEXAMPLE") && !shown.contains(SECRET),
        "{shown}"
    );
    Ok(())
}

/// STS repeats all that was signed when a signature is wrong, and Vault repeats what STS said.
#[test]
fn a_refusal_that_repeats_the_request_does_not_get_it_into_the_log() -> anyhow::Result<()> {
    let world = World::new()?;
    world.tap.rule(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let headers = decoded(&body, "iam_request_headers").unwrap_or_default();
        let said = format!("error making upstream request: SignatureDoesNotMatch: {headers}");
        Action::Answer {
            status: StatusCode::BAD_REQUEST,
            headers: HeaderMap::new(),
            body: json!({ "errors": [said] }).to_string().into(),
        }
    });
    let method =
        aws(&json!({ "access_key": "AKIAEXAMPLE", "secret_key": SECRET, "session_token": TOKEN }));
    let mut agent = agent(&world, &method, &[])?;
    let told = agent.child.wait_for_event("login_failed")?.to_string();
    assert!(told.contains("by the aws method"), "{told}");
    assert!(told.contains("SignatureDoesNotMatch"), "{told}");
    let bodies = logins(&world, AWS_LOGIN)?;
    let headers = check_aws(
        bodies.first().context("no login")?,
        "AKIAEXAMPLE",
        "us-east-1",
    )?;
    let (_, signature) = headers["authorization"]
        .split_once("Signature=")
        .context("no signature")?;
    assert!(!told.contains(signature), "{told}");
    check_not_told(&agent);
    Ok(())
}

/// The agent goes on looking: the key may come later.
#[test]
fn a_missing_key_is_told_and_found_when_it_is_there() -> anyhow::Result<()> {
    let world = world(AWS_LOGIN, 60)?;
    let environment = [("AWS_EC2_METADATA_DISABLED", "true")];
    let mut agent = agent(&world, &aws(&json!({})), &environment)?;
    let told = agent.child.wait_for_event("login_failed")?.to_string();
    assert!(
        told.contains("find an access key of AWS: there is no access key"),
        "{told}"
    );
    assert_eq!(logins(&world, AWS_LOGIN)?.len(), 0);
    let folder = world.path("home").join(".aws");
    std::fs::create_dir_all(&folder)?;
    let section =
        format!("[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = {SECRET}\n");
    std::fs::write(folder.join("credentials"), section)?;
    agent.child.wait_for_event("started")?;
    let bodies = logins(&world, AWS_LOGIN)?;
    check_aws(bodies.first().context("no login")?, "AKIAFILE", "us-east-1")?;
    check_not_told(&agent);
    Ok(())
}

/// As RFC 3986 has it, which Alibaba Cloud refers to.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

fn unescaped(text: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
                u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?
            }
            byte => byte,
        });
    }
    Ok(String::from_utf8(bytes)?)
}

/// Checks a login as Alibaba Cloud would, and gives the parameters.
fn check_alicloud(body: &Value, region: &str) -> anyhow::Result<BTreeMap<String, String>> {
    assert_eq!(body["role"], "app");
    let headers: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&decoded(body, "identity_request_headers")?)?;
    assert!(!headers.is_empty());
    let url = decoded(body, "identity_request_url")?;
    let query = url.strip_prefix(&format!("https://sts.{region}.aliyuncs.com/?"));
    let mut parameters = BTreeMap::new();
    for pair in query.with_context(|| url.clone())?.split('&') {
        let (name, value) = pair.split_once('=').context("no value")?;
        let known = parameters.insert(unescaped(name)?, unescaped(value)?);
        anyhow::ensure!(known.is_none(), "{name} is there twice");
    }
    let signature = parameters.remove("Signature").context("no signature")?;
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    let canonical = pairs.collect::<Vec<_>>().join("&");
    let text = format!("POST&{}&{}", escaped("/"), escaped(&canonical));
    let key = hmac::Key::new(
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        format!("{SECRET}&").as_bytes(),
    );
    let expected = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    assert_eq!(signature, expected, "{text}");
    for (name, value) in [
        ("Action", "GetCallerIdentity"),
        ("Format", "JSON"),
        ("RegionId", region),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("Version", "2015-04-01"),
    ] {
        assert_eq!(
            parameters.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    Ok(parameters)
}

#[test]
fn an_instance_logs_in_to_alicloud_again_and_again() -> anyhow::Result<()> {
    const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
    let world = world(ALICLOUD_LOGIN, 3)?;
    let service = Tap::played(|request| {
        let token = request.header("x-aliyun-ecs-metadata-token");
        match (&request.method, request.path.as_str()) {
            (&Method::PUT, "/latest/api/token") => Action::ok("session"),
            (&Method::GET, _) if token != Some("session") => Action::fail(StatusCode::FORBIDDEN),
            (&Method::GET, ROLES) => Action::ok("vm-role"),
            (&Method::GET, path) if path.strip_prefix(ROLES) == Some("vm-role") => Action::ok(
                json!({
                    "Code": "Success", "AccessKeyId": "STS.EXAMPLE", "AccessKeySecret": SECRET,
                    "SecurityToken": TOKEN, "Expiration": "2099-01-01T00:00:00Z",
                })
                .to_string(),
            ),
            _ => Action::fail(StatusCode::NOT_FOUND),
        }
    })?;
    let method = json!({
        "type": "alicloud", "min_backoff": "100ms", "config": { "role": "app", "region": "eu-central-1" },
    });
    let address = service.address();
    let environment = [("ALIBABA_CLOUD_ECS_METADATA_ENDPOINT", address.as_str())];
    let mut agent = agent(&world, &method, &environment)?;
    agent.child.wait_for_event("started")?;
    agent.child.wait_for_event("replaced")?;
    assert!(world.sink_lives()?);
    let mut nonces = Vec::new();
    for body in logins(&world, ALICLOUD_LOGIN)? {
        let parameters = check_alicloud(&body, "eu-central-1")?;
        assert_eq!(parameters["AccessKeyId"], "STS.EXAMPLE");
        assert_eq!(parameters["SecurityToken"], TOKEN);
        nonces.push(parameters["SignatureNonce"].clone());
    }
    nonces.sort();
    nonces.dedup();
    assert!(nonces.len() >= 2, "{nonces:?}");
    assert_eq!(service.requests().len(), 3, "a key that lasts is kept");
    check_not_told(&agent);
    Ok(())
}
