//! Alerts, monitors and the dashboard: they name what the programs serve, each alert fires when it has to, and its
//! runbook is there.
//!
//! `promtool` is not everywhere. Without it the tests that need it say so and check nothing, unless
//! `KEYSIDE_REQUIRE_PROMTOOL` is set, as CI does.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks what a test looks for reads as null"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::{kube, poll, process, tools, web};
use serde_json::{Value, json};

use crate::helm::Release;
use crate::pages::page;
use crate::program::{self, Installed};

/// Of the API server: only it knows of calls that never arrive.
const FOREIGN: [&str; 2] = [
    "apiserver_admission_webhook_rejection_count",
    "apiserver_admission_webhook_fail_open_count",
];

/// The rules as the chart installs them.
fn spec() -> anyhow::Result<Value> {
    let values = json!({"metrics": {"rules": {"enabled": true}}});
    Release::with(values)
        .objects()?
        .at("PrometheusRule", "/spec")
}

fn alerts() -> anyhow::Result<Vec<Value>> {
    let spec = spec()?;
    let groups = spec["groups"].as_array().context("groups")?.iter();
    let rules = groups.filter_map(|group| group["rules"].as_array());
    Ok(rules.flatten().cloned().collect())
}

fn text<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("{field} of {value}"))
}

fn dashboard() -> anyhow::Result<Value> {
    let values = json!({"metrics": {"dashboard": {"enabled": true}}});
    let map = Release::with(values).objects()?;
    let file = map.at("ConfigMap", "/data/keyside.json")?;
    Ok(serde_json::from_str(
        file.as_str().context("no dashboard")?,
    )?)
}

/// The queries of the dashboard, as Prometheus gets them, with where they are.
fn queries() -> anyhow::Result<Vec<(String, String)>> {
    let dashboard = dashboard()?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let mut queries = Vec::new();
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = text(target, "expr")?.replace("$__rate_interval", "5m");
            let query = query.replace("$namespace", ".*");
            queries.push((text(panel, "title")?.to_owned(), query));
        }
    }
    assert!(queries.len() > 20, "{queries:#?}");
    Ok(queries)
}

#[test]
fn every_alert_says_what_to_do() -> anyhow::Result<()> {
    let page = page("docs/alerts.md")?;
    let headings: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## Alert "))
        .collect();
    let mut names = BTreeSet::new();
    let alerts = alerts()?;
    for alert in &alerts {
        let name = text(alert, "alert")?;
        let notes = &alert["annotations"];
        let severity = text(&alert["labels"], "severity")?;
        assert!(["critical", "warning"].contains(&severity), "{name}");
        assert!(page.contains(&format!("| `{name}` | {severity} |")));
        for note in ["summary", "description"] {
            let said = text(notes, note)?;
            assert!(said.ends_with('.') && !said.contains('\n'), "{said}");
        }
        assert_eq!(
            text(notes, "runbook_url")?,
            format!("docs/alerts.md#alert-{}", name.to_lowercase())
        );
        names.insert(name);
    }
    assert_eq!(names.len(), alerts.len(), "two of one name");
    assert_eq!(headings, names);

    let schema: Value = serde_json::from_str(&self::page("charts/keyside/values.schema.json")?)?;
    let known = schema["definitions"]["alert"]["enum"].as_array();
    let known = known.context("no names")?.iter().filter_map(Value::as_str);
    assert_eq!(
        known.collect::<BTreeSet<_>>(),
        names,
        "metrics.rules.disabled"
    );
    Ok(())
}

#[test]
fn every_alert_fires_when_it_has_to_and_only_then() -> anyhow::Result<()> {
    let file = "tests/chart/data/alerts.yaml";
    let tests: Value = serde_yaml::from_str(&page(file)?)?;
    let (mut fires, mut rests) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_array().context("tests")? {
        for case in test["alert_rule_test"].as_array().context("cases")? {
            let expected = case["exp_alerts"].as_array();
            let is_quiet = expected.is_none_or(Vec::is_empty);
            let group = if is_quiet { &mut rests } else { &mut fires };
            group.insert(text(case, "alertname")?.to_owned());
        }
    }
    let alerts = alerts()?;
    let names = alerts.iter().map(|alert| text(alert, "alert"));
    let names = names.map(|name| name.map(str::to_owned));
    let names: BTreeSet<String> = names.collect::<anyhow::Result<_>>()?;
    assert_eq!(fires, names, "no test makes it fire");
    assert_eq!(rests, names, "no test where it may not");

    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("rules.yaml"), spec()?.to_string())?;
    std::fs::copy(tools::root()?.join(file), folder.path().join("tests.yaml"))?;
    promtool(folder.path(), &["check", "rules", "rules.yaml"])?;
    promtool(folder.path(), &["test", "rules", "tests.yaml"])
}

/// As if each were a rule: it is parsed then.
#[test]
fn prometheus_understands_every_query_of_the_dashboard() -> anyhow::Result<()> {
    let rules = queries()?.into_iter().enumerate();
    let rules = rules
        .map(|(number, (_, query))| json!({"record": format!("query_{number}"), "expr": query}));
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules.collect::<Vec<_>>()}]});
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("rules.yaml"), rules.to_string())?;
    promtool(folder.path(), &["check", "rules", "rules.yaml"])
}

/// Succeeds where there is none, unless there has to be.
#[expect(
    clippy::print_stderr,
    reason = "a test that checks nothing has to say so"
)]
fn promtool(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("promtool");
    let output = match command.args(arguments).current_dir(folder).output() {
        Err(_missing) if std::env::var_os("KEYSIDE_REQUIRE_PROMTOOL").is_none() => {
            eprintln!("SKIPPED: no promtool, so no rule was played");
            return Ok(());
        }
        output => output.context("run promtool")?,
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    anyhow::ensure!(output.status.success(), "promtool {arguments:?}: {said}");
    Ok(())
}

/// A metric that a query names, and what it asks of one of its labels: name, operator, value.
type Matcher = (String, String, String);

#[test]
fn rules_and_dashboard_name_what_the_programs_serve() -> anyhow::Result<()> {
    let mut asked: Vec<(String, String)> = queries()?;
    for alert in alerts()? {
        let name = text(&alert, "alert")?.to_owned();
        asked.push((name, text(&alert, "expr")?.to_owned()));
    }
    let served = of_injectors()?;
    let agents = page("docs/metrics.md")?;
    let mut named = BTreeSet::new();
    for (place, query) in asked {
        for (metric, matchers) in metrics(&query) {
            if FOREIGN.contains(&metric.as_str()) {
                continue;
            }
            let family = metric.trim_end_matches("_bucket");
            named.insert(family.to_owned());
            if family.starts_with("keyside_agent_") {
                // A test of the agent's holds that page against a running one.
                let row = agents
                    .lines()
                    .find(|line| line.starts_with(&format!("| `{family}` |")));
                let row = row.with_context(|| format!("{place}: {family} is not on the page"))?;
                for (label, operator, value) in &matchers {
                    let is_its_own = row.contains(&format!("`{label}`"));
                    assert!(is_its_own || label == "namespace", "{place}: {label}");
                    let values = plain(operator, value);
                    let missing = values
                        .iter()
                        .find(|one| !agents.contains(&format!("`{one}`")));
                    assert_eq!(missing, None, "{place}: {family}");
                }
            } else {
                let series = served.get(&metric).into_iter().flatten();
                let series: Vec<&String> = series.collect();
                assert!(!series.is_empty(), "{place}: nobody serves {metric}");
                for (label, operator, value) in &matchers {
                    for one in plain(operator, value) {
                        let wanted = format!("{label}=\"{one}\"");
                        let is_there = series.iter().any(|labels| labels.contains(&wanted));
                        assert!(is_there, "{place}: no {metric} with {wanted}: {series:?}");
                    }
                }
            }
        }
    }
    assert!(named.len() > 25, "{named:?}");
    Ok(())
}

/// The values that a matcher spells out; those of an expression that is more than a choice are not known.
fn plain<'a>(operator: &str, value: &'a str) -> Vec<&'a str> {
    let is_choice = !value.contains(['*', '+', '.', '[', '(']);
    match operator {
        "=" => vec![value],
        "=~" if is_choice => value.split('|').collect(),
        _ => Vec::new(),
    }
}

/// The metrics of ours, and of the API server, that a query names.
fn metrics(query: &str) -> Vec<(String, Vec<Matcher>)> {
    let is_part = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    let mut found = Vec::new();
    let mut rest = query;
    let next = |rest: &str| {
        let starts = ["keyside_", "apiserver_"].into_iter();
        starts.filter_map(|start| rest.find(start)).min()
    };
    while let Some(start) = next(rest) {
        let (_, tail) = rest.split_at(start);
        let end = tail.find(|byte| !is_part(byte)).unwrap_or(tail.len());
        let (name, tail) = tail.split_at(end);
        let inside = tail
            .strip_prefix('{')
            .and_then(|tail| tail.split_once('}'))
            .map_or("", |(inside, _)| inside);
        let matchers = inside.split("\",").filter_map(|matcher| {
            let (left, value) = matcher.split_once('"')?;
            let label = left.trim().trim_end_matches(['=', '~', '!']);
            let operator = left.trim().trim_start_matches(label);
            let value = value.trim_end_matches('"');
            Some((label.to_owned(), operator.to_owned(), value.to_owned()))
        });
        found.push((name.to_owned(), matchers.collect()));
        rest = tail;
    }
    found
}

#[test]
fn queries_are_read_as_they_are_written() {
    let found = metrics(r#"max(keyside_a{b="c", d!~"e|f"}) - keyside_g == 0"#);
    let matcher = |one: [&str; 3]| {
        let [label, operator, value] = one.map(str::to_owned);
        (label, operator, value)
    };
    let matchers = vec![matcher(["b", "=", "c"]), matcher(["d", "!~", "e|f"])];
    assert_eq!(
        found,
        [
            ("keyside_a".to_owned(), matchers),
            ("keyside_g".to_owned(), Vec::new()),
        ]
    );
}

/// The series that a running injector and a running watch serve: by name, the labels of each.
fn of_injectors() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let values = json!({"denialEvents": true, "profiles": {"eu": {}}});
    let installed = Installed::start(values, &[])?;
    installed.wait_until_ready()?;
    drop(installed.api.put(
        &kube::pod("shop", "web"),
        json!({"metadata": {"name": "web", "namespace": "shop", "annotations": {"keyside.dev/inject": "true"}}}),
    ));
    let files = tempfile::tempdir()?;
    let watch = program::release(json!({"watch": {"enabled": true}})).objects()?;
    let watch = watch.of_component("watch");
    let command = program::command(&watch, &installed.api, files.path())?;
    let mut watch = process::Child::spawn("watch", command)?;
    let health = web::Client::new(&watch.listening("health")?, None)?;
    let mut series = BTreeMap::<String, BTreeSet<String>>::new();
    poll::until("the watch's first look", poll::LIMIT, || {
        let answer = health.get("/metrics")?;
        let told = String::from_utf8(answer.body().to_vec())?;
        anyhow::ensure!(told.contains("keyside_injector_uninjected_pods{"), told);
        for line in [told, installed.metrics()?]
            .iter()
            .flat_map(|text| text.lines())
        {
            if !line.starts_with('#') {
                let (name, _value) = line.rsplit_once(' ').unwrap_or((line, ""));
                let (name, labels) = name.split_once('{').unwrap_or((name, ""));
                let labels = labels.to_owned();
                series.entry(name.to_owned()).or_default().insert(labels);
            }
        }
        Ok(())
    })?;
    Ok(series)
}

/// What the `PodMonitor` selects is what the injector makes of the annotation, be it the pod's or its profile's.
#[test]
fn the_pod_monitor_finds_the_agents() -> anyhow::Result<()> {
    let values = json!({"metrics": {"podMonitor": {"enabled": true}}});
    let monitor = Release::with(values).objects()?.at("PodMonitor", "/spec")?;
    assert_eq!(monitor["namespaceSelector"], json!({"any": true}));
    assert_eq!(monitor["selector"], json!({}));
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("default.yaml");
    std::fs::write(&profile, r#"defaults: {metrics-port: "9102"}"#)?;
    let asks = json!({"keyside.dev/inject": "true", "keyside.dev/role": "shop"});
    let mut own = asks.clone();
    own["keyside.dev/metrics-port"] = "9102".into();
    for (annotations, profiles) in [(own, None), (asks, Some(&profile))] {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "shop", "annotations": annotations},
            "spec": {"containers": [{"name": "shop", "image": "shop"}]},
        });
        let file = folder.path().join("pod.yaml");
        std::fs::write(&file, pod.to_string())?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyside-injector"));
        command.args(["inject", "--vault-address=https://vault", "-f"]);
        command.arg(&file);
        if let Some(profiles) = profiles {
            command.arg("--profiles").arg(profiles);
        }
        let output = command.output()?;
        let injected: Value = serde_yaml::from_slice(&output.stdout)?;
        let ports = &injected["spec"]["initContainers"][0]["ports"];
        let named = &monitor["podMetricsEndpoints"][0]["port"];
        assert_eq!(
            *ports,
            json!([{"name": named, "containerPort": 9102}]),
            "{pod}"
        );
    }
    Ok(())
}

/// The Service that is scraped has the pods of the injector and of the watch, by the port that both name.
#[test]
fn the_service_monitor_finds_the_injector_and_the_watch() -> anyhow::Result<()> {
    let objects = Release::with(
        json!({"metrics": {"serviceMonitor": {"enabled": true}}, "watch": {"enabled": true}}),
    )
    .objects()?;
    let service = objects.the("Service@metrics")?;
    let monitor = objects.at("ServiceMonitor", "/spec")?;
    assert!(covers(
        &monitor["selector"]["matchLabels"],
        &service["metadata"]["labels"]
    ));
    let other = objects.the("Service@injector")?;
    assert!(!covers(
        &monitor["selector"]["matchLabels"],
        &other["metadata"]["labels"]
    ));
    let port = &service["spec"]["ports"][0];
    assert_eq!(monitor["endpoints"][0]["port"], port["name"]);
    for deployment in objects.all("Deployment") {
        let pod = &deployment["spec"]["template"];
        assert!(covers(
            &service["spec"]["selector"],
            &pod["metadata"]["labels"]
        ));
        let ports = pod["spec"]["containers"][0]["ports"].as_array();
        let mut ports = ports.context("ports")?.iter();
        assert!(ports.any(|found| found["name"] == port["targetPort"]));
    }
    Ok(())
}

/// Whether labels have all that a selector asks for.
fn covers(selector: &Value, labels: &Value) -> bool {
    let mut selector = selector.as_object().into_iter().flatten();
    selector.all(|(key, value)| labels[key] == *value)
}

/// Grafana draws panels over each other without a word.
#[test]
fn the_panels_lie_side_by_side() -> anyhow::Result<()> {
    let dashboard = dashboard()?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let (mut taken, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = text(panel, "title")?;
        assert!(numbers.insert(panel["id"].to_string()), "{title}");
        let side = |name: &str| panel["gridPos"][name].as_u64().context("a side");
        let (x, y) = (side("x")?, side("y")?);
        assert!(x + side("w")? <= 24, "{title}");
        for column in x..x + side("w")? {
            for line in y..y + side("h")? {
                assert!(taken.insert((column, line)), "{title} lies over another");
            }
        }
        let source = &panel["datasource"]["uid"];
        assert!(source == "${datasource}" || panel["type"] == "row");
    }
    Ok(())
}
