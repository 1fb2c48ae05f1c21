//! Images of real directories: every module says what belongs there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

/// Images that nobody waits for any more, and what crashes leave.
mod abandoned;
/// Attempts that do not stand still, and what they put in the place of files.
mod changing;
/// What is in an image.
mod content;
/// Images that a program makes.
mod program;
/// What is restored, and from what nothing is.
mod restoring;
