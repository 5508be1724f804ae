//! `AdmissionReview` in, `AdmissionReview` out: from bytes to bytes, pure.
//!
//! The envelope is read first and what is below `object` stays text, so that a review whose pod cannot be read is still
//! answered with its uid: the API server then shows our message instead of "failed calling webhook".
//!
//! Invariant: an answer with status 200 carries the uid that was asked with.
//! Invariant: nothing of a pod but its name and namespace gets into [`Record`], which is logged.

mod wire;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use self::wire::{Request, Response, Unreadable};
use crate::admission::{self, Defaults, Verdict};

/// What is sent back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    pub record: Record,
}

/// What is known about one request, for the log.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub decision: Decision,
    /// Why, in words for an operator.
    pub reason: String,
    pub uid: String,
    pub namespace: String,
    /// The pod's name, or the `generateName` of one that has none yet.
    pub name: String,
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The agent was put into the pod.
    Patched,
    /// The agent was in the pod already.
    Unchanged,
    /// The pod did not ask, or is none of our business.
    Untouched,
    /// The pod asked for something that cannot be.
    Denied,
    /// The request is not a review that can be answered.
    #[default]
    Refused,
}

impl Decision {
    pub(crate) const ALL: [Self; 5] = [
        Self::Patched,
        Self::Unchanged,
        Self::Untouched,
        Self::Denied,
        Self::Refused,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::Unchanged => "unchanged",
            Self::Untouched => "untouched",
            Self::Denied => "denied",
            Self::Refused => "refused",
        }
    }
}

/// Answers the body of a request.
pub(crate) fn answer(body: &[u8], defaults: &Defaults) -> Answer {
    match wire::read(body) {
        Ok(request) => decide(&request, defaults),
        Err(Unreadable { uid, why }) if uid.is_empty() => refuse(StatusCode::BAD_REQUEST, why),
        Err(Unreadable { uid, why }) => {
            let record = Record {
                uid: uid.clone(),
                ..Record::default()
            };
            unreadable(&uid, why, record)
        }
    }
}

/// An answer that is no review; the API server shows its text after "failed calling webhook".
pub(crate) fn refuse(status: StatusCode, why: impl Into<String>) -> Answer {
    let reason = why.into();
    let body = Bytes::from(format!("{reason}\n"));
    let record = Record {
        reason,
        ..Record::default()
    };
    Answer {
        status,
        body,
        record,
    }
}

fn decide(request: &Request<'_>, defaults: &Defaults) -> Answer {
    let mut record = Record {
        uid: request.uid.to_string(),
        namespace: request.namespace.to_string(),
        name: request.name.to_string(),
        dry_run: request.dry_run.unwrap_or_default(),
        ..Record::default()
    };
    if !request.is_about_a_pod() {
        record.decision = Decision::Untouched;
        "not a pod".clone_into(&mut record.reason);
        return respond(Response::allowed(&request.uid), record);
    }
    let pod = match request
        .object
        .map(|object| serde_json::from_str(object.get()))
    {
        Some(Ok(pod)) => pod,
        Some(Err(error)) => {
            return unreadable(
                &request.uid,
                format!("the pod cannot be read: {error}"),
                record,
            );
        }
        None => Value::Null,
    };
    if pod.is_null() && request.operation == "CREATE" {
        return unreadable(&request.uid, "the review brings no pod".to_owned(), record);
    }
    name(&pod, &mut record);
    let asked = admission::Request {
        pod: &pod,
        namespace: &record.namespace,
        operation: &request.operation,
    };
    let verdict = admission::admit(&asked, defaults);
    let response = conclude(&request.uid, verdict, &mut record);
    respond(response, record)
}

fn conclude<'a>(uid: &'a str, verdict: Verdict, record: &mut Record) -> Response<'a> {
    let mut response = Response::allowed(uid);
    match verdict {
        Verdict::Untouched {
            why,
            warnings,
            audit,
        } => {
            record.decision = Decision::Untouched;
            record.reason = why;
            response.remark(warnings, audit);
        }
        Verdict::Patched {
            patch,
            warnings,
            audit,
            pod: _,
        } => {
            record.decision = if patch.is_empty() {
                Decision::Unchanged
            } else {
                Decision::Patched
            };
            response.patch(&patch);
            response.remark(warnings, audit);
        }
        Verdict::Denied {
            message,
            warnings,
            audit,
        } => {
            record.decision = Decision::Denied;
            // The message quotes annotations, which are the pod's.
            "the answer says which annotation or field".clone_into(&mut record.reason);
            response.deny(message, StatusCode::FORBIDDEN, "Forbidden");
            response.remark(warnings, audit);
        }
    }
    response
}

/// Names come from the object where the request has none, as before a `generateName` is expanded.
fn name(pod: &Value, record: &mut Record) {
    let text = |pointer: &str| {
        let text = pod.pointer(pointer).and_then(Value::as_str);
        // Names are checked after admission, so they may be anything here.
        text.unwrap_or_default()
            .chars()
            .take(253)
            .collect::<String>()
    };
    for pointer in ["/metadata/name", "/metadata/generateName"] {
        if record.name.is_empty() {
            record.name = text(pointer);
        }
    }
    if record.namespace.is_empty() {
        record.namespace = text("/metadata/namespace");
    }
}

fn unreadable(uid: &str, why: String, mut record: Record) -> Answer {
    record.decision = Decision::Denied;
    record.reason.clone_from(&why);
    let mut response = Response::allowed(uid);
    response.deny(why, StatusCode::BAD_REQUEST, "BadRequest");
    respond(response, record)
}

fn respond(response: Response<'_>, record: Record) -> Answer {
    Answer {
        status: StatusCode::OK,
        body: Bytes::from(response.into_json()),
        record,
    }
}

#[cfg(test)]
mod tests;
