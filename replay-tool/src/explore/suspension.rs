//! Stopping as Ctrl-Z does elsewhere, if there is somebody who could continue the process.

use rustix::process::{Pid, Signal, getpid, kill_process};

/// Parents that are asked at most; a chain of processes is never that long.
const PARENTS_MAX: usize = 64;

/// Stops this process until it is continued. Returns whether it was: where nobody has it under job control it would
/// never be, and then it goes on at once.
pub(crate) fn stop() -> bool {
    is_controlled() && kill_process(getpid(), Signal::STOP).is_ok()
}

/// Whether a parent in another process group of the same session has this group under job control, as a shell does.
fn is_controlled() -> bool {
    Relations::of(getpid()).is_some_and(|own| own.are_controlled(Relations::of))
}

/// What a process belongs to, as `/proc` numbers it. What is outside of this process's own namespace of process ids has the
/// number 0 there, as the session of a shell that entered a container; the system's own calls tell the same 0, which their
/// bindings take for impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// Follows the parents for as long as they are of the same session, and looks for one in another group.
    fn are_controlled(self, of: impl Fn(Pid) -> Option<Self>) -> bool {
        let mut parent = self.parent;
        for _ in 0..PARENTS_MAX {
            let Some(of_parent) = Pid::from_raw(parent).and_then(&of) else { return false };
            if of_parent.session != self.session {
                return false;
            }
            if of_parent.group != self.group {
                return true;
            }
            parent = of_parent.parent;
        }
        false
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
        let parent = std::os::unix::process::parent_id();
        assert_eq!(Relations::of(getpid()).map(|own| own.parent), i32::try_from(parent).ok());
    }

    #[test]
    fn a_parent_of_the_same_session_in_another_group_has_control() {
        // Number, parent, group, session: a shell in session 5, a script that it runs, and what that runs in its own group.
        let processes = [(5, 1, 5, 5), (7, 5, 7, 5), (8, 7, 7, 5), (1, 0, 1, 1), (20, 0, 0, 0), (21, 20, 21, 0)];
        let of = |pid: Pid| {
            let found = processes.iter().find(|process| process.0 == pid.as_raw_pid());
            found.map(|(_, parent, group, session)| Relations { parent: *parent, group: *group, session: *session })
        };
        let is_controlled = |pid: i32| Pid::from_raw(pid).and_then(of).is_some_and(|own| own.are_controlled(of));
        assert!(is_controlled(8) && is_controlled(7), "by the shell");
        assert!(!is_controlled(5), "its parent is of another session");
        assert!(!is_controlled(1) && !is_controlled(20), "nobody is above them here");
        assert!(is_controlled(21), "by a shell that came in from outside, of a session that has no number here");
    }
}
