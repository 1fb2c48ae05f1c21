//! A frozen attempt that two sides may thaw.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::error::TakeError;
use crate::freeze::{FreezeTarget, Freezer, Frozen};

/// An attempt that stands still while its image is taken. Whoever gives the image up thaws it at once, and does not wait
/// until the thread that reads has noticed: that thread may itself wait for something that only the attempt can answer.
#[derive(Default)]
pub(super) struct Standstill {
    frozen: Mutex<Option<Box<dyn Frozen>>>,
}

impl Standstill {
    /// Freezes the attempt until the answer is dropped.
    pub(super) fn begin(&self, freezer: &dyn Freezer, target: &FreezeTarget) -> Result<Thaw<'_>, TakeError> {
        let frozen = freezer.freeze(target)?;
        *self.frozen() = Some(frozen);
        Ok(Thaw(self))
    }

    /// Checks that nothing moved, and lets the attempt go on.
    pub(super) fn end(&self) -> Result<(), TakeError> {
        let frozen = {
            let mut slot = self.frozen();
            slot.as_ref().ok_or(TakeError::GivenUp)?.verify()?;
            slot.take()
        };
        Ok(frozen.map_or(Ok(()), Frozen::thaw)?)
    }

    /// Thaws without waiting.
    pub(super) fn abandon(&self) {
        let frozen = match self.frozen.try_lock() {
            Ok(mut slot) => slot.take(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
            // It is being verified: the thread goes on from there by itself, and thaws.
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(frozen) = frozen {
            // If there is no thread to be had, the closure is dropped here, and thaws here.
            let _ = std::thread::Builder::new().name("tacho-thaw".to_owned()).spawn(move || drop(frozen));
        }
    }

    fn frozen(&self) -> MutexGuard<'_, Option<Box<dyn Frozen>>> {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Thaws when it is dropped, unless that happened before.
pub(super) struct Thaw<'a>(&'a Standstill);

impl Drop for Thaw<'_> {
    fn drop(&mut self) {
        let frozen = self.0.frozen().take();
        drop(frozen);
    }
}
