//! Shared parts of the whole-system tests.

pub mod cases;
pub mod walk;
