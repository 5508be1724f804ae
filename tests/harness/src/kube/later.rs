//! A body that comes in one piece, now or later.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::Value;

type Piece = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

pub(super) struct Later(Option<Piece>);

impl Later {
    pub(super) fn new(piece: impl Future<Output = Option<Bytes>> + Send + 'static) -> Self {
        Self(Some(Box::pin(piece)))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "whoever has made an answer is done with it"
    )]
    pub(super) fn now(value: Value) -> Self {
        Self::new(std::future::ready(Some(Bytes::from(value.to_string()))))
    }
}

impl Body for Later {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(piece) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let bytes = ready!(piece.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
