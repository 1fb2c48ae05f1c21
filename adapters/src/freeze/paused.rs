//! Freezing a container: its runtime lets it stand still as a whole.

use std::collections::BTreeSet;

use tachograph_engine::domain::AttemptId;

use super::FreezeError;
use crate::oci::{Container, ContainerName, ContainerStatus, Runtime, RuntimeCall};
use crate::process::ProcessIdentity;
use crate::process::group::processes_of;

/// A container that stands still.
#[derive(Debug)]
pub(super) struct PausedContainer {
    call: RuntimeCall,
    name: ContainerName,
    attempt: AttemptId,
    leader: ProcessIdentity,
    stands: Stands,
    members: BTreeSet<u32>,
}

/// Why it stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// It was paused here.
    Paused,
    /// Somebody else had paused it, and it stays so.
    PausedBefore,
    /// It has ended.
    Ended,
}

impl PausedContainer {
    /// Lets a container stand still, verified by its state; one that has ended does anyway. An error means that it goes
    /// on, unless it says otherwise. `mark` is called before anything is done.
    pub(super) fn pause(
        container: &Container,
        leader: &ProcessIdentity,
        limit_ms: u64,
        mark: impl FnOnce() -> Result<(), FreezeError>,
    ) -> Result<Self, FreezeError> {
        let call = container.runtime.call().within(limit_ms);
        let (name, attempt, leader) = (container.name.clone(), container.attempt, leader.clone());
        let mut this = Self { call, name, attempt, leader, stands: Stands::Ended, members: BTreeSet::new() };
        match this.status() {
            Ok(ContainerStatus::Stopped) => return Ok(this),
            // Then it may not be there any more.
            Err(_) if !this.leader.is_alive() => return Ok(this),
            Err(why) => return Err(this.not_stopped(why)),
            Ok(ContainerStatus::Paused) => this.stands = Stands::PausedBefore,
            Ok(_) => {
                mark()?;
                this.stop()?;
            }
        }
        this.members = processes_of(attempt).into_iter().collect();
        Ok(this)
    }

    fn stop(&mut self) -> Result<(), FreezeError> {
        let paused = self.call.pause(self.name.as_str()).map_err(|error| error.to_string());
        match (self.status(), paused) {
            (Ok(ContainerStatus::Paused), _) => self.stands = Stands::Paused,
            (Ok(ContainerStatus::Stopped), _) => {}
            (Ok(_), Err(why)) => return Err(self.not_stopped(why)),
            (Ok(status), Ok(())) => return Err(self.not_stopped(format!("it is {} after a pause", status.name()))),
            (Err(why), _) => {
                // It may stand still, and nobody would know.
                go_on(&self.call, &self.name)?;
                return Err(self.not_stopped(why));
            }
        }
        Ok(())
    }

    /// Whether it stood still until now. That somebody let it go on and stand still again in between does not show.
    pub(super) fn verify(&self) -> Result<(), FreezeError> {
        if self.stands == Stands::Ended {
            return Ok(());
        }
        let torn = |pid: u32, how: &str| Err(FreezeError::Torn { pid, how: how.to_owned() });
        let members: BTreeSet<u32> = processes_of(self.attempt).into_iter().collect();
        if let Some(pid) = self.members.difference(&members).next() {
            return torn(*pid, "ended");
        }
        if let Some(pid) = members.difference(&self.members).next() {
            return torn(*pid, "came");
        }
        match self.status() {
            Ok(ContainerStatus::Paused) => Ok(()),
            Ok(_) => torn(self.leader.pid, "went on"),
            Err(why) => torn(self.leader.pid, &format!("cannot be looked at ({why})")),
        }
    }

    /// Lets it go on, if it was paused here.
    pub(super) fn thaw(&self) -> Result<(), FreezeError> {
        match self.stands {
            Stands::Paused => go_on(&self.call, &self.name),
            Stands::PausedBefore | Stands::Ended => Ok(()),
        }
    }

    fn status(&self) -> Result<ContainerStatus, String> {
        self.call.state(self.name.as_str()).map(|state| state.status).map_err(|error| error.to_string())
    }

    fn not_stopped(&self, why: String) -> FreezeError {
        FreezeError::NotStopped { pid: self.leader.pid, why }
    }
}

/// Undoes what another process did. Says how many processes go on.
pub(super) fn thaw_marked(attempt: AttemptId, runtime: Runtime, name: &ContainerName) -> Result<usize, FreezeError> {
    go_on(&runtime.call(), name)?;
    Ok(processes_of(attempt).len())
}

/// A container that is not there, or that moves, need not be let go on.
fn go_on(call: &RuntimeCall, name: &ContainerName) -> Result<(), FreezeError> {
    let is_paused = || call.state(name.as_str()).is_ok_and(|state| state.status == ContainerStatus::Paused);
    if !is_paused() {
        return Ok(());
    }
    match call.resume(name.as_str()) {
        Err(error) if is_paused() => Err(FreezeError::NotThawed { why: format!("container {name}: {error}") }),
        Ok(()) if is_paused() => {
            Err(FreezeError::NotThawed { why: format!("container {name} is paused after a resume") })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
