//! What is left of an attempt that a shim looked after, as far as its directory and `/proc` tell.

use tachograph_engine::domain::{AttemptId, RunId};

use super::super::directory::{AttemptDirectory, DirectoryError};
use super::super::identity::{Identity, ProcessIdentity, boot_id};

/// What is left of an attempt that a shim looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No identity names this run and attempt: in this boot nothing was executed. A shim may be about to. That of an earlier
    /// boot may have been lost with the power.
    Unknown,
    /// There is an identity, of an attempt without a shim.
    Unattended(Identity),
    /// The machine was started anew since: nothing of it can be alive.
    OtherBoot(Identity),
    /// The shim is alive, and exactly the one that wrote the identity: it will write the exit record, and can be followed.
    Attended(Identity),
    /// The shim is gone. What the exit record says, if it is complete, is its last word.
    ShimGone {
        /// Who they were.
        identity: Identity,
        /// Whether the run's process is alive, which without its shim it should not be.
        process_alive: bool,
    },
}

/// Looks, and touches nothing. A process counts as alive only if pid, start and boot are those that were written down,
/// so that no other can be taken for it.
///
/// # Errors
///
/// [`DirectoryError`] if the identity is there and cannot be read.
pub fn standing(directory: &AttemptDirectory, run: RunId, attempt: AttemptId) -> Result<Standing, DirectoryError> {
    let Some(identity) = Identity::read(directory, run, attempt)? else { return Ok(Standing::Unknown) };
    let Some(shim) = identity.shim.clone() else { return Ok(Standing::Unattended(identity)) };
    if boot_id().is_ok_and(|boot_id| boot_id != shim.boot_id) {
        return Ok(Standing::OtherBoot(identity));
    }
    if shim.is_alive() {
        return Ok(Standing::Attended(identity));
    }
    let process_alive = identity.process.as_ref().is_some_and(ProcessIdentity::is_alive);
    Ok(Standing::ShimGone { identity, process_alive })
}
