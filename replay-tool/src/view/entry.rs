//! One entry of the journal.

use serde::Serialize;
use tachograph_engine::domain::{
    Actor, Command, Entry, EntryBody, Refusal, RefusedCommand, Session, SystemFact, TornTail,
};

use super::event::EventView;
use crate::words;

/// One entry: what one command led to, or a fact about the journal itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryView {
    /// Its place in the journal.
    pub position: u64,
    /// Its id.
    pub entry: String,
    /// When it was recorded, by the writer's clock.
    pub recorded_at: String,
    /// `committed`, `refused` or `system`.
    pub kind: &'static str,
    /// The run that it is about; absent for `system`.
    pub run: Option<String>,
    /// Position of the entry before it about the same run.
    pub previous: Option<u64>,
    /// The command; absent for `system`.
    pub command: Option<CommandView>,
    /// The run's version after it; only for `committed`.
    pub version: Option<u64>,
    /// What happened; empty unless it is `committed`.
    pub events: Vec<EventView>,
    /// Why the command was refused; only for `refused`.
    pub refusal: Option<RefusalView>,
    /// The fact; only for `system`.
    pub system: Option<SystemView>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandView {
    /// Its id.
    pub id: String,
    /// What was asked, for example `exit`.
    pub action: &'static str,
    /// The same with its content, in words for people.
    pub asked: String,
    /// Who asked.
    pub actor: ActorView,
    /// When, by the issuer's clock.
    pub issued_at: String,
    /// The attempt that it names.
    pub attempt_id: Option<String>,
    /// The runner whose claim it presents.
    pub runner: Option<String>,
    /// The version that it expects the run to be at.
    pub expected_version: Option<u64>,
}

/// Who issued a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActorView {
    /// `runner`, `supervisor`, `operator`, `timer` or `recovery`.
    pub kind: &'static str,
    /// Which one.
    pub id: String,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalView {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What the issuer should do.
    pub remedy: &'static str,
    /// How often this actor had been refused like this by then.
    pub count: u64,
}

/// A fact about the journal and its writer: an object with exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemView {
    /// A writer opened it.
    Opened(SessionView),
    /// The writer before did not close it.
    Recovered {
        /// What was cut off the end.
        torn: Option<TornTailView>,
        /// Entries up to here were durable once and are gone.
        missing_up_to: Option<u64>,
        /// Runs that had not ended.
        open_runs: u64,
    },
    /// The writer closed it.
    Closed(SessionView),
}

/// Who wrote, where and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// Host name.
    pub host: String,
    /// Boot id of the kernel.
    pub boot_id: String,
    /// Process id.
    pub pid: u32,
    /// Version of the software.
    pub version: String,
    /// Wall clock.
    pub wall: String,
    /// Monotonic clock of that boot, in microseconds.
    pub monotonic_us: u64,
}

/// The incomplete write that a crash left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TornTailView {
    /// In which file of the journal.
    pub file: String,
    /// From which offset.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Position of the first entry that was not complete.
    pub position: u64,
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        let mut view = Self {
            position: entry.position.0,
            entry: entry.id.to_string(),
            recorded_at: entry.recorded_at.to_string(),
            kind: "system",
            run: entry.run().map(|run| run.to_string()),
            previous: entry.previous.map(|position| position.0),
            command: None,
            version: None,
            events: entry.events().iter().map(Into::into).collect(),
            refusal: None,
            system: None,
        };
        match &entry.body {
            EntryBody::Committed(committed) => {
                view.kind = "committed";
                view.command = Some((&committed.command).into());
                view.version = Some(committed.version.0);
            }
            EntryBody::Refused(refused) => {
                view.kind = "refused";
                view.command = Some((&refused.command).into());
                view.refusal = Some(RefusalView::of(&refused.refusal, refused.count));
            }
            EntryBody::System(fact) => view.system = Some(fact.into()),
        }
        view
    }
}

impl From<&Command> for CommandView {
    fn from(command: &Command) -> Self {
        let action = &command.action;
        Self {
            id: command.id.to_string(),
            action: action.name().name(),
            asked: words::action(action),
            actor: (&command.actor).into(),
            issued_at: command.issued_at.to_string(),
            attempt_id: action.attempt().map(|attempt| attempt.to_string()),
            runner: action.claim().map(|claim| claim.runner.to_string()),
            expected_version: command.expected.map(|version| version.0),
        }
    }
}

impl From<&RefusedCommand> for CommandView {
    fn from(command: &RefusedCommand) -> Self {
        match command {
            RefusedCommand::Whole(command) => command.as_ref().into(),
            RefusedCommand::OutOfBounds { id, run: _, actor, issued_at, action } => Self {
                id: id.to_string(),
                action: action.name(),
                asked: words::refused_command(command),
                actor: actor.into(),
                issued_at: issued_at.to_string(),
                attempt_id: None,
                runner: None,
                expected_version: None,
            },
        }
    }
}

impl From<&Actor> for ActorView {
    fn from(actor: &Actor) -> Self {
        Self { kind: actor.kind.name(), id: actor.id.to_string() }
    }
}

impl RefusalView {
    /// A refusal that this actor met so many times.
    pub fn of(refusal: &Refusal, count: u64) -> Self {
        Self { code: refusal.code(), message: refusal.to_string(), remedy: refusal.remedy(), count }
    }
}

impl From<&SystemFact> for SystemView {
    fn from(fact: &SystemFact) -> Self {
        match fact {
            SystemFact::Opened(session) => Self::Opened(session.into()),
            SystemFact::Recovered { torn, missing_up_to, open_runs } => Self::Recovered {
                torn: torn.as_ref().map(Into::into),
                missing_up_to: missing_up_to.map(|(position, _)| position.0),
                open_runs: *open_runs,
            },
            SystemFact::Closed(session) => Self::Closed(session.into()),
        }
    }
}

impl From<&Session> for SessionView {
    fn from(session: &Session) -> Self {
        Self {
            host: session.host.clone(),
            boot_id: session.boot_id.clone(),
            pid: session.pid,
            version: session.version.clone(),
            wall: session.wall.to_string(),
            monotonic_us: session.monotonic_us,
        }
    }
}

impl From<&TornTail> for TornTailView {
    fn from(torn: &TornTail) -> Self {
        Self { file: torn.file.clone(), offset: torn.offset, bytes: torn.bytes, position: torn.position.0 }
    }
}
