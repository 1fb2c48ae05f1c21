//! Who is at the other end.

use std::io;

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

    /// Whether it may speak to a listener of this user: only that user itself and root, who can do everything anyway.
    pub(super) const fn may_speak_to(self, owner: u32) -> bool {
        self.uid == owner || self.uid == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
