//! Who is at the other end.

use std::io;

use nix::unistd::{Pid, getpgid, getsid};
use tokio::net::UnixStream;

/// Who is at the other end of a connection, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The process that connected; 0 if it cannot be named in the listener's pid namespace.
    pub pid: u32,
    /// Its effective user when it connected.
    pub uid: u32,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        Ok(Self { pid, uid: credentials.uid() })
    }

    /// Who leads the processes that it belongs with: those of its session, or of its process group where it has a session
    /// with this very process. A run leads such a group, and under a shim it has such a session. Whoever is gone by now
    /// leads itself: what it asked for is heard all the same, and is no burden on others that are gone. 0 if it cannot be
    /// named, as a leader outside of the listener's pid namespace cannot; those that such ones lead count as led by one.
    /// The kernel is asked, and no file of the peer, which could make others wait.
    pub(super) fn leader(self) -> u32 {
        let Some(pid) = i32::try_from(self.pid).ok().filter(|pid| *pid > 0).map(Pid::from_raw) else { return 0 };
        let own = getsid(None).ok();
        let session = getsid(Some(pid)).ok();
        let leader = if session == own { getpgid(Some(pid)).ok() } else { session };
        leader.map_or(self.pid, |leader| leader.as_raw().unsigned_abs())
    }

    /// Whether it may speak to a listener of this user: only that user itself and root, who can do everything anyway.
    pub(super) const fn may_speak_to(self, owner: u32) -> bool {
        self.uid == owner || self.uid == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_belong_with_the_leader_of_their_group_where_they_share_this_session() {
        let peer = |pid| Peer { pid, uid: 0 };
        let group = nix::unistd::getpgrp().as_raw().unsigned_abs();
        assert_eq!(peer(std::process::id()).leader(), group);
        // It ends with its input, which goes with this test.
        let mut command = std::process::Command::new("cat");
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut child = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().unwrap();
        assert_eq!(peer(child.id()).leader(), child.id());
        drop(child.stdin.take());
        child.wait().unwrap();
        let gone = peer(child.id());
        assert_eq!(gone.leader(), gone.pid, "whoever connected and ended belongs with nobody else");
        assert_eq!(peer(0).leader(), 0, "nobody can be named");
    }

    #[test]
    fn only_the_owner_and_root_may_speak() {
        let peer = |uid| Peer { pid: 1, uid };
        assert!(peer(1_000).may_speak_to(1_000));
        assert!(peer(0).may_speak_to(1_000));
        assert!(!peer(1_001).may_speak_to(1_000));
        assert!(!peer(1_000).may_speak_to(0));
        assert!(!peer(65_534).may_speak_to(0));
    }
}
