//! What is left of the process group of an attempt whose shim was killed.

use std::time::Duration;

use rustix::process::Signal;

use super::super::group::ProcessGroup;
use super::super::identity::{ProcessIdentity, ProcessStat};
use super::super::runner::ProcessRunner;
use super::evidence::Known;
use crate::threads::blocking;

/// How often is looked whether a group that was asked to end is gone; nobody tells when a stranger's child ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A killed process is gone at once, unless the kernel holds it.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// The process group of an attempt whose shim is gone, if its number can still be nobody else's. A process counts as a
/// member as [`ProcessGroup`] says: by the attempt's id in the environment of one of them.
///
/// Nobody would see the end of these processes, and nobody would show them. So they do not go on: what was started under a
/// shim that is alive, or without any, is none of this.
pub(super) fn rest_of(known: &Known) -> Option<ProcessGroup> {
    let (Some((_, false)), Some((leader, false)), true) = (&known.shim, &known.process, known.this_boot) else {
        return None;
    };
    group_after(leader, known.attempt)
}

/// The group that a process led that has ended.
pub(super) fn group_after(
    leader: &ProcessIdentity,
    attempt: tachograph_engine::domain::AttemptId,
) -> Option<ProcessGroup> {
    // Somebody else with this pid may lead a group of the same number.
    if ProcessStat::read(leader.pid).is_ok_and(|stat| stat.start_ticks != leader.start_ticks) {
        return None;
    }
    let mut group = ProcessGroup::led_by(leader.pid, attempt)?;
    group.leader_was_reaped();
    Some(group)
}

impl ProcessRunner {
    /// Ends the members of a group that nobody else looks after: the polite signal, the grace, the killing one. Returns
    /// the pids of those that there were.
    pub(super) async fn end_rest(&self, group: ProcessGroup) -> Vec<u32> {
        let members = members(&group).await;
        if members.is_empty() {
            return members;
        }
        signal(&group, Signal::TERM).await;
        signal(&group, Signal::CONT).await;
        let grace = Duration::from_millis(self.options().grace_ms);
        if !self.gone_within(&group, grace).await {
            signal(&group, Signal::KILL).await;
            self.gone_within(&group, GONE_WITHIN).await;
        }
        members
    }

    async fn gone_within(&self, group: &ProcessGroup, time: Duration) -> bool {
        let clock = self.clock().0;
        let deadline = clock.monotonic().saturating_add(time);
        while !members(group).await.is_empty() {
            if clock.monotonic() >= deadline {
                return false;
            }
            clock.sleep(LOOK_EVERY).await;
        }
        true
    }
}

async fn members(group: &ProcessGroup) -> Vec<u32> {
    let group = group.clone();
    blocking(move || group.members()).await.unwrap_or_default()
}

async fn signal(group: &ProcessGroup, signal: Signal) {
    let group = group.clone();
    blocking(move || group.signal(signal)).await;
}
