//! Which processes an attempt has.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tachograph_engine::domain::AttemptId;

use super::FreezeError;
use super::standing::is_gone;
use crate::process::ProcessIdentity;
use crate::process::group::{all_pids, environ_names};
use crate::process::identity::{ProcessStat, boot_id};

/// How often a process without any environment is looked at again: for an instant of every exec it has none.
const LOOKS_MAX: u32 = 4;
const LOOK_PAUSE: Duration = Duration::from_millis(1);
/// The parent of all threads of the kernel, which have no environment ever.
const KTHREADD: i32 = 2;

/// A process that cannot be taken for another within one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct MemberId {
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
}

/// A process of the attempt, pinned: a signal reaches it or nobody.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) parent: i32,
    pidfd: OwnedFd,
}

impl Member {
    /// Pins a process if it still is the one that is meant.
    pub(super) fn pin(id: MemberId) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(i32::try_from(id.pid).ok()?)?, PidfdFlags::empty()).ok()?;
        // Only now that the descriptor names one process for good it is certain which one that is.
        let stat = ProcessStat::read(id.pid).ok()?;
        (stat.start_ticks == id.start_ticks).then_some(Self { id, parent: stat.parent, pidfd })
    }

    /// Signals it. That it has ended is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Members by pid and start.
pub(super) type Members = BTreeMap<MemberId, Member>;

/// What makes a process one of the attempt's: it is the one that was spawned, it is in that one's group, or it names the
/// attempt in its environment, wherever it went.
///
/// The group counts while the process that it is called after is there, even as a zombie, or if one in it names the
/// attempt: until the last member is gone the number is not given away.
#[derive(Debug, Clone)]
pub(super) struct Membership {
    pub(super) leader: ProcessIdentity,
    pub(super) attempt: AttemptId,
}

/// A process as one look through `/proc` shows it.
struct Seen {
    id: MemberId,
    is_leader: bool,
    in_group: bool,
    names: Names,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Attempt,
    Other,
    /// It has no environment, for now or for ever.
    Nothing,
}

impl Membership {
    /// All living members, pinned.
    ///
    /// # Errors
    ///
    /// If `/proc` cannot be read, or this very process is one of them: it could not thaw itself.
    pub(super) fn scan(&self) -> Result<Members, FreezeError> {
        let here = boot_id().and_then(|boot| Ok((boot, all_pids()?)));
        let (boot, pids) = here.map_err(FreezeError::io("read", std::path::Path::new("/proc")))?;
        let led = boot == self.leader.boot_id;
        let mut seen: Vec<Seen> = pids.into_iter().filter_map(|pid| self.look(pid, led)).collect();
        self.look_again(&mut seen);
        let ours = seen.iter().any(|seen| seen.is_leader || (seen.in_group && seen.names == Names::Attempt));
        seen.retain(|seen| seen.is_leader || (seen.in_group && ours) || seen.names == Names::Attempt);
        if seen.iter().any(|seen| seen.id.pid == std::process::id()) {
            let why = "the process that was to freeze it is one of them".to_owned();
            return Err(FreezeError::Unidentified { why });
        }
        let living = seen.into_iter().filter(|seen| !is_gone(seen.id.pid));
        Ok(living.filter_map(|seen| Some((seen.id, Member::pin(seen.id)?))).collect())
    }

    fn look(&self, pid: u32, led: bool) -> Option<Seen> {
        let stat = ProcessStat::read(pid).ok()?;
        if stat.parent == KTHREADD || pid.cast_signed() == KTHREADD {
            return None;
        }
        let id = MemberId { pid, start_ticks: stat.start_ticks };
        let is_leader = led && pid == self.leader.pid && stat.start_ticks == self.leader.start_ticks;
        let in_group = led && stat.group == self.leader.pid.cast_signed();
        Some(Seen { id, is_leader, in_group, names: self.names(pid, stat) })
    }

    /// A process that cannot be read belongs to somebody else; a dead one has no environment and gets none.
    fn names(&self, pid: u32, stat: ProcessStat) -> Names {
        match std::fs::read(format!("/proc/{pid}/environ")) {
            Ok(environ) if environ_names(&environ, self.attempt) => Names::Attempt,
            Ok(environ) if environ.is_empty() && !stat.is_dead() => Names::Nothing,
            _ => Names::Other,
        }
    }

    fn look_again(&self, seen: &mut [Seen]) {
        for _ in 0..LOOKS_MAX {
            let mut unsure = seen.iter_mut().filter(|seen| seen.names == Names::Nothing).peekable();
            if unsure.peek().is_none() {
                return;
            }
            std::thread::sleep(LOOK_PAUSE);
            unsure.for_each(|seen| {
                let stat = ProcessStat::read(seen.id.pid).ok().filter(|stat| stat.start_ticks == seen.id.start_ticks);
                seen.names = stat.map_or(Names::Other, |stat| self.names(seen.id.pid, stat));
            });
        }
    }
}
