//! `tacho archive` through the built binary: what it says, what the other commands say then, and that killing it loses
//! nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

/// The plan, and what is refused.
mod asking;
/// Runs on both sides of where the archive ends.
mod border;
/// The end of an attempt that is waited for while it is archived.
mod ending;
/// An export of the tables that goes on over whatever was archived.
mod exporting;
/// Questions whose tables are filled while a part is archived.
mod filling;
/// Followed while a part is archived.
mod following;
/// What is printed, byte by byte.
mod golden;
/// Killed at any moment, and asked again.
mod killed;
/// A pseudo-terminal and what it shows.
#[path = "../explore/pty.rs"]
#[expect(dead_code, reason = "the time machine's tests need more of it")]
mod pty;
/// The other commands over a journal of which a part is archived.
mod reading;
/// A history over small segments, and the tool.
mod support;
