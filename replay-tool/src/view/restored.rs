//! What was restored.

use std::path::Path;

use serde::Serialize;
use tachograph_adapters::snapshot::Restored;

use crate::restore::Image;

/// What was restored out of the image of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoredView {
    /// The snapshot.
    pub snapshot: String,
    /// Its run.
    pub run: String,
    /// The name of that run.
    pub name: Option<String>,
    /// Where the image is, relative to the data directory.
    pub location: String,
    /// When it was recorded that it was taken.
    pub taken_at: String,
    /// Position of that entry.
    pub position: u64,
    /// Where it was unpacked.
    pub directory: String,
    /// Files.
    pub files: u64,
    /// Directories, the one that was given not among them.
    pub directories: u64,
    /// Symbolic links, and further names of files.
    pub links: u64,
    /// Named pipes.
    pub pipes: u64,
    /// Bytes in files.
    pub bytes: u64,
}

impl RestoredView {
    /// What came out of an image into a directory.
    pub fn of(image: &Image, directory: &Path, restored: &Restored) -> Self {
        let Restored { files, directories, links, pipes, bytes } = *restored;
        Self {
            snapshot: image.snapshot.to_string(),
            run: image.run.to_string(),
            name: image.name.clone(),
            location: image.location.clone(),
            taken_at: image.taken_at.to_string(),
            position: image.taken.0,
            directory: directory.display().to_string(),
            files,
            directories,
            links,
            pipes,
            bytes,
        }
    }
}
