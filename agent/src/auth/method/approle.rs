//! `approle`: a role id and, where the role wants one, a secret id, which may come wrapped.
//!
//! Invariant: a wrapping token is opened only when Vault says that it was made where the configuration expects, so
//! that nobody can slip another secret id in; and what came out is kept, for it opens once.

use std::path::Path;

use http::Method;
use serde_json::json;
use zeroize::Zeroizing;

use super::Error;
use super::remembered::{Remembered, Removal};
use crate::auth::ask::{Asker, Unanswered};
use crate::token::Token;
use crate::vault::gate::Reason;
use crate::vault::wire::{self, Call};

pub(crate) struct AppRole {
    role_id: Remembered,
    secret_id: Option<Remembered>,
    wrapping: Option<Wrapping>,
}

/// The file of the secret id holds a token that stands for it.
struct Wrapping {
    creation_path: String,
    opened: Option<Opened>,
}

struct Opened {
    token: Zeroizing<String>,
    secret_id: Zeroizing<String>,
}

impl AppRole {
    /// The role id is no secret and stays.
    pub(super) fn new(
        role_id: &Path,
        secret_id: Option<&Path>,
        removal: Removal,
        creation_path: Option<&str>,
    ) -> Self {
        Self {
            role_id: Remembered::new(role_id, Removal::Never),
            secret_id: secret_id.map(|path| Remembered::new(path, removal)),
            wrapping: creation_path.map(|path| Wrapping {
                creation_path: path.to_owned(),
                opened: None,
            }),
        }
    }

    pub(super) async fn credential(&mut self, vault: &Asker) -> Result<wire::Body, Error> {
        let mut body = json!({ "role_id": self.role_id.read()? });
        if let (Some(file), Some(fields)) = (&mut self.secret_id, body.as_object_mut()) {
            let secret_id = match &mut self.wrapping {
                Some(wrapping) => wrapping.secret_id(file, vault).await?,
                None => file.read()?,
            };
            fields.insert("secret_id".to_owned(), secret_id.into());
        }
        Ok(wire::Body(body))
    }

    pub(super) fn note(&mut self) {
        self.role_id.note();
        if let Some(file) = &mut self.secret_id {
            file.note();
        }
    }

    pub(super) fn has_news(&self) -> bool {
        let secret_id = self.secret_id.as_ref();
        self.role_id.has_news() || secret_id.is_some_and(Remembered::has_news)
    }

    pub(super) fn accepted(&mut self) {
        if let Some(file) = &mut self.secret_id {
            file.accepted();
        }
    }
}

impl Wrapping {
    /// What the token in the file stands for, opened or remembered.
    async fn secret_id(&mut self, file: &mut Remembered, vault: &Asker) -> Result<&str, Error> {
        let token = Zeroizing::new(file.read()?.to_owned());
        let known = self.opened.take_if(|opened| opened.token == token);
        let opened = match known {
            Some(known) => Ok(known),
            None => self.open(file, token, vault).await,
        };
        match opened {
            Ok(opened) => Ok(&self.opened.insert(opened).secret_id),
            Err(error) => {
                // When the file is gone, the one before it counts again.
                file.last = self.opened.as_ref().map(|opened| opened.token.clone());
                Err(error)
            }
        }
    }

    async fn open(
        &self,
        file: &Remembered,
        token: Zeroizing<String>,
        vault: &Asker,
    ) -> Result<Opened, Error> {
        let path = || file.path.clone();
        let sent = Token::new(token.as_str()).ok_or_else(|| Error::NoToken { path: path() })?;
        let call = |path| Call {
            method: Method::POST,
            path,
            namespace: vault.namespace.as_deref(),
            ..Call::default()
        };
        let ask = async |doing, call| {
            let answer = vault.call(Reason::Unwrap, call).await;
            let (_, answer) = answer.map_err(|unanswered| match unanswered {
                Unanswered::Held { within } => Error::Held { within },
                Unanswered::Vault(source) => Error::Wrapping {
                    doing,
                    path: path(),
                    source: Box::new(source),
                },
            })?;
            Ok(answer.data)
        };
        // As what the request is about, not as its token, for that would be a use.
        let look_up = Call {
            body: Some(wire::Body(json!({ "token": token.as_str() }))),
            ..call("sys/wrapping/lookup")
        };
        let found = ask("look up the wrapping token in", look_up).await?;
        self.check(file, found.creation_path)?;
        let unwrap = Call {
            token: Some(&sent),
            body: Some(wire::Body(json!({}))),
            ..call("sys/wrapping/unwrap")
        };
        let secret_id = ask("unwrap the secret id in", unwrap).await?.secret_id.0;
        if secret_id.is_empty() {
            return Err(Error::NoSecretId { path: path() });
        }
        Ok(Opened { token, secret_id })
    }

    fn check(&self, file: &Remembered, found: String) -> Result<(), Error> {
        let expected = &self.creation_path;
        if found == *expected {
            return Ok(());
        }
        tracing::error!(
            event = "wrapping_path_differs",
            expected,
            found,
            path = %file.path.display(),
            "the wrapping token of the secret id was made elsewhere: somebody may have swapped it"
        );
        Err(Error::CreationPath {
            path: file.path.clone(),
            expected: expected.clone(),
            found,
        })
    }
}
