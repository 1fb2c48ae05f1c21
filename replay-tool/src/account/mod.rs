//! A plain account of one run: how it came to its state, who did each step, what was refused and why, what became of its
//! timers, and where there are gaps.
//!
//! | file | what |
//! | --- | --- |
//! | `sentence` | what an account is made of: data, with a stable name for each kind |
//! | `rendering` | the same in words |
//! | `telling` | the account out of entries, in one pass |
//! | `journal` | what the facts about the journal mean for a run: who was away, whose clock moved, what was armed again |
//! | `timers` | the run's timers while its entries go by |
//! | `gathering` | the entries out of a journal |
//!
//! An account says what entries state and what follows from them, and no more. Where entries leave something open, the
//! sentence says so.

mod gathering;
mod journal;
mod rendering;
mod sentence;
mod telling;
mod timers;

pub use self::gathering::Asked;
pub use self::sentence::{
    Account, ClockMoved, EventTold, Gap, RefusedTold, Sentence, Standing, Still, Timer, TimerRearmed, Told,
};
pub use self::telling::{SILENCE_DEFAULT_MS, Scope};
