use keyside_config::model::vault::ClientCertificate;
use keyside_harness::pki::Pki;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use super::*;

fn error(vault: &Vault) -> String {
    keyside_lifecycle::error::chain(&config(vault).unwrap_err())
}

#[test]
fn what_cannot_be_trusted_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let place = path.display().to_string();
    let mut vault = Vault {
        ca_cert: Some(path.clone()),
        ..Vault::default()
    };
    assert!(
        error(&vault).contains(&format!("read {place}: ")),
        "{}",
        error(&vault)
    );
    fs::write(&path, "no PEM at all").unwrap();
    assert_eq!(error(&vault), format!("{place} holds no certificate"));
    fs::write(
        &path,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let refused = error(&vault);
    assert!(
        refused.starts_with(&format!("a certificate of {place} cannot be trusted: ")),
        "{refused}"
    );

    vault.ca_cert = None;
    vault.ca_path = Some(folder.path().join("none"));
    assert!(error(&vault).contains("none: "), "{}", error(&vault));
    fs::create_dir(folder.path().join("none")).unwrap();
    assert!(
        error(&vault).contains("neither `ca_cert` nor"),
        "{}",
        error(&vault)
    );
}

#[test]
fn a_client_certificate_without_its_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault {
        tls_skip_verify: true,
        client_certificate: Some(ClientCertificate {
            certificate: folder.path().join("client.pem"),
            key: folder.path().join("client.key"),
        }),
        ..Vault::default()
    };
    assert!(error(&vault).contains("client.pem"), "{}", error(&vault));
}

/// Client and server in memory: what the server saw of the client, or what stopped them.
fn shake_hands(vault: &Vault, server: ServerConfig, name: &str) -> Result<usize, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config(vault).unwrap()), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(server.peer_certificates().map_or(0, <[_]>::len))
}

/// A server with a certificate of this CA, which lets nobody in without another of it where it is `demanding`.
fn server(pki: &Pki, demanding: bool) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let leaf = pki.server("vault", &["vault.example"]).unwrap();
    let (chain, key) = files::identity(&leaf.certificate_path, &leaf.key_path).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if demanding {
        let mut roots = RootCertStore::empty();
        files::trust(&mut roots, "the CA", pki.ca().as_bytes()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(chain, key).unwrap()
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_asks_for_one() {
    let pki = Pki::new().unwrap();
    let leaf = pki.client("agent").unwrap();
    let mut vault = Vault {
        ca_cert: Some(pki.ca_path()),
        client_certificate: Some(ClientCertificate {
            certificate: leaf.certificate_path.clone(),
            key: leaf.key_path.clone(),
        }),
        ..Vault::default()
    };
    assert_eq!(
        shake_hands(&vault, server(&pki, true), "vault.example"),
        Ok(1)
    );
    assert!(shake_hands(&vault, server(&pki, true), "other.example").is_err());
    vault.client_certificate = None;
    assert!(shake_hands(&vault, server(&pki, true), "vault.example").is_err());

    vault.client_certificate = Some(ClientCertificate {
        certificate: leaf.certificate_path,
        key: pki.client("another").unwrap().key_path,
    });
    assert!(
        error(&vault).contains("do not go together"),
        "{}",
        error(&vault)
    );
}

#[test]
fn skipping_verification_accepts_any_certificate_of_any_name() {
    let (pki, stranger) = (Pki::new().unwrap(), Pki::new().unwrap());
    let mut vault = Vault {
        ca_cert: Some(pki.ca_path()),
        ..Vault::default()
    };
    assert_eq!(
        shake_hands(&vault, server(&pki, false), "vault.example"),
        Ok(0)
    );
    assert!(shake_hands(&vault, server(&stranger, false), "vault.example").is_err());
    vault.tls_skip_verify = true;
    assert_eq!(
        shake_hands(&vault, server(&stranger, false), "other.example"),
        Ok(0)
    );
}
