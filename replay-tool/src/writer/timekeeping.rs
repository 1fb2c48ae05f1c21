//! The timekeeper of a writer, from its first tick to its last.

use std::sync::Arc;
use std::time::Duration;

use tachograph_adapters::process::ProcessRunner;
use tachograph_engine::shell::{Engine, Timekeeper, TimekeeperHandle, TimekeeperOptions, TimekeeperReport};
use tachograph_projections::Timers;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::snapshots::{JobSnapshotter, Surrender};

/// Within which what was given up is thawed and recorded.
const GIVE_UP_BUDGET: Duration = Duration::from_secs(2);

/// A timekeeper at work. Dropping it leaves it at work as long as its engine is open.
#[derive(Debug)]
pub(super) struct Timekeeping {
    handle: TimekeeperHandle,
    surrender: Surrender,
    task: Mutex<Option<JoinHandle<TimekeeperReport>>>,
}

impl Timekeeping {
    /// Starts it. What became due meanwhile is taken now. Needs a Tokio runtime.
    pub(super) fn start(engine: &Engine, runner: &ProcessRunner, snapshotter: JobSnapshotter) -> Self {
        let surrender = snapshotter.surrender.clone();
        let (queue, options) = (Box::new(Timers::empty()), TimekeeperOptions::default());
        let (timekeeper, handle) = Timekeeper::new(engine, queue, Arc::new(snapshotter), options);
        let task = tokio::spawn(timekeeper.on_deadline(Arc::new(runner.clone())).run());
        Self { handle, surrender, task: Mutex::new(Some(task)) }
    }

    /// Gives up what is being taken now; each is recorded as failed, and the runs go on.
    pub(super) fn give_up(&self) {
        self.surrender.present();
    }

    /// Lets nothing more begin, and waits for what is being taken. What takes longer than the budget is given up and
    /// recorded as failed. What did not fire stays armed. Stopping again is harmless, and so is dropping the future:
    /// then nothing is given up.
    pub(super) async fn stop(&self, budget: Duration) {
        self.handle.stop();
        let mut task = self.task.lock().await;
        let Some(working) = task.as_mut() else { return };
        if timeout(budget, &mut *working).await.is_err() {
            self.surrender.all();
            if timeout(GIVE_UP_BUDGET, &mut *working).await.is_err() {
                // The next writer finds out what became of it.
                tracing::warn!("a snapshot was given up and its failure is not recorded yet");
                working.abort();
            }
        }
        *task = None;
    }
}
