//! One record of the journal.

use super::{
    ActionName, Actor, Command, CommandId, Digest, EntryId, Events, Position, Refusal, RunId, Timestamp, Version,
    limits,
};

/// One record of the journal: what one command led to, or a fact about the journal itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its identity.
    pub id: EntryId,
    /// Its place in the global order.
    pub position: Position,
    /// When the committer took it in, by the committer's clock. Orders nothing.
    pub recorded_at: Timestamp,
    /// The previous entry about the same run, refusals included: the back pointer by which one run is read without
    /// the rest. Absent for a run's first entry, for refused commands to unknown runs, and for system facts.
    pub previous: Option<Position>,
    /// What it records.
    pub body: EntryBody,
}

/// What an entry records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryBody {
    /// A command that was accepted, with its events.
    Committed(Committed),
    /// A command that was refused.
    Refused(Refused),
    /// A fact about the journal and its writer.
    System(SystemFact),
}

impl Entry {
    /// The run that it is about; absent for system facts.
    pub fn run(&self) -> Option<RunId> {
        match &self.body {
            EntryBody::Committed(committed) => Some(committed.command.run),
            EntryBody::Refused(refused) => Some(refused.command.run()),
            EntryBody::System(_) => None,
        }
    }

    /// The command that it answers; absent for system facts.
    pub fn command_id(&self) -> Option<CommandId> {
        match &self.body {
            EntryBody::Committed(committed) => Some(committed.command.id),
            EntryBody::Refused(refused) => Some(refused.command.id()),
            EntryBody::System(_) => None,
        }
    }

    /// Its events; none unless it is committed.
    pub fn events(&self) -> &[super::Event] {
        match &self.body {
            EntryBody::Committed(committed) => &committed.events,
            EntryBody::Refused(_) | EntryBody::System(_) => &[],
        }
    }
}

/// An accepted command and what it led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The command as it was decided, so that it can be decided again.
    pub command: Command,
    /// The run's version after the events.
    pub version: Version,
    /// Never empty.
    pub events: Events,
}

/// A refused command and why. Advances no version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The command, as far as it is within bounds.
    pub command: RefusedCommand,
    /// Why.
    pub refusal: Refusal,
    /// How often this actor was refused like this by then: refusals are recorded at their 1st, 2nd, 4th, 8th… time.
    pub count: u64,
}

/// What is kept of a refused command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusedCommand {
    /// All of it.
    Whole(Box<Command>),
    /// Its header: the command is out of bounds, and keeping it would let bad input fill the disk.
    OutOfBounds {
        /// Its id.
        id: CommandId,
        /// The run that it was about.
        run: RunId,
        /// Who issued it; the id cut to its bound.
        actor: Actor,
        /// When it was issued.
        issued_at: Timestamp,
        /// What was asked.
        action: ActionName,
    },
}

impl RefusedCommand {
    /// What is kept of a command that was refused for this reason.
    pub fn keep(command: Command, refusal: &Refusal) -> Self {
        // `InvalidInput` may stand for an oversized field; everything else passed the bounds.
        match refusal {
            Refusal::InvalidInput { .. } if limits::check(&command).is_err() => Self::OutOfBounds {
                id: command.id,
                run: command.run,
                issued_at: command.issued_at,
                action: command.action.name(),
                actor: Actor {
                    kind: command.actor.kind,
                    id: cut(&command.actor.id, limits::ACTOR_ID_BYTES_MAX).into(),
                },
            },
            _ => Self::Whole(Box::new(command)),
        }
    }

    /// Its id.
    pub fn id(&self) -> CommandId {
        match self {
            Self::Whole(command) => command.id,
            Self::OutOfBounds { id, .. } => *id,
        }
    }

    /// The run that it was about.
    pub fn run(&self) -> RunId {
        match self {
            Self::Whole(command) => command.run,
            Self::OutOfBounds { run, .. } => *run,
        }
    }

    /// Who issued it.
    pub fn actor(&self) -> &Actor {
        match self {
            Self::Whole(command) => &command.actor,
            Self::OutOfBounds { actor, .. } => actor,
        }
    }

    /// When it was issued.
    pub fn issued_at(&self) -> Timestamp {
        match self {
            Self::Whole(command) => command.issued_at,
            Self::OutOfBounds { issued_at, .. } => *issued_at,
        }
    }

    /// What was asked.
    pub fn action(&self) -> ActionName {
        match self {
            Self::Whole(command) => command.action.name(),
            Self::OutOfBounds { action, .. } => *action,
        }
    }
}

/// The longest prefix of so many bytes that ends between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A fact about the journal and its writer, so that a crash is itself part of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemFact {
    /// A writer opened the journal.
    Opened(Session),
    /// The writer found that the one before it did not close the journal. Follows its `Opened`.
    Recovered {
        /// What was cut off the end, if anything.
        torn: Option<TornTail>,
        /// Entries that the anchor proves to have been durable up to this position and that are gone, if any.
        missing_up_to: Option<(Position, Digest)>,
        /// Runs that had not ended at that time.
        open_runs: u64,
    },
    /// The writer closed the journal cleanly.
    Closed(Session),
}

/// Who wrote, where and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Host name.
    pub host: String,
    /// The kernel's boot id; empty where there is none.
    pub boot_id: String,
    /// Process id.
    pub pid: u32,
    /// Version of the writing software.
    pub version: String,
    /// Wall clock.
    pub wall: Timestamp,
    /// Monotonic clock of that boot, in microseconds.
    pub monotonic_us: u64,
}

/// The incomplete write that a crash left at the end of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// Segment file name, without its directory.
    pub file: String,
    /// Offset of the first byte that was cut.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// Position of the first entry that was not complete.
    pub position: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("añb", 2), "a");
        assert_eq!(cut("añb", 3), "añ");
        assert_eq!(cut("a", 3), "a");
    }
}
