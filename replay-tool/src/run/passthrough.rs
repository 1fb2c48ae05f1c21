//! The command's output on this process's own streams, and what to do when one of them breaks.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tachograph_engine::domain::Stream;
use tokio::io::AsyncWrite;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::patient::Patient;

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

/// A stream to pass output through to, also one that does not wait for its reader by itself.
///
/// It is written to by a thread that may wait. What is being written is told as written; whether it was, the next step says.
pub(super) struct Sink {
    stream: Stream,
    breakage: Arc<Breakage>,
    writing: Option<JoinHandle<(Vec<u8>, io::Result<()>)>>,
    /// Room for the next piece.
    piece: Vec<u8>,
}

impl Sink {
    /// Standard output.
    pub(super) fn stdout(breakage: Arc<Breakage>) -> Self {
        Self::of(Stream::Stdout, breakage)
    }

    /// Standard error.
    pub(super) fn stderr(breakage: Arc<Breakage>) -> Self {
        Self::of(Stream::Stderr, breakage)
    }

    fn of(stream: Stream, breakage: Arc<Breakage>) -> Self {
        Self { stream, breakage, writing: None, piece: Vec::new() }
    }

    /// Ready once nothing is being written.
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        let (piece, written) =
            ready!(Pin::new(writing).poll(context)).unwrap_or_else(|error| (Vec::new(), Err(io::Error::other(error))));
        (self.writing, self.piece) = (None, piece);
        if let Err(error) = &written {
            self.breakage.note(self.stream, error);
        }
        Poll::Ready(written)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(context))?;
        let (stream, mut piece) = (self.stream, std::mem::take(&mut self.piece));
        piece.clear();
        piece.extend_from_slice(bytes);
        self.writing = Some(spawn_blocking(move || {
            let written = match stream {
                Stream::Stdout => write_all(io::stdout(), &piece),
                Stream::Stderr => write_all(io::stderr(), &piece),
            };
            (piece, written)
        }));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(context)
    }
}

fn write_all(to: impl AsFd + Write, bytes: &[u8]) -> io::Result<()> {
    let mut to = Patient(to);
    to.write_all(bytes).and_then(|()| to.flush())
}
