//! Showing output to somebody while it is captured.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tachograph_engine::domain::Stream;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::attempt::blocking;
use super::directory::AttemptDirectory;
use super::pump::Kept;

const CHUNK_BYTES: u64 = 64 * 1_024;

/// Where a stream is passed through to while it is captured, for example the terminal.
pub type Passthrough = Box<dyn AsyncWrite + Send + Unpin>;

/// Copies a stream's file to a writer while the file grows.
///
/// It reads the file and not the pipe: a slow reader can neither hold up the child nor make memory grow, a broken one
/// does not stop the capture, and no byte is lost when the pipe is closed at the drain's deadline. What is not
/// kept is not passed through either, and the kept end of more output than may be kept follows at the end.
pub(super) async fn pass_through(
    file: Arc<File>,
    mut kept: watch::Receiver<Kept>,
    to: &mut Passthrough,
) -> io::Result<u64> {
    let mut passed = 0;
    loop {
        let now = *kept.borrow_and_update();
        while passed < now.bytes {
            let chunk = read_chunk(file.clone(), passed, (now.bytes - passed).min(CHUNK_BYTES)).await?;
            to.write_all(&chunk).await?;
            passed += chunk.len() as u64;
        }
        to.flush().await?;
        if now.finished || kept.changed().await.is_err() {
            return Ok(passed);
        }
    }
}

/// Copies the kept end of a stream, once nothing more will come: what begins after the bytes that were passed already.
pub(super) async fn pass_end(
    directory: &AttemptDirectory,
    stream: Stream,
    passed: u64,
    to: &mut Passthrough,
) -> io::Result<()> {
    let listed = directory.clone();
    let parts = blocking(move || listed.output_parts(stream)).await.transpose().map_err(io::Error::other)?;
    for part in parts.unwrap_or_default().into_iter().filter(|part| part.from >= passed) {
        let file = Arc::new(part.open().map_err(io::Error::other)?);
        let bytes = file.metadata()?.len();
        let mut done = 0;
        while done < bytes {
            let chunk = read_chunk(file.clone(), done, (bytes - done).min(CHUNK_BYTES)).await?;
            to.write_all(&chunk).await?;
            done += chunk.len() as u64;
        }
    }
    to.flush().await
}

async fn read_chunk(file: Arc<File>, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let read = tokio::task::spawn_blocking(move || {
        let mut chunk = vec![0; usize::try_from(bytes).unwrap_or(0)];
        file.read_exact_at(&mut chunk, offset).map(|()| chunk)
    });
    read.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_slow_reader_gets_everything_even_after_the_end() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let (progress, kept) = watch::channel(Kept::default());
        let (mut reader, to) = tokio::io::duplex(3);
        let shown = file.clone();
        let task = tokio::spawn(async move {
            let mut to: Passthrough = Box::new(to);
            pass_through(shown, kept, &mut to).await
        });
        for part in ["first ", "second"] {
            (&*file).write_all(part.as_bytes()).unwrap();
            progress.send_modify(|kept| kept.bytes += part.len() as u64);
        }
        progress.send_modify(|kept| kept.finished = true);
        let mut seen = String::new();
        reader.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "first second");
        assert_eq!(task.await.unwrap().unwrap(), 12);
    }

    #[tokio::test]
    async fn a_broken_reader_ends_the_copy() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        (&*file).write_all(b"text").unwrap();
        let (_progress, kept) = watch::channel(Kept { bytes: 4, finished: false });
        let (reader, to) = tokio::io::duplex(1);
        drop(reader);
        let mut to: Passthrough = Box::new(to);
        let error = pass_through(file, kept, &mut to).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
