//! Bodies: read up to a limit, and put together again where that was not the end.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::vault::Body;

/// Why a body broke off.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A body, read as far as the limit allows.
pub(crate) enum Read {
    Whole(Bytes),
    /// It is longer than the limit: what was read, and all that comes after it.
    Beyond(Body),
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Reads at most `limit` bytes, and one frame beyond them. Trailers are dropped: Vault sends none.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Read, Cause> {
    let expected = body
        .size_hint()
        .exact()
        .and_then(|size| usize::try_from(size).ok());
    let mut bytes = BytesMut::with_capacity(expected.unwrap_or_default().min(limit));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if bytes.is_empty() && body.is_end_stream() && data.len() <= limit {
            return Ok(Read::Whole(data));
        }
        bytes.extend_from_slice(&data);
        if bytes.len() > limit {
            return Ok(Read::Beyond(after(bytes.freeze(), body)));
        }
    }
    Ok(Read::Whole(bytes.freeze()))
}

fn after(first: Bytes, rest: Body) -> Body {
    Continued {
        first: Some(first),
        rest,
    }
    .boxed_unsync()
}

/// What was read already, then the rest.
struct Continued {
    first: Option<Bytes>,
    rest: Body,
}

impl hyper::body::Body for Continued {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(read + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(read + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_over_the_limit_comes_out_whole() {
        for (limit, whole) in [(5, true), (4, false), (0, false)] {
            match read(full("hello"), limit).await.unwrap() {
                Read::Whole(bytes) => assert!(whole && bytes == "hello", "{limit}"),
                Read::Beyond(body) => {
                    assert!(!whole, "{limit}");
                    assert_eq!(body.size_hint().exact(), Some(5));
                    assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
                }
            }
        }
    }
}
