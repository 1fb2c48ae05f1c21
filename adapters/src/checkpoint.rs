//! Checkpoints: in plain checksummed files beside the journal, or in memory.
//!
//! A checkpoint is a shortcut: any of them may vanish at any time. The bytes of a file are in `docs/format.md`, under
//! 'Checkpoint files'.

mod file;
mod ladder;
mod memory;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use tachograph_engine::domain::Position;
use tachograph_engine::ports::{Checkpoint, CheckpointStore, JournalError};

use crate::lock::lock;
pub use memory::MemoryCheckpoints;

/// How many checkpoints of one fold are kept, whatever they hold.
const KEPT: usize = 3;
/// An older one stays only if its file is not longer, so that all of them together are bounded.
const RUNG_BYTES_MAX: u64 = 4 << 20;

/// Checkpoints in `<data>/checkpoints/`, one file each, for their owner only.
///
/// A crash while one is saved leaves the ones before and at most a file ending in `.tmp`, which the next writer
/// deletes. Files that are damaged, or of a version that is not known, are passed over.
#[derive(Debug)]
pub struct FileCheckpoints {
    dir: PathBuf,
    writable: bool,
    saving: Mutex<()>,
}

impl FileCheckpoints {
    /// The checkpoints of the journal in this data directory. Nothing is made before the first one is saved.
    ///
    /// Only the journal's writer may have this: it deletes what an interrupted one left.
    pub fn open(data: &Path) -> Self {
        let checkpoints = Self { writable: true, ..Self::read_only(data) };
        for name in checkpoints.names().unwrap_or_default() {
            if name.ends_with(file::UNFINISHED) {
                // If it stays, it is in nobody's way.
                let _ = fs::remove_file(checkpoints.dir.join(name));
            }
        }
        checkpoints
    }

    /// The same for readers: never changes anything, and cannot save.
    pub fn read_only(data: &Path) -> Self {
        Self { dir: data.join("checkpoints"), writable: false, saving: Mutex::new(()) }
    }

    /// Where there are files of checkpoints of a fold, sound or not, in order; none if they cannot be listed.
    pub fn saved(&self, fold: &str, fold_version: u32) -> Vec<Position> {
        let mut positions = self.positions(fold, fold_version).unwrap_or_default();
        positions.reverse();
        positions
    }

    /// All file names; none if the directory does not exist.
    fn names(&self) -> Result<Vec<String>, JournalError> {
        let failed = |error| JournalError::io("list", &self.dir, error);
        let found = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found.map_err(failed)?,
        };
        let names = found.map(|entry| Ok(entry.map_err(failed)?.file_name().into_string().ok()));
        // Names that are no text are none of ours.
        names.filter_map(Result::transpose).collect()
    }

    /// Positions of the checkpoints of a fold, sound or not, from the latest.
    fn positions(&self, fold: &str, fold_version: u32) -> Result<Vec<Position>, JournalError> {
        let mut positions: Vec<_> =
            self.names()?.iter().filter_map(|name| file::position_in(name, fold, fold_version)).collect();
        positions.sort_unstable_by(|a, b| b.cmp(a));
        Ok(positions)
    }

    fn write(&self, checkpoint: &Checkpoint) -> Result<(), JournalError> {
        let name = file::name(&checkpoint.fold, checkpoint.fold_version, checkpoint.position);
        let path = self.dir.join(&name);
        let unfinished = self.dir.join(name + file::UNFINISHED);
        let bytes = file::to_bytes(checkpoint).map_err(|error| JournalError::io("write", &path, error))?;
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&self.dir)
            .map_err(|error| JournalError::io("create", &self.dir, error))?;
        write_new(&unfinished, &bytes).map_err(|error| {
            // A full disk is no place for half a file.
            let _ = fs::remove_file(&unfinished);
            JournalError::io("write", &unfinished, error)
        })?;
        fs::rename(&unfinished, &path).map_err(|error| JournalError::io("rename", &unfinished, error))?;
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| JournalError::io("sync", &self.dir, error))
    }

    /// Deletes those of the older ones of the fold that are neither rungs of the ladder nor small, as far as they can be
    /// deleted.
    fn drop_older(&self, checkpoint: &Checkpoint) -> Result<(), JournalError> {
        let mut positions = self.positions(&checkpoint.fold, checkpoint.fold_version)?;
        positions.retain(|position| *position <= checkpoint.position);
        let older = positions.split_off(positions.len().min(KEPT));
        let all: Vec<Position> = older.iter().rev().chain(positions.iter().rev()).copied().collect();
        let rungs = ladder::rungs(&all);
        for position in older {
            let path = self.dir.join(file::name(&checkpoint.fold, checkpoint.fold_version, position));
            let is_small = || fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= RUNG_BYTES_MAX);
            if !(rungs.contains(&position) && is_small()) {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[async_trait]
impl CheckpointStore for FileCheckpoints {
    async fn save(&self, checkpoint: Checkpoint) -> Result<(), JournalError> {
        if !self.writable {
            return Err(JournalError::ReadOnly { path: self.dir.clone() });
        }
        let _one_at_a_time = lock(&self.saving);
        self.write(&checkpoint)?;
        self.drop_older(&checkpoint)
    }

    async fn latest(
        &self,
        fold: &str,
        fold_version: u32,
        at_most: Option<Position>,
    ) -> Result<Option<Checkpoint>, JournalError> {
        for position in self.positions(fold, fold_version)? {
            if at_most.is_some_and(|at_most| position > at_most) {
                continue;
            }
            let name = file::name(fold, fold_version, position);
            let path = self.dir.join(&name);
            match file::read(&path) {
                Ok(found) if file::name(&found.fold, found.fold_version, found.position) == name => {
                    return Ok(Some(found));
                }
                Ok(_) => tracing::debug!(path = %path.display(), "passing over a checkpoint under another's name"),
                Err(error) => tracing::debug!(path = %path.display(), %error, "passing over a checkpoint"),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
