//! Who is the parent of a run's process.

use std::path::PathBuf;

/// Who is the parent of a run's process, and with that what becomes of it when the supervisor is gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shim {
    /// The supervisor itself. Its death leaves the run without anybody who reads its output or sees its status.
    #[default]
    Off,
    /// A [shim](super::shim) per attempt: this program, which is `tacho-shim` or one that calls
    /// [`dispatch`](super::shim::dispatch) first. The run goes on without its supervisor, and its end is on disk.
    Program(PathBuf),
}
