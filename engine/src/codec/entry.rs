//! One record of the journal.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use super::command::{Actor, Command};
use super::event::Event;
use super::refusal::Refusal;
use super::scalar::{ActionName, Digest, Id, Time};
use super::{PLACE_OF_REFUSED, PLACE_OF_SYSTEM};
use crate::domain;

#[derive(Encode, BorrowDecode)]
pub(super) struct Entry<'a> {
    id: Id,
    position: u64,
    recorded_at: Time,
    previous: Option<u64>,
    body: Body<'a>,
}

/// What an entry begins with: all of it up to the place of its body among the bodies.
#[derive(BorrowDecode)]
pub(super) struct Beginning {
    _id: Id,
    _position: u64,
    _recorded_at: Time,
    previous: Option<u64>,
    body: u32,
}

impl Beginning {
    /// Whether a fact about the journal follows.
    pub(super) const fn is_of_fact(&self) -> bool {
        self.body == PLACE_OF_SYSTEM
    }

    /// Whether a refusal follows that no entry of its run came before.
    pub(super) const fn is_of_early_refusal(&self) -> bool {
        self.body == PLACE_OF_REFUSED && self.previous.is_none()
    }
}

impl<'a> From<&'a domain::Entry> for Entry<'a> {
    fn from(entry: &'a domain::Entry) -> Self {
        let domain::Entry { id, position, recorded_at, previous, body } = entry;
        Self {
            id: (*id).into(),
            position: position.0,
            recorded_at: (*recorded_at).into(),
            previous: previous.map(|position| position.0),
            body: body.into(),
        }
    }
}

impl Entry<'_> {
    pub(super) fn into_domain(self) -> Result<domain::Entry, &'static str> {
        let Self { id, position, recorded_at, previous, body } = self;
        Ok(domain::Entry {
            id: id.into(),
            position: domain::Position(position),
            recorded_at: recorded_at.into(),
            previous: previous.map(domain::Position),
            body: body.into_domain()?,
        })
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
enum Body<'a> {
    Committed { command: Command<'a>, version: u64, events: Vec<Event<'a>> } = 0,
    Refused { command: RefusedCommand<'a>, refusal: Refusal<'a>, count: u64 } = 1,
    System(SystemFact<'a>) = 2,
}

impl<'a> From<&'a domain::EntryBody> for Body<'a> {
    fn from(body: &'a domain::EntryBody) -> Self {
        match body {
            domain::EntryBody::Committed(domain::Committed { command, version, events }) => Self::Committed {
                command: Command::from_domain(command, recorded_spec(events).map(Arc::as_ref)),
                version: version.0,
                events: events.iter().map(Into::into).collect(),
            },
            domain::EntryBody::Refused(domain::Refused { command, refusal, count }) => {
                Self::Refused { command: command.into(), refusal: refusal.into(), count: *count }
            }
            domain::EntryBody::System(fact) => Self::System(fact.into()),
        }
    }
}

impl Body<'_> {
    fn into_domain(self) -> Result<domain::EntryBody, &'static str> {
        Ok(match self {
            Self::Committed { command, version, events } => {
                let events: domain::Events = events.into_iter().map(Into::into).collect();
                let command = command.into_domain(recorded_spec(&events))?;
                domain::EntryBody::Committed(domain::Committed { command, version: domain::Version(version), events })
            }
            Self::Refused { command, refusal, count } => domain::EntryBody::Refused(domain::Refused {
                command: command.into_domain()?,
                refusal: refusal.into(),
                count,
            }),
            Self::System(fact) => domain::EntryBody::System(fact.into()),
        })
    }
}

/// The spec that a create in the same entry may refer to: that of the first event, if it is `Created`.
fn recorded_spec(events: &[domain::Event]) -> Option<&Arc<domain::RunSpec>> {
    match events.first() {
        Some(domain::Event::Created { run: _, spec }) => Some(spec),
        // Any other event has no spec to refer to, whichever it is.
        Some(_) | None => None,
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
enum RefusedCommand<'a> {
    Whole(Box<Command<'a>>) = 0,
    OutOfBounds { id: Id, run: Id, actor: Actor<'a>, issued_at: Time, action: ActionName } = 1,
}

impl<'a> From<&'a domain::RefusedCommand> for RefusedCommand<'a> {
    fn from(command: &'a domain::RefusedCommand) -> Self {
        match command {
            domain::RefusedCommand::Whole(command) => Self::Whole(Box::new(Command::from_domain(command, None))),
            domain::RefusedCommand::OutOfBounds { id, run, actor, issued_at, action } => Self::OutOfBounds {
                id: (*id).into(),
                run: (*run).into(),
                actor: actor.into(),
                issued_at: (*issued_at).into(),
                action: (*action).into(),
            },
        }
    }
}

impl RefusedCommand<'_> {
    fn into_domain(self) -> Result<domain::RefusedCommand, &'static str> {
        Ok(match self {
            Self::Whole(command) => domain::RefusedCommand::Whole(Box::new(command.into_domain(None)?)),
            Self::OutOfBounds { id, run, actor, issued_at, action } => domain::RefusedCommand::OutOfBounds {
                id: id.into(),
                run: run.into(),
                actor: actor.into(),
                issued_at: issued_at.into(),
                action: action.into(),
            },
        })
    }
}

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
enum SystemFact<'a> {
    Opened(Session<'a>) = 0,
    Recovered { torn: Option<TornTail<'a>>, missing_up_to: Option<(u64, Digest)>, open_runs: u64 } = 1,
    Closed(Session<'a>) = 2,
}

impl<'a> From<&'a domain::SystemFact> for SystemFact<'a> {
    fn from(fact: &'a domain::SystemFact) -> Self {
        match fact {
            domain::SystemFact::Opened(session) => Self::Opened(session.into()),
            domain::SystemFact::Recovered { torn, missing_up_to, open_runs } => Self::Recovered {
                torn: torn.as_ref().map(Into::into),
                missing_up_to: missing_up_to.map(|(position, digest)| (position.0, digest.into())),
                open_runs: *open_runs,
            },
            domain::SystemFact::Closed(session) => Self::Closed(session.into()),
        }
    }
}

impl From<SystemFact<'_>> for domain::SystemFact {
    fn from(fact: SystemFact<'_>) -> Self {
        match fact {
            SystemFact::Opened(session) => Self::Opened(session.into()),
            SystemFact::Recovered { torn, missing_up_to, open_runs } => Self::Recovered {
                torn: torn.map(Into::into),
                missing_up_to: missing_up_to.map(|(position, digest)| (domain::Position(position), digest.into())),
                open_runs,
            },
            SystemFact::Closed(session) => Self::Closed(session.into()),
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct Session<'a> {
    host: &'a str,
    boot_id: &'a str,
    pid: u32,
    version: &'a str,
    wall: Time,
    monotonic_us: u64,
}

impl<'a> From<&'a domain::Session> for Session<'a> {
    fn from(session: &'a domain::Session) -> Self {
        let domain::Session { host, boot_id, pid, version, wall, monotonic_us } = session;
        Self { host, boot_id, pid: *pid, version, wall: (*wall).into(), monotonic_us: *monotonic_us }
    }
}

impl From<Session<'_>> for domain::Session {
    fn from(session: Session<'_>) -> Self {
        let Session { host, boot_id, pid, version, wall, monotonic_us } = session;
        Self {
            host: host.to_owned(),
            boot_id: boot_id.to_owned(),
            pid,
            version: version.to_owned(),
            wall: wall.into(),
            monotonic_us,
        }
    }
}

#[derive(Encode, BorrowDecode)]
struct TornTail<'a> {
    file: &'a str,
    offset: u64,
    bytes: u64,
    position: u64,
}

impl<'a> From<&'a domain::TornTail> for TornTail<'a> {
    fn from(tail: &'a domain::TornTail) -> Self {
        let domain::TornTail { file, offset, bytes, position } = tail;
        Self { file, offset: *offset, bytes: *bytes, position: position.0 }
    }
}

impl From<TornTail<'_>> for domain::TornTail {
    fn from(tail: TornTail<'_>) -> Self {
        let TornTail { file, offset, bytes, position } = tail;
        Self { file: file.to_owned(), offset, bytes, position: domain::Position(position) }
    }
}
