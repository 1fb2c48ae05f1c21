//! Implementations of the ports of `tachograph-engine`: journal files, memory, clock, host, checkpoints, control
//! sockets, the runner of real processes, and images of what they work in.

pub mod archive;
pub mod bundle;
pub mod checkpoint;
pub mod clock;
pub mod contract;
pub mod control;
pub mod descriptors;
pub mod freeze;
pub mod host;
pub mod index;
pub mod journal;
mod lock;
pub mod memory;
pub mod oci;
pub mod process;
pub mod sealing;
pub mod snapshot;
pub mod threads;

pub use process::shim;
