//! The command's output on this process's own streams, and what to do when one of them breaks.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::sync::Notify;

/// The first failure of standard output.
#[derive(Debug, Default)]
pub(super) struct Breakage {
    error: Mutex<Option<io::Error>>,
    reader_left: Notify,
}

impl Breakage {
    /// Returns once the reader went away; after that, never again.
    pub(super) async fn reader_left(&self) {
        self.reader_left.notified().await;
    }

    /// Takes the failure, unless it is only that the reader went away.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.reader_left.notify_one();
        } else {
            let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| io::Error::new(error.kind(), error.to_string()));
        }
    }
}

/// A stream to pass output through to.
pub(super) struct Sink {
    to: Box<dyn AsyncWrite + Send + Unpin>,
    breakage: Option<Arc<Breakage>>,
}

impl Sink {
    /// Standard output; its failures are noted.
    pub(super) fn stdout(breakage: Arc<Breakage>) -> Self {
        Self { to: Box::new(tokio::io::stdout()), breakage: Some(breakage) }
    }

    /// Standard error; nobody would see its failures.
    pub(super) fn stderr() -> Self {
        Self { to: Box::new(tokio::io::stderr()), breakage: None }
    }

    fn noting<T>(&self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let (Poll::Ready(Err(error)), Some(breakage)) = (&poll, &self.breakage) {
            breakage.note(error);
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
