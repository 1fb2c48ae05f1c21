//! What is going to be frozen, on disk before it is.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::AttemptId;

use super::members::MemberId;
use super::{FreezeError, FreezeTarget};
use crate::oci::ContainerName;
use crate::process::directory::{read_small, replace_file, sync_directory};
use crate::process::{DirectoryError, ProcessIdentity};

const FORMAT: u32 = 1;
const BYTES_MAX: u64 = 16 * 1_024 * 1_024;
const DIRECTORY_MODE: u32 = 0o700;
const EXTENSION: &str = "json";
/// Ends the names of markers that could not be read, before a number.
const UNREADABLE: &str = "unreadable";
/// How many are kept of one attempt; one more takes the place of the last.
const UNREADABLE_MAX: u32 = 8;

/// What one attempt's freeze needs to be undone by another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    format: u32,
    pub(super) run: String,
    pub(super) attempt: String,
    pub(super) ordinal: u32,
    /// Who freezes. All pids are of its boot.
    pub(super) freezer: ProcessIdentity,
    /// What the attempt's group is called after.
    pub(super) leader: ProcessIdentity,
    pub(super) method: Method,
}

/// How it is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Method {
    /// Every process by a signal.
    Signals {
        /// All that were found, before any of them was signalled.
        members: Vec<MarkedMember>,
    },
    /// All together in a control group of their own.
    Cgroup {
        /// The group's directory.
        path: PathBuf,
        /// Where its processes came from and go back to.
        home: PathBuf,
    },
    /// By the runtime whose container it is.
    Container {
        /// The runtime's program.
        runtime: PathBuf,
        /// Where that keeps its state.
        root: PathBuf,
        /// What the container is called.
        name: ContainerName,
    },
}

/// One process of a freeze by signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MarkedMember {
    #[serde(flatten)]
    pub(super) id: MemberId,
    /// Somebody else had stopped it, so that it is not signalled at all.
    pub(super) stopped_before: bool,
}

impl Marker {
    pub(super) fn new(
        target: &FreezeTarget,
        freezer: ProcessIdentity,
        leader: ProcessIdentity,
        method: Method,
    ) -> Self {
        let (run, attempt) = (target.run.to_string(), target.attempt.to_string());
        Self { format: FORMAT, run, attempt, ordinal: target.ordinal.0, freezer, leader, method }
    }

    fn parse(content: &[u8], file: &Path) -> Result<Self, String> {
        let marker: Self = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        if marker.format != FORMAT {
            return Err(format!("it has format {}, and only {FORMAT} is known here", marker.format));
        }
        let attempt: AttemptId = marker.attempt.parse().map_err(|error| format!("attempt: {error}"))?;
        if file.file_stem().and_then(|stem| stem.to_str()) != Some(attempt.to_string().as_str()) {
            return Err(format!("it is about attempt {attempt}, which its name does not say"));
        }
        Ok(marker)
    }
}

/// The markers of one data directory: `<data>/freezes/<AttemptId>.json`, each 0600 in 0700.
#[derive(Debug, Clone)]
pub(super) struct Markers {
    data: PathBuf,
    directory: PathBuf,
}

impl Markers {
    pub(super) fn of(data: &Path) -> Self {
        Self { data: data.to_owned(), directory: data.join("freezes") }
    }

    /// Where they are.
    pub(super) fn place(&self) -> &Path {
        &self.directory
    }

    pub(super) fn path(&self, attempt: AttemptId) -> PathBuf {
        self.directory.join(format!("{attempt}.{EXTENSION}"))
    }

    /// All files that are markers by their names; none if nothing was ever frozen here.
    pub(super) fn all(&self) -> Result<Vec<PathBuf>, FreezeError> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FreezeError::io("read", &self.directory)(error)),
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION)).collect();
        paths.sort();
        Ok(paths)
    }

    /// Reads a marker; absent if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Marker>, String> {
        let content = read_small(path, BYTES_MAX).map_err(|error| error.to_string())?;
        content.map(|content| Marker::parse(&content, path)).transpose()
    }

    /// Writes a marker in the place of the one before, durably.
    pub(super) fn write(&self, attempt: AttemptId, marker: &Marker) -> Result<(), FreezeError> {
        self.create().map_err(FreezeError::io("create", &self.directory))?;
        let path = self.path(attempt);
        let content = serde_json::to_vec_pretty(marker).map_err(io::Error::other);
        let content = content.map_err(FreezeError::io("encode", &path))?;
        replace_file(&self.directory, &path, &content).map_err(from_directory)
    }

    /// Removes a marker, durably. None being there is no error.
    pub(super) fn remove(&self, path: &Path) -> Result<(), FreezeError> {
        match std::fs::remove_file(path) {
            Ok(()) => sync_directory(&self.directory).map_err(from_directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(FreezeError::io("remove", path)(error)),
        }
    }

    /// Renames a marker that cannot be read, durably, so that another can take its name and it stays as evidence. Says
    /// where it is.
    pub(super) fn set_aside(&self, path: &Path) -> Result<PathBuf, FreezeError> {
        let named = |number| path.with_extension(format!("{UNREADABLE}-{number}"));
        let free = (1..UNREADABLE_MAX).map(named).find(|aside| aside.symlink_metadata().is_err());
        let aside = free.unwrap_or_else(|| named(UNREADABLE_MAX));
        std::fs::rename(path, &aside).map_err(FreezeError::io("set aside", path))?;
        sync_directory(&self.directory).map_err(from_directory)?;
        Ok(aside)
    }

    fn create(&self) -> io::Result<()> {
        if self.directory.is_dir() {
            return Ok(());
        }
        DirBuilder::new().mode(DIRECTORY_MODE).recursive(true).create(&self.directory)?;
        sync_directory(&self.data).map_err(|error| error.source)
    }
}

fn from_directory(error: DirectoryError) -> FreezeError {
    FreezeError::Io { action: error.action, path: error.path, source: error.source }
}
