//! Why an OCI bundle or a runtime was of no use.

use std::io;
use std::path::{Path, PathBuf};

/// Why no container can be made out of an OCI bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is no `config.json`.
    #[error("OCI bundle {} has no config.json: {source}", path.display())]
    Missing {
        /// The bundle.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The `config.json` is not what the runtime specification asks for.
    #[error("{} cannot be used: {why}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The run's own copy cannot be made.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl BundleError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a runtime did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such program.
    #[error("OCI runtime {name:?} is missing")]
    Missing {
        /// As it was asked for.
        name: String,
    },
    /// It could not be executed.
    #[error("cannot execute {}: {source}", program.display())]
    NotExecuted {
        /// The runtime.
        program: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// It did not come to an end in time, and was killed.
    #[error("{} {action} took longer than {limit_ms} ms and was killed", program.display())]
    TooSlow {
        /// The runtime.
        program: PathBuf,
        /// Its command.
        action: &'static str,
        /// How long it had.
        limit_ms: u64,
    },
    /// It said no.
    #[error("{} {action} failed ({status}){}{said}", program.display(), if said.is_empty() { "" } else { ": " })]
    Failed {
        /// The runtime.
        program: PathBuf,
        /// Its command.
        action: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last of what it wrote to its standard error.
        said: String,
    },
    /// What it said cannot be understood.
    #[error("{} {action} answered what cannot be understood: {why}", program.display())]
    Malformed {
        /// The runtime.
        program: PathBuf,
        /// Its command.
        action: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Why what is on disk of a container, or the container, is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// A file that is needed could not be used.
    #[error(transparent)]
    Directory(#[from] crate::process::DirectoryError),
    /// The runtime did not do what it was asked.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}
