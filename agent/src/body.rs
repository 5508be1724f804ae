//! Bodies of requests and answers: what is there already, or what comes; read up to a limit, and put together again
//! where that was not the end.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as _, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why a body broke off.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way, in either direction.
pub(crate) enum Body {
    /// All of it, until it is taken.
    Whole(Option<Bytes>),
    Streamed(UnsyncBoxBody<Bytes, Cause>),
}

impl Body {
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    pub(crate) const fn empty() -> Self {
        Self::Whole(None)
    }

    pub(crate) fn streamed<B>(body: B) -> Self
    where
        B: hyper::body::Body<Data = Bytes, Error: Into<Cause>> + Send + 'static,
    {
        if body.is_end_stream() {
            return Self::Whole(None);
        }
        Self::Streamed(body.map_err(Into::into).boxed_unsync())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(length as u64)
            }
            Self::Streamed(body) => body.size_hint(),
        }
    }
}

/// A body, read as far as the limit allows.
pub(crate) enum Read {
    Whole(Bytes, Held),
    /// It is longer than the limit, or there is no room for it: what was read, and all that comes after it.
    Beyond(Body),
}

/// What the bodies of all requests together may take while they are read and asked with. Without it, the limit on one
/// body times the limit on connections would be many times what the agent is given.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// A body's part of the room, given back when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<OwnedSemaphorePermit>);

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Takes more of the room, or says that there is none.
    fn take(&self, held: &mut Held, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else {
            return false;
        };
        let Ok(more) = Arc::clone(&self.0).try_acquire_many_owned(bytes) else {
            return false;
        };
        match &mut held.0 {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        true
    }
}

/// Reads at most `limit` bytes, as long as there is room, and one frame beyond them. Trailers are dropped: Vault sends
/// none.
pub(crate) async fn read(mut body: Body, limit: usize, room: Option<&Room>) -> Result<Read, Cause> {
    let mut held = Held::default();
    let expected = body
        .size_hint()
        .exact()
        .and_then(|size| usize::try_from(size).ok());
    let mut bytes = BytesMut::with_capacity(expected.unwrap_or_default().min(limit));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let fits = room.is_none_or(|room| room.take(&mut held, data.len()));
        if fits && bytes.is_empty() && body.is_end_stream() && data.len() <= limit {
            return Ok(Read::Whole(data, held));
        }
        bytes.extend_from_slice(&data);
        if !fits || bytes.len() > limit {
            return Ok(Read::Beyond(after(bytes.freeze(), body)));
        }
    }
    Ok(Read::Whole(bytes.freeze(), held))
}

fn after(first: Bytes, rest: Body) -> Body {
    Body::streamed(Continued {
        first: Some(first),
        rest,
    })
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
            check(read(Body::full("hello"), limit, None).await.unwrap(), whole).await;
        }
    }

    #[tokio::test]
    async fn what_has_no_room_comes_out_whole_and_room_comes_back() {
        let room = Room::new(7);
        let first = read(Body::full("hello"), 9, Some(&room)).await.unwrap();
        check(
            read(Body::full("hello"), 9, Some(&room)).await.unwrap(),
            false,
        )
        .await;
        drop(first);
        check(
            read(Body::full("hello"), 9, Some(&room)).await.unwrap(),
            true,
        )
        .await;
    }

    async fn check(read: Read, whole: bool) {
        match read {
            Read::Whole(bytes, _) => assert!(whole && bytes == "hello"),
            Read::Beyond(body) => {
                assert!(!whole);
                assert_eq!(body.size_hint().exact(), Some(5));
                assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
            }
        }
    }
}
