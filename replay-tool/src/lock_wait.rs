//! How long is waited for a journal that somebody else has open.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::duration::DurationMs;
use crate::error::Error;
use crate::speaking::PAUSE;

/// Environment variable that says how long, as a duration; 0 for not at all.
pub const LOCK_WAIT_VARIABLE: &str = "TACHO_LOCK_WAIT";
/// An operator's command waits for others, and for a supervisor that is about to listen or to end.
pub(crate) const OPERATOR_WAIT: Duration = Duration::from_secs(10);
/// A supervisor waits for operators' commands, which hold the journal for an instant.
pub(crate) const SUPERVISOR_WAIT: Duration = Duration::from_secs(3);

/// The time that is left to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LockWait {
    until: Instant,
}

impl LockWait {
    /// From now on, for as long as the environment says, else for so long.
    pub(crate) fn begin(unless_said: Duration) -> Result<Self, Error> {
        let said = std::env::var(LOCK_WAIT_VARIABLE).ok().filter(|text| !text.is_empty());
        let wait = match said.map(|text| text.parse::<DurationMs>()) {
            None => unless_said,
            Some(Ok(wait)) => wait.as_duration(),
            Some(Err(error)) => {
                let message = format!("{LOCK_WAIT_VARIABLE} {error}");
                return Err(Error::Input { code: "usage", message, remedy: "correct or unset it".to_owned() });
            }
        };
        Ok(Self { until: Instant::now() + wait })
    }

    /// Waits a little, and says that it is worth another look; false once the time is over.
    pub(crate) async fn go_on(self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        sleep(PAUSE.min(self.until.saturating_duration_since(Instant::now()))).await;
        true
    }
}
