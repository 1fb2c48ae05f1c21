//! One record of the journal.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tachograph_engine::domain::{
    ActionName, Actor, Command, CommandId, Committed, Digest, Entry, EntryBody, EntryId, Events, Position, Refusal,
    Refused, RefusedCommand, RunId, Session, SystemFact, Timestamp, TornTail, Version,
};

use super::command::{ActorDef, CommandDef, boxed};
use super::event;
use super::refusal::RefusalDef;
use super::scalar;

/// One line: an entry, borrowed to be written or owned once it is read.
pub(super) struct EntryLine<E>(E);

impl<'a> EntryLine<&'a Entry> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        Self(entry)
    }
}

impl EntryLine<Entry> {
    pub(super) fn into_entry(self) -> Entry {
        self.0
    }
}

impl Serialize for EntryLine<&Entry> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        EntryDef::serialize(self.0, to)
    }
}

impl<'de> Deserialize<'de> for EntryLine<Entry> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        EntryDef::deserialize(from).map(Self)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Entry", deny_unknown_fields)]
struct EntryDef {
    #[serde(with = "scalar::count")]
    position: Position,
    #[serde(with = "scalar::text")]
    id: EntryId,
    #[serde(with = "scalar::text")]
    recorded_at: Timestamp,
    #[serde(with = "scalar::count::option")]
    previous: Option<Position>,
    #[serde(with = "BodyDef")]
    body: EntryBody,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "EntryBody", rename_all = "snake_case", deny_unknown_fields)]
enum BodyDef {
    Committed(#[serde(with = "CommittedDef")] Committed),
    Refused(#[serde(with = "RefusedDef")] Refused),
    System(#[serde(with = "SystemDef")] SystemFact),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Committed", deny_unknown_fields)]
struct CommittedDef {
    #[serde(with = "CommandDef")]
    command: Command,
    #[serde(with = "scalar::count")]
    version: Version,
    #[serde(with = "event::list")]
    events: Events,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Refused", deny_unknown_fields)]
struct RefusedDef {
    #[serde(with = "RefusedCommandDef")]
    command: RefusedCommand,
    #[serde(with = "RefusalDef")]
    refusal: Refusal,
    count: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RefusedCommand", rename_all = "snake_case", deny_unknown_fields)]
enum RefusedCommandDef {
    Whole(#[serde(with = "boxed")] Box<Command>),
    OutOfBounds {
        #[serde(with = "scalar::text")]
        id: CommandId,
        #[serde(with = "scalar::text")]
        run: RunId,
        #[serde(with = "ActorDef")]
        actor: Actor,
        #[serde(with = "scalar::text")]
        issued_at: Timestamp,
        #[serde(with = "scalar::name")]
        action: ActionName,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SystemFact", rename_all = "snake_case", deny_unknown_fields)]
enum SystemDef {
    Opened(#[serde(with = "SessionDef")] Session),
    Recovered {
        #[serde(with = "torn")]
        torn: Option<TornTail>,
        #[serde(with = "missing")]
        missing_up_to: Option<(Position, Digest)>,
        open_runs: u64,
    },
    Closed(#[serde(with = "SessionDef")] Session),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Session", deny_unknown_fields)]
struct SessionDef {
    host: String,
    boot_id: String,
    pid: u32,
    version: String,
    #[serde(with = "scalar::text")]
    wall: Timestamp,
    monotonic_us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TornTail", deny_unknown_fields)]
struct TornDef {
    file: String,
    offset: u64,
    bytes: u64,
    #[serde(with = "scalar::count")]
    position: Position,
}

mod torn {
    use super::*;

    #[derive(Serialize)]
    struct Borrowed<'a>(#[serde(with = "TornDef")] &'a TornTail);

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "TornDef")] TornTail);

    pub(super) fn serialize<S: Serializer>(torn: &Option<TornTail>, to: S) -> Result<S::Ok, S::Error> {
        torn.as_ref().map(Borrowed).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TornTail>, D::Error> {
        Ok(Option::<Owned>::deserialize(from)?.map(|Owned(torn)| torn))
    }
}

/// The end that is missing: a position and its hash.
mod missing {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Missing {
        #[serde(with = "scalar::count")]
        position: Position,
        #[serde(with = "scalar::hex")]
        digest: Digest,
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<(Position, Digest)>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|(position, digest)| Missing { position, digest }).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<(Position, Digest)>, D::Error> {
        Ok(Option::<Missing>::deserialize(from)?.map(|missing| (missing.position, missing.digest)))
    }
}
