//! Signature version 1.0 of Alibaba Cloud's RPC interfaces.
//!
//! Source: "Request syntax and signature method V2 for RPC APIs" in Alibaba Cloud's SDK documentation.
//!
//! Invariant: pure; time and nonce are among the parameters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use zeroize::Zeroizing;

use crate::auth::method::password::escaped;

/// The query with its signature. The parameters are in the order of their names, none of which needs an escape.
pub(super) fn signed(method: &str, parameters: &[(&str, &str)], secret: &str) -> String {
    debug_assert!(parameters.is_sorted(), "the canonical order");
    let mut query = String::new();
    for (name, value) in parameters {
        let separator = if query.is_empty() { "" } else { "&" };
        query.extend([separator, name, "=", &escaped(value)]);
    }
    let text = format!("{method}&%2F&{}", escaped(&query));
    let secret = Zeroizing::new(format!("{secret}&"));
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let signature = STANDARD.encode(sign(&key, text.as_bytes()));
    format!("{query}&Signature={}", escaped(&signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the documentation, which is for GET; and the same for POST.
    #[test]
    fn signs_the_published_example() {
        let parameters = [
            ("AccessKeyId", "testid"),
            ("Action", "DescribeRegions"),
            ("Format", "XML"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
            ("SignatureVersion", "1.0"),
            ("Timestamp", "2016-02-23T12:46:24Z"),
            ("Version", "2014-05-26"),
        ];
        for (method, signature) in [
            ("GET", "OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D"),
            ("POST", "MxbnVAM4w6sft9xjVpe%2FGCKueuk%3D"),
        ] {
            assert_eq!(
                signed(method, &parameters, "testsecret"),
                format!(
                    "AccessKeyId=testid&Action=DescribeRegions&Format=XML&SignatureMethod=HMAC-SHA1\
                     &SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&SignatureVersion=1.0\
                     &Timestamp=2016-02-23T12%3A46%3A24Z&Version=2014-05-26&Signature={signature}"
                )
            );
        }
    }
}
