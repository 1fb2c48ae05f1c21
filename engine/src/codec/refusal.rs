//! Why not.

use bincode::{BorrowDecode, Encode};

use super::outcome::Outcome;
use super::scalar::{ActionName, Id, StatusName, Time};
use crate::domain;

#[derive(Encode, BorrowDecode)]
#[repr(u8)]
pub(super) enum Refusal<'a> {
    UnknownRun = 0,
    RunExists = 1,
    RunDestroyed = 2,
    StaleAttempt { current: Option<Id> } = 3,
    WrongRunner { holder: &'a str } = 4,
    IllegalTransition { from: StatusName, action: ActionName } = 5,
    ConflictingTerminal { recorded: Outcome<'a> } = 6,
    VersionConflict { actual: u64 } = 7,
    InvalidInput { field: &'a str, why: &'a str } = 8,
    NameHeld { name: &'a str, holder: Id } = 9,
    ForceRequired { from: StatusName } = 10,
    NothingPending = 11,
    NotOwner { armed_by: &'a str } = 12,
    AlreadyDispatched { snapshot: Id } = 13,
    SnapshotGone { armed: Option<Id> } = 14,
    NotDue { due: Time } = 15,
    AlreadyDisconnected = 16,
    NotAmendable { recorded: Outcome<'a> } = 17,
    AttemptsExhausted { limit: u32 } = 18,
}

impl<'a> From<&'a domain::Refusal> for Refusal<'a> {
    fn from(refusal: &'a domain::Refusal) -> Self {
        match refusal {
            domain::Refusal::UnknownRun => Self::UnknownRun,
            domain::Refusal::RunExists => Self::RunExists,
            domain::Refusal::RunDestroyed => Self::RunDestroyed,
            domain::Refusal::StaleAttempt { current } => Self::StaleAttempt { current: current.map(Into::into) },
            domain::Refusal::WrongRunner { holder } => Self::WrongRunner { holder: holder.as_str() },
            domain::Refusal::IllegalTransition { from, action } => {
                Self::IllegalTransition { from: (*from).into(), action: (*action).into() }
            }
            domain::Refusal::ConflictingTerminal { recorded } => {
                Self::ConflictingTerminal { recorded: recorded.as_ref().into() }
            }
            domain::Refusal::VersionConflict { actual } => Self::VersionConflict { actual: actual.0 },
            domain::Refusal::InvalidInput { field, why } => Self::InvalidInput { field, why },
            domain::Refusal::NameHeld { name, holder } => Self::NameHeld { name, holder: (*holder).into() },
            domain::Refusal::ForceRequired { from } => Self::ForceRequired { from: (*from).into() },
            domain::Refusal::NothingPending => Self::NothingPending,
            domain::Refusal::NotOwner { armed_by } => Self::NotOwner { armed_by: armed_by.as_str() },
            domain::Refusal::AlreadyDispatched { snapshot } => Self::AlreadyDispatched { snapshot: (*snapshot).into() },
            domain::Refusal::SnapshotGone { armed } => Self::SnapshotGone { armed: armed.map(Into::into) },
            domain::Refusal::NotDue { due } => Self::NotDue { due: (*due).into() },
            domain::Refusal::AlreadyDisconnected => Self::AlreadyDisconnected,
            domain::Refusal::NotAmendable { recorded } => Self::NotAmendable { recorded: recorded.as_ref().into() },
            domain::Refusal::AttemptsExhausted { limit } => Self::AttemptsExhausted { limit: *limit },
        }
    }
}

impl From<Refusal<'_>> for domain::Refusal {
    fn from(refusal: Refusal<'_>) -> Self {
        match refusal {
            Refusal::UnknownRun => Self::UnknownRun,
            Refusal::RunExists => Self::RunExists,
            Refusal::RunDestroyed => Self::RunDestroyed,
            Refusal::StaleAttempt { current } => Self::StaleAttempt { current: current.map(Into::into) },
            Refusal::WrongRunner { holder } => Self::WrongRunner { holder: holder.into() },
            Refusal::IllegalTransition { from, action } => {
                Self::IllegalTransition { from: from.into(), action: action.into() }
            }
            Refusal::ConflictingTerminal { recorded } => {
                Self::ConflictingTerminal { recorded: Box::new(recorded.into()) }
            }
            Refusal::VersionConflict { actual } => Self::VersionConflict { actual: domain::Version(actual) },
            Refusal::InvalidInput { field, why } => Self::InvalidInput { field: field.to_owned(), why: why.to_owned() },
            Refusal::NameHeld { name, holder } => Self::NameHeld { name: name.to_owned(), holder: holder.into() },
            Refusal::ForceRequired { from } => Self::ForceRequired { from: from.into() },
            Refusal::NothingPending => Self::NothingPending,
            Refusal::NotOwner { armed_by } => Self::NotOwner { armed_by: armed_by.into() },
            Refusal::AlreadyDispatched { snapshot } => Self::AlreadyDispatched { snapshot: snapshot.into() },
            Refusal::SnapshotGone { armed } => Self::SnapshotGone { armed: armed.map(Into::into) },
            Refusal::NotDue { due } => Self::NotDue { due: due.into() },
            Refusal::AlreadyDisconnected => Self::AlreadyDisconnected,
            Refusal::NotAmendable { recorded } => Self::NotAmendable { recorded: Box::new(recorded.into()) },
            Refusal::AttemptsExhausted { limit } => Self::AttemptsExhausted { limit },
        }
    }
}
