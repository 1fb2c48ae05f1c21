//! The file that says what was exported: up to where of which journal, and every file with its digest.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::Position;

use super::super::super::tables;
use super::super::problem::ExportProblem;
use super::super::source::{Source, WRITTEN_BY};
use super::origin::Origin;
use crate::progress::Bar;

/// Name of the manifest in the directory of an export.
pub const MANIFEST: &str = "tacho-export.json";
/// What it says that it is.
const FORMAT: &str = "tachograph-parquet";
/// The version of the directory: its layout and the manifest. Columns are added within one version.
const VERSION: u64 = 1;
/// The longest manifest that is read.
const BYTES_MAX: u64 = 1 << 30;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: u64,
    written_by: String,
    /// The identity of the journal, if it is known.
    pub journal: Option<String>,
    /// The last position that was exported.
    pub position: u64,
    /// When that was recorded.
    pub recorded_at: Option<String>,
    /// The hash over the history by which the journal is known again.
    pub chain: Option<Chain>,
    /// What was exported, in words, if it was not a whole journal.
    pub part: Option<String>,
    /// The first position that was exported, if what was before was archived by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Up to here, what happened is not in the tables that say how things stand: it is archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing_after: Option<u64>,
    /// What could not be read, in words.
    pub damage: Option<String>,
    /// Every file, in the order in which they were made.
    pub files: Vec<FileLine>,
}

/// The hash over a history up to a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The position: the last exported one, or the end of the commit that this is in.
    pub position: u64,
    /// The hash, in hexadecimal.
    pub digest: String,
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Its path within the directory.
    pub path: String,
    /// Its table.
    pub table: String,
    /// Of tables by day: its day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Of tables by day: position of its first row; zero if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<i64>,
    /// Of tables by day: position of its last row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<i64>,
    /// How many rows it has.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its BLAKE3 in hexadecimal.
    pub blake3: String,
}

impl Manifest {
    /// The manifest of a new export.
    pub(super) fn of(source: &Source) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            written_by: WRITTEN_BY.to_owned(),
            journal: source.journal.map(|id| id.to_string()),
            position: source.position.0,
            recorded_at: source.recorded_at.map(|time| time.to_string()),
            chain: source.chain.map(|(position, digest)| Chain { position: position.0, digest: digest.to_string() }),
            part: source.part.clone(),
            first: None,
            standing_after: None,
            damage: None,
            files: Vec::new(),
        }
    }

    /// The manifest in a directory; absent if there is none.
    ///
    /// # Errors
    ///
    /// [`ExportProblem`] if it cannot be read or understood.
    pub fn read(directory: &Path) -> Result<Option<Self>, ExportProblem> {
        let path = directory.join(MANIFEST);
        let found = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(|source| step("look at", &path, source))?,
        };
        let bad = |why: String| ExportProblem::BadManifest { path: path.clone(), why };
        if !found.is_file() || found.len() > BYTES_MAX {
            return Err(bad("it is no file of a sensible size".to_owned()));
        }
        let text = fs::read(&path).map_err(|source| step("read", &path, source))?;
        let raw: serde_json::Value = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if raw.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(bad(format!("its format is not {FORMAT:?}")));
        }
        match raw.get("version").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => {}
            Some(found) if found > VERSION => {
                return Err(ExportProblem::NewerFormat { path, found, known: VERSION });
            }
            _ => return Err(bad("it has no version".to_owned())),
        }
        let manifest: Self = serde_json::from_value(raw).map_err(|error| bad(error.to_string()))?;
        match manifest.files.iter().find(|file| !is_within(&file.path)) {
            Some(file) => Err(bad(format!("{:?} is no path within the directory", file.path))),
            None => Ok(Some(manifest)),
        }
    }

    /// The last position that was exported.
    pub fn position(&self) -> Position {
        Position(self.position)
    }

    /// The same export at a later position, with what was made for it; those of the same path are replaced.
    pub(super) fn with(
        mut self,
        source: &Source,
        origin: &Origin,
        damage: Option<String>,
        made: Vec<FileLine>,
    ) -> Self {
        let replaced: BTreeSet<&str> = made.iter().map(|file| file.path.as_str()).collect();
        let mut files = std::mem::take(&mut self.files);
        files.retain(|file| !replaced.contains(file.path.as_str()));
        files.extend(made);
        let (first, standing_after) = (origin.first.map(|first| first.0), origin.standing_after().map(|after| after.0));
        let part = match first {
            Some(first) => Some(format!(
                "it holds positions {first} to {}, and those before were archived by then",
                source.position
            )),
            // What goes on is whole, whatever is archived by now.
            None => self.part,
        };
        Self { part, first, standing_after, damage, files, ..Self::of(source) }
    }

    /// Compares every file with what was written, and looks for others among them.
    ///
    /// # Errors
    ///
    /// [`ExportProblem::Altered`] with the first file that is not as it was written.
    pub fn check(&self, directory: &Path, bar: &Bar) -> Result<(), ExportProblem> {
        let mut done = 0;
        for file in &self.files {
            let path = directory.join(&file.path);
            let altered = |how| ExportProblem::Altered { path: path.clone(), how };
            match path.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(altered("is missing")),
                Err(source) => return Err(step("look at", &path, source)),
                Ok(found) if !found.is_file() => return Err(altered("is no file any more")),
                Ok(found) if found.len() != file.bytes => {
                    return Err(altered("has another size than it was written with"));
                }
                Ok(_) => {}
            }
            if digest(&path)? != file.blake3 {
                return Err(altered("has other bytes than it was written with"));
            }
            done += file.bytes;
            bar.reached(done);
        }
        self.no_others(directory)
    }

    /// How many bytes all files have.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// A file of somebody else among those of a table would be read as one of it.
    fn no_others(&self, directory: &Path) -> Result<(), ExportProblem> {
        let known: BTreeSet<PathBuf> = self.files.iter().map(|file| directory.join(&file.path)).collect();
        let mut open: Vec<PathBuf> = tables().iter().map(|table| directory.join(table.name)).collect();
        while let Some(within) = open.pop() {
            let listed = match fs::read_dir(&within) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                listed => listed.map_err(|source| step("list", &within, source))?,
            };
            for found in listed {
                let found = found.map_err(|source| step("list", &within, source))?;
                let path = found.path();
                if found.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "parquet") && !known.contains(&path) {
                    return Err(ExportProblem::Altered { path, how: "is none of the files of this export" });
                }
            }
        }
        Ok(())
    }
}

/// Whether a path leads to somewhere within the directory that it is relative to.
pub(super) fn is_within(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

fn digest(path: &Path) -> Result<String, ExportProblem> {
    let mut hasher = blake3::Hasher::new();
    let read = File::open(path).and_then(|file| hasher.update_reader(file).map(drop));
    read.map_err(|source| step("read", path, source))?;
    Ok(hasher.finalize().to_string())
}

pub(super) fn step(step: &'static str, path: &Path, source: io::Error) -> ExportProblem {
    ExportProblem::Step { step, path: path.to_owned(), source }
}
