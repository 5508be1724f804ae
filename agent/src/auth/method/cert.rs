//! `cert`: the certificate of the TLS connection itself.

use std::path::{Path, PathBuf};

use keyside_config::model::vault::ClientCertificate;
use ring::digest::{Context, Digest, SHA256};
use serde_json::json;
use zeroize::Zeroizing;

use super::Error;
use crate::vault::client::Client;
use crate::vault::wire;

pub(crate) struct Cert {
    name: Option<String>,
    ca: Option<PathBuf>,
    identity: Option<ClientCertificate>,
    reload: bool,
    /// What the last login went through, where that is not the agent's common client. Vault binds the token to the
    /// certificate, so its renewals go through it, too.
    pub(super) client: Option<Client>,
    /// Of what was read last.
    read: Option<Digest>,
}

impl Cert {
    pub(super) fn new(
        name: Option<&str>,
        ca: Option<&Path>,
        identity: Option<&ClientCertificate>,
        reload: bool,
    ) -> Self {
        Self {
            name: name.map(str::to_owned),
            ca: ca.map(Path::to_owned),
            identity: identity.cloned(),
            reload,
            client: None,
            read: None,
        }
    }

    /// Reads the files at the first login, and at every one where that is wanted.
    pub(super) fn credential(&mut self, common: &Client) -> Result<wire::Body, Error> {
        if self.client.is_none() || self.reload {
            self.read = self.digest(common);
            self.client = self.client(common)?;
        }
        Ok(wire::Body(match &self.name {
            Some(name) => json!({ "name": name }),
            None => json!({}),
        }))
    }

    /// Whether the certificate or its key has changed, where a change is to be followed.
    pub(super) fn has_news(&self, common: &Client) -> bool {
        let same = |now: &Digest| self.read.is_some_and(|read| read.as_ref() == now.as_ref());
        self.reload && self.digest(common).is_some_and(|now| !same(&now))
    }

    /// Of the certificate and the key, wherever they are named.
    fn digest(&self, common: &Client) -> Option<Digest> {
        let identity = self.identity.clone().or_else(|| common.identity())?;
        let mut digest = Context::new(&SHA256);
        for path in [&identity.certificate, &identity.key] {
            digest.update(Zeroizing::new(std::fs::read(path).ok()?).as_slice());
        }
        Some(digest.finish())
    }

    /// `None` where the common one will do. One that is to read its files again will not, whosever they are.
    fn client(&self, common: &Client) -> Result<Option<Client>, Error> {
        if self.ca.is_none() && self.identity.is_none() && !self.reload {
            return Ok(None);
        }
        let client = common.with_certificates(self.ca.as_deref(), self.identity.as_ref());
        client.map(Some).map_err(|source| Error::Certificate {
            source: Box::new(source),
        })
    }
}
