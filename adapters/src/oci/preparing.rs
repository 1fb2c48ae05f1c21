//! All that must be there before a runtime is asked to make a container.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use tachograph_engine::domain::{AttemptId, Diagnostics, Failure, FailureKind, Ordinal, RunId, limits};

use super::bundle::{OciBundle, RunConfig};
use super::container::{Container, bundle_directory, remove_bundle};
use super::error::{BundleError, RuntimeError};
use super::runtime::Runtime;
use crate::process::{AttemptDirectory, DirectoryError};

/// What a container is made of.
#[derive(Debug, Clone, Copy)]
pub struct Preparation<'a> {
    /// The runtime, as [`Runtime::find`] takes it.
    pub runtime: &'a OsStr,
    /// Where the runtime keeps its state.
    pub root: &'a Path,
    /// The user's OCI bundle.
    pub bundle: &'a Path,
    /// What is executed; as the bundle has it if empty.
    pub argv: &'a [String],
    /// Variables that are set beyond the bundle's.
    pub env: &'a [(OsString, OsString)],
}

/// Why a container cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PreparationError {
    /// For want of the runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// For the bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// For the attempt's directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl Preparation<'_> {
    /// Finds the runtime, makes the run's own bundle in the attempt's directory, and last names the container there.
    ///
    /// # Errors
    ///
    /// [`PreparationError`]; there is no container then, none is named, and nothing is left of the bundle.
    pub fn prepare(
        &self,
        directory: &AttemptDirectory,
        run: (RunId, Ordinal),
        attempt: AttemptId,
    ) -> Result<Container, PreparationError> {
        let runtime = Runtime::find(self.runtime, self.root)?;
        let container = Container::of(run, attempt, runtime);
        let bundle = OciBundle::open(self.bundle)?;
        let config = RunConfig { name: &container.name, argv: self.argv, env: self.env };
        let written = bundle.write_for_run(&bundle_directory(directory), config).map_err(PreparationError::from);
        let named = written.and_then(|()| Ok(container.write(directory)?));
        named.inspect_err(|_| remove_bundle(directory)).map(|()| container)
    }
}

impl PreparationError {
    /// What is recorded of the attempt.
    pub fn failure(&self) -> Failure {
        let (kind, cause) = match self {
            Self::Runtime(RuntimeError::Missing { .. }) => {
                let cause =
                    "no directory of PATH has it: install it (Debian: apt-get install runc), or name another one";
                (FailureKind::NotFound, Some(cause))
            }
            Self::Bundle(BundleError::Missing { .. }) => {
                let cause = "it is no OCI bundle, which is a directory with config.json: `runc spec` makes one";
                (FailureKind::NotFound, Some(cause))
            }
            Self::Runtime(_) | Self::Bundle(_) | Self::Directory(_) => (FailureKind::SpawnFailed, None),
        };
        // No character has more than four bytes.
        let message = self.to_string().chars().take(limits::MESSAGE_BYTES_MAX / 4).collect();
        let diagnostics = Diagnostics { likely_cause: cause.map(str::to_owned), ..Diagnostics::default() };
        Failure { kind, message, diagnostics }
    }
}
