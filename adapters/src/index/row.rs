//! The rows of the index: their keys and their bytes.
//!
//! | key | value |
//! | --- | --- |
//! | `r`, run id (16 bytes) | a [`RunRow`] |
//! | `c`, run id, command id (16 bytes each) | position: where a command was answered that its run's row had no room for |
//! | `n`, name | run id: the run that took the name last |
//!
//! Numbers are little-endian, ids in the byte order of their text. Rows are read by the software version that wrote
//! them alone: another [`FORMAT`] means that the index is rebuilt.

use tachograph_engine::domain::{CommandId, Position, RunId, Version};
use tachograph_engine::ports::RunHead;

/// Version of keys and rows.
pub(super) const FORMAT: u32 = 1;

/// Commands that are remembered with their run; older ones have rows of their own.
pub(super) const COMMANDS_MAX: usize = 256;

pub(super) type Bytes = Vec<u8>;

pub(super) fn run_key(run: RunId) -> Bytes {
    [b"r".as_slice(), &run.to_u128().to_be_bytes()].concat()
}

pub(super) fn command_key(run: RunId, command: CommandId) -> Bytes {
    [b"c".as_slice(), &run.to_u128().to_be_bytes(), &command.to_u128().to_be_bytes()].concat()
}

pub(super) fn name_key(name: &str) -> Bytes {
    [b"n", name.as_bytes()].concat()
}

pub(super) fn position_row(position: Position) -> Bytes {
    position.0.to_le_bytes().to_vec()
}

pub(super) fn read_position(row: &[u8]) -> Option<Position> {
    Some(Position(u64::from_le_bytes(row.try_into().ok()?)))
}

pub(super) fn name_row(run: RunId) -> Bytes {
    run.to_u128().to_be_bytes().to_vec()
}

pub(super) fn read_name(row: &[u8]) -> Option<RunId> {
    Some(RunId::from_u128(u128::from_be_bytes(row.try_into().ok()?)))
}

/// Commands to one run with the positions of their first answers, in that order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answers(Vec<(Position, CommandId)>);

impl Answers {
    pub(super) fn find(&self, command: CommandId) -> Option<Position> {
        // From the newest: a retry follows its command closely.
        self.0.iter().rev().find(|(_, answered)| *answered == command).map(|(position, _)| *position)
    }

    pub(super) fn add(&mut self, command: CommandId, position: Position) {
        if self.find(command).is_none() {
            let at = self.0.partition_point(|(earlier, _)| *earlier < position);
            self.0.insert(at, (position, command));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (position, command) in &other.0 {
            self.add(*command, *position);
        }
    }

    /// Takes out the oldest ones beyond [`COMMANDS_MAX`].
    pub(super) fn spill(&mut self) -> Vec<(Position, CommandId)> {
        let surplus = self.0.len().saturating_sub(COMMANDS_MAX);
        self.0.drain(..surplus).collect()
    }
}

/// What is kept of a run that is not open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RunRow {
    /// Version zero if the run was never created and only refused commands name it.
    pub(super) version: Version,
    pub(super) last: Position,
    pub(super) name: Option<String>,
    /// Whether some of its commands have rows of their own.
    pub(super) spilled: bool,
    pub(super) answers: Answers,
}

impl RunRow {
    const NAMED: u8 = 1;
    const SPILLED: u8 = 2;

    /// The end of its history, if it was created.
    pub(super) fn head(&self) -> Option<RunHead> {
        (self.version > Version::ZERO).then_some(RunHead { version: self.version, last: self.last })
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let name = self.name.as_deref().unwrap_or_default();
        let mut bytes = Vec::with_capacity(21 + name.len() + 24 * self.answers.0.len());
        bytes.extend(self.version.0.to_le_bytes());
        bytes.extend(self.last.0.to_le_bytes());
        let named = if self.name.is_some() { Self::NAMED } else { 0 };
        bytes.push(named | if self.spilled { Self::SPILLED } else { 0 });
        // Names are at most 128 bytes by the domain's bounds; a longer one would make a row that reads as damaged.
        bytes.extend(u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(name.as_bytes());
        for (position, command) in &self.answers.0 {
            bytes.extend(position.0.to_le_bytes());
            bytes.extend(command.to_u128().to_be_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(row: &[u8]) -> Option<Self> {
        let (version, row) = row.split_first_chunk()?;
        let (last, row) = row.split_first_chunk()?;
        let (flags, row) = row.split_first()?;
        let (name_bytes, row) = row.split_first_chunk()?;
        let (name, row) = row.split_at_checked(usize::try_from(u32::from_le_bytes(*name_bytes)).ok()?)?;
        let name = std::str::from_utf8(name).ok()?;
        let (answers, []) = row.as_chunks::<24>() else { return None };
        let answers = answers.iter().map(|answer| {
            let (position, command) = answer.split_first_chunk()?;
            let command = CommandId::from_u128(u128::from_be_bytes(command.try_into().ok()?));
            Some((Position(u64::from_le_bytes(*position)), command))
        });
        Some(Self {
            version: Version(u64::from_le_bytes(*version)),
            last: Position(u64::from_le_bytes(*last)),
            name: (flags & Self::NAMED != 0).then(|| name.to_owned()),
            spilled: flags & Self::SPILLED != 0,
            answers: Answers(answers.collect::<Option<_>>()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;

    fn row() -> RunRow {
        let mut answers = Answers::default();
        answers.add(ids::command(2), Position(9));
        answers.add(ids::command(1), Position(7));
        RunRow { version: Version(3), last: Position(9), name: Some("bärn".to_owned()), spilled: true, answers }
    }

    #[test]
    fn a_row_survives_its_bytes_and_no_shorter_or_longer_ones() {
        let bytes = row().to_bytes();
        assert_eq!(RunRow::from_bytes(&bytes), Some(row()));
        // A cut between two answers is a shorter list; the store's checksum finds that one.
        let whole = |length: usize| length >= 26 && (length - 26).is_multiple_of(24);
        for length in (0..bytes.len()).filter(|length| !whole(*length)) {
            assert_eq!(RunRow::from_bytes(&bytes[..length]), None, "{length}");
        }
        assert_eq!(RunRow::from_bytes(&[bytes, vec![0]].concat()), None);
        assert_eq!(RunRow::from_bytes(&RunRow::default().to_bytes()), Some(RunRow::default()));
    }

    #[test]
    fn the_first_answer_stays_and_the_oldest_spill() {
        let mut answers = Answers::default();
        for number in (0..COMMANDS_MAX as u64 + 2).rev() {
            answers.add(ids::command(number), Position(number + 1));
            answers.add(ids::command(number), Position(9_999));
        }
        let spilled = answers.spill();
        assert_eq!(spilled, [(Position(1), ids::command(0)), (Position(2), ids::command(1))]);
        assert_eq!(answers.find(ids::command(2)), Some(Position(3)));
        assert_eq!(answers.find(ids::command(1)), None);
    }
}
