//! The bytes of a connection: that some came, and that a peer who takes none is left.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::server::call::Activity;

/// How many bytes a peer must take in the time that it has, so that one who takes a byte now and then is left, too.
pub(super) const PROGRESS_BYTES: usize = 32 * 1024;

/// A stream of bytes that counts what it reads, and fails when its peer takes too little of what is written.
pub(super) struct Line<S> {
    stream: S,
    activity: Arc<Activity>,
    stall_timeout: Duration,
    /// Runs while the peer takes less than it is sent.
    blocked: Option<Pin<Box<Sleep>>>,
    /// How much it took since.
    taken: usize,
}

impl<S> Line<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, stall_timeout: Duration) -> Self {
        Self { stream, activity, stall_timeout, blocked: None, taken: 0 }
    }

    /// Keeps time of a write: `Ok` with how many bytes went out, `Pending` while the peer takes none.
    fn kept(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.taken = self.taken.saturating_add(bytes);
                if self.taken >= PROGRESS_BYTES {
                    self.unblocked();
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let timeout = self.stall_timeout;
                let blocked = self.blocked.get_or_insert_with(|| {
                    self.taken = 0;
                    Box::pin(sleep(timeout))
                });
                ready!(blocked.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
            }
        }
    }

    fn unblocked(&mut self) {
        self.blocked = None;
        self.taken = 0;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.activity.read(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.kept(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.kept(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context).map_ok(|()| 0);
        ready!(self.kept(flushed, context))?;
        // The peer has all that there is.
        self.unblocked();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context).map_ok(|()| 0);
        self.kept(closed, context).map_ok(|_| ())
    }
}
