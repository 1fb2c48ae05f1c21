//! What signals of the run go to.

use rustix::process::Signal;

use super::super::group::ProcessGroup;
use super::container::OpenContainer;

/// What signals of the run go to.
#[derive(Debug)]
pub(super) enum Body {
    /// The process group of a command.
    Group(ProcessGroup),
    /// The container, through its runtime.
    Container(Box<OpenContainer>),
}

impl Body {
    pub(super) fn signal(&self, signal: Signal) {
        match self {
            Self::Group(group) => group.signal(signal),
            Self::Container(container) => container.signal(signal),
        }
    }

    /// Pids of what is alive of it.
    pub(super) fn members(&self) -> Vec<u32> {
        match self {
            Self::Group(group) => group.members(),
            Self::Container(container) => container.members(),
        }
    }

    /// The leader's exit status was collected.
    pub(super) fn leader_was_reaped(&mut self) {
        match self {
            Self::Group(group) => group.leader_was_reaped(),
            Self::Container(_) => {}
        }
    }

    /// Whether nothing of it may go on after its first process: a container is over then.
    pub(super) const fn ends_with_leader(&self) -> bool {
        matches!(self, Self::Container(_))
    }

    /// Takes away what is kept for it, once its end is written down.
    pub(super) fn remove(&self) -> Result<(), String> {
        match self {
            Self::Group(_) => Ok(()),
            Self::Container(container) => container.remove(),
        }
    }
}
