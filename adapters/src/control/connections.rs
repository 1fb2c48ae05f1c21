//! How many connections a listener has, and whose they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// Connections of one listener at a time; whoever comes then is told `busy`. At the report socket of a runner: those of one
/// run, and there may be more in all.
pub const CONNECTIONS_MAX: usize = 32;
/// Those of one process at a time, so that none can keep all others out.
pub const CONNECTIONS_OF_ONE_PEER_MAX: usize = 8;

/// Those of all runs together, whatever their number, if enough descriptors may be open.
const CONNECTIONS_OF_ALL_RUNS: std::ops::RangeInclusive<usize> = 16..=1_024;
/// Of so many descriptors, one may be the connection of a run.
const DESCRIPTORS_PER_CONNECTION: u64 = 8;
/// So many runs can have all the connections that one may have.
const GREEDY_RUNS: usize = 4;

/// How many connections a listener has at a time. Whoever comes then is told `busy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    pub(crate) in_all: usize,
    /// Of processes that one leads, as those of a run.
    of_one_run: usize,
    of_one_process: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        let (in_all, of_one_process) = (CONNECTIONS_MAX, CONNECTIONS_OF_ONE_PEER_MAX);
        Self { in_all, of_one_run: in_all, of_one_process }
    }
}

impl ConnectionLimits {
    /// Of a listener for all runs of a process that may have so many descriptors open: most of them are left for the runs, and
    /// one run that takes all it may leaves most of these to the others.
    pub(crate) fn of_all_runs(descriptors: Option<u64>) -> Self {
        let share = descriptors.map_or(u64::MAX, |most| most / DESCRIPTORS_PER_CONNECTION);
        let (least, most) = CONNECTIONS_OF_ALL_RUNS.into_inner();
        let in_all = usize::try_from(share).unwrap_or(usize::MAX).clamp(least, most);
        let of_one_run = CONNECTIONS_MAX.min(in_all / GREEDY_RUNS);
        Self { in_all, of_one_run, of_one_process: CONNECTIONS_OF_ONE_PEER_MAX.min(of_one_run) }
    }
}

/// The connections of one listener, by the pid of the peer and by that of who leads it. Peers that cannot be named count as
/// one.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    limits: ConnectionLimits,
    present: Arc<Mutex<Present>>,
}

#[derive(Debug, Default)]
struct Present {
    of_processes: Counts,
    of_runs: Counts,
}

/// Why there is no room for one more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// For this peer, which has as many as one may have.
    ThisPeer { count: usize },
    /// For those that this one leads, for the same reason.
    ItsRun { leader: u32, count: usize },
    /// For anybody; these processes hold them.
    Anybody { holders: Vec<u32>, count: usize },
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self { limits, present: Arc::default() }
    }

    /// Counts one of this peer, and of those with the same leader, until the answer is dropped.
    pub(super) fn enter(&self, pid: u32, leader: u32) -> Result<Connection, NoRoom> {
        let ConnectionLimits { in_all, of_one_run, of_one_process } = self.limits;
        let mut present = lock(&self.present);
        if present.of_processes.of(pid) >= of_one_process {
            return Err(NoRoom::ThisPeer { count: of_one_process });
        }
        if present.of_processes.in_all() >= in_all {
            let holders = present.of_processes.0.keys().copied().collect();
            return Err(NoRoom::Anybody { holders, count: in_all });
        }
        if present.of_runs.of(leader) >= of_one_run {
            return Err(NoRoom::ItsRun { leader, count: of_one_run });
        }
        present.of_processes.add(pid);
        present.of_runs.add(leader);
        Ok(Connection { connections: self.clone(), pid, leader })
    }
}

/// That a connection is there.
#[derive(Debug)]
pub(super) struct Connection {
    connections: Connections,
    pid: u32,
    leader: u32,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut present = lock(&self.connections.present);
        present.of_processes.remove(self.pid);
        present.of_runs.remove(self.leader);
    }
}

/// How many there are of each; none of which there is nothing is kept.
#[derive(Debug, Default)]
struct Counts(BTreeMap<u32, usize>);

impl Counts {
    fn of(&self, pid: u32) -> usize {
        self.0.get(&pid).copied().unwrap_or(0)
    }

    fn in_all(&self) -> usize {
        self.0.values().sum()
    }

    fn add(&mut self, pid: u32) {
        *self.0.entry(pid).or_default() += 1;
    }

    fn remove(&mut self, pid: u32) {
        if let Some(count) = self.0.get_mut(&pid) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_empty(connections: &Connections) -> bool {
        let present = lock(&connections.present);
        present.of_processes.0.is_empty() && present.of_runs.0.is_empty()
    }

    #[test]
    fn one_peer_cannot_take_all_places_and_each_is_given_back() {
        let connections = Connections::new(ConnectionLimits::default());
        let mut all: Vec<Connection> = Vec::new();
        for pid in 1..=4 {
            all.extend((0..CONNECTIONS_OF_ONE_PEER_MAX).map(|_| connections.enter(pid, 1).unwrap()));
            assert_eq!(connections.enter(pid, 1).unwrap_err(), NoRoom::ThisPeer { count: 8 });
        }
        let full = NoRoom::Anybody { holders: vec![1, 2, 3, 4], count: 32 };
        assert_eq!(connections.enter(5, 1).unwrap_err(), full);
        all.pop();
        all.push(connections.enter(5, 1).unwrap());
        drop(all);
        assert!(is_empty(&connections));
    }

    #[test]
    fn one_run_cannot_take_all_places_however_many_processes_it_has() {
        let connections = Connections::new(ConnectionLimits::of_all_runs(Some(1_024)));
        let mut of_one: Vec<_> = (0..32).map(|pid| connections.enter(100 + pid, 100).unwrap()).collect();
        assert_eq!(connections.enter(200, 100).unwrap_err(), NoRoom::ItsRun { leader: 100, count: 32 });
        let of_others: Vec<_> = (0..96).map(|pid| connections.enter(300 + pid, 300 + pid).unwrap()).collect();
        assert!(matches!(connections.enter(500, 500).unwrap_err(), NoRoom::Anybody { count: 128, .. }));
        of_one.pop();
        of_one.push(connections.enter(500, 500).unwrap());
        drop((of_one, of_others));
        assert!(is_empty(&connections));
    }

    #[test]
    fn all_runs_together_have_a_share_of_the_descriptors() {
        let limits = |descriptors| {
            let ConnectionLimits { in_all, of_one_run, of_one_process } = ConnectionLimits::of_all_runs(descriptors);
            [in_all, of_one_run, of_one_process]
        };
        assert_eq!([limits(Some(0)), limits(Some(256)), limits(Some(1_024))], [[16, 4, 4], [32, 8, 8], [128, 32, 8]]);
        assert_eq!([limits(Some(1 << 40)), limits(None)], [[1_024, 32, 8]; 2]);
    }
}
