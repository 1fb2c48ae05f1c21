//! A run's timers while its entries go by.

use std::collections::BTreeMap;

use tachograph_engine::domain::Run;
use tachograph_engine::domain::{Entry, Event, Position, RunId, SnapshotId, Status, Timestamp};
use tachograph_projections::{Absence, Projection, TimerFate, TimerStep, TimerStepBody, TimerStory};

use super::sentence::{Timer, TimerRearmed};
use crate::duration::between;

/// What is armed, and what is being taken.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Of every snapshot that can still change; there are two at most, one that is armed and one that is being taken.
    stories: BTreeMap<SnapshotId, TimerStory>,
    /// The last ones to be dispatched: when each was due, how late it was, and who was away.
    dispatched: BTreeMap<SnapshotId, Dispatched>,
}

/// How a snapshot was dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dispatched {
    pub(super) due: Option<Timestamp>,
    pub(super) late_us: Option<i64>,
    pub(super) absences: Vec<Absence>,
}

/// A deadline that a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    /// The entry by which it waits.
    pub(super) from: Position,
    pub(super) at: Timestamp,
}

impl Timers {
    /// Takes in the next entry: of the run, or a fact about the journal with the entry before it.
    pub(super) fn see(&mut self, run: RunId, entry: &Entry) {
        self.dispatched.clear();
        if entry.run() == Some(run) {
            for event in entry.events() {
                if let Event::SnapshotScheduled { snapshot, .. } | Event::SnapshotDispatched { snapshot } = event {
                    self.stories.entry(*snapshot).or_insert_with(|| TimerStory::of(run, *snapshot));
                }
            }
        }
        for (snapshot, story) in &mut self.stories {
            story.apply(entry);
            if let Some(TimerStep { position, body: TimerStepBody::Dispatched { late_us, absences }, .. }) =
                story.steps().last()
                && *position == entry.position
            {
                let (late_us, absences) = (*late_us, absences.clone());
                self.dispatched.insert(*snapshot, Dispatched { due: story.due(), late_us, absences });
            }
        }
        self.stories.retain(|_, story| story.fate().is_some_and(TimerFate::is_open));
    }

    /// How the entry that went by last dispatched a snapshot.
    pub(super) fn dispatched(&self, snapshot: SnapshotId) -> Option<&Dispatched> {
        self.dispatched.get(&snapshot)
    }

    /// What a writer has again that opens the journal now; `deadline` is the one that the run waits for.
    pub(super) fn rearmed(&self, now: Timestamp, run: &Run) -> Vec<TimerRearmed> {
        let snapshots = self.stories.iter().map(|(snapshot, story)| {
            let dispatched = story.fate() == Some(TimerFate::Dispatched);
            rearmed(Timer::Snapshot(*snapshot), dispatched, story.due(), now)
        });
        let attempt = run.attempt.as_ref().map(|attempt| attempt.id);
        let deadline = attempt.zip(deadline_of(run));
        let deadline = deadline.map(|(attempt, due)| rearmed(Timer::Deadline(attempt), false, Some(due), now));
        snapshots.chain(deadline).collect()
    }
}

fn rearmed(timer: Timer, dispatched: bool, due: Option<Timestamp>, now: Timestamp) -> TimerRearmed {
    let overdue = due.filter(|due| !dispatched && *due < now).map(|due| between(due, now));
    TimerRearmed { timer, dispatched, due, overdue_us: overdue }
}

/// Until when a run waits at most, if it does.
pub(super) fn deadline_of(run: &Run) -> Option<Timestamp> {
    match &run.status {
        Status::Waiting { on: _, deadline } => *deadline,
        Status::Created | Status::Started | Status::Exited | Status::Failed | Status::Destroyed { .. } => None,
    }
}
