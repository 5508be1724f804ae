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
use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::Value;

use self::wire::{Request, Response, Unreadable};
use crate::admission::reason::Reason;
use crate::admission::{self, Defaults, Verdict};

/// What is sent back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    pub record: Record,
    /// Of a pod that was really to be created.
    pub denial: Option<Box<Denial>>,
}

/// What is known about one request, for the log and the metrics.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub reason: Reason,
    /// The same in words for an operator.
    pub why: String,
    pub uid: String,
    pub namespace: String,
    /// The pod's name, or the `generateName` of one that has none yet.
    pub name: String,
    pub dry_run: bool,
}

/// A pod that is not coming, for whoever waits for it.
#[derive(Debug)]
pub(crate) struct Denial {
    /// What the caller is told.
    pub message: String,
    /// What made the pod; the pod itself where nothing did.
    pub about: ObjectReference,
}

/// Answers the body of a request.
pub(crate) fn answer(body: &[u8], defaults: &Defaults) -> Answer {
    match wire::read(body) {
        Ok(request) => decide(&request, defaults),
        Err(Unreadable { uid, why }) if uid.is_empty() => refuse(Reason::NotAReview, why),
        Err(Unreadable { uid, why }) => {
            let record = Record {
                uid: bounded(&uid),
                ..Record::default()
            };
            unreadable(&uid, why, record)
        }
    }
}

/// An answer that is no review; the API server shows its text after "failed calling webhook".
pub(crate) fn refuse(reason: Reason, why: impl Into<String>) -> Answer {
    let why = why.into();
    let status = match reason {
        Reason::Path => StatusCode::NOT_FOUND,
        Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
        Reason::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::TooSlow => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = Bytes::from(format!("{why}\n"));
    let record = Record {
        reason,
        why,
        ..Record::default()
    };
    Answer {
        status,
        body,
        record,
        denial: None,
    }
}

fn decide(request: &Request<'_>, defaults: &Defaults) -> Answer {
    let mut record = Record {
        uid: bounded(&request.uid),
        namespace: bounded(&request.namespace),
        name: bounded(&request.name),
        dry_run: request.dry_run.unwrap_or_default(),
        ..Record::default()
    };
    if !request.is_about_a_pod() {
        record.reason = Reason::NotAPod;
        "not a pod".clone_into(&mut record.why);
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
    let denial = denial(&verdict, &pod, &record);
    let response = conclude(&request.uid, verdict, &mut record);
    Answer {
        denial,
        ..respond(response, record)
    }
}

/// What a denial says and to whom. Trying out leaves no traces.
fn denial(verdict: &Verdict, pod: &Value, record: &Record) -> Option<Box<Denial>> {
    let Verdict::Denied { message, .. } = verdict else {
        return None;
    };
    (!record.dry_run).then(|| {
        Box::new(Denial {
            message: message.clone(),
            about: owner(pod, record),
        })
    })
}

/// The controller that made the pod, such as a `ReplicaSet`: the pod is never stored, and nobody could look at it.
fn owner(pod: &Value, record: &Record) -> ObjectReference {
    let owners = pod.pointer("/metadata/ownerReferences");
    let mut owners = owners.and_then(Value::as_array).into_iter().flatten();
    let controller = owners.find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let text = |key: &str| {
        let text = controller?.get(key)?.as_str()?;
        Some(text.chars().take(253).collect::<String>())
    };
    let is_named = text("kind").is_some() && text("name").is_some();
    let or_pod = |text: Option<String>, pods: &str| {
        Some(text.filter(|_| is_named).unwrap_or_else(|| pods.to_owned()))
    };
    ObjectReference {
        api_version: or_pod(text("apiVersion"), "v1"),
        kind: or_pod(text("kind"), "Pod"),
        name: or_pod(text("name"), &record.name),
        uid: text("uid").filter(|_| is_named),
        namespace: Some(record.namespace.clone()),
        ..ObjectReference::default()
    }
}

fn conclude<'a>(uid: &'a str, verdict: Verdict, record: &mut Record) -> Response<'a> {
    let mut response = Response::allowed(uid);
    match verdict {
        Verdict::Untouched {
            reason,
            why,
            warnings,
            audit,
        } => {
            record.reason = reason;
            record.why = why;
            response.remark(warnings, audit);
        }
        Verdict::Patched {
            patch,
            warnings,
            audit,
        } => {
            record.reason = if patch.is_empty() {
                Reason::Complete
            } else {
                Reason::Asked
            };
            response.patch(&patch);
            response.remark(warnings, audit);
        }
        Verdict::Denied {
            reason,
            message,
            warnings,
            audit,
        } => {
            record.reason = reason;
            // The message quotes annotations, which are the pod's.
            "the answer says which annotation or field".clone_into(&mut record.why);
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
        bounded(text.unwrap_or_default())
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

/// As much of a name as a valid one may have. Names are checked after admission, so they may be anything here.
fn bounded(name: &str) -> String {
    const LONGEST: usize = 253;
    if name.chars().nth(LONGEST).is_none() {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn unreadable(uid: &str, why: String, mut record: Record) -> Answer {
    record.reason = Reason::Review;
    record.why.clone_from(&why);
    let mut response = Response::allowed(uid);
    response.deny(why, StatusCode::BAD_REQUEST, "BadRequest");
    respond(response, record)
}

fn respond(response: Response<'_>, record: Record) -> Answer {
    Answer {
        status: StatusCode::OK,
        body: Bytes::from(response.into_json()),
        record,
        denial: None,
    }
}

#[cfg(test)]
mod tests;
