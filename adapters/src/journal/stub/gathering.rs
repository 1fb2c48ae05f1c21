//! Making a stub out of the one before and the entries that are archived now.

use std::collections::BTreeMap;

use tachograph_engine::codec;
use tachograph_engine::domain::{
    CommandId, Committed, Digest, Effect, Entry, EntryBody, Event, Position, RunId, RunRecord, RunState, Version,
    effects_of_events,
};
use tachograph_engine::ports::{JournalError, RunHead};

use super::kept;
use super::{RunRow, Stub, StubHead};

/// What is known of the archived runs so far. Grows with them and their commands: what is known of runs that have ended is held
/// as it will be in the stub, some hundred bytes for each and 50 for a command.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    runs: BTreeMap<RunId, Known>,
}

#[derive(Debug)]
enum Known {
    /// Something happens to it.
    Open(Box<Gathered>),
    /// It ended, and nothing came since.
    Packed(Packed),
}

/// What is known of a run, as it will be in the stub.
#[derive(Debug)]
struct Packed {
    block: Box<[u8]>,
    is_open: bool,
    /// The row of its name.
    name: Option<(u128, Position, RunId)>,
    taken: Position,
}

#[derive(Debug)]
struct Gathered {
    record: Option<RunRecord>,
    head: RunHead,
    /// Where it took its name last.
    taken: Position,
    /// The bytes of each first answer.
    answers: BTreeMap<CommandId, Vec<u8>>,
}

impl Default for Gathered {
    fn default() -> Self {
        let head = RunHead { version: Version::ZERO, last: Position::ZERO };
        Self { record: None, head, taken: Position::ZERO, answers: BTreeMap::new() }
    }
}

impl Gathering {
    /// Begins with what was archived before.
    ///
    /// # Errors
    ///
    /// As [`Stub::run`].
    pub(crate) fn after(stub: Option<&Stub>) -> Result<Self, JournalError> {
        let mut gathering = Self::default();
        let Some(stub) = stub else { return Ok(gathering) };
        for index in 0..stub.head.runs {
            let row = stub.run_row(index)?;
            let known = Gathered::of(&stub.block(row)?).ok_or_else(|| stub.undecodable(row))?;
            gathering.runs.insert(row.run, Known::Packed(known.pack(row.run)));
        }
        for index in 0..stub.head.names {
            let (_, taken, run) = stub.name_row(index)?;
            if let Some(Known::Packed(known)) = gathering.runs.get_mut(&run) {
                known.taken = taken;
                known.name = known.name.map(|(hash, _, run)| (hash, taken, run));
            }
        }
        Ok(gathering)
    }

    /// Takes in the next entry.
    pub(crate) fn see(&mut self, entry: &Entry) {
        let (Some(run), Some(command)) = (entry.run(), entry.command_id()) else { return };
        let mut known = match self.runs.remove(&run) {
            Some(Known::Open(known)) => known,
            Some(Known::Packed(packed)) => match packed.unpack() {
                Some(known) => Box::new(known),
                // What was packed can be read, or the stub is refused when it is read back: it stays what it is.
                None => return drop(self.runs.insert(run, Known::Packed(packed))),
            },
            None => Box::default(),
        };
        let answer = known.answer(entry, run, command);
        if let Some(answer) = answer {
            known.answers.entry(command).or_insert(answer);
        }
        let takes = |event: &Event| matches!(event, Event::Created { .. } | Event::Started { .. });
        if entry.events().iter().any(takes) {
            known.taken = entry.position;
        }
        known.head.last = entry.position;
        if let EntryBody::Committed(committed) = &entry.body {
            known.head.version = committed.version;
        }
        known.record = RunRecord::fold(known.record.take(), entry);
        // Packed when it ends, and not again for each late report.
        let ends = !entry.events().is_empty() && known.record.as_ref().is_some_and(|record| record.run.is_ended());
        self.runs.insert(run, if ends { Known::Packed(known.pack(run)) } else { Known::Open(known) });
    }

    /// The bytes of the stub.
    pub(crate) fn encode(self, head: StubHead) -> Vec<u8> {
        let pack = |(run, known)| match known {
            Known::Open(known) => (run, Gathered::pack(&known, run)),
            Known::Packed(packed) => (run, packed),
        };
        let packed: Vec<(RunId, Packed)> = self.runs.into_iter().map(pack).collect();
        let mut names: Vec<_> = packed.iter().filter_map(|(_, packed)| packed.name).collect();
        names.sort_unstable();
        let blocks_bytes: usize = packed.iter().map(|(_, packed)| packed.block.len()).sum();
        let mut head = head;
        head.place(blocks_bytes as u64, packed.len() as u64, names.len() as u64);
        let mut bytes = head.encode();
        let mut rows = Vec::with_capacity(packed.len());
        for (run, Packed { block, is_open, .. }) in packed {
            // What is known of one run has far fewer bytes than 4 GiB, by the bounds of what is in it.
            rows.push(RunRow { run, at: bytes.len() as u64, length: block.len() as u32, is_open });
            bytes.extend(block);
        }
        rows.into_iter().for_each(|row| row.encode(&mut bytes));
        for (hash, taken, run) in names {
            bytes.extend(hash.to_be_bytes());
            bytes.extend(taken.0.to_le_bytes());
            bytes.extend(run.to_u128().to_be_bytes());
        }
        let hash = Digest(*blake3::hash(&bytes).as_bytes());
        bytes.extend(hash.0);
        bytes
    }
}

impl Packed {
    fn unpack(&self) -> Option<Gathered> {
        Some(Gathered { taken: self.taken, ..Gathered::of(&self.block)? })
    }
}

impl Gathered {
    fn pack(&self, run: RunId) -> Packed {
        let mut block = Vec::new();
        let record = self.record.as_ref();
        kept::encode(record, self.head, self.answers.values(), &mut block);
        let name = record.and_then(|record| record.run.spec.name.as_deref());
        let name = name.map(|name| kept::name_row(name, self.taken, run));
        let is_open = record.is_some_and(|record| !record.run.is_ended());
        Packed { block: block.into(), is_open, name, taken: self.taken }
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let (record, last, version, rows) = kept::split(bytes)?;
        let answers = rows.into_iter().map(|row| Some((kept::command_of(row)?, row.to_vec())));
        let answers = answers.collect::<Option<_>>()?;
        Some(Self { record, head: RunHead { version, last }, taken: Position::ZERO, answers })
    }

    /// The answer that an entry records, with what was to follow from it.
    fn answer(&self, entry: &Entry, run: RunId, command: CommandId) -> Option<Vec<u8>> {
        match &entry.body {
            EntryBody::Committed(Committed { version, events, .. }) => {
                let state = self.record.as_ref().map(|record| RunState::Known(Box::new(record.run.clone())));
                let effects = effects_of_events(&state.unwrap_or(RunState::Unknown), events);
                let ends = effects.into_iter().filter_map(|effect| match effect {
                    Effect::EndAttempt { run: of, attempt } if of == run => Some(attempt),
                    Effect::EndAttempt { .. } | Effect::TakeSnapshot { .. } | Effect::DestroyOrphan { .. } => None,
                });
                Some(kept::encode_written(command, entry.position, *version, ends))
            }
            EntryBody::Refused(_) => {
                let mut bytes = Vec::new();
                codec::encode_entry(entry, &mut bytes);
                Some(kept::encode_refused(command, &bytes))
            }
            EntryBody::System(_) => None,
        }
    }
}
