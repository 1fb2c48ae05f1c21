//! Showing output to somebody while it is captured.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tachograph_engine::domain::Stream;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use super::directory::{AttemptDirectory, OutputPart};
use super::pump::Kept;
use crate::threads::blocking;

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

/// Copies a stream while it is captured here, and at last its kept end.
///
/// `other` is the other stream under the same cap, if there is one. Until that is at its end too, it may still take
/// the room of this one's end, whose oldest parts are removed then.
pub(super) async fn pass_captured(
    directory: &AttemptDirectory,
    (stream, file): (Stream, Arc<File>),
    kept: watch::Receiver<Kept>,
    other: Option<watch::Receiver<Kept>>,
    to: &mut Passthrough,
) -> io::Result<()> {
    let passed = pass_through(file, kept, to).await?;
    if let Some(mut other) = other {
        // A pump that has gone removes nothing more either.
        let _ = other.wait_for(|kept| kept.finished).await;
    }
    pass_end(directory, stream, passed, to).await
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
    pass_parts(parts.unwrap_or_default().into_iter().filter(|part| part.from >= passed), to).await
}

/// One that is there no more is passed over: what comes after it is worth as much.
async fn pass_parts(parts: impl Iterator<Item = OutputPart>, to: &mut Passthrough) -> io::Result<()> {
    for part in parts {
        let file = match part.open() {
            Ok(file) => Arc::new(file),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io::Error::other(error)),
        };
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
    let read = blocking(move || {
        let mut chunk = vec![0; usize::try_from(bytes).unwrap_or(0)];
        file.read_exact_at(&mut chunk, offset).map(|()| chunk)
    });
    read.await.unwrap_or_else(|| Err(io::Error::other("the runtime is going away")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use tachograph_engine::domain::Ordinal;
    use tachograph_engine::domain::testing::ids;
    use tokio::io::AsyncReadExt;

    use super::super::output_cap::OutputCap;
    use super::*;

    /// An attempt's directory with this many bytes of standard output in parts, ten in each.
    fn with_parts(data: &tempfile::TempDir, bytes: usize) -> (AttemptDirectory, OutputCap) {
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
        directory.create().unwrap();
        let mut cap = OutputCap::new(directory.clone(), 160);
        cap.keep(Stream::Stdout, 80, &vec![b'o'; bytes]).unwrap();
        (directory, cap)
    }

    async fn all_of(mut reader: tokio::io::DuplexStream) -> String {
        let mut seen = String::new();
        reader.read_to_string(&mut seen).await.unwrap();
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_passed_only_when_the_other_stream_cannot_take_its_room_any_more() {
        let data = tempfile::tempdir().unwrap();
        let (directory, mut cap) = with_parts(&data, 80);
        let file = Arc::new(tempfile::tempfile().unwrap());
        (&*file).write_all(b"begin ").unwrap();
        let (_stdout, kept) = watch::channel(Kept { bytes: 6, finished: true });
        let (stderr, other) = watch::channel(Kept::default());
        let (reader, to) = tokio::io::duplex(1_000);
        let mut task = tokio::spawn(async move {
            let mut to: Passthrough = Box::new(to);
            pass_captured(&directory, (Stream::Stdout, file), kept, Some(other), &mut to).await
        });
        // Time passes only while nothing can go on.
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut task).await.is_err(), "it did not wait");
        cap.keep(Stream::Stderr, 0, b"last words").unwrap();
        stderr.send_modify(|kept| kept.finished = true);
        task.await.unwrap().unwrap();
        assert_eq!(all_of(reader).await, format!("begin {}", "o".repeat(70)));
    }

    #[tokio::test]
    async fn a_part_that_is_gone_is_passed_over() {
        let data = tempfile::tempdir().unwrap();
        let (directory, mut cap) = with_parts(&data, 30);
        let parts = directory.output_parts(Stream::Stdout).unwrap();
        assert_eq!(parts.len(), 3);
        // All the room is needed, and two more parts.
        cap.keep(Stream::Stdout, 110, &[b'p'; 70]).unwrap();
        assert!(!parts[0].path.exists() && !parts[1].path.exists() && parts[2].path.exists());
        let (reader, to) = tokio::io::duplex(1_000);
        let mut to: Passthrough = Box::new(to);
        pass_parts(parts.into_iter(), &mut to).await.unwrap();
        drop(to);
        assert_eq!(all_of(reader).await, "oooooooooo");
    }

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
