//! Signals to the processes of one attempt, and to nobody else.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tachograph_engine::domain::AttemptId;

use super::identity::ProcessStat;
use super::spawn::ATTEMPT_VARIABLE;

/// How often the group is looked through for members that were forked while it was being killed.
const KILL_ROUNDS_MAX: u32 = 16;
/// How often members that do not name the attempt are looked at again before they are taken for somebody else's.
const VERIFY_ROUNDS_MAX: u32 = 20;
const VERIFY_PAUSE: Duration = Duration::from_millis(1);

/// The process group of an attempt.
///
/// A group's number is its leader's pid, and it can belong to somebody else once the leader was reaped and the last
/// member is gone. So there are two ways to signal it. As long as the leader is not reaped, even as a zombie, the
/// number is taken and the kernel signals the whole group at once. Afterwards every member is looked up in `/proc`,
/// pinned by a pidfd, and only then verified and signalled one by one: a process counts as a member if it is in the
/// group and some process of the group has this attempt's id in its environment, since as long as any member is left
/// the number is not given away. What is left of a group whose members all wiped their environment is left alone.
#[derive(Debug, Clone)]
pub(super) struct ProcessGroup {
    leader: Pid,
    attempt: AttemptId,
    leader_reaped: bool,
}

impl ProcessGroup {
    /// The group that this child leads; it must not be reaped yet. Absent if there is no such pid.
    pub(super) fn led_by(pid: u32, attempt: AttemptId) -> Option<Self> {
        let leader = Pid::from_raw(i32::try_from(pid).ok()?)?;
        Some(Self { leader, attempt, leader_reaped: false })
    }

    /// The leader's exit status was collected: from here on members are verified.
    pub(super) fn leader_was_reaped(&mut self) {
        self.leader_reaped = true;
    }

    /// Signals all members. None being left is no error.
    pub(super) fn signal(&self, signal: Signal) {
        if self.leader_reaped {
            self.signal_verified(signal);
        } else if let Err(error) = kill_process_group(self.leader, signal) {
            tracing::debug!(group = %self.leader, %error, "the group took no signal");
        }
    }

    /// Whether the leader is not reaped yet, so that the number is certainly its own.
    pub(super) const fn is_led(&self) -> bool {
        !self.leader_reaped
    }

    /// Pids of the members that are alive, the leader among them.
    pub(super) fn members(&self) -> Vec<u32> {
        self.pinned().into_iter().map(|(pid, _)| pid).collect()
    }

    fn signal_verified(&self, signal: Signal) {
        let mut signalled = BTreeSet::new();
        for _ in 0..KILL_ROUNDS_MAX {
            let members = self.pinned();
            let before = signalled.len();
            for (pid, pidfd) in members {
                if signalled.insert(pid) {
                    // It may have ended meanwhile; the pidfd keeps the signal from reaching its pid's next owner.
                    let _ = pidfd_send_signal(&pidfd, signal);
                }
            }
            if signalled.len() == before {
                return;
            }
        }
    }

    /// The members, pinned so that their pids stay theirs; none unless the group is this attempt's.
    fn pinned(&self) -> Vec<(u32, OwnedFd)> {
        for _ in 0..VERIFY_ROUNDS_MAX {
            let members = self.unverified();
            if members.is_empty() || members.iter().any(|(pid, _)| names_attempt(*pid, self.attempt)) {
                return members;
            }
            // For an instant of every exec a process has no environment at all.
            std::thread::sleep(VERIFY_PAUSE);
        }
        Vec::new()
    }

    fn unverified(&self) -> Vec<(u32, OwnedFd)> {
        let Ok(pids) = all_pids() else { return Vec::new() };
        let group = self.leader.as_raw_nonzero().get();
        pids.into_iter()
            .filter(|pid| in_group(*pid, group))
            .filter_map(|pid| {
                let pidfd = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
                // Once more, now that the pid cannot change hands unnoticed.
                in_group(pid, group).then_some((pid, pidfd))
            })
            .collect()
    }
}

fn in_group(pid: u32, group: i32) -> bool {
    ProcessStat::read(pid).is_ok_and(|stat| stat.group == group && !stat.is_dead())
}

/// Whether a process was started with this attempt's id in its environment.
fn names_attempt(pid: u32, attempt: AttemptId) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| environ_names(&environ, attempt))
}

/// Whether this attempt's id is in an environment, as `/proc` shows it.
pub(crate) fn environ_names(environ: &[u8], attempt: AttemptId) -> bool {
    let wanted = format!("{ATTEMPT_VARIABLE}={attempt}");
    environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
}

/// All processes of this machine that belong to an attempt, wherever they moved, as far as their environment may be
/// read.
pub(crate) fn processes_of(attempt: AttemptId) -> Vec<u32> {
    let pids = all_pids().unwrap_or_default();
    let alive = |pid: &u32| ProcessStat::read(*pid).is_ok_and(|stat| !stat.is_dead());
    pids.into_iter().filter(|pid| names_attempt(*pid, attempt)).filter(alive).collect()
}

/// All processes of this machine, as far as they are shown.
pub(crate) fn all_pids() -> io::Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use tachograph_engine::domain::testing::ids;

    use super::*;

    /// A group leader that has begun and waits for its standard input.
    fn leader(attempt: Option<AttemptId>) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", "echo; read line; exit 5"]).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        if let Some(attempt) = attempt {
            command.env(ATTEMPT_VARIABLE, attempt.to_string());
        }
        let mut child = command.spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        child
    }

    fn group_as_if_reaped(child: &Child) -> ProcessGroup {
        let mut group = ProcessGroup::led_by(child.id(), ids::attempt(1)).unwrap();
        group.leader_was_reaped();
        group
    }

    #[test]
    fn a_number_that_went_to_somebody_else_is_not_signalled() {
        for stranger in [None, Some(ids::attempt(2))] {
            let mut child = leader(stranger);
            let group = group_as_if_reaped(&child);
            assert!(group.members().is_empty());
            group.signal(Signal::KILL);
            child.stdin.take().unwrap().write_all(b"go\n").unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(5));
        }
    }

    #[test]
    fn a_group_that_names_the_attempt_is_signalled() {
        let mut child = leader(Some(ids::attempt(1)));
        let group = group_as_if_reaped(&child);
        assert_eq!(group.members(), [child.id()]);
        group.signal(Signal::KILL);
        assert_eq!(child.wait().unwrap().code(), None);
        assert!(group.members().is_empty());
    }
}
