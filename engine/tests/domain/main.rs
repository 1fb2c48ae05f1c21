//! The domain as a specification: given a history, when a command is decided, then this follows.
//!
//! | module | says |
//! | --- | --- |
//! | `table` | which action is possible in which status, all of them |
//! | `transitions` | what each transition carries, and the fences around it |
//! | `ends` | the first report about an attempt's end, and every later one |
//! | `snapshots` | arming, every cause of a cancel, dispatch, result |
//! | `refusals` | what the other tests do not: input bounds, expected versions, every code and its text |
//! | `names` | who holds a name |
//! | `records` | the times and positions that entries add to a run's state |
//! | `effects` | what should follow in the world |
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod effects;
mod ends;
mod names;
mod records;
mod refusals;
mod snapshots;
mod stories;
mod table;
mod transitions;
