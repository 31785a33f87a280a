//! The calls of a connection: how many there are, and that no answer waits for ever to be taken.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{self, Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until, timeout};
use tower::Service;

use crate::domain::peer::Peer;
use crate::server::connections::Connections;
use crate::server::entry::Entry;
use crate::server::line::PROGRESS_BYTES;

/// How many bytes the preface of HTTP/2 has.
const PREFACE_BYTES: usize = 24;

/// How much of the body of a refused call is read, and for how long.
const MAX_DRAINED_BYTES: usize = 64 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

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

    /// Begins a call, and says how many are in flight with it.
    fn call(self: &Arc<Self>) -> (Call, usize) {
        let others = self.calls.fetch_add(1, Ordering::Relaxed);
        (Call(self.clone()), others + 1)
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
    pub(super) entry: Arc<Entry>,
    pub(super) peer: Peer,
    pub(super) activity: Arc<Activity>,
}

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let (call, in_flight) = self.activity.call();
        let answer = |body| Answer { body, rest: Bytes::new(), _call: call };
        if let Some(refused) = self.entry.answer(&mut request, in_flight) {
            let _ = REFUSED.try_with(|last| last.set(true));
            return Box::pin(async move {
                drain(request.into_body()).await;
                Ok(refused.map(answer))
            });
        }
        request.extensions_mut().insert(self.peer.clone());
        let answered = self.router.clone().call(request);
        Box::pin(async move { Ok(answered.await?.map(answer)) })
    }
}

/// Reads what comes of the body of a call that is refused. Were it refused before, its stream would be reset, and the bytes that are on their
/// way be an error of the client, who has made none: after 256 of them the connection would be closed.
async fn drain(mut body: Incoming) {
    let mut drained = 0;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > MAX_DRAINED_BYTES {
                return;
            }
        }
    };
    let _ = timeout(DRAIN_TIMEOUT, reading).await;
}

tokio::task_local! {
    /// Whether the call that the current connection began last was refused, so that its stream is over as soon as it is looked at.
    pub(super) static REFUSED: Cell<bool>;
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
        let frame = task::ready!(Pin::new(&mut self.body).poll_frame(context));
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
        if REFUSED.try_with(|last| last.replace(false)).unwrap_or(false) {
            // No task for what is a few headers, unless a body is waited for.
            let mut stream = Box::pin(stream);
            if stream.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                self.spawn(stream);
            }
        } else {
            self.spawn(stream);
        }
    }
}

impl Streams {
    fn spawn<F>(&self, stream: F)
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
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
async fn stalled(limit: Duration) {
    let mut next = Instant::now() + limit;
    loop {
        sleep_until(next).await;
        let waiting_since = WAITING_SINCE.with(Cell::get).unwrap_or_else(Instant::now);
        next = waiting_since + limit;
        if next <= Instant::now() {
            return;
        }
    }
}
