//! The command's output on this process's own streams, and what to do when one of them breaks.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tachograph_engine::domain::Stream;
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

/// What broke: the first failure of standard output, and readers of either stream that went away.
#[derive(Debug, Default)]
pub(super) struct Breakage {
    error: Mutex<Option<io::Error>>,
    stdout_left: Notify,
    stderr_left: Notify,
}

impl Breakage {
    /// Returns once the reader of a stream went away; after that, never again for this stream.
    pub(super) async fn reader_left(&self) -> Stream {
        tokio::select! {
            () = self.stdout_left.notified() => Stream::Stdout,
            () = self.stderr_left.notified() => Stream::Stderr,
        }
    }

    /// Takes the failure, unless it is only that the reader went away.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, stream: Stream, error: &io::Error) {
        match (error.kind(), stream) {
            (io::ErrorKind::BrokenPipe, Stream::Stdout) => self.stdout_left.notify_one(),
            (io::ErrorKind::BrokenPipe, Stream::Stderr) => self.stderr_left.notify_one(),
            (_, Stream::Stdout) => {
                let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| io::Error::new(error.kind(), error.to_string()));
            }
            // Nobody would see that standard error fails.
            (_, Stream::Stderr) => {}
        }
    }
}

/// A stream to pass output through to.
pub(super) struct Sink {
    to: Box<dyn AsyncWrite + Send + Unpin>,
    stream: Stream,
    breakage: Arc<Breakage>,
}

impl Sink {
    /// Standard output.
    pub(super) fn stdout(breakage: Arc<Breakage>) -> Self {
        Self { to: Box::new(tokio::io::stdout()), stream: Stream::Stdout, breakage }
    }

    /// Standard error.
    pub(super) fn stderr(breakage: Arc<Breakage>) -> Self {
        Self { to: Box::new(tokio::io::stderr()), stream: Stream::Stderr, breakage }
    }

    fn noting<T>(&self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &poll {
            self.breakage.note(self.stream, error);
        }
        poll
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.to).poll_write(context, bytes);
        self.noting(poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.to).poll_flush(context);
        self.noting(poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.to).poll_shutdown(context);
        self.noting(poll)
    }
}
