//! The page of `tacho report --out`: what is in it, and what a browser makes of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code outside of test functions")]
#![allow(dead_code, reason = "the made journal is shared with other tests")]

/// The command: files, ranges, limits.
mod asked;
/// A browser that is driven over two pipes.
mod browser;
/// A fleet of any size.
mod fleet;
/// A reader over entries, and an output that is kept.
#[path = "../read/kept.rs"]
mod kept;
/// A journal with everything in it.
#[path = "../read/made.rs"]
mod made;
/// What a page holds.
mod model;
/// A part of a journal.
mod part;
/// What somebody sees who opens it.
mod seen;
