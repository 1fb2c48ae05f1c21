//! Stopping as Ctrl-Z does elsewhere, if there is somebody who could continue the process.

use rustix::process::{Pid, Signal, getpgrp, getpid, getppid, getsid, kill_process};

/// Parents that are asked at most; a chain of processes is never that long.
const PARENTS_MAX: usize = 64;

/// Stops this process until it is continued. Returns whether it was: where nobody has it under job control it would
/// never be, and then it goes on at once.
pub(crate) fn stop() -> bool {
    is_controlled() && kill_process(getpid(), Signal::STOP).is_ok()
}

/// Whether a parent in another process group of the same session has this group under job control, as a shell does.
fn is_controlled() -> bool {
    let (Ok(session), group) = (getsid(None), getpgrp()) else { return false };
    let mut parent = getppid();
    for _ in 0..PARENTS_MAX {
        let Some(of_parent) = parent.and_then(Relations::of) else { return false };
        if of_parent.session != session.as_raw_pid() {
            return false;
        }
        if of_parent.group != group.as_raw_pid() {
            return true;
        }
        parent = Pid::from_raw(of_parent.parent);
    }
    false
}

/// What a process belongs to.
#[derive(Debug, PartialEq, Eq)]
struct Relations {
    parent: i32,
    group: i32,
    session: i32,
}

impl Relations {
    fn of(process: Pid) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
        Self::in_stat(&stat)
    }

    fn in_stat(stat: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, and may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut numbers = rest.split_ascii_whitespace().skip(1).map_while(|field| field.parse().ok());
        Some(Self { parent: numbers.next()?, group: numbers.next()?, session: numbers.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_read_past_any_name() {
        let relations = Relations { parent: 7, group: 8, session: 9 };
        assert_eq!(Relations::in_stat("12 (a) R 1 2 3) S 7 8 9 0 -1 4194560 1"), Some(relations));
        assert_eq!(Relations::in_stat("12 (sh) S 7"), None);
        assert_eq!(Relations::in_stat(""), None);
        assert_eq!(Relations::of(getpid()).map(|found| found.group), Some(getpgrp().as_raw_pid()));
    }
}
