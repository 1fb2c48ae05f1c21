//! The snapshot that a wait arms by itself, once.

use std::time::Duration;

use tachograph_engine::domain::{
    Action, Claim, CommandId, Entry, EntryBody, Event, EventName, Position, Refusal, RunRecord, SnapshotId, Status,
    Timestamp, Version,
};
use tachograph_engine::shell::{CommandOutcome, FirstAnswer};

use super::error::RunnerError;
use super::runner::ProcessRunner;

const SCHEDULE_CONTEXT: &str = "tachograph 2026-11-22 the command that arms a snapshot after a report";
const SNAPSHOT_CONTEXT: &str = "tachograph 2026-11-22 the snapshot that a report arms";

/// How often the arming is tried: once for the wait itself, and again for what was recorded meanwhile.
const TRIES_MAX: u32 = 8;

/// The snapshot that follows from a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arming {
    /// Whose wait it is.
    pub(super) claim: Claim,
    /// The command that reported the wait.
    pub(super) wait: CommandId,
    /// Where the wait is recorded.
    pub(super) position: Position,
    /// The version that the run is expected at.
    pub(super) expected: Version,
    /// When the snapshot is due.
    pub(super) due: Timestamp,
}

impl ProcessRunner {
    /// Arms the snapshot, however much else is recorded about the run meanwhile, as long as it is in this very wait and
    /// nothing was armed in it. Every id is derived from the wait's own, so that a repetition arms nothing twice.
    pub(super) async fn arm(&self, arming: Arming) -> Result<CommandOutcome, RunnerError> {
        let Arming { claim, wait, position, mut expected, due } = arming;
        let (run, snapshot) = (claim.run, snapshot_of(wait));
        let mut tries = 0..TRIES_MAX;
        loop {
            let number = tries.next().unwrap_or(TRIES_MAX);
            let now = self.engine().clock().now();
            // A time that is over by now is due at once.
            let action = Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due: due.max(now) };
            let outcome = self.submit_as_runner(schedule_of(wait, number), now, Some(expected), run, action).await?;
            if number >= TRIES_MAX || !matches!(outcome.refusal(), Some(Refusal::VersionConflict { .. })) {
                return Ok(outcome);
            }
            let history = self.engine().reader().history(run).await?;
            if let Some(of) = armed_by(&history, wait) {
                return Ok(CommandOutcome::Duplicate { of });
            }
            let Some(version) = version_in(&history, position) else { return Ok(outcome) };
            expected = version;
        }
    }
}

/// The arming that an adopted attempt is owed: it waits, it was started with a delay, and in this wait no snapshot was armed
/// so far, as after a crash between the wait and its arming. Due as long after the wait as it would have been.
pub(super) fn arm_missing(record: &RunRecord, history: &[Entry], delay: Duration) -> Option<Arming> {
    let (Status::Waiting { .. }, Some(attempt), None) = (&record.run.status, &record.run.attempt, &record.run.armed)
    else {
        return None;
    };
    let wait = history.iter().rev().find(|entry| entry.events().iter().any(|event| event.leads_to().is_some()))?;
    let EntryBody::Committed(committed) = &wait.body else { return None };
    Some(Arming {
        claim: Claim { run: record.run.id, attempt: attempt.id, runner: attempt.runner.clone() },
        wait: committed.command.id,
        position: wait.position,
        expected: version_in(history, wait.position)?,
        due: after(wait.recorded_at, delay),
    })
}

/// The answer that an earlier try to arm the snapshot of this wait got, if it was written.
fn armed_by(history: &[Entry], wait: CommandId) -> Option<FirstAnswer> {
    let own: Vec<_> = (0..=TRIES_MAX).map(|number| schedule_of(wait, number)).collect();
    history.iter().find_map(|entry| match &entry.body {
        EntryBody::Committed(committed) if own.contains(&committed.command.id) => {
            Some(FirstAnswer::Written { position: entry.position, version: committed.version })
        }
        EntryBody::Committed(_) | EntryBody::Refused(_) | EntryBody::System(_) => None,
    })
}

/// The version that a run is at, if the last of its transitions is the wait at this position and no snapshot was armed in
/// it, nor given up with its runner.
fn version_in(history: &[Entry], wait: Position) -> Option<Version> {
    let mut version = None;
    for entry in history.iter().skip_while(|entry| entry.position < wait) {
        let EntryBody::Committed(committed) = &entry.body else { continue };
        if entry.position > wait && committed.events.iter().any(ends) {
            return None;
        }
        version = Some(committed.version);
    }
    version
}

/// Whether nothing follows any more from a wait that this event comes after.
fn ends(event: &Event) -> bool {
    let decided = match event.name() {
        EventName::SnapshotScheduled
        | EventName::SnapshotCanceled
        | EventName::SnapshotDispatched
        | EventName::RunnerDisconnected => true,
        EventName::Created
        | EventName::Started
        | EventName::Waiting
        | EventName::Exited
        | EventName::Failed
        | EventName::Destroyed
        | EventName::SnapshotTaken
        | EventName::SnapshotFailed
        | EventName::ExitAmended
        | EventName::Reconciled => false,
    };
    decided || event.leads_to().is_some()
}

/// A time out of bounds becomes the last one that there is; a delay of a snapshot that is too long is refused then.
pub(super) fn after(now: Timestamp, delay: Duration) -> Timestamp {
    now.plus_millis(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
}

/// The command that arms the snapshot which follows from this one, by the number of the try.
fn schedule_of(command: CommandId, number: u32) -> CommandId {
    let first = derived(SCHEDULE_CONTEXT, command.to_u128(), 0);
    CommandId::from_u128(if number == 0 { first } else { derived(SCHEDULE_CONTEXT, first, number) })
}

/// The snapshot that this report arms.
pub(super) fn snapshot_of(command: CommandId) -> SnapshotId {
    SnapshotId::from_u128(derived(SNAPSHOT_CONTEXT, command.to_u128(), 0))
}

/// The same time part, which is for people, and a random part that only this id, context and number have.
fn derived(context: &str, id: u128, number: u32) -> u128 {
    const RANDOM: u128 = (1 << 80) - 1;
    let mut material = id.to_be_bytes().to_vec();
    if number > 0 {
        material.extend(number.to_be_bytes());
    }
    let hash = blake3::derive_key(context, &material);
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash[..16]);
    (id & !RANDOM) | (u128::from_be_bytes(bits) & RANDOM)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tachograph_engine::domain::testing::{claim, command, ids, spec};
    use tachograph_engine::domain::{CancelCause, Command, Committed, EntryId, Ordinal, StartCause};

    use super::*;

    const DELAY: Duration = Duration::from_secs(60);

    #[test]
    fn derived_ids_repeat_and_differ_by_command_number_and_purpose() {
        let (one, another) = (CommandId::from_u128(7 << 80 | 1), CommandId::from_u128(7 << 80 | 2));
        assert_eq!(schedule_of(one, 0), schedule_of(one, 0));
        assert_ne!(schedule_of(one, 0), schedule_of(another, 0));
        assert_ne!(schedule_of(one, 0), one);
        assert_ne!(schedule_of(one, 0).to_u128(), snapshot_of(one).to_u128());
        let all: std::collections::BTreeSet<_> = (0..=TRIES_MAX).map(|number| schedule_of(one, number)).collect();
        assert_eq!(all.len(), TRIES_MAX as usize + 1);
        assert!(all.iter().all(|id| id.to_u128() >> 80 == 7), "the time part stays");
    }

    /// One entry for each event after the run was created and started.
    fn history(events: &[Event]) -> (RunRecord, Vec<Entry>) {
        let run = ids::run(1);
        let (attempt, runner) = (ids::attempt(1), "r1".into());
        let started = Event::Started { attempt, ordinal: Ordinal(1), runner, cause: StartCause::Fresh, previous: None };
        let all =
            [Event::Created { run, spec: Arc::new(spec("a")) }, started].into_iter().chain(events.iter().cloned());
        let history: Vec<Entry> = all
            .zip(1..)
            .map(|(event, number)| {
                let action = Action::Destroy { force: true, why: String::new() };
                let command = Command { id: CommandId::from_u128(number), ..command(run, action) };
                let (version, events) = (Version(number as u64), vec![event]);
                Entry {
                    id: EntryId::from_u128(number),
                    position: Position(number as u64 * 10),
                    recorded_at: Timestamp::from_micros(number as i64 * 1_000_000),
                    previous: None,
                    body: EntryBody::Committed(Committed { command, version, events }),
                }
            })
            .collect();
        let record = history.iter().fold(None, RunRecord::fold).unwrap();
        (record, history)
    }

    fn waiting() -> Event {
        Event::Waiting { attempt: ids::attempt(1), on: "x".to_owned(), deadline: None }
    }

    fn missing(events: &[Event]) -> Option<Arming> {
        let (record, history) = history(events);
        arm_missing(&record, &history, DELAY)
    }

    #[test]
    fn a_wait_whose_snapshot_was_never_armed_is_owed_one() {
        let owed = missing(&[waiting()]).unwrap();
        let expected = Arming {
            claim: claim(ids::run(1), 1, "r1"),
            wait: CommandId::from_u128(3),
            position: Position(30),
            expected: Version(3),
            due: Timestamp::from_micros(63_000_000),
        };
        assert_eq!(owed, expected);
    }

    #[test]
    fn what_is_told_of_an_earlier_snapshot_changes_nothing_but_the_version() {
        let dispatched = [Event::SnapshotDispatched { snapshot: ids::snapshot(9) }];
        let failed = Event::SnapshotFailed { snapshot: ids::snapshot(9), message: "x".to_owned() };
        let scheduled =
            Event::SnapshotScheduled { snapshot: ids::snapshot(9), runner: "r1".into(), due: Timestamp::default() };
        let before = [waiting(), scheduled].into_iter().chain(dispatched).chain([waiting(), failed]);
        let owed = missing(&before.collect::<Vec<_>>()).unwrap();
        assert_eq!((owed.wait, owed.position, owed.expected), (CommandId::from_u128(6), Position(60), Version(7)));
    }

    #[test]
    fn nothing_is_owed_once_a_snapshot_was_armed_in_the_wait_or_the_wait_is_over() {
        let snapshot = ids::snapshot(9);
        let scheduled = Event::SnapshotScheduled { snapshot, runner: "r1".into(), due: Timestamp::default() };
        let canceled = Event::SnapshotCanceled { snapshot, cause: CancelCause::TakenOver };
        let dispatched = Event::SnapshotDispatched { snapshot };
        assert_eq!(missing(&[waiting(), scheduled.clone()]), None);
        assert_eq!(missing(&[waiting(), scheduled.clone(), canceled]), None);
        assert_eq!(missing(&[waiting(), scheduled, dispatched]), None);
        assert_eq!(missing(&[]), None);
    }
}
