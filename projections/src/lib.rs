//! Deterministic folds of entries into read models.
//!
//! | read model | answers |
//! | --- | --- |
//! | [`CurrentState`] | which runs there are, by id, name, label and status, as of any position or time |
//! | [`Timers`] | which snapshots and deadlines are armed, by whom, and which of them are due |
//! | [`TimerStory`] | what became of one snapshot: armed by whom, kept over which restarts, dispatched how late |
//! | [`Recheck`] | which recorded commands the present rules would decide otherwise |
//! | [`Timeline`] | what happened to one run, why, what was refused meanwhile, and where it was silent |
//!
//! A fold sees entries and nothing else: no clock, no files, no randomness. The same entries give the same result, on
//! any machine, in one go or from any checkpoint between. Reading entries and keeping checkpoints is left to whoever
//! drives the fold, so that this crate knows the domain only.

mod current;
mod filter;
mod projection;
mod recheck;
mod timeline;
mod timer_story;
mod timers;
mod wheel;

pub use current::CurrentState;
pub use filter::{LabelFilter, RunFilter};
pub use projection::{Projection, Until, fold_until, position_at};
pub use recheck::{Decide, Decided, Difference, Recheck, RecheckTally};
pub use tachograph_engine::domain::{ArmedTimer, TimerKey, TimerOf};
pub use timeline::{Cause, Item, ItemBody, Silence, Timeline};
pub use timer_story::{Absence, TimerFate, TimerStep, TimerStepBody, TimerStory};
pub use timers::Timers;
pub use wheel::{Due, TimerWheel};
