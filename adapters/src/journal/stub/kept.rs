//! What a stub keeps of one run: its record where the archive ends, and how its commands were answered.

use tachograph_engine::codec;
use tachograph_engine::domain::{AttemptId, CommandId, EntryBody, Position, RunId, RunRecord, Version};
use tachograph_engine::ports::{KeptAnswer, RunHead};

use super::super::fields::Fields;

const WRITTEN: u8 = 0;
const REFUSED: u8 = 1;

/// What is kept of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptRun {
    /// Absent if it was never created by then, and only refused commands name it.
    pub(crate) record: Option<RunRecord>,
    /// Position of the last archived entry about it.
    pub(crate) last: Position,
    /// Its version there.
    pub(crate) version: Version,
    /// Every answered command with its first answer.
    pub(crate) answers: Vec<(CommandId, KeptAnswer)>,
}

impl KeptRun {
    /// The end of its archived history, if it was created.
    pub(crate) fn head(&self) -> Option<RunHead> {
        self.record.as_ref().map(|_| RunHead { version: self.version, last: self.last })
    }

    /// Whether it was open there.
    pub(super) fn is_open(&self) -> bool {
        self.record.as_ref().is_some_and(|record| !record.run.is_ended())
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (record, last, version, rows) = split(bytes)?;
        let answers = rows.into_iter().map(|row| decode_answer(&mut Fields(row))).collect::<Option<_>>()?;
        Some(Self { record, last, version, answers })
    }
}

/// The parts of a run's bytes: its record, last position and version, and the bytes of each answer.
type Parts<'a> = (Option<RunRecord>, Position, Version, Vec<&'a [u8]>);

/// Takes a run's bytes apart, with the answers as they are.
pub(super) fn split(bytes: &[u8]) -> Option<Parts<'_>> {
    let mut fields = Fields(bytes);
    let length = fields.u32()? as usize;
    let record = match fields.take(length)? {
        [] => None,
        bytes => match codec::decode_records(bytes) {
            Ok(records) => Some(<[RunRecord; 1]>::try_from(records).ok().map(|[record]| record)?),
            Err(_) => return None,
        },
    };
    let (last, version) = (fields.position()?, Version(fields.u64()?));
    let mut rows = Vec::new();
    for _ in 0..fields.u32()? {
        let length = fields.u32()? as usize;
        rows.push(fields.take(length)?);
    }
    fields.0.is_empty().then_some((record, last, version, rows))
}

/// Where in a run's bytes an answer is.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerAt {
    command: CommandId,
    pub(super) at: u32,
    pub(super) length: u32,
}

/// Where each answer is, by its command; no answer, and no record, is decoded. Absent if the bytes are no run's.
pub(super) fn answers_in(bytes: &[u8]) -> Option<Vec<AnswerAt>> {
    let mut fields = Fields(bytes);
    let length = fields.u32()? as usize;
    fields.take(length)?;
    fields.position()?;
    fields.u64()?;
    let mut answers = Vec::new();
    for _ in 0..fields.u32()? {
        let length = fields.u32()?;
        let at = u32::try_from(bytes.len() - fields.0.len()).ok()?;
        let command = command_of(fields.take(length as usize)?)?;
        answers.push(AnswerAt { command, at, length });
    }
    // They are written in this order.
    answers.sort_by_key(|answer| answer.command);
    Some(answers)
}

/// Where the answer to a command is; absent if it was not answered.
pub(super) fn answer_to(answers: &[AnswerAt], command: CommandId) -> Option<AnswerAt> {
    let found = answers.binary_search_by_key(&command, |answer| answer.command);
    found.ok().and_then(|index| answers.get(index).copied())
}

/// The answer that bytes are; absent if they are none.
pub(super) fn decode(bytes: &[u8]) -> Option<KeptAnswer> {
    decode_answer(&mut Fields(bytes)).map(|(_, answer)| answer)
}

/// The command that an answer was given to.
pub(super) fn command_of(answer: &[u8]) -> Option<CommandId> {
    Fields(answer).id().map(CommandId::from_u128)
}

/// The bytes of a run; `answers` are the bytes of each, in the order of their commands.
pub(super) fn encode<'a>(
    record: Option<&RunRecord>,
    head: RunHead,
    answers: impl ExactSizeIterator<Item = &'a Vec<u8>>,
    out: &mut Vec<u8>,
) {
    let record = record.map(|record| codec::encode_records(std::slice::from_ref(record))).unwrap_or_default();
    // A record has a few megabytes at most, by the bounds of what is in it.
    out.extend((record.len() as u32).to_le_bytes());
    out.extend(record);
    out.extend(head.last.0.to_le_bytes());
    out.extend(head.version.0.to_le_bytes());
    out.extend((answers.len() as u32).to_le_bytes());
    for answer in answers {
        out.extend((answer.len() as u32).to_le_bytes());
        out.extend(answer);
    }
}

/// The bytes of an answer that recorded events.
pub(super) fn encode_written(
    command: CommandId,
    position: Position,
    version: Version,
    ends: impl Iterator<Item = AttemptId>,
) -> Vec<u8> {
    let mut out = command.to_u128().to_be_bytes().to_vec();
    out.push(WRITTEN);
    out.extend(position.0.to_le_bytes());
    out.extend(version.0.to_le_bytes());
    ends.for_each(|attempt| out.extend(attempt.to_u128().to_be_bytes()));
    out
}

/// The bytes of a refusal: its whole entry.
pub(super) fn encode_refused(command: CommandId, entry: &[u8]) -> Vec<u8> {
    let mut out = command.to_u128().to_be_bytes().to_vec();
    out.push(REFUSED);
    out.extend(entry);
    out
}

fn decode_answer(fields: &mut Fields<'_>) -> Option<(CommandId, KeptAnswer)> {
    let command = CommandId::from_u128(fields.id()?);
    let answer = match fields.u8()? {
        WRITTEN => {
            let (position, version) = (fields.position()?, Version(fields.u64()?));
            let mut ends = Vec::new();
            while !fields.0.is_empty() {
                ends.push(AttemptId::from_u128(fields.id()?));
            }
            KeptAnswer::Written { position, version, ends }
        }
        REFUSED => {
            let entry = codec::decode_entry(fields.0).ok()?;
            let position = entry.position;
            match entry.body {
                EntryBody::Refused(refused) => KeptAnswer::Refused { position, refusal: refused.refusal },
                EntryBody::Committed(_) | EntryBody::System(_) => return None,
            }
        }
        _ => return None,
    };
    Some((command, answer))
}

/// By what a name is looked up. Names that have the same are told apart by the runs' records.
pub(super) fn name_hash(name: &str) -> u128 {
    let hash = blake3::hash(name.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_be_bytes(first)
}

/// A row of the table of names.
pub(super) fn name_row(name: &str, taken: Position, run: RunId) -> (u128, Position, RunId) {
    (name_hash(name), taken, run)
}
