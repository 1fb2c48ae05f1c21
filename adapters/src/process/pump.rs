//! One output stream, from its pipe to its file.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use tachograph_engine::domain::{Digest, Stream, StreamReceipt};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::output_cap::SharedCap;
use crate::lock::lock;
use crate::threads::blocking;

/// Memory per stream, once more came at a time than fits into what it begins with: most commands print little or nothing.
const BUFFER_BYTES: usize = 64 * 1_024;
const FIRST_BUFFER_BYTES: usize = 4 * 1_024;
/// What may be taken from a pipe after the deadline: more than one can hold, so that nothing that was written before
/// is lost, and bounded, since somebody may go on writing for ever.
const SWEEP_BYTES_MAX: u64 = 1_024 * 1_024;

/// What one stream delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pumped {
    /// What was received.
    pub(super) receipt: StreamReceipt,
    /// How much of it is on disk.
    pub(super) kept_bytes: u64,
    /// Why not all of it is, or not all of it was received; a limit is no such reason.
    pub(super) lost: Option<String>,
    /// Whether the stream was read to its end.
    pub(super) ended: bool,
}

/// How much is in the file of a stream's beginning, for those who read it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kept {
    pub(super) bytes: u64,
    /// Nothing will follow.
    pub(super) finished: bool,
}

/// A task that reads a pipe into a file until its end, or until it is told to close it.
///
/// It is a task of its own, so that no cancelled wait can lose a byte. When the file cannot take more, the pipe is
/// still read, counted and hashed: a full disk must not block the child.
#[derive(Debug)]
pub(super) struct Pump {
    task: JoinHandle<()>,
    capture: Arc<Mutex<Capture>>,
    close: watch::Sender<bool>,
    kept: watch::Receiver<Kept>,
    finished: bool,
}

impl Pump {
    /// Starts the task. `cap` is what may be kept, if that is bounded.
    pub(super) fn start(
        pipe: impl AsyncRead + Send + Unpin + 'static,
        file: Arc<File>,
        cap: Option<(SharedCap, Stream)>,
    ) -> Self {
        let (close, closing) = watch::channel(false);
        let (progress, kept) = watch::channel(Kept::default());
        let capture = Arc::new(Mutex::new(Capture {
            file,
            cap,
            progress,
            hasher: blake3::Hasher::new(),
            received: 0,
            lost: None,
            ended: false,
        }));
        let task = tokio::spawn(run(pipe, capture.clone(), closing));
        Self { task, capture, close, kept, finished: false }
    }

    /// Returns once the stream is at its end. May be dropped and called again.
    pub(super) async fn finished(&mut self) {
        if !self.finished {
            if let Err(error) = (&mut self.task).await {
                lock(&self.capture).lose(format!("the pump stopped: {error}"));
            }
            self.finished = true;
        }
    }

    /// Takes what the pipe holds by now, closes it, and says what was received.
    pub(super) async fn close(mut self) -> Pumped {
        self.close.send_replace(true);
        self.finished().await;
        lock(&self.capture).pumped()
    }

    /// Closes the pipe from elsewhere, while this is waited for.
    pub(super) fn closer(&self) -> PipeCloser {
        PipeCloser(self.close.clone())
    }

    /// How much is in the file, now and later.
    pub(super) fn kept(&self) -> watch::Receiver<Kept> {
        self.kept.clone()
    }
}

/// Closes the pipe of one pump. The pump takes what the pipe holds by then, and does not count as read to its end.
#[derive(Debug)]
pub(super) struct PipeCloser(watch::Sender<bool>);

impl PipeCloser {
    pub(super) fn close(&self) {
        self.0.send_replace(true);
    }
}

async fn run(
    mut pipe: impl AsyncRead + Send + Unpin,
    capture: Arc<Mutex<Capture>>,
    mut closing: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; FIRST_BUFFER_BYTES];
    loop {
        let read = tokio::select! {
            read = pipe.read(&mut buffer) => read,
            () = told_to_close(&mut closing) => break sweep(&mut pipe, &capture, buffer).await,
        };
        match read {
            Ok(0) => break lock(&capture).ended = true,
            Ok(bytes) => match keep(&capture, buffer, bytes).await {
                Some(again) => buffer = again,
                None => break,
            },
            Err(error) => break lock(&capture).lose(format!("cannot read the stream: {error}")),
        }
    }
    let capture = lock(&capture);
    capture.progress.send_modify(|kept| kept.finished = true);
}

/// Returns when the pump is told to close; a dropped sender means that nobody waits for more.
async fn told_to_close(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|close| *close).await;
}

/// Takes what is in the pipe at this moment, without waiting.
async fn sweep(pipe: &mut (impl AsyncRead + Unpin), capture: &Arc<Mutex<Capture>>, mut buffer: Vec<u8>) {
    buffer.resize(BUFFER_BYTES, 0);
    let mut swept = 0;
    while swept < SWEEP_BYTES_MAX {
        // Without the scheduler's budget, which would end the sweep early by pretending that nothing is there.
        let read = tokio::task::unconstrained(poll_fn(|context| {
            let mut target = ReadBuf::new(&mut buffer);
            Poll::Ready(match Pin::new(&mut *pipe).poll_read(context, &mut target) {
                Poll::Ready(Ok(())) => Some(target.filled().len()),
                Poll::Ready(Err(_)) | Poll::Pending => None,
            })
        }));
        match read.await {
            Some(0) => return lock(capture).ended = true,
            Some(bytes) => match keep(capture, buffer, bytes).await {
                Some(again) => buffer = again,
                None => return,
            },
            None => return,
        }
        swept += BUFFER_BYTES as u64;
    }
}

/// Writes one chunk where blocking does no harm, and gives the buffer back, or a larger one if that was full.
async fn keep(capture: &Arc<Mutex<Capture>>, buffer: Vec<u8>, bytes: usize) -> Option<Vec<u8>> {
    let taker = capture.clone();
    let taken = blocking(move || {
        lock(&taker).take(&buffer[..bytes]);
        let mut buffer = buffer;
        if bytes == buffer.len() {
            buffer.resize(BUFFER_BYTES, 0);
        }
        buffer
    });
    let again = taken.await;
    if again.is_none() {
        lock(capture).lose("a chunk could not be kept: the runtime is going away".to_owned());
    }
    again
}

/// What of a stream has arrived so far.
#[derive(Debug)]
struct Capture {
    file: Arc<File>,
    cap: Option<(SharedCap, Stream)>,
    progress: watch::Sender<Kept>,
    hasher: blake3::Hasher,
    received: u64,
    lost: Option<String>,
    ended: bool,
}

impl Capture {
    fn take(&mut self, chunk: &[u8]) {
        let from = self.received;
        self.hasher.update(chunk);
        self.received += chunk.len() as u64;
        if self.lost.is_some() {
            return;
        }
        let fits = self.cap.as_ref().map_or(chunk.len(), |(cap, _)| lock(cap).reserve(chunk.len()));
        let (mut head, tail) = chunk.split_at(fits);
        while !head.is_empty() {
            match (&*self.file).write(head) {
                Ok(0) => return self.lose("the file takes no more".to_owned()),
                Ok(written) => {
                    head = &head[written..];
                    self.progress.send_modify(|kept| kept.bytes += written as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.lose(format!("cannot write the file: {error}")),
            }
        }
        let kept = match &self.cap {
            Some((cap, stream)) if !tail.is_empty() => lock(cap).keep(*stream, from + fits as u64, tail),
            Some(_) | None => Ok(()),
        };
        if let Err(error) = kept {
            self.lose(format!("cannot write the end: {error}"));
        }
    }

    /// The first reason stays.
    fn lose(&mut self, why: String) {
        self.lost.get_or_insert(why);
    }

    fn pumped(&self) -> Pumped {
        Pumped {
            receipt: StreamReceipt { bytes: self.received, digest: Digest(*self.hasher.finalize().as_bytes()) },
            kept_bytes: self.progress.borrow().bytes
                + self.cap.as_ref().map_or(0, |(cap, stream)| lock(cap).tail_bytes(*stream)),
            lost: self.lost.clone(),
            ended: self.ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::Ordinal;
    use tachograph_engine::domain::testing::ids;
    use tokio::io::AsyncWriteExt;

    use super::super::directory::AttemptDirectory;
    use super::super::output_cap::OutputCap;
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    fn receipt(content: &[u8]) -> StreamReceipt {
        StreamReceipt { bytes: content.len() as u64, digest: Digest(*blake3::hash(content).as_bytes()) }
    }

    fn content(file: &File) -> Vec<u8> {
        use std::os::unix::fs::FileExt;
        let mut content = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut content, 0).unwrap();
        content
    }

    #[tokio::test]
    async fn all_bytes_are_kept_counted_and_hashed() {
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let (mut writer, pipe) = tokio::io::duplex(1_000);
        let file = file();
        let mut pump = Pump::start(pipe, file.clone(), None);
        writer.write_all(&sent).await.unwrap();
        drop(writer);
        pump.finished().await;
        let pumped = pump.close().await;
        assert_eq!(pumped, Pumped { receipt: receipt(&sent), kept_bytes: 300_000, lost: None, ended: true });
        assert!(content(&file) == sent);
    }

    #[tokio::test]
    async fn a_chunk_of_any_size_is_kept_while_the_buffer_grows() {
        let sent: Vec<u8> = (0..300_000_u32).map(|number| (number / 7) as u8).collect();
        for at_a_time in [1, FIRST_BUFFER_BYTES - 1, FIRST_BUFFER_BYTES, FIRST_BUFFER_BYTES + 1, BUFFER_BYTES + 1] {
            let file = file();
            let (mut writer, pipe) = tokio::io::duplex(at_a_time);
            let mut pump = Pump::start(pipe, file.clone(), None);
            let sent = &sent[..sent.len().min(at_a_time * 5)];
            writer.write_all(sent).await.unwrap();
            drop(writer);
            pump.finished().await;
            let bytes = sent.len() as u64;
            let pumped = Pumped { receipt: receipt(sent), kept_bytes: bytes, lost: None, ended: true };
            assert_eq!(pump.close().await, pumped, "{at_a_time} bytes at a time");
            assert!(content(&file) == sent, "{at_a_time} bytes at a time");
        }
    }

    #[tokio::test]
    async fn closing_takes_what_the_pipe_holds_and_says_that_it_did_not_end() {
        let (mut writer, pipe) = tokio::io::duplex(1_000);
        let pump = Pump::start(pipe, file(), None);
        // The pump has not been polled yet on this single thread: all of it is still in the pipe.
        writer.write_all(b"last words").await.unwrap();
        let pumped = pump.close().await;
        assert_eq!(pumped, Pumped { receipt: receipt(b"last words"), kept_bytes: 10, lost: None, ended: false });
        assert!(writer.write_all(b"too late").await.is_err(), "the pipe's end must be closed");
    }

    #[tokio::test]
    async fn closing_ends_although_somebody_writes_for_ever() {
        let pump = Pump::start(tokio::io::repeat(b'y'), Arc::new(File::create("/dev/null").unwrap()), None);
        assert!(!pump.close().await.ended);
    }

    #[tokio::test]
    async fn a_full_disk_neither_blocks_the_writer_nor_falsifies_the_receipt() {
        let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let (mut writer, pipe) = tokio::io::duplex(10);
        let mut pump = Pump::start(pipe, full, None);
        writer.write_all(&[1; 5_000]).await.unwrap();
        drop(writer);
        pump.finished().await;
        let pumped = pump.close().await;
        assert_eq!((pumped.receipt, pumped.kept_bytes, pumped.ended), (receipt(&[1; 5_000]), 0, true));
        assert!(pumped.lost.unwrap().contains("No space left"));
    }

    #[tokio::test]
    async fn a_limit_bounds_what_is_kept_and_not_what_is_counted() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        let cap = Arc::new(Mutex::new(OutputCap::new(directory.clone(), 16)));
        let file = file();
        let mut pump = Pump::start(&b"0123456789abcdefghijklmnopqrs"[..], file.clone(), Some((cap, Stream::Stderr)));
        pump.finished().await;
        let pumped = pump.close().await;
        assert_eq!((pumped.receipt, pumped.lost), (receipt(b"0123456789abcdefghijklmnopqrs"), None));
        assert_eq!((pumped.kept_bytes, content(&file)), (16, b"01234567".to_vec()));
        let parts = directory.output_parts(Stream::Stderr).unwrap();
        let tail: Vec<u8> = parts.iter().flat_map(|part| std::fs::read(&part.path).unwrap()).collect();
        assert_eq!((parts[0].from, tail), (21, b"lmnopqrs".to_vec()));
    }
}
