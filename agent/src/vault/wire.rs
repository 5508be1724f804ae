//! What goes over the wire: the agent's own requests, and Vault's answers.
//!
//! Invariant: an answer is read leniently. A field that is absent, `null` or of a strange type counts as empty, for
//! a newer or an older server must not stop a login.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use crate::token::Token;

/// A request that the agent makes by itself.
#[derive(Debug, Default)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Below `/v1/`, with its query if it has one.
    pub(crate) path: &'a str,
    /// `vault.namespace` where `None`; the root namespace where empty.
    pub(crate) namespace: Option<&'a str>,
    pub(crate) token: Option<&'a Token>,
    pub(crate) body: Option<Body>,
    /// The answer is to be wrapped, and to be had for so long; whole seconds.
    pub(crate) wrap_ttl: Option<Duration>,
}

/// A request's JSON. `Debug` shows the names of its fields only: the values are credentials, and wiped on drop.
pub(crate) struct Body(pub(crate) Value);

impl Drop for Body {
    fn drop(&mut self) {
        for value in self
            .0
            .as_object_mut()
            .into_iter()
            .flat_map(serde_json::Map::values_mut)
        {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(
                self.0
                    .as_object()
                    .into_iter()
                    .flat_map(serde_json::Map::keys),
            )
            .finish()
    }
}

impl Call<'_> {
    /// `text`, without the credentials of this request: a proxy on the way, or a server under test, may echo what
    /// it was sent.
    pub(super) fn redact(&self, mut text: String) -> String {
        let fields = self
            .body
            .iter()
            .filter_map(|body| body.0.as_object())
            .flatten();
        let values = fields
            .clone()
            .filter(|(name, _)| !matches!(name.as_str(), "name" | "role"))
            .filter_map(|(_, value)| value.as_str());
        let inside = fields.clone().flat_map(|(name, value)| inside(name, value));
        let inside: Vec<_> = inside.collect();
        let inside = inside.iter().map(|secret| secret.as_str());
        for secret in inside.chain(values).chain(self.token.map(Token::expose)) {
            if !secret.is_empty() && text.contains(secret) {
                text = text.replace(secret, "(redacted)");
            }
        }
        text
    }
}

/// What is secret in a signed request that Vault is to send on, which is encoded: a cloud that refuses it may repeat
/// all that it was sent, and Vault that. Session tokens and signatures are long; what a person may want to see, such as
/// a host, is short or has dots and blanks. In a query they are escaped, and the repetition escapes them once more.
fn inside(name: &str, value: &Value) -> Vec<Zeroizing<String>> {
    const LONG: usize = 28;
    let signed = name.ends_with("_request_headers") || name == "identity_request_url";
    let encoded = value.as_str().filter(|_| signed);
    let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    let decoded = Zeroizing::new(decoded.unwrap_or_default());
    let text = std::str::from_utf8(&decoded).unwrap_or_default();
    let parts = text.split(['"', '&', '=', '?', ',']);
    let secrets = parts.filter(|part| part.len() >= LONG && !part.contains(['.', ' ']));
    let forms = secrets.flat_map(|secret| [secret.to_owned(), secret.replace('%', "%25")]);
    forms.map(Zeroizing::new).collect()
}

/// An answer of Vault, as far as the agent's own requests need it; all empty where it had no body.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Secret {
    /// In seconds.
    #[serde(default, deserialize_with = "lenient_seconds")]
    pub(crate) lease_duration: u64,
    #[serde(default)]
    pub(crate) auth: Option<Auth>,
    /// Read as what a token's look-up answers, or what was wrapped; other data counts as all empty.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) data: LookUp,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) wrap_info: Option<WrapInfo>,
}

/// What Vault knows of a token.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct LookUp {
    /// In seconds, cut off: 0 in the last second of a token, too.
    #[serde(default, deserialize_with = "lenient_seconds")]
    pub(crate) ttl: u64,
    /// Absent where the token never ends.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) expire_time: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) renewable: bool,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) accessor: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) policies: Vec<String>,
    /// Of a wrapping token: the path whose answer it stands for.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) creation_path: String,
    /// What was unwrapped, where that is a secret id.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) secret_id: Hidden,
}

/// A text that is a credential: wiped on drop, and `Debug` shows nothing of it.
#[derive(Default, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Hidden(pub(crate) Zeroizing<String>);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(redacted)")
    }
}

/// What stands for an answer that was wrapped. Written out, it is what Vault Agent writes: fields, order and all.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct WrapInfo {
    #[serde(deserialize_with = "token", serialize_with = "exposed")]
    pub(crate) token: Option<Token>,
    accessor: String,
    /// In seconds.
    ttl: u64,
    creation_time: String,
    creation_path: String,
    wrapped_accessor: String,
}

/// What a login or a token's renewal answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Auth {
    /// Absent where it could not be sent as a header.
    #[serde(default, deserialize_with = "token")]
    pub(crate) client_token: Option<Token>,
    /// Empty for batch tokens.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) accessor: String,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) token_policies: Vec<String>,
    /// In seconds; 0 where the token never ends.
    #[serde(default, deserialize_with = "lenient_seconds")]
    pub(crate) lease_duration: u64,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) renewable: bool,
}

/// `{"errors": […]}`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Errors {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) errors: Vec<String>,
}

/// The field's value, or its type's empty one where it has another type.
fn lenient<'de, D: Deserializer<'de>, T: Default + serde::de::DeserializeOwned>(
    from: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A count of seconds: a fraction is cut off, a negative number is 0.
fn lenient_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(from)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is what is wanted of numbers out of range"
    )]
    let seconds = value
        .as_u64()
        .or_else(|| value.as_f64().map(|seconds| seconds as u64));
    Ok(seconds.unwrap_or_default())
}

fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Token>, D::Error> {
    Ok(lenient::<D, Option<String>>(from)?.and_then(Token::new))
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn exposed<S: Serializer>(token: &Option<Token>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(token.as_ref().map_or("", Token::expose))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_login() {
        let secret: Secret = serde_json::from_str(
            r#"{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,
                "warnings":null,"auth":{"client_token":"s.abc","accessor":"acc","policies":["default"],
                "token_policies":["default","app"],"metadata":null,"lease_duration":3600,"renewable":true,
                "entity_id":"","token_type":"service","orphan":true,"mfa_requirement":null,"num_uses":0}}"#,
        )
        .unwrap();
        let auth = secret.auth.unwrap();
        assert_eq!(auth.client_token.unwrap().expose(), "s.abc");
        assert_eq!(auth.accessor, "acc");
        assert_eq!(auth.token_policies, ["default", "app"]);
        assert_eq!((auth.lease_duration, auth.renewable), (3600, true));
    }

    #[test]
    fn reads_a_look_up() {
        let read = |text: &str| serde_json::from_str::<Secret>(text).unwrap().data;
        let data = read(
            r#"{"data":{"accessor":"acc","expire_time":"2026-01-02T03:04:05Z","policies":["root"],
                "renewable":true,"ttl":1799,"id":"s.abc"},"auth":null}"#,
        );
        assert_eq!((data.ttl, data.renewable), (1799, true));
        assert!(data.expire_time.is_some());
        assert_eq!(
            (data.accessor.as_str(), data.policies),
            ("acc", vec!["root".to_owned()])
        );
        let data = read(r#"{"data":{"expire_time":null,"ttl":0}}"#);
        assert!(data.expire_time.is_none() && data.ttl == 0);
        for text in ["{}", r#"{"data":null}"#, r#"{"data":["ttl"]}"#] {
            assert_eq!(read(text).ttl, 0, "{text}");
        }
    }

    #[test]
    fn strange_fields_count_as_empty() {
        for text in [
            "{}",
            r#"{"auth":null,"lease_duration":null}"#,
            r#"{"lease_duration":"soon"}"#,
            r#"{"lease_duration":-1}"#,
        ] {
            let secret: Secret = serde_json::from_str(text).unwrap();
            assert!(
                secret.auth.is_none() && secret.lease_duration == 0,
                "{text}"
            );
        }
        let text = r#"{"auth":{"client_token":"a\nb","lease_duration":2.9,"renewable":"yes","accessor":null}}"#;
        let auth = serde_json::from_str::<Secret>(text).unwrap().auth.unwrap();
        assert!(auth.client_token.is_none(), "a header cannot hold it");
        assert_eq!((auth.lease_duration, auth.renewable), (2, false));
        assert_eq!(auth.accessor, "");
    }

    #[test]
    fn no_credential_of_the_request_survives_in_a_message() {
        let token = Token::new("hvs.secret").unwrap();
        let call = Call {
            method: Method::POST,
            path: "auth/jwt/login",
            namespace: None,
            token: Some(&token),
            body: Some(Body(serde_json::json!({"role": "app", "jwt": "eyJ.x.y"}))),
            wrap_ttl: None,
        };
        assert_eq!(
            call.redact("role app: eyJ.x.y by hvs.secret is bad".to_owned()),
            "role app: (redacted) by (redacted) is bad"
        );
        assert!(!format!("{call:?}").contains("eyJ"), "{call:?}");
    }

    /// What STS says of a wrong signature holds all that was signed, the session token too.
    #[test]
    fn what_is_inside_a_signed_request_does_not_survive_in_a_message() {
        let token = "IQoJb3JpZ2luX2VjEJr/EXAMPLE//token+with/slashes==";
        let signature = "5c3aae11393bc39cf0e02fdcf6a01a9b563609e2e5885355283a77bfd7f58c1d";
        let headers = serde_json::json!({
            "Host": ["sts.ap-northeast-1.amazonaws.com"],
            "X-Amz-Security-Token": [token],
            "Authorization": [format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/sts/aws4_request, \
                                       SignedHeaders=host;x-amz-security-token, Signature={signature}")],
        });
        let query = "Action=GetCallerIdentity&SecurityToken=CAISnQJ1q6Ft5B2y%2FSyTaLoZ%2Bexample%3D&Signature=x";
        let url = format!("https://sts.cn-hangzhou.aliyuncs.com/?{query}");
        let call = Call {
            method: Method::POST,
            path: "auth/aws/login",
            namespace: None,
            wrap_ttl: None,
            token: None,
            body: Some(Body(serde_json::json!({
                "role": "app",
                "iam_request_headers": STANDARD.encode(headers.to_string()),
                "identity_request_url": STANDARD.encode(&url),
            }))),
        };
        let said = format!(
            "POST to sts.ap-northeast-1.amazonaws.com by app: SignatureDoesNotMatch: x-amz-security-token:{token} \
             {signature}; {query}; SecurityToken%3DCAISnQJ1q6Ft5B2y%252FSyTaLoZ%252Bexample%253D"
        );
        let told = call.redact(said);
        assert!(
            told.starts_with("POST to sts.ap-northeast-1.amazonaws.com by app: Sig"),
            "{told}"
        );
        for secret in ["IQoJ", "slashes", "5c3aae", "CAISnQ", "SyTaLoZ"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}
