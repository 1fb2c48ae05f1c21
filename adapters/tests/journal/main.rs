//! The journal files: one module per promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod append;
mod concurrent;
mod documented;
mod following;
mod golden;
mod power;
mod reading;
mod recovery;
mod room;
mod support;
mod verifying;
