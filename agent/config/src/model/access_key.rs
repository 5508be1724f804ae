//! The methods that log in with an access key of a cloud.

use std::fmt;

/// `aws`, of the type `iam`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aws {
    /// `role` of the auth mount.
    pub role: String,
    /// `region` whose Security Token Service is to tell who the caller is; `us-east-1` by default, the global one.
    pub region: String,
    /// `header_value`: what the mount wants in `X-Vault-AWS-IAM-Server-ID`.
    pub header_value: Option<String>,
    /// `access_key`, `secret_key` and `session_token`; looked for where absent.
    pub key: Option<AccessKey>,
}

/// `alicloud`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliCloud {
    /// `role` of the auth mount.
    pub role: String,
    /// `region` whose Security Token Service is to tell who the caller is.
    pub region: String,
    /// `access_key`, `secret_key` (also spelt `access_secret`) and `access_token`; looked for where absent.
    pub key: Option<AccessKey>,
    /// `role_name`: the RAM role of the instance, which is asked for where absent.
    pub role_name: Option<String>,
}

/// An access key that stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Its name, no secret.
    pub id: String,
    /// What signs.
    pub secret: Secret,
    /// Belongs to a temporary key.
    pub token: Option<Secret>,
}

/// Text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
