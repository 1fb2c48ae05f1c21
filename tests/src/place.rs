//! Where an engine keeps its journal: in memory, or in a data directory of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::clock::{ManualClock, SeededIds};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_adapters::memory::MemoryJournal;
use tachograph_engine::domain::Timestamp;
use tachograph_engine::ports::{Journal, JournalError};
use tachograph_engine::shell::{Engine, OpenReport, Options, Parts};
use tempfile::TempDir;

use crate::again::Again;

/// When every manual clock begins: 2026-11-21T03:12:00Z.
pub const BEGIN: Timestamp = Timestamp::from_micros(1_795_230_720_000_000);

/// Parts with a journal in memory whose entries are decided again, a manual clock and ids by seed.
pub fn memory_parts(seed: u64) -> Parts {
    let clock = Arc::new(ManualClock::new(BEGIN));
    let journal = MemoryJournal::new();
    let held = journal.reader();
    Parts {
        journal: Again::over(Box::new(journal), &*held),
        clock: clock.clone(),
        ids: Arc::new(SeededIds::new(seed)),
        host: Arc::new(LocalHost::new(clock)),
        checkpoints: None,
    }
}

/// An engine in memory.
pub async fn in_memory(seed: u64) -> Engine {
    Engine::open(memory_parts(seed), Options::default()).await.expect("a journal in memory opens").0
}

/// A data directory that an engine can be opened in again and again; it goes with the last test that uses it.
///
/// Its clock and ids go on from one opening to the next.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
    /// The time in it.
    pub clock: ManualClock,
    ids: Arc<SeededIds>,
}

impl Place {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        let directory = TempDir::new().expect("a directory");
        Self { directory, clock: ManualClock::new(BEGIN), ids: Arc::new(SeededIds::new(seed)) }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The writer's index.
    pub fn index(&self) -> PathBuf {
        self.path().join("index")
    }

    /// The saved folds.
    pub fn checkpoints(&self) -> PathBuf {
        self.path().join("checkpoints")
    }

    /// The run directories.
    pub fn runs(&self) -> PathBuf {
        self.path().join("runs")
    }

    /// The parts of an engine in it, checkpoints included.
    ///
    /// # Errors
    ///
    /// Whatever the journal says about the place.
    pub fn parts(&self) -> Result<Parts, JournalError> {
        let clock = Arc::new(self.clock.clone());
        let journal = FileJournal::open(self.path(), JournalOptions::default())?;
        let held = journal.reader();
        Ok(Parts {
            journal: Again::over(Box::new(journal), &*held),
            clock: clock.clone(),
            ids: self.ids.clone(),
            host: Arc::new(LocalHost::new(clock)),
            checkpoints: Some(Arc::new(FileCheckpoints::open(self.path()))),
        })
    }

    /// Opens an engine in it.
    pub async fn open(&self) -> (Engine, OpenReport) {
        Engine::open(self.parts().expect("the place opens"), Options::default()).await.expect("the engine opens")
    }

    /// What a crash at this instant would leave: a copy of every file as it is now, the writer's lock aside. The
    /// writer goes on here.
    pub fn crashed(&self) -> Self {
        let directory = TempDir::new().expect("a directory");
        copy(self.path(), directory.path()).expect("a copy of the place");
        Self { directory, clock: self.clock.clone(), ids: self.ids.clone() }
    }
}

/// Copies a directory with all that is in it. A file that vanishes meanwhile is left out.
///
/// # Errors
///
/// Whatever the operating system says.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for item in fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            copy(&item.path(), &target)?;
            continue;
        }
        // A socket or a pipe has no content.
        if !item.file_type()?.is_file() {
            continue;
        }
        match fs::copy(item.path(), target) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
