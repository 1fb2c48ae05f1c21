//! Ids, times and digests, and the enums that carry nothing.

use std::collections::BTreeMap;

use bincode::de::BorrowDecoder;
use bincode::error::DecodeError;
use bincode::{BorrowDecode, Encode};

use crate::domain;

/// Any id: 16 bytes in the order of its text form.
#[derive(Clone, Copy, Encode, BorrowDecode)]
pub(super) struct Id([u8; 16]);

macro_rules! id {
    ($($domain:ident)*) => {$(
        impl From<domain::$domain> for Id {
            fn from(id: domain::$domain) -> Self {
                Self(id.to_u128().to_be_bytes())
            }
        }

        impl From<Id> for domain::$domain {
            fn from(id: Id) -> Self {
                Self::from_u128(u128::from_be_bytes(id.0))
            }
        }
    )*};
}

id!(RunId AttemptId CommandId EntryId SnapshotId);

/// Microseconds since the Unix epoch.
#[derive(Clone, Copy, Encode)]
pub(super) struct Time(i64);

impl<'de, Context> BorrowDecode<'de, Context> for Time {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let micros = i64::borrow_decode(decoder)?;
        // The domain would move it to the nearest time that exists; evidence is never moved silently.
        if domain::Timestamp::from_micros(micros).as_micros() == micros {
            Ok(Self(micros))
        } else {
            Err(DecodeError::Other("a time outside of the years 1 to 9999"))
        }
    }
}

impl From<domain::Timestamp> for Time {
    fn from(time: domain::Timestamp) -> Self {
        Self(time.as_micros())
    }
}

impl From<Time> for domain::Timestamp {
    fn from(time: Time) -> Self {
        Self::from_micros(time.0)
    }
}

/// A hash of 32 bytes.
#[derive(Clone, Copy, Encode, BorrowDecode)]
pub(super) struct Digest([u8; 32]);

impl From<domain::Digest> for Digest {
    fn from(digest: domain::Digest) -> Self {
        Self(digest.0)
    }
}

impl From<Digest> for domain::Digest {
    fn from(digest: Digest) -> Self {
        Self(digest.0)
    }
}

/// The entries of a map in the order of their keys.
pub(super) type Pairs<'a> = Vec<(&'a str, &'a str)>;

pub(super) fn pairs(map: &BTreeMap<String, String>) -> Pairs<'_> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

pub(super) fn map(pairs: Pairs<'_>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(super) fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

pub(super) fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

/// Mirrors an enum without content; the numbers are its wire form.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:tt,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Encode, BorrowDecode)]
        #[repr(u8)]
        pub(super) enum $name {
            $($variant = $number,)*
        }

        impl From<domain::$name> for $name {
            fn from(name: domain::$name) -> Self {
                match name {
                    $(domain::$name::$variant => Self::$variant,)*
                }
            }
        }

        impl From<$name> for domain::$name {
            fn from(name: $name) -> Self {
                match name {
                    $($name::$variant => Self::$variant,)*
                }
            }
        }
    };
}

names! {
    /// In which role an actor speaks.
    ActorKind { Runner = 0, Supervisor = 1, Operator = 2, Timer = 3, Recovery = 4, }
}

names! {
    /// What was asked, without its content.
    ActionName {
        Create = 0,
        Start = 1,
        Wait = 2,
        Exit = 3,
        Fail = 4,
        Destroy = 5,
        ScheduleSnapshot = 6,
        CancelSnapshot = 7,
        DispatchSnapshot = 8,
        CompleteSnapshot = 9,
        FailSnapshot = 10,
        DisconnectRunner = 11,
        AmendExit = 12,
        Reconcile = 13,
    }
}

names! {
    /// What recovery found.
    Finding { Adopted = 0, Lost = 1, Orphan = 2, }
}

names! {
    /// Out of which situation an attempt was opened.
    StartCause { Fresh = 0, Resume = 1, Restart = 2, Takeover = 3, }
}

names! {
    /// A run's last transition.
    StatusName { Created = 0, Started = 1, Waiting = 2, Exited = 3, Failed = 4, Destroyed = 5, }
}

names! {
    /// An output stream.
    Stream { Stdout = 0, Stderr = 1, }
}

names! {
    /// Where an exit status comes from.
    Witness { Waited = 0, ExitFile = 1, Synthesised = 2, }
}
