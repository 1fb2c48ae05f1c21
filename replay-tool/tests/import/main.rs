//! Journals as JSON Lines and back, and journals out of foreign histories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code outside of test functions")]

// The codec's strategies speak of `crate::domain`.
use tachograph_engine::domain;

/// What is lost on the way to JSON Lines and back: nothing.
mod jsonl;
/// Arbitrary entries, as the codec is tested with.
#[allow(dead_code, reason = "records are of use to the codec alone")]
#[path = "../../../engine/src/codec/strategies.rs"]
mod strategies;
/// A data directory, the binary, and what is in a journal.
mod support;
