//! Profiles in a mounted `ConfigMap`: what is in force is what the kubelet wrote last, as long as it is good.

use std::os::unix::fs::symlink;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyside_harness::poll;
use serde_json::{Value, json};

use crate::cluster::{self, Cluster, Injector};
use crate::offline;

/// A folder as the kubelet fills it: files are links through `..data`, a link that is replaced in one step.
struct Mount {
    folder: tempfile::TempDir,
    swaps: u32,
}

impl Mount {
    fn with(files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut mount = Self {
            folder: tempfile::tempdir()?,
            swaps: 0,
        };
        mount.swap(files)?;
        Ok(mount)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn flag(&self) -> String {
        format!("--profiles={}", self.path().display())
    }

    fn swap(&mut self, files: &[(&str, &str)]) -> anyhow::Result<()> {
        self.swaps += 1;
        let data = format!("..{}", self.swaps);
        std::fs::create_dir(self.path().join(&data))?;
        for (name, text) in files {
            std::fs::write(self.path().join(&data).join(name), text)?;
            let link = self.path().join(name);
            if std::fs::symlink_metadata(&link).is_err() {
                symlink(format!("..data/{name}"), link)?;
            }
        }
        symlink(&data, self.path().join("..data_tmp"))?;
        std::fs::rename(self.path().join("..data_tmp"), self.path().join("..data"))?;
        Ok(())
    }
}

fn asks(name: &str) -> anyhow::Result<Vec<u8>> {
    let mut review: Value = serde_json::from_slice(&cluster::recording("plain")?)?;
    review["request"]["object"]["metadata"]["annotations"]["keyside.dev/profile"] = json!(name);
    Ok(review.to_string().into_bytes())
}

fn wait_for_count(injector: &Injector, name: &str, least: u64) -> anyhow::Result<()> {
    poll::until(name, poll::LIMIT, || match injector.metric::<u64>(name) {
        Ok(count) if count >= least => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

const OK: &str = "keyside_injector_profiles_loads_total{result=\"ok\"}";
const FAILED: &str = "keyside_injector_profiles_loads_total{result=\"failed\"}";
const BROKEN: &str = "defaults: {proxy-port: '80'}\nlocked: [adress]\n";

#[test]
fn is_not_ready_before_each_was_good_once_and_keeps_the_last_good_one() -> anyhow::Result<()> {
    let good = "defaults: {address: 'https://gold.example'}\n";
    let mut mount = Mount::with(&[("default.yaml", ""), ("gold.yaml", BROKEN)])?;
    let cluster = Cluster::start()?;
    let mut injector = cluster.injector(&[&mount.flag(), "--vault-address=https://vault:8200"])?;
    injector.wait_for_readiness(|status, text| {
        status == 503
            && text
                == "waiting for a text without mistakes of profile gold: locked[0]: read \"adress\"; there is no such \
                    annotation; did you mean address?\n"
    })?;
    let caller = cluster.caller(&injector)?;
    let denied = caller.review(&asks("gold")?)?.response()?;
    let message = denied["status"]["message"].to_string();
    assert!(
        message.contains("this profile has mistakes, which the injector's log names"),
        "{message}"
    );
    let allowed = caller.review(&asks("default")?)?.response()?;
    assert_eq!(allowed["allowed"], true, "{allowed}");

    mount.swap(&[("default.yaml", ""), ("gold.yaml", good)])?;
    injector.wait_until_ready()?;
    wait_for_count(&injector, OK, 2)?;
    let uses_gold = |injector: &Injector| -> anyhow::Result<()> {
        let response = cluster
            .caller(injector)?
            .review(&asks("gold")?)?
            .response()?;
        let patch = response["patch"].as_str().unwrap_or_default();
        let patch = String::from_utf8(STANDARD.decode(patch)?)?;
        anyhow::ensure!(
            patch.contains("https://gold.example"),
            "{response}: {patch}"
        );
        Ok(())
    };
    uses_gold(&injector)?;

    // A mistake later is told, and nothing else happens.
    mount.swap(&[("default.yaml", ""), ("gold.yaml", BROKEN)])?;
    let failed = injector.child.wait_for("profile_failed", |line| {
        line["message"] == "the old one is kept"
    })?;
    assert_eq!(failed["profile"], "gold");
    assert_eq!(
        injector.metric::<u64>("keyside_injector_profiles_failing")?,
        1
    );
    assert_eq!(
        injector.metric::<u64>("keyside_injector_profiles_loaded")?,
        2
    );
    assert!(injector.metric::<u64>(FAILED)? >= 2);
    assert!(injector.metric::<f64>("keyside_injector_profiles_last_load_timestamp_seconds")? > 1e9);
    assert_eq!(injector.get("/readyz")?.0, 200);
    uses_gold(&injector)?;

    // So is a folder that cannot be read.
    std::fs::rename(mount.path().join("..data"), mount.path().join("..away"))?;
    wait_for_count(&injector, FAILED, 4)?;
    uses_gold(&injector)?;
    assert_eq!(injector.child.events("profiles_failed").len(), 1);
    std::fs::rename(mount.path().join("..away"), mount.path().join("..data"))?;
    injector.child.wait_for_event("profiles_recovered")?;
    Ok(())
}

#[test]
fn a_folder_that_is_not_there_fails_the_start() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let error = cluster.injector(&["--profiles=/not/there"]).err();
    let error = format!("{:#}", error.expect("it must not start"));
    assert!(
        error.contains("looking for profiles: reading /not/there"),
        "{error}"
    );
    Ok(())
}

#[test]
fn the_offline_command_takes_them_too_and_refuses_mistakes() -> anyhow::Result<()> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shop", "annotations": {"keyside.dev/inject": "true", "keyside.dev/profile": "gold"}},
        "spec": {"containers": [{"name": "shop", "image": "shop"}]},
    });
    let mount = Mount::with(&[(
        "gold.yaml",
        "defaults: {role: shop, token-path: /keyside/gold}",
    )])?;
    let injected = offline::injected(&[&mount.flag(), "-f", "-"], &pod.to_string())?;
    assert!(injected.contains("/keyside/gold"), "{injected}");

    let file = format!("{}/gold.yaml", mount.flag());
    let injected = offline::injected(&[&file, "-f", "-"], &pod.to_string())?;
    assert!(injected.contains("/keyside/gold"), "{injected}");

    let mount = Mount::with(&[("gold.yaml", BROKEN), ("tin.yaml", "strict: maybe")])?;
    let output = offline::inject(&[&mount.flag(), "-f", "-"], &pod.to_string())?;
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr)?;
    for mistake in [
        "profile gold: locked[0]: read \"adress\"",
        "profile tin: strict: allowed: true or false",
    ] {
        assert!(said.contains(mistake), "{said}");
    }
    Ok(())
}
