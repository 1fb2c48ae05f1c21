//! The read commands: over a made journal, through the library and through the binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code outside of test functions")]

/// Documents whose questions are asked again of the example incident.
mod asked_again;
/// Questions in SQL, and those with a name.
mod audit;
/// Tables that stay filled from one process to the next.
mod audit_cache;
/// Processes that fill the same tables, and are killed.
mod audit_cache_killed;
/// The binary and a journal that is large.
mod audit_cache_large;
/// What comes while a prompt is open.
mod audit_cache_sitting;
/// What is not used of them.
mod audit_cache_sound;
/// docs/audit.md: its data dictionary, and every question in it.
mod audit_documented;
/// Conditions of questions that save reading, and change no answer.
mod audit_narrowed;
/// Questions one after the other, at a prompt and out of standard input.
mod audit_prompt;
/// The binary itself.
mod binary;
/// Bundles in place of a directory.
mod bundles;
/// Two runs side by side.
mod compare;
/// Files with damage: all that is sound is shown, and nobody takes it for whole.
mod damaged;
/// Help and documents.
mod documented;
/// One of everything that a history can hold.
mod every;
/// The tables as files, killed while they are written.
#[cfg(feature = "parquet")]
mod export_killed;
/// What an export of the tables is not added to.
#[cfg(feature = "parquet")]
mod export_refused;
/// The tables as files.
#[cfg(feature = "parquet")]
mod exported;
/// The walk through an incident.
mod forensics;
/// What each command prints, byte by byte.
mod golden;
/// A reader over entries, and an output that is kept.
mod kept;
/// Which run is meant, and what it was at a position or time.
mod lookup;
/// A journal with everything in it.
mod made;
/// Bundles that hold a part of a journal.
mod parts;
/// What was true at a point, what differs, when something became true.
mod points;
/// A pseudo-terminal and what it shows.
#[path = "../explore/pty.rs"]
#[expect(dead_code, reason = "the time machine's tests need more of it")]
mod pty;
/// Recorded commands, decided again.
mod recheck;
/// Journals that a real engine wrote, on a clock that is moved by hand.
mod recorded;
/// Directories out of images.
mod restore;
/// What is armed.
mod timers;
/// Every reading command leaves everything as it was.
mod untouched;
/// The recorded commands under other rules.
mod whatif;
/// The account of a run.
mod why;
/// What became of one snapshot.
mod why_timer;
/// Whether the last writer still lives, and how long what it left open lasted.
mod writers;
