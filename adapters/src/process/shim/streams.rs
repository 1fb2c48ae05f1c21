//! Both output streams of the run, from their pipes to their files.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::time::Duration;

use tachograph_engine::domain::{Digest, Stream, StreamReceipt};

use super::super::drain::{Drained, drained};
use super::super::output_cap::OutputCap;
use super::super::pump::Pumped;

/// Memory for both streams, once one of them has delivered as much as the first memory holds: many deliver little.
const BUFFER_BYTES: usize = 64 * 1_024;
const FIRST_BUFFER_BYTES: usize = 1_024;
/// What may be taken from a pipe after the deadline: more than one can hold, so that nothing that was written before
/// is lost, and bounded, since somebody may go on writing for ever.
const SWEEP_BYTES_MAX: u64 = 1_024 * 1_024;

/// BLAKE3 over nothing.
const NOTHING: [u8; 32] = [
    0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b, 0xcb, 0x25,
    0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62,
];

/// Both streams. The pipes do not block.
#[derive(Debug)]
pub(super) struct Streams {
    stdout: Capture,
    stderr: Capture,
    /// What may be kept of both together; absent if everything.
    cap: Option<OutputCap>,
    buffer: Vec<u8>,
}

impl Streams {
    pub(super) fn new(stdout: (PipeReader, File), stderr: (PipeReader, File), cap: Option<OutputCap>) -> Self {
        let buffer = vec![0; FIRST_BUFFER_BYTES];
        let (stdout, stderr) = (Capture::of(Stream::Stdout, stdout), Capture::of(Stream::Stderr, stderr));
        Self { stdout, stderr, cap, buffer }
    }

    /// The pipe, until it is at its end or closed.
    pub(super) const fn pipe(&self, stream: Stream) -> Option<&PipeReader> {
        match stream {
            Stream::Stdout => self.stdout.pipe.as_ref(),
            Stream::Stderr => self.stderr.pipe.as_ref(),
        }
    }

    /// Whether nothing more will be taken in.
    pub(super) const fn finished(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none()
    }

    /// Takes one buffer full of what a pipe holds. It is counted and hashed also where it cannot be kept: a full disk
    /// must not block the run.
    pub(super) fn take(&mut self, stream: Stream) {
        let capture = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        capture.take(&mut self.buffer, &mut self.cap);
    }

    /// Takes what the pipe holds by now and closes it, so that whoever still writes is told at the next write.
    pub(super) fn close(&mut self, stream: Stream) {
        let capture = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let end = capture.received.saturating_add(SWEEP_BYTES_MAX);
        while capture.received < end && capture.take(&mut self.buffer, &mut self.cap) {}
        capture.pipe = None;
    }

    /// Closes both, and says what they delivered until then.
    pub(super) fn drained(&mut self, waited: Duration, sync: bool) -> Drained {
        self.close(Stream::Stdout);
        self.close(Stream::Stderr);
        if sync {
            self.stdout.sync();
            self.stderr.sync();
        }
        drained(self.stdout.pumped(self.cap.as_ref()), self.stderr.pumped(self.cap.as_ref()), waited)
    }
}

/// What of a stream has arrived so far.
#[derive(Debug)]
struct Capture {
    stream: Stream,
    pipe: Option<PipeReader>,
    file: File,
    /// Absent as long as nothing was received: many streams stay empty, and the first one asks what the processor can do.
    hasher: Option<Box<blake3::Hasher>>,
    received: u64,
    kept: u64,
    lost: Option<String>,
    ended: bool,
}

impl Capture {
    fn of(stream: Stream, (pipe, file): (PipeReader, File)) -> Self {
        Self { stream, pipe: Some(pipe), file, hasher: None, received: 0, kept: 0, lost: None, ended: false }
    }

    /// Whether there may be more at once.
    fn take(&mut self, buffer: &mut Vec<u8>, cap: &mut Option<OutputCap>) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        match pipe.read(buffer) {
            Ok(0) => {
                self.ended = true;
                self.pipe = None;
                false
            }
            Ok(bytes) => {
                self.keep(&buffer[..bytes], cap);
                if bytes == buffer.len() {
                    buffer.resize(BUFFER_BYTES, 0);
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                self.lose(format!("cannot read the stream: {error}"));
                self.pipe = None;
                false
            }
        }
    }

    fn keep(&mut self, chunk: &[u8], cap: &mut Option<OutputCap>) {
        let from = self.received;
        self.hasher.get_or_insert_default().update(chunk);
        self.received += chunk.len() as u64;
        if self.lost.is_some() {
            return;
        }
        let fits = cap.as_mut().map_or(chunk.len(), |cap| cap.reserve(chunk.len()));
        let (mut rest, tail) = chunk.split_at(fits);
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return self.lose("the file takes no more".to_owned()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.kept += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.lose(format!("cannot write the file: {error}")),
            }
        }
        let kept = match cap {
            Some(cap) if !tail.is_empty() => cap.keep(self.stream, from + fits as u64, tail),
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

    /// A file that cannot be synced is shorter after a power cut than its receipt says, which then shows.
    fn sync(&self) {
        let _ = self.file.sync_data();
    }

    fn pumped(&self, cap: Option<&OutputCap>) -> Pumped {
        let digest = self.hasher.as_ref().map_or(NOTHING, |hasher| *hasher.finalize().as_bytes());
        Pumped {
            receipt: StreamReceipt { bytes: self.received, digest: Digest(digest) },
            kept_bytes: self.kept + cap.map_or(0, |cap| cap.tail_bytes(self.stream)),
            lost: self.lost.clone(),
            ended: self.ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_the_digest_of_nothing() {
        assert_eq!(NOTHING, *blake3::hash(b"").as_bytes());
    }
}
