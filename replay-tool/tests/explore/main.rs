//! The time machine, its screens, and the real program on a real terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code outside of test functions")]

/// What the documents say about the keys.
mod documented;
/// A screen that is driven without a terminal and without a thread.
mod driven;
/// The journal of the read commands, in memory.
#[path = "../read/kept.rs"]
#[expect(dead_code, reason = "the read commands' tests need more of it")]
mod kept;
/// At every position reached on any way, the state is that of a fold from the first entry.
mod machine;
/// A journal with everything in it.
#[path = "../read/made.rs"]
mod made;
/// Journals of any length, decided by the domain, from a seed.
mod many;
/// What follows from keys and answers.
mod model;
/// A pseudo-terminal and what it shows.
#[expect(dead_code, reason = "the prompt's tests need more of it")]
mod pty;
/// A long journal.
mod scale;
/// Every screen, cell by cell.
mod screens;
/// The program on a pseudo-terminal: keys in, text out, and the terminal as it was.
mod terminal;
