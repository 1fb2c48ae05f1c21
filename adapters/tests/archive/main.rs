//! Archiving: what goes, what stays, and that every command is answered as if nothing had gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

/// Commands to archived runs, one by one beside a journal that was not archived.
mod answers;
/// How much of a stub late reports read.
mod asked;
/// Readers that were open, or are opened, while segments go.
mod beside;
/// Recovery behind an archive, of what was started in this boot and in another one.
mod boots;
/// Crashes between and within the steps.
mod crashes;
/// The real disk, and a test that looks on.
mod disk;
/// Bytes: what is in the bundle and what is left, and every byte of the stub.
mod evidence;
/// Where a bundle may not go.
mod places;
/// What may go, and what keeps the rest back.
mod planning;
/// A history of many runs over small segments.
mod support;
