//! Units made anew out of entries: when values in them are replaced, and when they are put back.

use std::convert::Infallible;

use tachograph_engine::codec;
use tachograph_engine::domain::{Digest, Entry, Position};

use super::error::BundleError;
use crate::journal::footer::Contents;
use crate::journal::frame::{self, COMMIT_BYTES_MAX, FrameHeader, FrameKind};
use crate::journal::runs::Runs;
use crate::journal::segment::{self, SegmentHeader};

/// What the footer of the present segment says, gathered from its commits.
#[derive(Debug, Default)]
pub(super) struct SegmentContents {
    contents: Contents,
    runs: Runs,
    first: Position,
    /// Where the next unit begins in the segment's file.
    offset: u64,
}

impl SegmentContents {
    pub(super) fn segment(&mut self, header: &SegmentHeader) {
        self.contents = Contents::default();
        self.first = header.first;
        self.offset = segment::HEADER_BYTES as u64;
    }

    /// Takes in a commit, and returns what about it does not follow from the entries before.
    pub(super) fn commit(&mut self, entries: &[Entry], frame_bytes: usize) -> Result<(), (Position, String)> {
        let mut follows = Ok(());
        if let Some(entry) = entries.first() {
            self.contents.frame(entry.position, self.offset);
        }
        for entry in entries {
            let runs = &self.runs;
            let Ok(()) = self.contents.entry(entry, |run| Ok::<_, Infallible>(runs.head(run)));
            let observed = self.runs.observe(entry).map_err(|why| (entry.position, why));
            follows = follows.and(observed);
        }
        self.offset += frame_bytes as u64;
        follows
    }

    /// The payload of the segment's footer.
    pub(super) fn footer(&self, next: Position) -> Vec<u8> {
        self.contents.encode(self.first, next)
    }
}

/// Makes units anew, in a chain of their own.
#[derive(Debug)]
pub(super) struct Rewriter {
    link: Digest,
    segment: SegmentContents,
}

impl Rewriter {
    /// Begins behind a unit of this hash.
    pub(super) fn behind(link: Digest) -> Self {
        Self { link, segment: SegmentContents::default() }
    }

    /// Hash of the last unit.
    pub(super) fn link(&self) -> Digest {
        self.link
    }

    pub(super) fn segment(&mut self, header: &SegmentHeader) -> Vec<u8> {
        self.segment.segment(header);
        let header = SegmentHeader { previous: self.link, ..header.clone() };
        self.link = header.hash();
        header.encode().to_vec()
    }

    /// A commit with the place of another one and these entries.
    pub(super) fn commit(&mut self, place: &FrameHeader, entries: &[Entry]) -> Result<Vec<u8>, BundleError> {
        let bytes = self.frame(place.watermark, entries)?;
        // What does not follow from the entries before was found when they were read.
        let _ = self.segment.commit(entries, bytes.len());
        Ok(bytes)
    }

    /// A commit of one entry alone.
    pub(super) fn single(&mut self, entry: &Entry) -> Result<Vec<u8>, BundleError> {
        self.frame(Position(entry.position.0.saturating_sub(1)), std::slice::from_ref(entry))
    }

    fn frame(&mut self, watermark: Position, entries: &[Entry]) -> Result<Vec<u8>, BundleError> {
        let mut payload = Vec::new();
        for entry in entries {
            let at = payload.len();
            payload.extend_from_slice(&[0; 4]);
            codec::encode_entry(entry, &mut payload);
            // An entry has a few megabytes at most.
            let length = (payload.len() - at - 4) as u32;
            payload[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
        let first = entries.first().map_or(Position::ZERO, |entry| entry.position);
        if payload.len() > COMMIT_BYTES_MAX {
            let why = "its commit becomes longer than a commit may be".to_owned();
            return Err(BundleError::NotRedactable { position: first, why });
        }
        let header = FrameHeader {
            kind: FrameKind::Commit,
            payload_bytes: payload.len() as u32,
            count: entries.len() as u32,
            first,
            watermark,
            previous: self.link,
            payload_crc: crc32c::crc32c(&payload),
        };
        let bytes = [&header.encode()[..], &payload].concat();
        self.link = frame::hash(&bytes);
        Ok(bytes)
    }

    /// The footer of the present segment, with the place of another one.
    pub(super) fn footer(&mut self, place: &FrameHeader) -> Result<Vec<u8>, BundleError> {
        let payload = self.segment.footer(place.first);
        let made = frame::assemble(FrameKind::Footer, place.first, place.watermark, self.link, &payload);
        let bytes = made.ok_or_else(|| BundleError::NotRedactable {
            position: place.first,
            why: "the table of contents of its segment is too long".to_owned(),
        })?;
        self.link = frame::hash(&bytes);
        Ok(bytes)
    }
}
