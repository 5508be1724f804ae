//! The methods that log in with a token of a cloud. The cloud's services are played on loopback; Vault's part has
//! OpenBao, whose `jwt` method verifies signature, audience and subject of the token that the agent brings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use keyside_harness::jwt::Issuer;
use keyside_harness::tap::{Action, Recorded, Tap};
use serde_json::{Value, json};

use crate::world::{Agent, World, keyside_agent};

const ACCOUNT: &str = "web@shop.iam.gserviceaccount.com";
const OTHER: &str = "db@shop.iam.gserviceaccount.com";
const RESOURCE: &str = "https://vault.example.com";
/// What a service gives out for the cloud's own interfaces: never for a log.
const ACCESS: &str = "ya29.access-token";

/// The mount `auth/{cloud}` with the role `web`, for tokens with this audience and subject.
fn mount(
    world: &World,
    cloud: &str,
    keys: &[&str],
    audience: &str,
    subject: &str,
) -> anyhow::Result<()> {
    let root = world.server.root();
    root.write(&format!("sys/auth/{cloud}"), &json!({ "type": "jwt" }))?;
    let config = json!({ "jwt_validation_pubkeys": keys });
    root.write(&format!("auth/{cloud}/config"), &config)?;
    role(world, cloud, "web", audience, subject)
}

fn role(
    world: &World,
    cloud: &str,
    name: &str,
    audience: &str,
    subject: &str,
) -> anyhow::Result<()> {
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": [audience], "bound_subject": subject,
        // A token that says nothing of its beginning is taken to begin so long before its end.
        "not_before_leeway": 7200,
        "token_ttl": 3, "token_max_ttl": 3,
    });
    let path = format!("auth/{cloud}/role/{name}");
    world.server.root().write(&path, &role).map(drop)
}

/// The method with this `config`, and with the role `web`.
fn method(cloud: &str, config: &Value) -> Value {
    let mut method = json!({ "type": cloud, "min_backoff": "100ms", "config": { "role": "web" } });
    let config = config.as_object().cloned().unwrap_or_default();
    if let Some(all) = method.pointer_mut("/config").and_then(Value::as_object_mut) {
        all.extend(config);
    }
    method
}

/// An agent that has this of the environment, and nothing else of the machine's clouds.
fn agent(world: &World, method: Value, environment: &[(&str, &str)]) -> anyhow::Result<Agent> {
    let mut config = world.config();
    let place = config.pointer_mut("/auto_auth/method");
    *place.context("no method")? = method;
    let path = world.path("config.json");
    std::fs::write(&path, config.to_string())?;
    let mut command: Command = keyside_agent();
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let clouds = ["AZURE_", "IDENTITY_", "GOOGLE_", "GCE_", "CLOUDSDK_"];
        if clouds.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.envs(environment.iter().copied());
    command.arg(format!("-config={}", path.display()));
    Agent::start(command, world.path("admin.sock"))
}

/// Logged in twice, and the second token is live.
fn check_logs_in_again_and_again(world: &World, agent: &mut Agent) -> anyhow::Result<()> {
    agent.child.wait_for_event("started")?;
    anyhow::ensure!(world.sink_lives()?, "Vault does not know the token");
    agent.child.wait_for_event("replaced")?;
    anyhow::ensure!(world.sink_lives()?, "Vault does not know the token");
    Ok(())
}

/// The body of the last login.
fn login(world: &World, cloud: &str) -> anyhow::Result<Value> {
    let path = format!("/v1/auth/{cloud}/login");
    let requests = world.tap.requests();
    let mut logins = requests.iter().rev();
    let login = logins.find(|request| request.is(&Method::POST, &path));
    let login = login.context("no login")?;
    anyhow::ensure!(
        login.header("x-vault-token").is_none(),
        "a login with a token"
    );
    Ok(serde_json::from_slice(&login.body)?)
}

fn text<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    let found = value.get(field).and_then(Value::as_str);
    found.with_context(|| format!("no {field} in {value}"))
}

/// Header and claims of a token.
fn opened(token: &str) -> anyhow::Result<(Value, Value)> {
    let mut parts = token.split('.');
    let mut part = || {
        let part = URL_SAFE_NO_PAD.decode(parts.next().unwrap_or_default())?;
        anyhow::Ok(serde_json::from_slice(&part)?)
    };
    Ok((part()?, part()?))
}

/// The fields of a form or a query.
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn read(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), decoded(value)))
        };
        Self(text.split('&').filter_map(pair).collect())
    }

    /// Empty where there is none of that name.
    fn of(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.extend(u8::from_str_radix(&digits, 16));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn query(request: &Recorded) -> Fields {
    Fields::read(request.path.split_once('?').map_or("", |(_, query)| query))
}

fn check_not_told(agent: &Agent, secrets: &[&str]) {
    for line in agent.child.lines() {
        for secret in secrets {
            assert!(!line.contains(secret), "a secret is in the log: {line}");
        }
    }
}

fn now() -> anyhow::Result<u64> {
    let output = Command::new("date").arg("+%s").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// A key of the service account [`ACCOUNT`].
struct ServiceAccount {
    /// In PEM.
    certificate: String,
    private_key: String,
    /// As Google hands it out.
    file: PathBuf,
}

impl ServiceAccount {
    /// OpenBao makes the key pair; its certificate stands for the public half.
    fn new(world: &World, token_uri: &str) -> anyhow::Result<Self> {
        let root = world.server.root();
        root.write("sys/mounts/pki", &json!({ "type": "pki" }))?;
        let settings = json!({
            "common_name": "key", "key_type": "rsa", "key_bits": 2048, "private_key_format": "pkcs8",
        });
        let made = root.write("pki/root/generate/exported", &settings)?;
        let data = made.get("data").context("no key was made")?;
        let private_key = text(data, "private_key")?.to_owned();
        assert!(
            private_key.contains("BEGIN PRIVATE KEY"),
            "not in Google's form"
        );
        let file = json!({
            "type": "service_account", "project_id": "shop", "private_key_id": "key-1", "private_key": private_key,
            "client_email": ACCOUNT, "client_id": "1", "token_uri": token_uri,
        });
        let path = world.path("key.json");
        std::fs::write(&path, file.to_string())?;
        Ok(Self {
            certificate: text(data, "certificate")?.to_owned(),
            private_key,
            file: path,
        })
    }

    /// A line of the key, as it would be found in a log.
    fn secret(&self) -> &str {
        self.private_key.lines().nth(3).unwrap_or_default()
    }
}

/// A service that the agent must not ask.
fn nobody() -> anyhow::Result<Tap> {
    Tap::played(|_| Action::fail(StatusCode::IM_A_TEAPOT))
}

fn host(tap: &Tap) -> String {
    tap.address().trim_start_matches("http://").to_owned()
}

#[test]
fn the_key_of_a_service_account_signs_for_it() -> anyhow::Result<()> {
    let google = nobody()?;
    for configured in ["path", "text", "environment"] {
        let world = World::new()?;
        let key = ServiceAccount::new(&world, &google.address())?;
        mount(&world, "gcp", &[&key.certificate], "vault/web", ACCOUNT)?;
        let file = key.file.to_string_lossy().into_owned();
        let metadata = host(&google);
        let mut environment = vec![
            ("GCE_METADATA_HOST", metadata.as_str()),
            ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere"),
        ];
        let mut config = json!({ "type": "iam", "jwt_exp": 5, "service_account": ACCOUNT });
        match configured {
            "path" => config["credentials"] = file.as_str().into(),
            "text" => config["credentials"] = std::fs::read_to_string(&file)?.into(),
            _ => environment.push(("GOOGLE_APPLICATION_CREDENTIALS", &file)),
        }
        let began = now()?;
        let mut agent = agent(&world, method("gcp", &config), &environment)?;
        check_logs_in_again_and_again(&world, &mut agent)?;

        let body = login(&world, "gcp")?;
        let token = text(&body, "jwt")?;
        assert_eq!(body, json!({ "role": "web", "jwt": token }));
        let (header, claims) = opened(token)?;
        assert_eq!(
            header,
            json!({ "alg": "RS256", "kid": "key-1", "typ": "JWT" })
        );
        let expires = claims["exp"].as_u64().context("no end")?;
        assert!(
            (began + 300..=now()? + 300).contains(&expires),
            "{claims}, {began}"
        );
        let expected = json!({ "aud": "vault/web", "exp": expires, "sub": ACCOUNT });
        assert_eq!(claims, expected);
        check_not_told(&agent, &[token, key.secret()]);
    }
    assert!(google.requests().is_empty(), "{:?}", google.requests());
    Ok(())
}

/// Answers as Google does: gives access tokens out, and signs what whoever has one sends.
fn google(request: &Recorded, signer: &Issuer) -> anyhow::Result<Action> {
    const ACCOUNTS: &str = "/computeMetadata/v1/instance/service-accounts/";
    let path = request.path.split('?').next().unwrap_or_default();
    if path == "/token" {
        return Ok(Action::ok(json!({ "access_token": ACCESS }).to_string()));
    }
    if let Some(of) = path.strip_prefix("/v1/projects/-/serviceAccounts/") {
        let bearer = format!("Bearer {ACCESS}");
        anyhow::ensure!(request.header("authorization") == Some(&bearer), "no token");
        let body: Value = serde_json::from_slice(&request.body)?;
        let claims: Value = serde_json::from_str(text(&body, "payload")?)?;
        let account = text(&claims, "sub")?;
        anyhow::ensure!(decoded(of) == format!("{account}:signJwt"), "{path}");
        let answer = json!({ "keyId": "k", "signedJwt": signer.sign(&claims)? });
        return Ok(Action::ok(answer.to_string()));
    }
    let flavor = request.header("metadata-flavor");
    anyhow::ensure!(flavor == Some("Google"), "no metadata without its header");
    match path.strip_prefix(ACCOUNTS).map(decoded).as_deref() {
        Some("default/email") => Ok(Action::ok(ACCOUNT)),
        Some("default/token") => Ok(Action::ok(
            json!({ "access_token": ACCESS, "expires_in": 3599, "token_type": "Bearer" })
                .to_string(),
        )),
        Some(of) => {
            let account = of.strip_suffix("/identity").context("no such thing")?;
            let query = query(request);
            anyhow::ensure!(query.of("format") == "full");
            let claims =
                json!({ "aud": query.of("audience"), "sub": account, "exp": now()? + 3600 });
            Ok(Action::ok(format!("{}\n", signer.sign(&claims)?)))
        }
        None => anyhow::bail!("no such thing"),
    }
}

/// A played Google, and the public key of what it signs.
fn play_google() -> anyhow::Result<(Tap, String)> {
    let signer = Issuer::new()?;
    let public_key = signer.public_key();
    let tap = Tap::played(move |request| {
        google(request, &signer).unwrap_or_else(|error| Action::Answer {
            status: StatusCode::BAD_REQUEST,
            headers: http::HeaderMap::new(),
            body: json!({ "error": error.to_string() }).to_string().into(),
        })
    })?;
    Ok((tap, public_key))
}

#[test]
fn google_signs_for_an_account_that_the_instance_may_be() -> anyhow::Result<()> {
    for (configured, account) in [(None, ACCOUNT), (Some(OTHER), OTHER)] {
        let world = World::new()?;
        let (google, public_key) = play_google()?;
        mount(&world, "gcp", &[&public_key], "vault/web", account)?;
        let config = json!({ "type": "iam", "service_account": configured.unwrap_or_default() });
        let environment = [
            ("GCE_METADATA_HOST", host(&google)),
            (
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS",
                format!("{}/", google.address()),
            ),
        ];
        let environment = environment
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let mut agent = agent(&world, method("gcp", &config), &environment)?;
        check_logs_in_again_and_again(&world, &mut agent)?;
        check_not_told(&agent, &[ACCESS, text(&login(&world, "gcp")?, "jwt")?]);
    }
    Ok(())
}

/// A key signs for its own account only: for another one it becomes an access token, by which Google is asked.
#[test]
fn google_signs_for_another_account_than_the_keys() -> anyhow::Result<()> {
    let world = World::new()?;
    let (google, public_key) = play_google()?;
    let endpoint = format!("{}/token", google.address());
    let key = ServiceAccount::new(&world, &endpoint)?;
    mount(
        &world,
        "gcp",
        &[&key.certificate, &public_key],
        "vault/web",
        OTHER,
    )?;
    let config = json!({ "type": "iam", "credentials": key.file, "service_account": OTHER });
    let iam = google.address();
    let environment = [(
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS",
        iam.as_str(),
    )];
    let mut agent = agent(&world, method("gcp", &config), &environment)?;
    check_logs_in_again_and_again(&world, &mut agent)?;

    let requests = google.requests();
    let grant = requests
        .iter()
        .find(|request| request.is(&Method::POST, "/token"));
    let grant = grant.context("no access token was asked for")?;
    let grant = Fields::read(std::str::from_utf8(&grant.body)?);
    assert_eq!(
        grant.of("grant_type"),
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    let assertion = grant.of("assertion");
    let (_, claims) = opened(assertion)?;
    assert_eq!(
        claims["scope"],
        "https://www.googleapis.com/auth/cloud-platform"
    );
    // OpenBao verifies the assertion, too.
    let verifying = json!({
        "role_type": "jwt", "user_claim": "iss", "bound_audiences": [endpoint], "bound_claims": { "iss": ACCOUNT },
    });
    let root = world.server.root();
    root.write("auth/gcp/role/google", &verifying)?;
    root.write(
        "auth/gcp/login",
        &json!({ "role": "google", "jwt": assertion }),
    )?;
    check_not_told(&agent, &[ACCESS, assertion, key.secret()]);
    Ok(())
}

#[test]
fn an_instance_of_google_logs_in_with_its_identity() -> anyhow::Result<()> {
    for (configured, account) in [(None, "default"), (Some(OTHER), OTHER)] {
        let world = World::new()?;
        let (google, public_key) = play_google()?;
        mount(&world, "gcp", &[&public_key], "http://vault/web", account)?;
        let config = json!({ "type": "gce", "service_account": configured.unwrap_or_default() });
        let metadata = host(&google);
        let environment = [("GCE_METADATA_HOST", metadata.as_str())];
        let mut agent = agent(&world, method("gcp", &config), &environment)?;
        check_logs_in_again_and_again(&world, &mut agent)?;
        check_not_told(&agent, &[text(&login(&world, "gcp")?, "jwt")?]);
    }
    Ok(())
}

const INSTANCE: [(&str, &str); 4] = [
    ("resource_group_name", "rg"),
    ("subscription_id", "00000000-0000-0000-0000-000000000001"),
    ("vm_name", "vm_0"),
    ("vmss_name", "vmss"),
];

/// Answers as Azure's metadata service and its directory do.
fn azure(request: &Recorded, signer: &Issuer) -> anyhow::Result<Action> {
    let token = |audience: &str, subject: &str| {
        let claims = json!({ "aud": audience, "sub": subject, "exp": now()? + 3600 });
        let token = json!({ "access_token": signer.sign(&claims)?, "token_type": "Bearer" });
        anyhow::Ok(Action::ok(token.to_string()))
    };
    let query = query(request);
    let (path, is_metadata) = (
        request.path.split('?').next().unwrap_or_default(),
        request.header("metadata") == Some("true"),
    );
    match path {
        "/metadata/identity/oauth2/token" if is_metadata => {
            anyhow::ensure!(query.of("api-version") == "2018-02-01");
            let ids = ["object_id", "client_id"].map(|id| query.of(id));
            let subject = ids.into_iter().find(|id| !id.is_empty());
            token(query.of("resource"), subject.unwrap_or("vm"))
        }
        "/metadata/instance" if is_metadata => {
            anyhow::ensure!(query.of("api-version") == "2018-02-01");
            let [group, subscription, name, set] = INSTANCE.map(|(_, value)| value);
            let compute = json!({
                "name": name, "resourceGroupName": group, "subscriptionId": subscription, "vmScaleSetName": set,
                "location": "westeurope",
            });
            Ok(Action::ok(json!({ "compute": compute }).to_string()))
        }
        "/tenant/oauth2/v2.0/token" => {
            let form = Fields::read(std::str::from_utf8(&request.body)?);
            anyhow::ensure!(form.of("grant_type") == "client_credentials");
            anyhow::ensure!(
                form.of("client_assertion_type")
                    == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            );
            anyhow::ensure!(form.of("client_assertion") == "eyJ.cluster.token");
            token(form.of("scope"), form.of("client_id"))
        }
        _ => anyhow::bail!("no such thing"),
    }
}

fn play_azure() -> anyhow::Result<(Tap, String)> {
    let signer = Issuer::new()?;
    let public_key = signer.public_key();
    let tap = Tap::played(move |request| {
        azure(request, &signer).unwrap_or_else(|_| Action::fail(StatusCode::BAD_REQUEST))
    })?;
    Ok((tap, public_key))
}

#[test]
fn a_machine_of_azure_logs_in_with_its_identity_and_its_name() -> anyhow::Result<()> {
    for (config, subject) in [
        (json!({}), "vm"),
        (json!({ "object_id": "object" }), "object"),
        (json!({ "client_id": "client" }), "client"),
    ] {
        let world = World::new()?;
        let (azure, public_key) = play_azure()?;
        mount(&world, "azure", &[&public_key], RESOURCE, subject)?;
        let mut method = method("azure", &config);
        method["config"]["resource"] = RESOURCE.into();
        let address = azure.address();
        let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", address.as_str())];
        let mut agent = agent(&world, method, &environment)?;
        check_logs_in_again_and_again(&world, &mut agent)?;
        let body = login(&world, "azure")?;
        let token = text(&body, "jwt")?;
        let mut expected = json!({ "role": "web", "jwt": token });
        for (name, value) in INSTANCE {
            expected[name] = value.into();
        }
        assert_eq!(body, expected);
        check_not_told(&agent, &[token]);
    }
    Ok(())
}

/// A pod on AKS has a token of its cluster, and is cut off from the metadata service.
#[test]
fn a_workload_of_azure_needs_no_machine() -> anyhow::Result<()> {
    let world = World::new()?;
    let (azure, public_key) = play_azure()?;
    let scope = format!("{RESOURCE}/.default");
    mount(&world, "azure", &[&public_key], &scope, "client")?;
    let file = world.path("federated-token");
    std::fs::write(&file, "eyJ.cluster.token\n")?;
    let config = json!({ "resource": RESOURCE, "authenticate_from_environment": true });
    let (nobody, authority, file) = (
        nobody()?.address(),
        format!("{}/", azure.address()),
        file.to_string_lossy().into_owned(),
    );
    let environment = [
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", nobody.as_str()),
        ("AZURE_AUTHORITY_HOST", &authority),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_FEDERATED_TOKEN_FILE", &file),
    ];
    let mut agent = agent(&world, method("azure", &config), &environment)?;
    check_logs_in_again_and_again(&world, &mut agent)?;
    let body = login(&world, "azure")?;
    let token = text(&body, "jwt")?;
    assert_eq!(body, json!({ "role": "web", "jwt": token }));
    check_not_told(&agent, &[token, "eyJ.cluster.token"]);
    Ok(())
}
