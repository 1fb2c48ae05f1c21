//! What the whole-system tests share: places to keep a journal, a supervisor to speak for, a journal that can be held
//! or broken, real commands, random walks, and the naive ledger that every incident is also played against.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test harness fails by panicking")]

pub mod adoption;
pub mod again;
pub mod cases;
pub mod commands;
pub mod gate;
pub mod latch;
pub mod naive;
pub mod place;
pub mod random;
pub mod snapshotter;
pub mod supervisor;
pub mod talk;
pub mod walk;
pub mod watch;
pub mod witness;

pub use gate::Gate;
pub use latch::Latch;
pub use place::Place;
pub use supervisor::Supervisor;

/// How often a repeated test repeats: `default`, or what the environment variable says.
pub fn rounds(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number of rounds"))
}

/// Awaits what must happen: a test that waits in vain fails instead of hanging. No test depends on how long it takes.
pub async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);
    tokio::time::timeout(PATIENCE, happens).await.unwrap_or_else(|_| panic!("{what} does not come"))
}
