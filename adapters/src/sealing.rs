//! Counting and hashing bytes while they are written.

use std::io::{self, Write};

use tachograph_engine::domain::Digest;

/// How many bytes there are, and their BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// How many bytes.
    pub bytes: u64,
    /// Their BLAKE3.
    pub digest: Digest,
}

/// A writer whose bytes are counted and hashed on their way.
#[derive(Debug)]
pub struct Sealing<W> {
    to: W,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl<W: Write> Sealing<W> {
    /// Counts and hashes from here on.
    pub fn of(to: W) -> Self {
        Self { to, bytes: 0, hasher: blake3::Hasher::new() }
    }

    /// The writer, and what was written to it.
    pub fn finish(self) -> (W, Seal) {
        let seal = Seal { bytes: self.bytes, digest: Digest(*self.hasher.finalize().as_bytes()) };
        (self.to, seal)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
