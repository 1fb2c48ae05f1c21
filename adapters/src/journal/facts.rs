//! Finding the facts about the journal among all its entries.
//!
//! No table names them and nothing points from one to the next, and an entry's run has nothing to do with them. So every
//! frame between two positions is read and its checksum compared, but of an entry only the first fields are looked at: no
//! more is decoded than the facts themselves.

use tachograph_engine::codec;
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::JournalError;

use super::frame::Records;
use super::reader::FileReader;
use super::scan::{Frame, FrameScan, SEQUENTIAL_BYTES};
use super::tail::next_commit;
use super::view::Place;

impl FileReader {
    /// The facts after a position and up to another.
    pub(super) fn facts_now(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        self.unless_archived(|| self.facts_between(after, up_to))
    }

    fn facts_between(&self, after: Position, up_to: Position) -> Result<Vec<Entry>, JournalError> {
        let (mut from, mut facts) = (after.next(), Vec::new());
        while from <= up_to {
            let Some(place) = self.place(from)? else { break };
            let reached = facts_in(&place, from, up_to, &mut facts)?;
            if reached <= from {
                let why = format!("entry {from} is not where the segment's own table says");
                return Err(JournalError::Damaged { file: place.path, offset: place.offset, why });
            }
            from = reached;
        }
        Ok(facts)
    }
}

/// Adds the facts of one place, and returns the position behind what was read of it.
fn facts_in(place: &Place, from: Position, up_to: Position, facts: &mut Vec<Entry>) -> Result<Position, JournalError> {
    let mut frames = FrameScan::new(place.file.clone(), place.offset, place.end, SEQUENTIAL_BYTES);
    let mut reached = from;
    while reached <= up_to {
        let Some(frame) = next_commit(&mut frames, &place.path)? else { break };
        if frame.header.next() <= from {
            continue;
        }
        facts_of(&frame, from, up_to, facts).map_err(|why| {
            let (file, offset) = (place.path.clone(), frame.offset);
            JournalError::Damaged { file, offset, why }
        })?;
        reached = frame.header.next();
    }
    Ok(reached)
}

fn facts_of(frame: &Frame<'_>, from: Position, up_to: Position, facts: &mut Vec<Entry>) -> Result<(), String> {
    let mut records = Records::new(&frame.header, frame.payload());
    while let Some((position, bytes)) = records.record()? {
        let undecodable = |error| format!("entry {position} cannot be decoded: {error}");
        if position >= from && position <= up_to && codec::is_fact(bytes).map_err(undecodable)? {
            facts.push(codec::decode_entry(bytes).map_err(undecodable)?);
        }
    }
    Ok(())
}
