//! One snapshot at a time, from its dispatch to its recorded result.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::{debug, warn};

use super::guarded::{Ended, guarded};
use crate::domain::{
    Action, Actor, ActorKind, ArmedTimer, Command, CommandId, Refusal, RunId, SnapshotId, Timestamp, limits,
};
use crate::ports::{SnapshotError, SnapshotImage, Snapshotter, WantedSnapshot};
use crate::shell::answer::{Answer, CommandOutcome, SubmitError};
use crate::shell::meter;
use crate::shell::weak::WeakEngine;

/// How the timekeeper names itself in commands.
const NAME: &str = "timekeeper";
/// How often a command is submitted that meets other writers of a shared store each time.
const TRIES_MAX: u32 = 8;
/// The pause after the first of these; it doubles with each.
const PAUSE: Duration = Duration::from_millis(10);
/// The result of a snapshot of which nobody knows any more what became of it.
const LOST: &str = "its outcome was lost: it was dispatched, the process ended before the result was recorded, by a crash \
                    or by closing, and there is no image of it; schedule another one";

/// Dispatches, takes and records: what the timekeeper does for one snapshot. Many do so at a time.
pub(super) struct Taker {
    pub(super) engine: WeakEngine,
    pub(super) snapshotter: Arc<dyn Snapshotter>,
    pub(super) take_max: Duration,
    pub(super) counts: Counts,
}

/// What was done so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) dispatched: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Counts {
    pub(super) fn read(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }

    fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// What became of a due snapshot.
#[derive(Debug)]
pub(super) enum Fired {
    /// It has its result, or the next open decides that.
    Done,
    /// The wall clock stepped back: it is not due any more.
    Early(ArmedTimer),
    /// Its run was busy with another one.
    Again(ArmedTimer),
    /// It is not armed any more.
    Gone,
}

/// What an answer says about a dispatch.
enum Dispatch {
    /// Durable now: the snapshot is ours to take.
    Written,
    /// Durable, as was said before to somebody who may have taken it.
    Repeated,
    Early,
    Again,
    Gone,
    /// Nobody knows; whoever opens the journal next will.
    Unknown,
}

impl Taker {
    /// Dispatches a due snapshot, takes it, and records the result.
    pub(super) async fn fire(&self, timer: ArmedTimer, wanted: &WantedSnapshot) -> Fired {
        match self.dispatch(&timer, wanted).await {
            Dispatch::Written => self.take(wanted).await,
            Dispatch::Repeated => self.resolve(wanted).await,
            Dispatch::Early => return Fired::Early(timer),
            Dispatch::Again => return Fired::Again(timer),
            Dispatch::Gone => return Fired::Gone,
            Dispatch::Unknown => {}
        }
        Fired::Done
    }

    /// Decides what became of a snapshot whose dispatch is durable and whose outcome was lost. It is not taken again.
    pub(super) async fn resolve(&self, wanted: &WantedSnapshot) {
        let actor = Actor::new(ActorKind::Recovery, NAME);
        let found = guarded(self.engine.clock(), self.take_max, async { self.snapshotter.find(wanted).await }).await;
        match found {
            Ended::Returned(Ok(Some(image))) => self.complete(actor, wanted, image).await,
            Ended::Returned(Ok(None)) => self.fail(actor, wanted, LOST.to_owned()).await,
            Ended::Returned(Err(SnapshotError { message })) => {
                self.fail(actor, wanted, unfound(wanted.snapshot, &message)).await
            }
            Ended::Panicked(message) => {
                self.fail(actor, wanted, unfound(wanted.snapshot, &format!("panicked: {message}"))).await
            }
            Ended::GivenUp => {
                self.fail(actor, wanted, unfound(wanted.snapshot, &format!("it took longer than {:?}", self.take_max)))
                    .await;
            }
        }
    }

    async fn dispatch(&self, timer: &ArmedTimer, wanted: &WantedSnapshot) -> Dispatch {
        let action = Action::DispatchSnapshot { snapshot: wanted.snapshot };
        let command = self.command(wanted.run, Actor::new(ActorKind::Timer, NAME), action);
        let outcome = match self.submit(command).await {
            Ok(answer) => answer.outcome,
            // A conflict is an answer of the journal's: nothing was written.
            Err(SubmitError::Contended | SubmitError::QueueFull) => return Dispatch::Again,
            Err(error @ (SubmitError::Closed | SubmitError::Journal(_))) => {
                debug!(%error, "whether the dispatch is durable is found out by the next open");
                return Dispatch::Unknown;
            }
        };
        match outcome {
            CommandOutcome::Written { .. } => {
                let late = late(timer.due, self.engine.clock().now());
                Counts::add(&self.counts.dispatched);
                meter::dispatched(late);
                debug!(due = %timer.due, ?late, "dispatched");
                Dispatch::Written
            }
            outcome => match outcome.refusal() {
                None => Dispatch::Repeated,
                Some(Refusal::NotDue { .. }) => Dispatch::Early,
                Some(Refusal::AlreadyDispatched { snapshot }) if *snapshot != wanted.snapshot => Dispatch::Again,
                Some(refusal) => {
                    debug!(%refusal, "not dispatched");
                    Dispatch::Gone
                }
            },
        }
    }

    async fn take(&self, wanted: &WantedSnapshot) {
        let actor = Actor::new(ActorKind::Timer, NAME);
        let taken = guarded(self.engine.clock(), self.take_max, async { self.snapshotter.take(wanted).await }).await;
        match taken {
            Ended::Returned(Ok(image)) => self.complete(actor, wanted, image).await,
            Ended::Returned(Err(SnapshotError { message })) => self.fail(actor, wanted, message).await,
            Ended::Panicked(message) => {
                // No contract says what a panic leaves.
                self.discard(wanted).await;
                self.fail(actor, wanted, format!("taking it panicked: {message}")).await;
            }
            Ended::GivenUp => {
                let limit = self.take_max;
                self.fail(actor, wanted, format!("taking it took longer than {limit:?} and was given up")).await;
            }
        }
    }

    async fn complete(&self, actor: Actor, wanted: &WantedSnapshot, image: SnapshotImage) {
        let SnapshotImage { location, bytes, digest } = image;
        let action = Action::CompleteSnapshot { snapshot: wanted.snapshot, location, bytes, digest };
        let command = self.command(wanted.run, actor.clone(), action);
        if let Err(refusal) = limits::check(&command) {
            // The image goes first: after a crash in between there is none to be found.
            self.discard(wanted).await;
            return self
                .fail(actor, wanted, format!("the image cannot be recorded and was discarded: {refusal}"))
                .await;
        }
        if self.record(command, wanted).await {
            Counts::add(&self.counts.taken);
            meter::taken();
        }
    }

    async fn fail(&self, actor: Actor, wanted: &WantedSnapshot, message: String) {
        warn!(%message, "the snapshot failed");
        let action = Action::FailSnapshot { snapshot: wanted.snapshot, message: cut(message) };
        if self.record(self.command(wanted.run, actor, action), wanted).await {
            Counts::add(&self.counts.failed);
            meter::failed();
        }
    }

    /// Records a result; whether it is recorded by this.
    async fn record(&self, command: Command, wanted: &WantedSnapshot) -> bool {
        let answer = match self.submit(command).await {
            Ok(answer) => answer,
            Err(error) => {
                warn!(%error, "the result is not recorded; the next open decides it");
                return false;
            }
        };
        match answer.outcome.refusal() {
            None => return true,
            Some(Refusal::RunDestroyed) => self.discard(wanted).await,
            Some(refusal) => warn!(%refusal, "the result is not recorded"),
        }
        false
    }

    /// Removes an image that nothing leads to.
    async fn discard(&self, wanted: &WantedSnapshot) {
        let limit = self.take_max;
        match guarded(self.engine.clock(), limit, async { self.snapshotter.discard(wanted).await }).await {
            Ended::Returned(Ok(())) => debug!("discarded"),
            Ended::Returned(Err(error)) => warn!(%error, "an image that nothing leads to is still there"),
            Ended::Panicked(message) => warn!(message, "discarding an image panicked"),
            Ended::GivenUp => warn!(?limit, "discarding an image took too long and was given up"),
        }
    }

    fn command(&self, run: RunId, actor: Actor, action: Action) -> Command {
        let id = CommandId::from_ulid(self.engine.mint());
        Command { id, run, actor, issued_at: self.engine.clock().now(), expected: None, action }
    }

    /// Submits a command, again under its id as long as other writers of a shared store are faster.
    async fn submit(&self, command: Command) -> Result<Answer, SubmitError> {
        for tried in 0..TRIES_MAX {
            // A full handle for no longer than it takes: it keeps the engine open.
            let engine = self.engine.upgrade().ok_or(SubmitError::Closed)?;
            match engine.submit(command.clone()).await {
                Err(SubmitError::Contended) => {}
                answer => return answer,
            }
            drop(engine);
            self.engine.clock().sleep(PAUSE * 2_u32.pow(tried)).await;
        }
        Err(SubmitError::Contended)
    }
}

/// How long after it was due.
fn late(due: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now.as_micros().saturating_sub(due.as_micros())).unwrap_or(0))
}

fn unfound(snapshot: SnapshotId, why: &str) -> String {
    format!(
        "its outcome was lost by a crash or by closing, and whether there is an image of snapshot {snapshot} cannot be \
         found out; if there is one, it stays where the snapshotter keeps the images of this run: {why}"
    )
}

/// What of a message can be recorded.
fn cut(mut message: String) -> String {
    let mut end = limits::MESSAGE_BYTES_MAX;
    if message.len() > end {
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_between_two_characters() {
        let fits = "é".repeat(limits::MESSAGE_BYTES_MAX / 2);
        assert_eq!(cut(fits.clone()), fits);
        assert_eq!(cut(format!("{fits}é")), fits);
        assert_eq!(cut(format!("x{fits}")).len(), limits::MESSAGE_BYTES_MAX - 1);
        assert_eq!(cut(String::new()), "");
    }
}
