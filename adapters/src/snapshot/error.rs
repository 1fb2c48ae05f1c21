//! Why there is no image.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tachograph_engine::ports::SnapshotError;

use crate::freeze::FreezeError;

/// A step that failed, on what, and what can be done about it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {path:?}: {source}; {}", remedy(step, source))]
pub struct StepError {
    /// What was tried, for example `read`.
    pub step: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The operating system's answer.
    pub source: io::Error,
}

/// Why there is no image: the step, on what, and what can be done about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error("{path:?} {how} while it was read; what was archived would not hold together: take another snapshot")]
    Changed { path: PathBuf, how: &'static str },
    #[error(
        "the names in {path:?} need more than {bytes_max} bytes of memory; remove files there, or raise listing_bytes_max"
    )]
    TooMany { path: PathBuf, bytes_max: usize },
    #[error("{path:?} is longer than {bytes_max} bytes; shorten it")]
    NameTooLong { path: PathBuf, bytes_max: usize },
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    #[error("{program:?} {how}; see to it, then take another snapshot; {lines}")]
    Program { program: OsString, how: String, lines: String },
    #[error("nobody waits for the image any more")]
    GivenUp,
}

impl From<StepError> for SnapshotError {
    fn from(error: StepError) -> Self {
        Self::because(error.to_string())
    }
}

impl From<TakeError> for SnapshotError {
    fn from(error: TakeError) -> Self {
        Self::because(error.to_string())
    }
}

/// Names the step and the path that an operating system's error belongs to.
pub(super) fn at<E: Into<io::Error>>(step: &'static str, path: &Path) -> impl FnOnce(E) -> StepError {
    let path = path.to_owned();
    move |source| StepError { step, path, source: source.into() }
}

fn remedy(step: &str, error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) if step == "create" => "create the directory above it",
        Some(Errno::NOSPC | Errno::DQUOT) => "the disk is full: free space there and try again",
        Some(Errno::ROFS) => "the disk may not be written: mount it for writing",
        Some(Errno::ACCESS | Errno::PERM) => "do it as a user who may, or let this one",
        Some(Errno::MFILE | Errno::NFILE) => "too many files are open: raise the limit on them (`ulimit -n`)",
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => "see what moved or replaced it",
        _ => "see to the disk and try again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_by_name() {
        let error = at("write", Path::new("snapshots/a"))(Errno::NOSPC);
        let told = error.to_string();
        assert!(told.starts_with("cannot write \"snapshots/a\": "), "{told}");
        assert!(told.contains("the disk is full: free space"), "{told}");
        let nowhere = at("create", Path::new("/no/such/.dir"))(Errno::NOENT).to_string();
        assert!(nowhere.contains("create the directory above it"), "{nowhere}");
    }
}
