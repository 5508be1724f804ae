//! `admission.k8s.io/v1`, as far as it is read and written here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::inject::patch::Operation;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    #[serde(borrow)]
    resource: Resource<'a>,
    #[serde(borrow, default)]
    sub_resource: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    #[serde(default)]
    pub dry_run: Option<bool>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(borrow)]
    resource: Cow<'a, str>,
}

impl Request<'_> {
    pub(super) fn is_about_a_pod(&self) -> bool {
        let is_whole = self
            .sub_resource
            .as_ref()
            .is_none_or(|name| name.is_empty());
        self.resource.group.is_empty() && self.resource.resource == "pods" && is_whole
    }
}

/// Why a body is no review that can be answered, and the uid as far as there was one.
pub(super) struct Unreadable {
    pub uid: String,
    pub why: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    request: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Uid<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
}

pub(super) fn read(body: &[u8]) -> Result<Request<'_>, Unreadable> {
    let without_uid = |why: String| Unreadable {
        uid: String::new(),
        why,
    };
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| {
        without_uid(format!(
            "the body is not an AdmissionReview: {}",
            said(&error)
        ))
    })?;
    let (version, kind) = (&*envelope.api_version, &*envelope.kind);
    if (version, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
        return Err(without_uid(format!(
            "{} of {} cannot be answered: this webhook speaks AdmissionReview of admission.k8s.io/v1 \
             (admissionReviewVersions: [v1])",
            shown(kind),
            shown(version),
        )));
    }
    let request = envelope
        .request
        .ok_or_else(|| without_uid("the review has no request".to_owned()))?
        .get();
    let uid = serde_json::from_str(request).map(|Uid { uid }| uid.into_owned());
    let uid = uid
        .ok()
        .filter(|uid| !uid.is_empty())
        .ok_or_else(|| without_uid("the review's request has no uid".to_owned()))?;
    serde_json::from_str(request).map_err(|error| {
        let why = format!("the review's request cannot be read: {}", said(&error));
        Unreadable { uid, why }
    })
}

/// What a reader says, which may quote what it read, as long as that is: whole but for its middle.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (start, end) = (text.chars().take(160), text.chars().rev().take(40));
    if text.chars().count() <= 200 {
        return text;
    }
    let end: Vec<char> = end.collect();
    start.chain(['…']).chain(end.into_iter().rev()).collect()
}

/// What came from outside, short enough for an answer and a log line.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    format!("{short:?}")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    /// Base64, as Go writes and reads `[]byte`.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Status {
    message: String,
    reason: &'static str,
    code: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: &'a Response<'a>,
}

impl<'a> Response<'a> {
    pub(super) fn allowed(uid: &'a str) -> Self {
        Self {
            uid,
            allowed: true,
            status: None,
            patch_type: None,
            patch: None,
            warnings: Vec::new(),
            audit_annotations: BTreeMap::new(),
        }
    }

    pub(super) fn patch(&mut self, operations: &[Operation]) {
        if operations.is_empty() {
            return;
        }
        let json = serde_json::to_vec(operations).expect("paths and JSON values can be written");
        self.patch = Some(STANDARD.encode(json));
        self.patch_type = Some("JSONPatch");
    }

    pub(super) fn deny(&mut self, message: String, code: StatusCode, reason: &'static str) {
        self.allowed = false;
        self.status = Some(Status {
            message,
            reason,
            code: code.as_u16(),
        });
    }

    pub(super) fn remark(&mut self, warnings: Vec<String>, audit: Vec<(String, String)>) {
        self.warnings = warnings;
        self.audit_annotations = audit.into_iter().collect();
    }

    pub(super) fn into_json(self) -> Vec<u8> {
        let review = Review {
            api_version: "admission.k8s.io/v1",
            kind: "AdmissionReview",
            response: &self,
        };
        serde_json::to_vec(&review).expect("text, booleans and numbers can be written")
    }
}
