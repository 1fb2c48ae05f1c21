//! Control sockets: every module says what belongs there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

/// What a caller is told when there is no response.
mod calling;
/// What docs/control.md shows.
mod documented;
/// Peers that do not behave.
mod peers;
/// The file of a socket.
mod place;
