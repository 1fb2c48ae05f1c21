//! Control sockets: how a process beside a supervisor speaks with it.
//!
//! A Unix stream socket, one JSON object per line, one response line per request line, in order. `docs/control.md`
//! describes the protocol for those who speak it without this crate.
//!
//! - **For its owner only.** The socket's file is 0600 from its first instant, and a peer of another user than the
//!   listener's own is refused, unless it is root.
//! - **Bounded.** A line has a greatest length, a listener a greatest number of connections, of one process, of one run and in all, and a peer
//!   a time within which its next line must be complete. A slow, silent or babbling peer holds up nobody else.
//! - **Versioned.** Every line carries `v`. A newer one is refused by name, never guessed at.
//!
//! ```
//! use tachograph_adapters::control::{ControlRequest, ControlResponse};
//!
//! let ping = ControlRequest::Ping.to_line();
//! assert_eq!(ping, "{\"v\":1,\"request\":\"ping\"}\n");
//! ```

mod client;
mod connections;
mod error;
mod line;
mod listener;
mod message;
mod peer;
mod place;
mod text;
mod wire;

pub use client::{call, listener_of};
pub(crate) use connections::ConnectionLimits;
pub use connections::{CONNECTIONS_MAX, CONNECTIONS_OF_ONE_PEER_MAX};
pub use error::ControlError;
pub use listener::{ControlHandler, ControlListener, LINE_TIME_MAX};
pub use message::{
    ControlGuard, ControlOutcome, ControlRequest, ControlResponse, FirstOutcome, RefusedOutcome, RunReport,
    SnapshotArmed,
};
pub use peer::Peer;
pub use wire::{LINE_BYTES_MAX, PROTOCOL_VERSION, code};
