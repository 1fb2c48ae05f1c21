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

/// What is known of the archived runs so far. Grows with them and their commands, some 50 bytes for each of those.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    runs: BTreeMap<RunId, Gathered>,
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
            gathering.runs.insert(row.run, known);
        }
        for index in 0..stub.head.names {
            let (_, taken, run) = stub.name_row(index)?;
            if let Some(known) = gathering.runs.get_mut(&run) {
                known.taken = taken;
            }
        }
        Ok(gathering)
    }

    /// Takes in the next entry.
    pub(crate) fn see(&mut self, entry: &Entry) {
        let (Some(run), Some(command)) = (entry.run(), entry.command_id()) else { return };
        let known = self.runs.entry(run).or_default();
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
    }

    /// The bytes of the stub.
    pub(crate) fn encode(&self, head: StubHead) -> Vec<u8> {
        let (mut blocks, mut rows, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (run, known) in &self.runs {
            let at = blocks.len();
            kept::encode(known.record.as_ref(), known.head, known.answers.values(), &mut blocks);
            // What is known of one run has far fewer bytes than 4 GiB, by the bounds of what is in it.
            let length = (blocks.len() - at) as u32;
            let is_open = known.record.as_ref().is_some_and(|record| !record.run.is_ended());
            rows.push(RunRow { run: *run, at: at as u64, length, is_open });
            if let Some(name) = known.record.as_ref().and_then(|record| record.run.spec.name.as_deref()) {
                names.push(kept::name_row(name, known.taken, *run));
            }
        }
        names.sort_unstable();
        let mut head = head;
        head.place(blocks.len() as u64, rows.len() as u64, names.len() as u64);
        let mut bytes = head.encode();
        bytes.append(&mut blocks);
        for row in rows {
            RunRow { at: head.blocks_at + row.at, ..row }.encode(&mut bytes);
        }
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

impl Gathered {
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
