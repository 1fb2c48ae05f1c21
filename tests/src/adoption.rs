//! What a supervisor that is killed and its successor have in common.

use std::path::Path;
use std::sync::Arc;

use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{RunSpec, Workload};
use tachograph_engine::ports::Journal;
use tachograph_engine::shell::{Engine, Options, Parts};

use crate::again::Again;

/// An engine over the journal of a data directory, by the system's clock.
pub async fn open(data: &Path) -> Engine {
    let clock = Arc::new(SystemClock);
    let journal = FileJournal::open(data, JournalOptions::default()).expect("the journal opens");
    let held = journal.reader();
    let parts = Parts {
        journal: Again::over(Box::new(journal), &*held),
        clock: clock.clone(),
        ids: Arc::new(UlidSource::new()),
        host: Arc::new(LocalHost::new(clock)),
        checkpoints: None,
    };
    Engine::open(parts, Options::default()).await.expect("the engine opens").0
}

/// A run that executes a shell script.
pub fn script(text: &str) -> RunSpec {
    let argv = ["sh", "-c", text].map(str::to_owned).to_vec();
    RunSpec { workload: Workload::Command { argv, cwd: None }, ..RunSpec::default() }
}
