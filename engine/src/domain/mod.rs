//! The pure core: what a run is, what may happen to it, and what is refused.
//!
//! Everything in this module is synchronous, total and free of effects. It knows no clock, no randomness, no IO, no
//! serialisation and no async: a command carries every value that a decision needs, ids and times included. That is
//! what makes replay exact: the same commands over the same states give the same answers, on any machine, for ever.
//!
//! Reading order: [`command`] (what can be asked), [`event`] (what can have happened), [`state`] (what follows from
//! it), [`decide`](mod@decide) (which command leads to which events), [`refusal`] (every reason why not).

pub mod command;
pub mod decide;
pub mod effect;
pub mod entry;
pub mod event;
pub mod evolve;
pub mod fleet;
pub mod id;
pub mod limits;
pub mod record;
pub mod refusal;
pub mod spec;
pub mod state;
pub mod testing;
pub mod time;
pub mod timer;

pub use command::{Action, ActionName, Actor, ActorKind, Claim, Command, Guard, StartMode};
pub use decide::{Decision, decide};
pub use effect::{Effect, effects_of_events, effects_of_refusal};
pub use entry::{Committed, Entry, EntryBody, Refused, RefusedCommand, Session, SystemFact, TornTail};
pub use event::{CancelCause, Event, EventName, Events, Finding};
pub use evolve::evolve;
pub use fleet::Fleet;
pub use id::{AttemptId, CommandId, Digest, EntryId, Ordinal, Position, RunId, RunnerId, SnapshotId, Version};
pub use record::RunRecord;
pub use refusal::Refusal;
pub use spec::{
    Diagnostics, Drain, Exit, ExitStatus, Failure, FailureKind, OutputReceipt, ResourceLimits, RunSpec, Stream,
    StreamReceipt, Witness, Workload,
};
pub use state::{ArmedSnapshot, Attempt, DispatchedSnapshot, Outcome, Run, RunState, StartCause, Status, StatusName};
pub use time::Timestamp;
pub use timer::{ArmedTimer, TimerKey, TimerOf, TimerQueue, timers_of};
