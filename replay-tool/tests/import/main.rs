//! Journals as JSON Lines and back, and journals out of foreign histories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code outside of test functions")]

// The codec's strategies speak of `crate::domain`.
use tachograph_engine::domain;

/// What cannot be read, and what becomes of the rest.
mod bad_lines;
/// Every way in which a history can contradict itself, and the refusal that stands for it.
mod contradictions;
/// Whole histories, and what is promised of all of them.
mod foreign;
/// What is lost on the way to JSON Lines and back: nothing.
mod jsonl;
/// Histories in the making.
mod made;
/// Arbitrary entries, as the codec is tested with.
#[allow(dead_code, reason = "records are of use to the codec alone")]
#[path = "../../../engine/src/codec/strategies.rs"]
mod strategies;
/// A data directory, the binary, and what is in a journal.
mod support;
