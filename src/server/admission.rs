//! Admission at the doors: how calls leave their places, and that a slow sender takes none.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::app::{End, Slot};
use crate::error::Error;

/// How a call ended, by its answer. A gRPC error stands in the headers, where nothing else of the answer is.
pub(super) fn end(response: &Response) -> End {
    let code = response.headers().get("grpc-status").map_or("0", |status| status.to_str().unwrap_or_default());
    match (code, response.status()) {
        // DEADLINE_EXCEEDED
        ("4", _) | (_, StatusCode::GATEWAY_TIMEOUT) => End::GivenUp,
        ("0", status) if status.is_success() => End::Served,
        _ => End::Refused,
    }
}

/// Has the call rest in its slot while its body is waited for.
pub(super) fn resting(request: Request, slot: &Arc<Slot>) -> Request {
    if HttpBody::is_end_stream(request.body()) {
        return request;
    }
    request.map(|body| Body::new(Resting { body, slot: slot.clone() }))
}

/// The body of a call that has a slot.
struct Resting {
    body: Body,
    slot: Arc<Slot>,
}

impl HttpBody for Resting {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => {
                self.slot.rest();
                Poll::Pending
            }
            Poll::Ready(frame) => match self.slot.resume() {
                Ok(()) => Poll::Ready(frame.map(|frame| frame.map_err(axum::BoxError::from))),
                // Nobody sees this error: the guard tells what the slot says.
                Err(error) => Poll::Ready(Some(Err(Box::new(error)))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

/// What a call whose place was taken while its body came is told instead of anything else.
pub(super) fn refusal(slot: &Slot) -> Option<Error> {
    slot.was_refused().then_some(Error::Overloaded)
}
