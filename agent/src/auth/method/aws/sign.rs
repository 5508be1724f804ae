//! AWS Signature Version 4, as far as requests without odd paths and queries need it.
//!
//! Source: "Signing AWS API requests" in the IAM User Guide (canonical request, string to sign, derived key).
//!
//! Invariant: pure; the time is an argument.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, Tag, sign};
use zeroize::Zeroizing;

use crate::auth::method::access_key::AccessKey;
use crate::clock::Moment;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed. The path is `/`, and the headers are all that are sent but `Authorization`.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// In canonical form: sorted, and escaped as RFC 3986 has it.
    pub(super) query: &'a str,
    /// By their names in lower case.
    pub(super) headers: &'a [(&'static str, String)],
    pub(super) body: &'a str,
}

/// The value of `Authorization`. The headers must hold `X-Amz-Date` with the same time.
pub(super) fn authorization(
    request: &Request<'_>,
    key: &AccessKey,
    region: &str,
    service: &str,
    now: Moment,
) -> String {
    let time = now.basic();
    let date = time.split('T').next().unwrap_or_default();
    let scope = format!("{date}/{region}/{service}/aws4_request");
    debug_assert!(
        request
            .headers
            .is_sorted_by_key(|(name, _)| name.to_ascii_lowercase()),
        "the canonical order"
    );
    let (names, headers) = canonical(request.headers);
    let canonical = format!(
        "{}\n/\n{}\n{headers}\n{names}\n{}",
        request.method,
        request.query,
        hex(digest(&SHA256, request.body.as_bytes()).as_ref()),
    );
    let canonical = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
    let text = format!("{ALGORITHM}\n{time}\n{scope}\n{canonical}");
    let secret = Zeroizing::new(format!("AWS4{}", key.secret.as_str()));
    let mut derived = hmac(secret.as_bytes(), date);
    for part in [region, service, "aws4_request"] {
        derived = hmac(derived.as_ref(), part);
    }
    let signature = hex(hmac(derived.as_ref(), &text).as_ref());
    let id = &key.id;
    format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

/// The names, and a line for each header; in lower case, the values without superfluous blanks.
fn canonical(headers: &[(&'static str, String)]) -> (String, String) {
    let (mut names, mut lines) = (String::new(), String::new());
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(&name);
        lines.extend([name.as_str(), ":", &value, "\n"]);
    }
    (names, lines)
}

fn hmac(key: &[u8], text: &str) -> Tag {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes all that is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

    /// The key of the published examples.
    fn key() -> AccessKey {
        AccessKey::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            None,
        )
    }

    fn check(
        request: &Request<'_>,
        (region, service, time): (&str, &str, &str),
        names: &str,
        signature: &str,
    ) {
        let now = Moment::parse(time).unwrap();
        let date = time.split('T').next().unwrap().replace('-', "");
        assert_eq!(
            authorization(request, &key(), region, service, now),
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{date}/{region}/{service}/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            )
        );
    }

    fn with_date(headers: &[(&'static str, &str)], date: &str) -> Vec<(&'static str, String)> {
        let date = [("X-Amz-Date", date)];
        let given = headers.iter().chain(&date);
        let mut given: Vec<_> = given
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        given.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        given
    }

    /// Of AWS's published test suite for Signature Version 4, by the names that the cases have there; and the example
    /// of the documentation.
    #[test]
    fn signs_the_published_examples() {
        let host = ("Host", "example.amazonaws.com");
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let utf8 = "application/x-www-form-urlencoded; charset=utf-8";
        let plain = "host;x-amz-date";
        let typed = "content-type;host;x-amz-date";
        for (case, method, query, headers, body, names, signature) in [
            (
                "get-vanilla",
                "GET",
                "",
                vec![host],
                "",
                plain,
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "Param1=value1&Param2=value2",
                vec![host],
                "",
                plain,
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                "POST",
                "",
                vec![host],
                "",
                plain,
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                "",
                vec![host, form],
                "Param1=value1",
                typed,
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "IAM ListUsers",
                "GET",
                "Action=ListUsers&Version=2010-05-08",
                vec![("Host", "iam.amazonaws.com"), ("Content-Type", utf8)],
                "",
                typed,
                "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
        ] {
            let service = if case.starts_with("IAM") {
                "iam"
            } else {
                "service"
            };
            let headers = with_date(&headers, "20150830T123600Z");
            let headers = headers.as_slice();
            let request = Request {
                method,
                query,
                headers,
                body,
            };
            check(
                &request,
                ("us-east-1", service, "2015-08-30T12:36:00Z"),
                names,
                signature,
            );
        }
    }

    /// What botocore 1.44.5 makes of the request that Vault wants signed.
    #[test]
    fn signs_a_caller_identity_as_the_library_of_aws_does() {
        let utf8 = "application/x-www-form-urlencoded; charset=utf-8";
        for (region, host, more, names, signature) in [
            (
                "us-east-1",
                "sts.amazonaws.com",
                vec![],
                "",
                "654c2f9b8e336b65ff3b2f7fc0c1c88d14f6f0efb2ec02ee24d0ea9a1cbd1a40",
            ),
            (
                "eu-central-1",
                "sts.eu-central-1.amazonaws.com",
                vec![("X-Amz-Security-Token", "IQoJb3JpZ2luX2VjEXAMPLE//token+==")],
                ";x-amz-security-token",
                "5c3aae11393bc39cf0e02fdcf6a01a9b563609e2e5885355283a77bfd7f58c1d",
            ),
            (
                "cn-north-1",
                "sts.cn-north-1.amazonaws.com.cn",
                vec![
                    ("X-Amz-Security-Token", "t"),
                    ("X-Vault-AWS-IAM-Server-ID", "vault.example  one "),
                ],
                ";x-amz-security-token;x-vault-aws-iam-server-id",
                "cf46513eb97560ce9e460af42b79d904eda9af5a6c40435ae6e6a0f8210e0374",
            ),
        ] {
            let given = [vec![("Content-Type", utf8), ("Host", host)], more].concat();
            let headers = with_date(&given, "20260102T030405Z");
            let request = Request {
                method: "POST",
                query: "",
                headers: &headers,
                body: BODY,
            };
            let names = format!("content-type;host;x-amz-date{names}");
            check(
                &request,
                (region, "sts", "2026-01-02T03:04:05Z"),
                &names,
                signature,
            );
        }
    }
}
