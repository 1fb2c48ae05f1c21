//! What opening found and recorded.

use std::collections::BTreeSet;

use tachograph_engine::domain::{AttemptId, ExitStatus, FailureKind, RunId};

/// What opening found and recorded, by run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdoptionReport {
    /// Runs that go on and are followed from here on.
    pub adopted: Vec<(RunId, AttemptId)>,
    /// Runs whose end was seen by their shim, or by the former supervisor, and left on disk.
    pub exited: Vec<(RunId, ExitStatus)>,
    /// Runs whose end nobody saw, each with the cause.
    pub unknown: Vec<(RunId, String)>,
    /// Runs that failed: never executed, or failed before the former supervisor died.
    pub failed: Vec<(RunId, FailureKind)>,
    /// What is alive and is nobody's, or may be, each with what is known; none of it was signalled, unless it says so.
    pub orphans: Vec<(RunId, String)>,
    /// What was left of attempts without a shim, or that were not wanted any more, and is no more: each with what was ended.
    pub ended: Vec<(RunId, String)>,
    /// Runs whose start the journal had lost and the world had not; each is also in one of the lists above.
    pub promoted: Vec<RunId>,
    /// Runs whose unknown end was filled by a record that came to light since.
    pub amended: Vec<(RunId, ExitStatus)>,
    /// Runs that were left alone, each with the reason: somebody else supervises them, or the engine refused.
    pub left_alone: Vec<(RunId, String)>,
}

impl AdoptionReport {
    /// Whether there was nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All runs that it tells about, each once.
    pub fn runs(&self) -> BTreeSet<RunId> {
        fn first<T>(list: &[(RunId, T)]) -> impl Iterator<Item = RunId> {
            list.iter().map(|(run, _)| *run)
        }
        let Self { adopted, exited, unknown, failed, orphans, ended, promoted, amended, left_alone } = self;
        let over = first(exited).chain(first(unknown)).chain(first(failed)).chain(first(amended));
        let open = first(adopted).chain(first(left_alone)).chain(promoted.iter().copied());
        over.chain(open).chain(first(orphans)).chain(first(ended)).collect()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.adopted.extend(other.adopted);
        self.exited.extend(other.exited);
        self.unknown.extend(other.unknown);
        self.failed.extend(other.failed);
        self.orphans.extend(other.orphans);
        self.ended.extend(other.ended);
        self.promoted.extend(other.promoted);
        self.amended.extend(other.amended);
        self.left_alone.extend(other.left_alone);
    }

    pub(super) fn sort(&mut self) {
        self.adopted.sort();
        self.exited.sort_by_key(|(run, _)| *run);
        self.unknown.sort();
        self.failed.sort_by_key(|(run, _)| *run);
        self.orphans.sort();
        self.ended.sort();
        self.promoted.sort();
        self.amended.sort_by_key(|(run, _)| *run);
        self.left_alone.sort();
    }
}
