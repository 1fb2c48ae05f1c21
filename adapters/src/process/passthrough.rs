//! Showing output to somebody while it is captured.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::pump::Kept;

const CHUNK_BYTES: u64 = 64 * 1_024;

/// Where a stream is passed through to while it is captured, for example the terminal.
pub type Passthrough = Box<dyn AsyncWrite + Send + Unpin>;

/// Copies a stream's file to a writer while the file grows.
///
/// It reads the file and not the pipe: a slow reader can neither hold up the child nor make memory grow, a broken one
/// does not stop the capture, and no byte is lost when the pipe is closed at the drain's deadline. What cannot be
/// kept is not passed through either.
pub(super) async fn pass_through(
    file: Arc<File>,
    mut kept: watch::Receiver<Kept>,
    mut to: Passthrough,
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
        let task = tokio::spawn(pass_through(file.clone(), kept, Box::new(to)));
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
        let error = pass_through(file, kept, Box::new(to)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
