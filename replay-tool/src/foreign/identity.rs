//! Ids that follow from the content: the same input gives the same journal, and the same event told twice is one command.

use std::sync::atomic::{AtomicU64, Ordering};

use tachograph_adapters::clock::ManualClock;
use tachograph_engine::domain::{AttemptId, CommandId, Digest, RunId, Timestamp};
use tachograph_engine::ports::{Clock, IdSource};
use ulid::Ulid;

/// Makes ids within one source of events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity(pub(super) &'static str);

impl Identity {
    /// The run that a subject is. A subject that is named by a ULID is that run.
    pub(super) fn run(self, subject: &str) -> RunId {
        subject.parse().unwrap_or_else(|_| RunId::from_u128(self.hash("run", &[subject])))
    }

    /// The attempt that the events name themselves.
    pub(super) fn named_attempt(self, run: RunId, name: &str) -> AttemptId {
        AttemptId::from_u128(self.hash("attempt", &[&run.to_string(), name]))
    }

    /// The attempt that an event began. It carries when, in milliseconds, so that a late report finds it.
    pub(super) fn begun_attempt(self, run: RunId, event: &str, at: Timestamp) -> AttemptId {
        let random = self.hash("begun", &[&run.to_string(), event]);
        AttemptId::from_ulid(Ulid::from_parts(millis(at), random))
    }

    /// When the attempt began, if an event began it: what [`begun_attempt`](Self::begun_attempt) put there.
    pub(super) fn began(attempt: AttemptId) -> u64 {
        attempt.ulid().timestamp_ms()
    }

    /// The command that an event leads to; it may lead to several, each for something else.
    pub(super) fn command(self, run: RunId, event: &str, what: &str) -> CommandId {
        CommandId::from_u128(self.hash("command", &[&run.to_string(), event, what]))
    }

    /// The journal of an input.
    pub(super) fn journal(self, input: Digest) -> Ulid {
        Ulid(self.hash("journal", &[&input.to_string()]))
    }

    fn hash(self, what: &str, parts: &[&str]) -> u128 {
        let mut hasher = blake3::Hasher::new();
        for part in [self.0, what].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        u128::from_be_bytes(id)
    }
}

/// Milliseconds since 1970; nothing before that has a place in a ULID.
pub(super) fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros().div_euclid(1_000)).unwrap_or(0)
}

/// Ids of entries: of the history's time, and of their number in this journal.
#[derive(Debug)]
pub(super) struct EntryIds {
    clock: ManualClock,
    identity: Identity,
    journal: Ulid,
    given: AtomicU64,
}

impl EntryIds {
    pub(super) fn new(clock: ManualClock, identity: Identity, journal: Ulid) -> Self {
        Self { clock, identity, journal, given: AtomicU64::new(0) }
    }
}

impl IdSource for EntryIds {
    fn next(&self) -> Ulid {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let random = self.identity.hash("entry", &[&self.journal.to_string(), &number.to_string()]);
        Ulid::from_parts(millis(self.clock.now()), random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_follows_from_all_of_its_parts_and_from_nothing_else() {
        let (docker, other) = (Identity("docker-events"), Identity("jsonl"));
        let run = docker.run("c1");
        assert_eq!(run, docker.run("c1"));
        assert_ne!(run, docker.run("c2"));
        assert_ne!(run, other.run("c1"));
        assert_eq!(docker.run(&run.to_string()), run, "a run that is named by its id");
        assert_ne!(docker.command(run, "ab", "c"), docker.command(run, "a", "bc"));
        assert_ne!(docker.hash("x", &["ab", "c"]), docker.hash("x", &["a", "bc"]));
    }

    #[test]
    fn an_attempt_carries_when_it_began() {
        let run = Identity("s").run("c1");
        let at = Timestamp::from_micros(1_795_230_000_123_456);
        assert_eq!(Identity::began(Identity("s").begun_attempt(run, "e", at)), 1_795_230_000_123);
        assert_eq!(millis(Timestamp::MIN), 0);
    }
}
