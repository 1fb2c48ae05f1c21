//! Journals on disk, and `tacho` over them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value};
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::ports::{Draft, Journal};
use tempfile::TempDir;

use crate::made::Made;

/// A row: the values of its columns by name.
pub(crate) type Row = Map<String, Value>;

/// Somewhere for a journal and what is exported from it.
pub(crate) struct Place {
    dir: TempDir,
    /// The data directory, or a bundle.
    data: PathBuf,
}

impl Place {
    /// With a journal of these entries.
    pub(crate) fn of(drafts: Vec<Draft>) -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        let place = Self { dir, data };
        place.append(drafts);
        place
    }

    /// With the made journal.
    pub(crate) fn made() -> Self {
        let entries = Made::journal().entries.into_iter();
        Self::of(
            entries.map(|entry| Draft { id: entry.id, recorded_at: entry.recorded_at, body: entry.body }).collect(),
        )
    }

    /// With the bundle of incidents that is in the repository.
    pub(crate) fn incidents() -> Self {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/incidents.bundle");
        Self { dir: TempDir::new().unwrap(), data }
    }

    /// Entries behind those that are there.
    pub(crate) fn append(&self, drafts: Vec<Draft>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut journal = FileJournal::open(&self.data, JournalOptions::default()).unwrap();
        for batch in drafts.chunks(500) {
            runtime.block_on(journal.append(batch.to_vec())).unwrap();
        }
        runtime.block_on(Box::new(journal).close()).unwrap();
    }

    /// Somewhere for an export.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the command prints; it must succeed.
    pub(crate) fn tacho(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacho"));
        command.env("TACHO_DATA", &self.data).env_remove("TACHO_LOG").args(arguments).stdin(Stdio::null());
        printed(command.output().unwrap(), &format!("tacho {}", arguments.join(" ")))
    }

    /// The rows of a question.
    pub(crate) fn sql(&self, sql: &str) -> Vec<Row> {
        rows(&self.tacho(&["sql", sql, "--output", "jsonl"]))
    }

    /// The whole number that answers a question.
    pub(crate) fn number(&self, sql: &str) -> u64 {
        self.sql(sql)[0].values().next().unwrap().as_u64().unwrap()
    }
}

/// One object on each line.
pub(crate) fn rows(lines: &str) -> Vec<Row> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a program printed that must have succeeded and complained of nothing.
pub(crate) fn printed(output: Output, what: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{what}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
