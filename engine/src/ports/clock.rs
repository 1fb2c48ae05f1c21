//! Time and identity.

use std::time::Duration;

use async_trait::async_trait;
use ulid::Ulid;

use crate::domain::Timestamp;

/// The time, as the engine sees it. Tests bring a manual one.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Wall-clock time. May step in either direction; nothing is ordered by it.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary point of this boot; never steps back.
    fn monotonic(&self) -> Duration;

    /// Returns once this much monotonic time has passed. Dropping the future cancels it.
    async fn sleep(&self, duration: Duration);
}

/// Where new ids come from.
pub trait IdSource: Send + Sync {
    /// A ULID that this source, and with overwhelming probability any other, never gave before.
    fn next(&self) -> Ulid;
}
