//! Identities and orders, each a type of its own so that none can stand in for another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ulid::Ulid;
use uuid::Uuid;

/// A text that is no ULID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: expected a ULID, 26 characters of Crockford base 32")]
pub struct IdError {
    /// Which kind of id was expected, for example `run id`.
    pub what: &'static str,
    /// The text that was given, cut to 64 characters.
    pub text: String,
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// Shown and parsed as 26 characters of Crockford base 32. It is identity only: its timestamp orders nothing.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// Wraps a ULID that was minted elsewhere; the domain itself never mints.
            pub const fn from_ulid(ulid: Ulid) -> Self {
                Self(ulid)
            }

            /// The ULID inside.
            pub const fn ulid(self) -> Ulid {
                self.0
            }

            /// The 128 bits in the byte order of the text form.
            pub const fn to_u128(self) -> u128 {
                self.0.0
            }

            /// The inverse of [`Self::to_u128`].
            pub const fn from_u128(bits: u128) -> Self {
                Self(Ulid(bits))
            }

            /// The same 128 bits for systems with UUID columns.
            pub const fn to_uuid(self) -> Uuid {
                Uuid::from_u128(self.0.0)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self::from_u128(uuid.as_u128())
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.to_uuid()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Ulid::from_string(text)
                    .map(Self)
                    .map_err(|_| IdError { what: $what, text: text.chars().take(64).collect() })
            }
        }
    };
}

ulid_id! {
    /// Identity of one supervised execution, never reused, still known after destruction.
    RunId, "run id"
}
ulid_id! {
    /// Identity of one incarnation of a run: the fence that every report must name.
    AttemptId, "attempt id"
}
ulid_id! {
    /// Identity of a command, chosen by its issuer: what makes a retry harmless.
    CommandId, "command id"
}
ulid_id! {
    /// Identity of one record of the journal.
    EntryId, "entry id"
}
ulid_id! {
    /// Identity of one armed snapshot; re-arming makes a new one.
    SnapshotId, "snapshot id"
}

macro_rules! count {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// Before the first one.
            pub const ZERO: Self = Self(0);

            /// The one after this; stays at the greatest value instead of wrapping.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

count! {
    /// Global order of entries in one journal. The first entry has position 1; 0 means 'before everything'.
    Position, u64
}
count! {
    /// Order of events within one run. `Created` has version 1; 0 means that the run does not exist.
    Version, u64
}
count! {
    /// Which attempt of its run this is: 1, 2, 3…
    Ordinal, u32
}

/// The actor that holds an attempt: a worker, a VM, a node agent. An opaque text of 1 to 256 bytes.
///
/// Cheap to clone: every command, event and state of an attempt shares the one text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunnerId(Arc<str>);

impl RunnerId {
    /// Wraps the text as it is; its bounds are checked where a command is decided.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RunnerId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A BLAKE3 hash of 32 bytes, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// All zero: the hash before the first frame of a journal. No content is known to have it.
    pub const ZERO: Self = Self([0; 32]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All at once: a call of the formatter for each byte costs thousands of instructions, and each end of a run has
        // several digests.
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
        }
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text_and_uuid() {
        let id = RunId::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        assert_eq!(RunId::from(Uuid::from(id)), id);
        assert_eq!(id.to_string().len(), 26);
    }

    #[test]
    fn a_wrong_id_says_what_was_expected_and_keeps_a_bounded_part_of_the_text() {
        let error = "x".repeat(1_000).parse::<AttemptId>().unwrap_err();
        assert_eq!(error.what, "attempt id");
        assert_eq!(error.text.len(), 64);
    }
}
