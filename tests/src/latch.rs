//! Holds up a real process at a point of its script until the test lets it go on.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, mknodat};
use tempfile::TempDir;

/// A named pipe that a script reads a line from: `read line < "$LATCH"`.
#[derive(Debug)]
pub struct Latch {
    _directory: TempDir,
    path: PathBuf,
}

/// The process is there, and waits.
#[derive(Debug)]
pub struct Waiting(File);

impl Default for Latch {
    fn default() -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("latch");
        mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).expect("a named pipe");
        Self { _directory: directory, path }
    }
}

impl Latch {
    /// Where the pipe is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns once a process has come to the latch.
    pub async fn reached(&self) -> Waiting {
        let path = self.path.clone();
        // Opening for writing blocks until somebody has it open for reading.
        let open = move || OpenOptions::new().write(true).open(path).expect("the latch opens");
        Waiting(tokio::task::spawn_blocking(open).await.expect("opened"))
    }
}

impl Waiting {
    /// Lets it go on.
    pub fn release(mut self) {
        self.0.write_all(b"go\n").expect("the process reads");
    }
}
