//! The calls of a connection: how many there are, and that no answer waits for ever to be taken.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};
use tower::Service;

use crate::domain::peer::Peer;
use crate::server::connections::Connections;
use crate::server::line::PROGRESS_BYTES;

/// How many bytes the preface of HTTP/2 has.
const PREFACE_BYTES: usize = 24;

/// What happens on a connection, as far as its end depends on it.
pub(super) struct Activity {
    begun: Instant,
    bytes_read: AtomicUsize,
    calls: AtomicUsize,
    /// When the last call ended, in milliseconds since the connection began.
    last_end: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), bytes_read: AtomicUsize::new(0), calls: AtomicUsize::new(0), last_end: AtomicU64::new(0) }
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    pub(super) fn read(&self, bytes: usize) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the client has sent the preface of HTTP/2, or a request of HTTP/1 or as much of one: that has its own time limit.
    pub(super) fn has_begun(&self) -> bool {
        self.bytes_read.load(Ordering::Relaxed) >= PREFACE_BYTES
            || self.calls.load(Ordering::Relaxed) > 0
            || self.last_end.load(Ordering::Relaxed) > 0
    }

    /// Since when no call has been in flight; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.calls.load(Ordering::Relaxed) == 0;
        idle.then(|| self.begun + Duration::from_millis(self.last_end.load(Ordering::Relaxed)))
    }

    fn call(self: &Arc<Self>) -> Call {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Call(self.clone())
    }
}

/// A call in flight, from its headers to the end of its answer.
struct Call(Arc<Activity>);

impl Drop for Call {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_end.fetch_max(now, Ordering::Relaxed);
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves the calls of one connection.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) router: Router,
    pub(super) peer: Peer,
    pub(super) activity: Arc<Activity>,
}

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let call = self.activity.call();
        request.extensions_mut().insert(self.peer.clone());
        let answered = self.router.clone().call(request);
        Box::pin(async move { Ok(answered.await?.map(|body| Answer { body, rest: Bytes::new(), _call: call })) })
    }
}

tokio::task_local! {
    /// Since when the stream that the current task serves has waited for its peer to take more of the answer.
    static WAITING_SINCE: Cell<Option<Instant>>;
}

/// The body of an answer: handed out in parts, so that what waits for the peer stays small.
pub(super) struct Answer {
    body: Body,
    /// What of the last frame has not been handed out.
    rest: Bytes,
    _call: Call,
}

impl Answer {
    /// The next part; only HTTP/2 keeps parts that its peer has no room for.
    fn part(&mut self) -> Frame<Bytes> {
        let waits = WAITING_SINCE.try_with(|since| since.set(Some(Instant::now()))).is_ok();
        let length = if waits { self.rest.len().min(PROGRESS_BYTES) } else { self.rest.len() };
        Frame::data(self.rest.split_to(length))
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // The peer has taken what was handed out; now it waits for us.
        let _ = WAITING_SINCE.try_with(|since| since.set(None));
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.part())));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            Ok(match frame?.into_data() {
                Ok(data) => {
                    self.rest = data;
                    self.part()
                }
                Err(trailers) => trailers,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest + body.lower());
        if let Some(upper) = body.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

/// Runs the streams of HTTP/2, and resets those whose peers take nothing for too long.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) stall_timeout: Duration,
    pub(super) connections: Arc<Connections>,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let Self { stall_timeout, connections } = self.clone();
        let serve = async move {
            tokio::select! {
                biased;
                _ = stream => {}
                () = stalled(stall_timeout) => Connections::count(&connections.streams_stalled),
            }
        };
        tokio::spawn(WAITING_SINCE.scope(Cell::new(None), serve));
    }
}

/// Ends when the stream of the current task has waited too long for its peer. Looked at once in a while, for that is all that most cost.
async fn stalled(timeout: Duration) {
    let mut next = Instant::now() + timeout;
    loop {
        sleep_until(next).await;
        let waiting_since = WAITING_SINCE.with(Cell::get).unwrap_or_else(Instant::now);
        next = waiting_since + timeout;
        if next <= Instant::now() {
            return;
        }
    }
}
