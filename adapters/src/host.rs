//! The process and machine that write.

use std::sync::Arc;

use tachograph_engine::domain::Session;
use tachograph_engine::ports::{Clock, Host};

/// This process on this machine.
#[derive(Clone)]
pub struct LocalHost {
    clock: Arc<dyn Clock>,
    host: String,
    boot_id: String,
    version: String,
}

impl LocalHost {
    /// Reads the names of host and boot once; both clocks are read anew for every session.
    ///
    /// What this machine does not tell stays empty.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // Linux only; elsewhere there is no such file.
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { clock, host, boot_id: boot_id.trim().to_owned(), version }
    }

    /// The same with another version of the writing software than Tachograph's own: that of the embedder.
    #[must_use]
    pub fn with_version(self, version: impl Into<String>) -> Self {
        Self { version: version.into(), ..self }
    }
}

impl Host for LocalHost {
    fn session(&self) -> Session {
        Session {
            host: self.host.clone(),
            boot_id: self.boot_id.clone(),
            pid: std::process::id(),
            version: self.version.clone(),
            wall: self.clock.now(),
            monotonic_us: u64::try_from(self.clock.monotonic().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl std::fmt::Debug for LocalHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalHost")
            .field("host", &self.host)
            .field("boot_id", &self.boot_id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tachograph_engine::domain::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn every_session_reads_both_clocks_anew() {
        let clock = ManualClock::new(Timestamp::from_micros(5));
        let host = LocalHost::new(Arc::new(clock.clone())).with_version("9.8.7");
        let first = host.session();
        clock.advance(Duration::from_micros(10));
        clock.step_wall(1);
        let second = host.session();
        assert_eq!((first.wall.as_micros(), first.monotonic_us), (5, 0));
        assert_eq!((second.wall.as_micros(), second.monotonic_us), (1_015, 10));
        assert_eq!((first.pid, first.version.as_str()), (std::process::id(), "9.8.7"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn host_and_boot_have_names_on_linux() {
        let session = LocalHost::new(Arc::new(crate::clock::SystemClock)).session();
        assert!(!session.host.is_empty());
        assert_eq!(session.boot_id.len(), 36, "{:?}", session.boot_id);
    }
}
