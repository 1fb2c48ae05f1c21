//! What a runner and its process use.

/// What a runner and its process use at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunnerUsage {
    /// Attempts that are under way: from the moment they have their place until nothing is left to do for them.
    pub live: usize,
    /// Starts that wait for a place.
    pub queued: usize,
    /// How many places there are.
    pub live_max: usize,
    /// Descriptors that this process has open; absent without `/proc`.
    pub descriptors: Option<usize>,
    /// Threads of this process; absent without `/proc`.
    pub threads: Option<usize>,
}

/// Descriptors that this process has open, without the one that counting takes.
pub(super) fn descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// Threads of this process.
pub(super) fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
