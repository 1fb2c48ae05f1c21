//! Whether the threads of a process stand still.

use std::collections::BTreeMap;

/// A process as its threads show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Every living thread is stopped; each with how often it has given up the processor so far. A thread that ran
    /// since has a higher number, also if it is stopped again.
    Still(BTreeMap<u32, u64>),
    /// At least one thread is not.
    Moving {
        /// Whether one is in an uninterruptible wait: for a disk, or for its child to execute something.
        waits: bool,
    },
    /// No thread is alive.
    Gone,
}

impl Standing {
    /// What the process does now.
    pub(super) fn of(pid: u32) -> Self {
        let threads = threads(pid);
        if threads.is_empty() {
            return Self::Gone;
        }
        // Under a debugger a thread stops in its own way.
        if threads.iter().all(|thread| matches!(thread.state, 'T' | 't')) {
            return Self::Still(threads.iter().map(|thread| (thread.tid, thread.switches)).collect());
        }
        Self::Moving { waits: threads.iter().any(|thread| thread.state == 'D') }
    }
}

/// How often each living thread has given up the processor so far.
pub(super) fn switches(pid: u32) -> BTreeMap<u32, u64> {
    threads(pid).into_iter().map(|thread| (thread.tid, thread.switches)).collect()
}

/// Whether every living thread was stopped by a signal.
pub(super) fn is_stopped(pid: u32) -> bool {
    let threads = threads(pid);
    !threads.is_empty() && threads.iter().all(|thread| thread.state == 'T')
}

/// Whether no thread is alive any more. The first one may be dead while others go on.
pub(super) fn is_gone(pid: u32) -> bool {
    threads(pid).is_empty()
}

struct Thread {
    tid: u32,
    state: char,
    switches: u64,
}

/// The living threads.
fn threads(pid: u32) -> Vec<Thread> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let tids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    let threads = tids.filter_map(|tid: u32| {
        let status = std::fs::read(format!("/proc/{pid}/task/{tid}/status")).ok()?;
        parse(tid, &String::from_utf8_lossy(&status))
    });
    threads.filter(|thread| !matches!(thread.state, 'Z' | 'X' | 'x')).collect()
}

fn parse(tid: u32, status: &str) -> Option<Thread> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let count = |name| field(name).and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
    let state = field("State")?.chars().next()?;
    let switches = count("voluntary_ctxt_switches") + count("nonvoluntary_ctxt_switches");
    Some(Thread { tid, state, switches })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_read_from_its_own_lines() {
        let status =
            "Name:\tState:\tR\nState:\tT (stopped)\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        let thread = parse(7, status).unwrap();
        assert_eq!((thread.tid, thread.state, thread.switches), (7, 'T', 42));
        assert!(parse(7, "Name:\tsh\n").is_none());
    }

    #[test]
    fn this_process_moves_and_no_process_is_gone() {
        assert!(matches!(Standing::of(std::process::id()), Standing::Moving { .. }));
        assert_eq!(Standing::of(u32::MAX), Standing::Gone);
    }
}
