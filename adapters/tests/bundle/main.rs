//! Bundles: what is in them, what proves it, and that nothing in them can be altered unseen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod altered;
mod exporting;
mod forged;
mod golden;
mod importing;
mod redacting;
mod remnants;
mod sealing;
mod support;
