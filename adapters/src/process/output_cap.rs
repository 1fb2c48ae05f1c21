//! The most that is kept of an attempt's output: its beginning and its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tachograph_engine::domain::Stream;

use super::directory::AttemptDirectory;

/// Into so many files the kept end is divided: the oldest is removed when room is needed.
const PARTS: u64 = 8;

/// A cap that two pumps share.
pub(super) type SharedCap = Arc<Mutex<OutputCap>>;

/// What may be kept of both streams together: half of it is for what comes first, the rest for what comes last.
///
/// The beginning is in the stream's own file. What comes once that half is used up goes into part files, each named
/// after where in the stream it begins; the oldest part of the stream with more of them is removed when there is no room
/// left. So nothing is left out until more has come than may be kept; one chatty stream leaves the other its last words;
/// and since files are only appended to, made and removed, whoever finds them after a kill finds bytes that came, each
/// at its place.
#[derive(Debug)]
pub(super) struct OutputCap {
    directory: AttemptDirectory,
    head_left: u64,
    tail_max: u64,
    part_max: u64,
    stdout: Tail,
    stderr: Tail,
}

/// The kept end of one stream.
#[derive(Debug, Default)]
struct Tail {
    parts: VecDeque<Part>,
    /// The last part, as long as it is not full.
    open: Option<File>,
    bytes: u64,
}

#[derive(Debug)]
struct Part {
    from: u64,
    bytes: u64,
}

impl OutputCap {
    pub(super) fn new(directory: AttemptDirectory, bytes_max: u64) -> Self {
        let tail_max = bytes_max / 2;
        Self {
            directory,
            head_left: bytes_max - tail_max,
            tail_max,
            part_max: (tail_max / PARTS).max(1),
            stdout: Tail::default(),
            stderr: Tail::default(),
        }
    }

    /// How many of these bytes belong to the beginning.
    pub(super) fn reserve(&mut self, bytes: usize) -> usize {
        let granted = usize::try_from(self.head_left).unwrap_or(usize::MAX).min(bytes);
        self.head_left -= granted as u64;
        granted
    }

    /// How much of the stream's end is kept.
    pub(super) const fn tail_bytes(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Stdout => self.stdout.bytes,
            Stream::Stderr => self.stderr.bytes,
        }
    }

    /// Keeps what comes after the beginning; `from` is where in the stream it begins.
    ///
    /// # Errors
    ///
    /// If a part cannot be made, written or removed.
    pub(super) fn keep(&mut self, stream: Stream, mut from: u64, mut rest: &[u8]) -> io::Result<()> {
        let tail_max = usize::try_from(self.tail_max).unwrap_or(usize::MAX);
        if tail_max == 0 {
            return Ok(());
        }
        if rest.len() > tail_max {
            // Its beginning would not survive its end.
            let skipped = rest.len() - tail_max;
            from += skipped as u64;
            rest = &rest[skipped..];
            // All room is needed anyway, and a kill on the way must leave no gap between older parts and these.
            self.tail(stream).open = None;
            while !self.tail(stream).parts.is_empty() {
                self.remove_oldest_of(stream)?;
            }
        }
        while !rest.is_empty() {
            let room = self.room_in_part(stream);
            let (now, later) = rest.split_at(usize::try_from(room).unwrap_or(usize::MAX).min(rest.len()));
            while self.stdout.bytes + self.stderr.bytes + now.len() as u64 > self.tail_max {
                self.remove_oldest(stream)?;
            }
            self.append(stream, from, now)?;
            from += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    const fn tail(&mut self, stream: Stream) -> &mut Tail {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn room_in_part(&mut self, stream: Stream) -> u64 {
        let part_max = self.part_max;
        let tail = self.tail(stream);
        match (&tail.open, tail.parts.back()) {
            (Some(_), Some(part)) => part_max - part.bytes,
            _ => part_max,
        }
    }

    /// The stream with more of them gives up a part.
    fn remove_oldest(&mut self, writing: Stream) -> io::Result<()> {
        let stream = match self.stdout.bytes.cmp(&self.stderr.bytes) {
            std::cmp::Ordering::Less => Stream::Stderr,
            std::cmp::Ordering::Equal => writing,
            std::cmp::Ordering::Greater => Stream::Stdout,
        };
        self.remove_oldest_of(stream)
    }

    fn remove_oldest_of(&mut self, stream: Stream) -> io::Result<()> {
        let tail = self.tail(stream);
        // The fuller stream has a part whenever room is needed; otherwise the caller would ask for ever.
        let Some(oldest) = tail.parts.pop_front() else {
            return Err(io::Error::other("no part of the output is left that could make room"));
        };
        tail.bytes -= oldest.bytes;
        if tail.parts.is_empty() {
            tail.open = None;
        }
        match std::fs::remove_file(self.directory.output_part(stream, oldest.from)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn append(&mut self, stream: Stream, from: u64, bytes: &[u8]) -> io::Result<()> {
        let part_max = self.part_max;
        let made = match self.tail(stream).open {
            Some(_) => None,
            None => Some(self.directory.create_output_part(stream, from).map_err(io::Error::other)?),
        };
        let tail = self.tail(stream);
        if made.is_some() {
            tail.open = made;
            tail.parts.push_back(Part { from, bytes: 0 });
        }
        let (Some(file), Some(part)) = (&mut tail.open, tail.parts.back_mut()) else { return Ok(()) };
        file.write_all(bytes)?;
        part.bytes += bytes.len() as u64;
        tail.bytes += bytes.len() as u64;
        if part.bytes >= part_max {
            tail.open = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::Ordinal;
    use tachograph_engine::domain::testing::ids;

    use super::*;

    struct Kept {
        data: tempfile::TempDir,
        directory: AttemptDirectory,
        cap: OutputCap,
        received: [Vec<u8>; 2],
        head: [usize; 2],
    }

    impl Kept {
        fn of(bytes_max: u64) -> Self {
            let data = tempfile::tempdir().unwrap();
            let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(1));
            directory.create().unwrap();
            let cap = OutputCap::new(directory.clone(), bytes_max);
            Self { data, directory, cap, received: Default::default(), head: [0; 2] }
        }

        fn take(&mut self, stream: Stream, chunk: &[u8]) {
            let index = usize::from(stream == Stream::Stderr);
            let head = self.cap.reserve(chunk.len());
            self.head[index] += head;
            self.cap.keep(stream, (self.received[index].len() + head) as u64, &chunk[head..]).unwrap();
            self.received[index].extend_from_slice(chunk);
        }

        /// Checks every part against what came, and returns where the kept end begins and how much is on disk.
        fn check(&self, stream: Stream) -> (usize, usize) {
            let received = &self.received[usize::from(stream == Stream::Stderr)];
            let parts = self.directory.output_parts(stream).unwrap();
            let mut end = None;
            let mut bytes = 0;
            for part in &parts {
                let content = std::fs::read(&part.path).unwrap();
                let from = usize::try_from(part.from).unwrap();
                assert!(end.is_none_or(|end| end == from), "a gap between parts");
                assert!(received[from..].starts_with(&content), "not what came at {from}");
                end = Some(from + content.len());
                bytes += content.len();
            }
            assert!(end.is_none_or(|end| end == received.len()), "the last words are missing");
            assert_eq!(bytes as u64, self.cap.tail_bytes(stream));
            assert!(self.data.path().exists());
            (received.len() - bytes, bytes)
        }
    }

    #[test]
    fn whatever_comes_the_bound_holds_and_both_ends_are_there() {
        let mut seed = 7_u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for bytes_max in [0, 1, 2, 3, 7, 16, 17, 31, 100, 1_000, 4_096] {
            let mut kept = Kept::of(bytes_max);
            for _ in 0..150 {
                let stream = if random(4) == 0 { Stream::Stderr } else { Stream::Stdout };
                let chunk: Vec<u8> = (0..random(bytes_max + 40)).map(|_| random(256) as u8).collect();
                kept.take(stream, &chunk);
                let (out, err) = (kept.check(Stream::Stdout), kept.check(Stream::Stderr));
                let all = (kept.head[0] + kept.head[1] + out.1 + err.1) as u64;
                let received = (kept.received[0].len() + kept.received[1].len()) as u64;
                assert!(all <= bytes_max, "{all} of {bytes_max}");
                if received <= bytes_max {
                    assert_eq!(all, received, "nothing is left out while there is room");
                }
            }
        }
    }

    #[test]
    fn a_chatty_stream_leaves_the_other_its_last_words() {
        let mut kept = Kept::of(1_600);
        kept.take(Stream::Stderr, b"first");
        kept.take(Stream::Stdout, &[b'x'; 2_000]);
        kept.take(Stream::Stderr, b"the reason");
        for _ in 0..50 {
            kept.take(Stream::Stdout, &[b'y'; 333]);
        }
        let (from, bytes) = kept.check(Stream::Stderr);
        assert_eq!((from, bytes), (5, 10));
        assert!(kept.check(Stream::Stdout).1 > 600);
    }
}
