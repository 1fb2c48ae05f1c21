//! A snapshotter whose images outlive a kill, each taken at most once.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tachograph_engine::domain::{Digest, SnapshotId};
use tachograph_engine::ports::{SnapshotError, SnapshotImage, Snapshotter, WantedSnapshot};

/// Leaves a file per take, and tells when it begins and when the file is there.
///
/// The file is made with `O_EXCL`: a second take of the same snapshot, by whatever process, leaves
/// [another one](Self::taken).
#[derive(Debug, Clone)]
pub struct WitnessSnapshotter {
    directory: PathBuf,
    tell: fn(Step, SnapshotId),
}

/// How far a take has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was asked for.
    Asked,
    /// There is an image.
    Taken,
}

const TWICE: &str = ".twice";

impl WitnessSnapshotter {
    /// Leaves its files in this directory.
    ///
    /// # Errors
    ///
    /// The operating system's, if it cannot be made.
    pub fn open(directory: &Path, tell: fn(Step, SnapshotId)) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.to_owned(), tell })
    }

    /// The snapshots that were taken, and those that were taken once more.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn taken(directory: &Path) -> io::Result<(Vec<SnapshotId>, Vec<SnapshotId>)> {
        let names = fs::read_dir(directory)?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
        let (twice, once): (Vec<String>, Vec<String>) =
            names.collect::<io::Result<Vec<_>>>()?.into_iter().partition(|name| name.ends_with(TWICE));
        let id = |name: &String| name.trim_end_matches(TWICE).parse().expect("a snapshot's id");
        Ok((once.iter().map(id).collect(), twice.iter().map(id).collect()))
    }

    fn witness(&self, snapshot: SnapshotId) -> PathBuf {
        self.directory.join(snapshot.to_string())
    }

    fn image(&self, snapshot: SnapshotId) -> SnapshotImage {
        SnapshotImage { location: self.witness(snapshot).display().to_string(), bytes: 0, digest: Digest([7; 32]) }
    }
}

/// A new file that outlives the process.
fn leave(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(b"taken\n")
}

#[async_trait]
impl Snapshotter for WitnessSnapshotter {
    async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
        (self.tell)(Step::Asked, wanted.snapshot);
        // Others go on meanwhile, so that a kill meets snapshots that are asked for and not taken.
        tokio::task::yield_now().await;
        let witness = self.witness(wanted.snapshot);
        if let Err(error) = leave(&witness) {
            let twice = witness.with_extension(&TWICE[1..]);
            leave(&twice).expect("a note of what must not be");
            return Err(SnapshotError::because(format!("{}: {error}", witness.display())));
        }
        (self.tell)(Step::Taken, wanted.snapshot);
        tokio::task::yield_now().await;
        Ok(self.image(wanted.snapshot))
    }

    async fn find(&self, wanted: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
        Ok(self.witness(wanted.snapshot).exists().then(|| self.image(wanted.snapshot)))
    }

    async fn discard(&self, _: &WantedSnapshot) -> Result<(), SnapshotError> {
        // Kept: it is known what was taken, also for runs that were destroyed meanwhile.
        Ok(())
    }
}
