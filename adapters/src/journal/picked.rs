//! Finding the facts about the journal among all its entries, and the refusals that came before everything else about a run.
//!
//! No table names them and nothing points from one to the next. So every frame between two positions is read and its checksum
//! compared, but of an entry only the first fields are looked at: no more is decoded than what is looked for.

use tachograph_engine::codec::{self, CodecError};
use tachograph_engine::domain::{Entry, Position};
use tachograph_engine::ports::JournalError;

use super::frame::Records;
use super::reader::FileReader;
use super::scan::{Frame, FrameScan, SEQUENTIAL_BYTES};
use super::tail::next_commit;
use super::view::Place;

/// Whether an entry is looked for, by its bytes.
type IsWanted = fn(&[u8]) -> Result<bool, CodecError>;

impl FileReader {
    /// The entries after a position and up to another that are looked for.
    pub(super) fn picked(
        &self,
        after: Position,
        up_to: Position,
        is_wanted: IsWanted,
    ) -> Result<Vec<Entry>, JournalError> {
        self.unless_archived(|| self.picked_between(after, up_to, is_wanted))
    }

    fn picked_between(
        &self,
        after: Position,
        up_to: Position,
        is_wanted: IsWanted,
    ) -> Result<Vec<Entry>, JournalError> {
        let (mut from, mut picked) = (after.next(), Vec::new());
        while from <= up_to {
            let Some(place) = self.place(from)? else { break };
            let reached = picked_in(&place, (from, up_to), is_wanted, &mut picked)?;
            if reached <= from {
                let why = format!("entry {from} is not where the segment's own table says");
                return Err(JournalError::Damaged { file: place.path, offset: place.offset, why });
            }
            from = reached;
        }
        Ok(picked)
    }
}

/// Adds what is looked for in one place, and returns the position behind what was read of it.
fn picked_in(
    place: &Place,
    (from, up_to): (Position, Position),
    is_wanted: IsWanted,
    picked: &mut Vec<Entry>,
) -> Result<Position, JournalError> {
    let mut frames = FrameScan::new(place.file.clone(), place.offset, place.end, SEQUENTIAL_BYTES);
    let mut reached = from;
    while reached <= up_to {
        let Some(frame) = next_commit(&mut frames, &place.path)? else { break };
        if frame.header.next() <= from {
            continue;
        }
        picked_of(&frame, (from, up_to), is_wanted, picked).map_err(|why| {
            let (file, offset) = (place.path.clone(), frame.offset);
            JournalError::Damaged { file, offset, why }
        })?;
        reached = frame.header.next();
    }
    Ok(reached)
}

fn picked_of(
    frame: &Frame<'_>,
    (from, up_to): (Position, Position),
    is_wanted: IsWanted,
    picked: &mut Vec<Entry>,
) -> Result<(), String> {
    let mut records = Records::new(&frame.header, frame.payload());
    while let Some((position, bytes)) = records.record()? {
        let undecodable = |error| format!("entry {position} cannot be decoded: {error}");
        if position >= from && position <= up_to && is_wanted(bytes).map_err(undecodable)? {
            picked.push(codec::decode_entry(bytes).map_err(undecodable)?);
        }
    }
    Ok(())
}
