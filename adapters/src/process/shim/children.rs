//! The shim's children: the run's process, and orphans of the run.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use tachograph_engine::domain::{ExitStatus, Witness};

use super::super::exit_record::ResourceUsage;
use super::super::group::all_pids;
use super::super::identity::ProcessStat;

/// Looking for orphans means looking through all processes of the machine, so it is not done for each that ends.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The run's process. It stays a zombie until [`reap`](Self::reap), so that its pid and its group's number are its own.
#[derive(Debug)]
pub(super) struct Leader {
    pid: Pid,
    status: Option<(ExitStatus, Witness)>,
}

impl Leader {
    pub(super) const fn of(pid: Pid) -> Self {
        Self { pid, status: None }
    }

    /// How it ended, if it has.
    pub(super) const fn status(&self) -> Option<&(ExitStatus, Witness)> {
        self.status.as_ref()
    }

    /// Looks whether it has ended; says so once.
    pub(super) fn has_ended(&mut self) -> bool {
        if self.status.is_some() {
            return false;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.status = match waitid(WaitId::Pid(self.pid), options) {
            Ok(None) | Err(rustix::io::Errno::INTR) => None,
            Ok(Some(status)) => Some(told(&status)),
            Err(error) => {
                let cause = format!("waiting failed: {}", io::Error::from(error));
                Some((ExitStatus::Unknown { cause }, Witness::Synthesised))
            }
        };
        self.status.is_some()
    }

    /// Takes it out of the process table. To be called when it has ended.
    pub(super) fn reap(&self) {
        reap(self.pid);
    }
}

fn told(status: &WaitIdStatus) -> (ExitStatus, Witness) {
    let status = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        (None, None) => {
            let cause = format!("the wait status {:#x} is neither an exit nor a signal", status.raw_code());
            ExitStatus::Unknown { cause }
        }
    };
    (status, Witness::Waited)
}

/// Reaps exactly this child, if it has ended.
fn reap(pid: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    while waitid(WaitId::Pid(pid), options).is_err_and(|error| error == rustix::io::Errno::INTR) {}
}

/// Processes of the run whose own parents are gone. They are this process's children now, and nobody asks for their
/// status; without it they would stay zombies as long as the run goes on.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// When to look for ended ones, if some child has ended.
    pub(super) look_at: Option<Instant>,
    looked_at: Option<Instant>,
}

impl Orphans {
    /// Some child other than the leader has ended.
    pub(super) fn one_has_ended(&mut self) {
        let now = Instant::now();
        let earliest = self.looked_at.and_then(|looked| looked.checked_add(LOOK_PAUSE));
        self.look_at = self.look_at.or(Some(earliest.map_or(now, |earliest| earliest.max(now))));
    }

    /// Reaps those that have ended, each by its pid.
    pub(super) fn reap(&mut self, leader: &Leader) {
        self.looked_at = Some(Instant::now());
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let mine = |pid: &u32| ProcessStat::read(*pid).is_ok_and(|stat| stat.parent == me && stat.is_dead());
        for pid in all_pids().unwrap_or_default().into_iter().filter(mine) {
            if let Some(orphan) = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|pid| *pid != leader.pid) {
                reap(orphan);
            }
        }
    }
}

/// What all reaped children used, and their own reaped ones.
pub(super) fn usage() -> Option<ResourceUsage> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let micros = |time: nix::sys::time::TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    Some(ResourceUsage {
        user_us: micros(usage.user_time()),
        system_us: micros(usage.system_time()),
        resident_bytes_max: u64::try_from(usage.max_rss()).unwrap_or(0).saturating_mul(1_024),
        major_faults: u64::try_from(usage.major_page_faults()).unwrap_or(0),
    })
}
