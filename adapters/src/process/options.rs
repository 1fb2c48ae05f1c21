//! How a runner treats its children.

/// How a runner treats its children, unless a call says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerOptions {
    /// How long after a child's exit its output may still be awaited, in milliseconds. One absolute deadline for both
    /// streams: it does not start anew with every byte.
    pub drain_deadline_ms: u64,
    /// Between the polite signal and the killing one, in milliseconds, where nobody says otherwise: a run over its time, or one
    /// that was destroyed. A [shutdown](super::ProcessRunner::shutdown) has a budget instead.
    pub grace_ms: u64,
    /// Whether what is left of the process group is killed once the child has exited by itself. By default it is left
    /// alone: a command may leave a daemon behind on purpose.
    pub kill_lingering: bool,
    /// Whether both output files are synced before the end is recorded. Without it, a power cut may leave a file
    /// shorter than its receipt says, or without a shim none; the receipt shows that.
    pub sync_output: bool,
    /// Whether the runner listens at [`report.sock`](super::REPORT_SOCKET) beside the directory of the runs from its first
    /// attempt on, so that the runs' processes can report that they wait; `TACHO_CONTROL` tells them where. On by default, so
    /// that a job works alike under every supervisor. One runner can listen there: give each a directory of its own, and the
    /// directory of its runs in that. The parent of that directory must be writable for this process, and for nobody else. It is
    /// answered by a task of the runtime in which the first attempt began.
    pub report_socket: bool,
    /// How many attempts may be under way at a time. Starts beyond that wait for their turn; fewer have a place if this
    /// process may not have enough descriptors open for so many, or its user not enough processes (`ulimit -u`, three for each with
    /// a shim, two without, beside a quarter for threads). At least 1. Attempts that are adopted need no place.
    pub live_max: usize,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            drain_deadline_ms: 5_000,
            grace_ms: 5_000,
            kill_lingering: false,
            sync_output: false,
            report_socket: true,
            live_max: 1_024,
        }
    }
}
