//! What is begun when its time has come.

use futures::FutureExt;
use tracing::{Instrument, debug, debug_span, warn};

use super::guarded::{Ended, guarded};
use super::taker::Fired;
use super::{Done, TELL_MAX, TOLD_MAX, TURN_MAX, Timekeeper};
use crate::domain::{ArmedTimer, AttemptId, Ordinal, Run, SnapshotId, Status, TimerOf, Timestamp};
use crate::ports::WantedSnapshot;

/// What the run itself says about a timer that was handed out.
enum Verdict {
    /// It may begin.
    Snapshot(WantedSnapshot),
    Deadline(AttemptId),
    /// Not yet: the wall clock stepped back.
    Early,
    /// Not while another snapshot of the run is being taken.
    Busy,
    /// Canceled, replaced, or no longer waited for.
    Gone,
}

impl Timekeeper {
    /// Begins what can be begun now. Whether something is left for the next turn.
    pub(super) fn begin(&mut self, now: Timestamp) -> bool {
        let is_more_due = self.pop(now);
        self.begin_resolving();
        let is_more_to_fire = self.begin_firing(now);
        let is_more_to_tell = self.begin_telling(now);
        is_more_due || is_more_to_fire || is_more_to_tell
    }

    fn pop(&mut self, now: Timestamp) -> bool {
        for _ in 0..TURN_MAX {
            let Some(timer) = self.queue.pop_due(now) else { return false };
            match timer.key.of {
                TimerOf::Snapshot(_) => self.due.insert(timer),
                TimerOf::Deadline(_) => self.passed.insert(timer),
            }
        }
        true
    }

    /// These need no place: they freeze nothing.
    fn begin_resolving(&mut self) {
        while self.resolving < self.places()
            && let Some(wanted) = self.lost.pop_front()
        {
            self.resolving += 1;
            let taker = self.taker.clone();
            let span = debug_span!("lost snapshot", run = %wanted.run, snapshot = %wanted.snapshot);
            let resolved = async move {
                taker.resolve(&wanted).await;
                Done::Resolved
            };
            self.work.push(resolved.instrument(span).boxed());
        }
    }

    fn begin_firing(&mut self, now: Timestamp) -> bool {
        for _ in 0..TURN_MAX {
            if self.taking >= self.places() {
                return false;
            }
            let Some(timer) = self.due.next() else { return false };
            if let Verdict::Snapshot(wanted) = self.judge(&timer, now) {
                self.fire(timer, wanted);
            }
        }
        true
    }

    /// The place is taken here, before anything is submitted.
    fn fire(&mut self, timer: ArmedTimer, wanted: WantedSnapshot) {
        self.taking += 1;
        let taker = self.taker.clone();
        let span = debug_span!("snapshot", run = %wanted.run, snapshot = %wanted.snapshot);
        let fired = async move { Done::Fired(taker.fire(timer, &wanted).await) };
        self.work.push(fired.instrument(span).boxed());
    }

    fn begin_telling(&mut self, now: Timestamp) -> bool {
        for _ in 0..TURN_MAX {
            if self.telling >= TOLD_MAX {
                return false;
            }
            let Some(timer) = self.passed.next() else { return false };
            if let Verdict::Deadline(attempt) = self.judge(&timer, now) {
                self.tell(&timer, attempt);
            }
        }
        true
    }

    fn tell(&mut self, timer: &ArmedTimer, attempt: AttemptId) {
        let (run, due) = (timer.key.run, timer.due);
        debug!(%run, %attempt, %due, "the deadline has passed");
        self.told += 1;
        let Some(deadlines) = self.deadlines.clone() else { return };
        self.telling += 1;
        let taker = self.taker.clone();
        let told = async move {
            let telling = async { deadlines.passed(run, attempt, due).await };
            match guarded(taker.engine.clock(), TELL_MAX, telling).await {
                Ended::Returned(()) => {}
                Ended::Panicked(message) => warn!(message, "telling of the deadline panicked"),
                Ended::GivenUp => warn!("telling of the deadline took longer than {TELL_MAX:?} and was given up"),
            }
            Done::Told
        };
        self.work.push(told.instrument(debug_span!("deadline", %run, %attempt)).boxed());
    }

    /// Takes in what was finished.
    pub(super) fn finish(&mut self, done: Done) {
        match done {
            Done::Fired(fired) => {
                self.taking -= 1;
                match fired {
                    Fired::Early(timer) => self.arm_again(timer),
                    Fired::Again(timer) if self.is_armed(timer.key) => self.due.insert(timer),
                    Fired::Again(_) | Fired::Gone | Fired::Done => {}
                }
            }
            Done::Resolved => self.resolving -= 1,
            Done::Told => self.telling -= 1,
        }
    }

    /// Judges a timer whose turn it is by the latest that is known of its run; what cannot begin is put aside.
    fn judge(&mut self, timer: &ArmedTimer, now: Timestamp) -> Verdict {
        let verdict = match self.engine.unsettled(timer.key.run) {
            Some(record) => judge(&record.run, timer, now),
            None => Verdict::Gone,
        };
        match &verdict {
            Verdict::Early => self.arm_again(timer.clone()),
            Verdict::Busy => drop(self.behind.insert(timer.key.run, timer.clone())),
            Verdict::Snapshot(_) | Verdict::Deadline(_) | Verdict::Gone => {}
        }
        verdict
    }

    /// Lets a timer be handed out once more. One that was disarmed meanwhile would take the place of its successor.
    fn arm_again(&mut self, timer: ArmedTimer) {
        if self.is_armed(timer.key) {
            self.queue.arm(timer);
        }
    }

    fn places(&self) -> usize {
        self.options.places.max(1)
    }
}

fn judge(run: &Run, timer: &ArmedTimer, now: Timestamp) -> Verdict {
    let is_early = now < timer.due;
    match timer.key.of {
        TimerOf::Snapshot(snapshot) => {
            let armed = run.armed.as_ref().filter(|armed| armed.id == snapshot && armed.due == timer.due);
            match (armed, &run.in_flight) {
                (None, _) => Verdict::Gone,
                (Some(_), _) if is_early => Verdict::Early,
                (Some(_), Some(_)) => Verdict::Busy,
                (Some(_), None) => {
                    let attempt = run.attempt.as_ref().map(|attempt| attempt.id);
                    attempt.map_or(Verdict::Gone, |attempt| Verdict::Snapshot(wanted(run, attempt, snapshot)))
                }
            }
        }
        TimerOf::Deadline(attempt) => {
            let is_current = run.attempt.as_ref().is_some_and(|current| current.id == attempt);
            match &run.status {
                Status::Waiting { on: _, deadline } if is_current && *deadline == Some(timer.due) => {
                    if is_early {
                        Verdict::Early
                    } else {
                        Verdict::Deadline(attempt)
                    }
                }
                Status::Created
                | Status::Started
                | Status::Waiting { .. }
                | Status::Exited
                | Status::Failed
                | Status::Destroyed { .. } => Verdict::Gone,
            }
        }
    }
}

/// The snapshot of a run that was dispatched and has no result.
pub(super) fn in_flight(run: &Run) -> Option<WantedSnapshot> {
    run.in_flight.as_ref().map(|in_flight| wanted(run, in_flight.attempt, in_flight.id))
}

fn wanted(run: &Run, attempt: AttemptId, snapshot: SnapshotId) -> WantedSnapshot {
    WantedSnapshot { run: run.id, attempt, ordinal: ordinal(run, attempt), snapshot, spec: run.spec.clone() }
}

/// The number of an attempt: that of the present one, or its place among the spent ones.
fn ordinal(run: &Run, attempt: AttemptId) -> Ordinal {
    match &run.attempt {
        Some(current) if current.id == attempt => current.ordinal,
        _ => {
            let before = run.spent.iter().take_while(|spent| **spent != attempt).count();
            Ordinal(u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1))
        }
    }
}
