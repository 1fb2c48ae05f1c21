//! How many connections a listener has, and whose they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// Connections of one listener at a time; whoever comes then is told `busy`.
pub const CONNECTIONS_MAX: usize = 32;
/// Those of one process at a time, so that none can keep all others out.
pub const CONNECTIONS_OF_ONE_PEER_MAX: usize = 8;

/// The connections of one listener, by the pid of the peer. Peers that cannot be named count as one.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<Mutex<BTreeMap<u32, usize>>>);

/// Why there is no room for one more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// For this peer, which has as many as one may have.
    ForThisPeer,
    /// For anybody; these processes hold them.
    ForAnybody { holders: Vec<u32> },
}

impl Connections {
    /// Counts one of this peer until the answer is dropped.
    pub(super) fn enter(&self, pid: u32) -> Result<Connection, NoRoom> {
        let mut present = lock(&self.0);
        if present.get(&pid).is_some_and(|count| *count >= CONNECTIONS_OF_ONE_PEER_MAX) {
            return Err(NoRoom::ForThisPeer);
        }
        if present.values().sum::<usize>() >= CONNECTIONS_MAX {
            return Err(NoRoom::ForAnybody { holders: present.keys().copied().collect() });
        }
        *present.entry(pid).or_default() += 1;
        Ok(Connection { connections: self.clone(), pid })
    }
}

/// That a connection is there.
#[derive(Debug)]
pub(super) struct Connection {
    connections: Connections,
    pid: u32,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut present = lock(&self.connections.0);
        if let Some(count) = present.get_mut(&self.pid) {
            *count -= 1;
            if *count == 0 {
                present.remove(&self.pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_cannot_take_all_places_and_each_is_given_back() {
        let connections = Connections::default();
        let mut all: Vec<Connection> = Vec::new();
        for pid in 1..=4 {
            all.extend((0..CONNECTIONS_OF_ONE_PEER_MAX).map(|_| connections.enter(pid).unwrap()));
            assert_eq!(connections.enter(pid).unwrap_err(), NoRoom::ForThisPeer);
        }
        assert_eq!(connections.enter(5).unwrap_err(), NoRoom::ForAnybody { holders: vec![1, 2, 3, 4] });
        all.pop();
        all.push(connections.enter(5).unwrap());
        drop(all);
        assert!(lock(&connections.0).is_empty());
    }
}
