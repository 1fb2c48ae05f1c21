//! Unit by unit over a stream: segment headers and frames, each with its checksum.

use std::sync::Arc;

use tachograph_engine::codec::{self, CodecError};
use tachograph_engine::domain::{Digest, Entry};
use tachograph_engine::ports::JournalError;

use super::stream::Stream;
use crate::journal::frame::{self, FrameHeader, FrameKind, Records};
use crate::journal::segment::{self, BadHeader, SegmentHeader};

/// The greatest payload of a footer that is read: a segment with some 8 million runs.
const FOOTER_BYTES_MAX: u32 = 256 << 20;

/// A unit by its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unit {
    /// The header of a segment.
    Segment(SegmentHeader),
    /// Entries.
    Commit(FrameHeader),
    /// The table of contents of a segment.
    Footer(FrameHeader),
}

impl Unit {
    /// The hash of the unit before, as this one names it.
    pub(super) fn previous(&self) -> Digest {
        match self {
            Self::Segment(header) => header.previous,
            Self::Commit(header) | Self::Footer(header) => header.previous,
        }
    }
}

/// Walks over the units of a stream.
#[derive(Debug)]
pub(super) struct Units {
    stream: Arc<dyn Stream>,
    /// Where the present unit begins.
    at: u64,
    /// Where the next one does.
    next: u64,
    end: u64,
    bytes: Vec<u8>,
}

impl Units {
    pub(super) fn new(stream: Arc<dyn Stream>, offset: u64, end: u64) -> Self {
        Self { stream, at: offset, next: offset, end, bytes: Vec::new() }
    }

    /// Goes on to the next unit; absent at the end.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] if there is something else, or as [`Stream::read`].
    pub(super) fn advance(&mut self) -> Result<Option<Unit>, JournalError> {
        self.at = self.next;
        let left = self.end.saturating_sub(self.at);
        if left == 0 {
            return Ok(None);
        }
        if left < frame::HEADER_BYTES as u64 {
            return Err(self.damaged("fewer bytes are left than a unit has"));
        }
        self.fetch(frame::HEADER_BYTES as u64)?;
        let unit = if self.bytes.starts_with(frame::MAGIC) { self.frame()? } else { self.segment(left)? };
        self.next = self.at + self.bytes.len() as u64;
        Ok(Some(unit))
    }

    fn segment(&mut self, left: u64) -> Result<Unit, JournalError> {
        if left < segment::HEADER_BYTES as u64 {
            return Err(self.damaged("fewer bytes are left than a segment header has"));
        }
        self.fetch(segment::HEADER_BYTES as u64)?;
        match SegmentHeader::decode(&self.bytes) {
            Ok(header) => Ok(Unit::Segment(header)),
            Err(BadHeader::Short | BadHeader::Invalid) => Err(self.damaged("there is neither a frame nor a segment")),
            Err(newer @ BadHeader::Newer { .. }) => Err(self.damaged(newer.why())),
        }
    }

    fn frame(&mut self) -> Result<Unit, JournalError> {
        let header = self.bytes.first_chunk().and_then(FrameHeader::decode);
        let header = header.ok_or_else(|| self.damaged("a frame's header is not as it was written"))?;
        let left = self.end - self.at;
        if header.frame_bytes() > left || header.payload_bytes > FOOTER_BYTES_MAX {
            return Err(self.damaged("a frame is longer than what is left"));
        }
        self.fetch(header.frame_bytes())?;
        if crc32c::crc32c(self.payload()) != header.payload_crc {
            return Err(self.damaged("a frame's content is not as it was written"));
        }
        Ok(match header.kind {
            FrameKind::Commit => Unit::Commit(header),
            FrameKind::Footer => Unit::Footer(header),
        })
    }

    fn fetch(&mut self, length: u64) -> Result<(), JournalError> {
        // At most a frame: 16 MiB for a commit, and for a footer no more than the stream has.
        self.bytes.resize(usize::try_from(length).unwrap_or_default(), 0);
        self.stream.read(self.at, &mut self.bytes)
    }

    /// Where the present unit begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The present unit.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn payload(&self) -> &[u8] {
        self.bytes.get(frame::HEADER_BYTES..).unwrap_or_default()
    }

    /// The hash of the present unit.
    pub(super) fn hash(&self) -> Digest {
        frame::hash(&self.bytes)
    }

    /// The entries of the present unit, which is this commit.
    ///
    /// # Errors
    ///
    /// [`JournalError::Damaged`] if they cannot be decoded.
    pub(super) fn entries(&self, header: &FrameHeader) -> Result<Vec<Entry>, JournalError> {
        let mut records = Records::new(header, self.payload());
        let mut entries = Vec::new();
        while let Some(entry) = records.entry().map_err(|why| self.damaged(&why))? {
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The facts about the journal in the present unit, which is this commit; no other entry is decoded.
    ///
    /// # Errors
    ///
    /// As [`entries`](Self::entries).
    pub(super) fn facts(&self, header: &FrameHeader) -> Result<Vec<Entry>, JournalError> {
        let undecodable = |error: CodecError| self.damaged(&error.to_string());
        let mut records = Records::new(header, self.payload());
        let mut facts = Vec::new();
        while let Some((_, record)) = records.record().map_err(|why| self.damaged(why))? {
            if codec::is_fact(record).map_err(undecodable)? {
                facts.push(codec::decode_entry(record).map_err(undecodable)?);
            }
        }
        Ok(facts)
    }

    /// The error that says what is wrong with the present unit.
    pub(super) fn damaged(&self, why: &str) -> JournalError {
        self.stream.damaged(self.at, why)
    }
}
