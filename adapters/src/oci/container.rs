//! What is on disk of a container, so that whoever comes later can find it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tachograph_engine::domain::{AttemptId, Ordinal, RunId, Workload};

use super::error::{ContainerError, RuntimeError};
use super::runtime::Runtime;
use super::state::{ContainerState, ContainerStatus};
use crate::process::directory::read_small;
use crate::process::{AttemptDirectory, DirectoryError};

const FORMAT: u32 = 1;
const FILE_BYTES_MAX: u64 = 64 * 1_024;

/// What a run's container is called: `tacho-<RunId>-<ordinal>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerName(String);

impl ContainerName {
    /// The container of an attempt.
    pub fn of(run: RunId, ordinal: Ordinal) -> Self {
        Self(format!("tacho-{run}-{}", ordinal.0))
    }

    fn is_of(&self, run: RunId) -> bool {
        let ordinal =
            self.0.strip_prefix("tacho-").and_then(|rest| rest.strip_prefix(&run.to_string())?.strip_prefix('-'));
        ordinal.is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
    }

    /// As runtimes take it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of the file in an attempt's directory that names its container.
pub(crate) const CONTAINER_FILE: &str = "container.json";

/// The container of an attempt, as `container.json` in the attempt's directory names it.
///
/// The file is there, synced, before the runtime is asked to make the container. So a file tells that there may be one,
/// and no file tells that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// What the container is called.
    pub name: ContainerName,
    /// Whose container it is.
    pub runtime: Runtime,
}

#[derive(Serialize, Deserialize)]
struct ContainerFile {
    format: u32,
    run: String,
    attempt: String,
    name: ContainerName,
    runtime: PathBuf,
    root: PathBuf,
}

impl Container {
    /// The container that an attempt will have.
    pub fn of((run, ordinal): (RunId, Ordinal), attempt: AttemptId, runtime: Runtime) -> Self {
        Self { run, attempt, name: ContainerName::of(run, ordinal), runtime }
    }

    /// Names the container on disk, durably.
    pub(crate) fn write(&self, directory: &AttemptDirectory) -> Result<(), DirectoryError> {
        let path = file(directory);
        let content = ContainerFile {
            format: FORMAT,
            run: self.run.to_string(),
            attempt: self.attempt.to_string(),
            name: self.name.clone(),
            runtime: self.runtime.program().to_owned(),
            root: self.runtime.root().to_owned(),
        };
        let content = serde_json::to_vec_pretty(&content).map_err(|error| DirectoryError {
            action: "encode",
            path: path.clone(),
            source: std::io::Error::other(error),
        })?;
        directory.replace(&path, &content)
    }

    /// Reads the file, if it is there and names this run and attempt. Anything else is as good as none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] if the file is there and cannot be read.
    pub fn read(directory: &AttemptDirectory, run: RunId, attempt: AttemptId) -> Result<Option<Self>, DirectoryError> {
        let Some(content) = read_small(&file(directory), FILE_BYTES_MAX)? else { return Ok(None) };
        let Ok(file) = serde_json::from_slice::<ContainerFile>(&content) else { return Ok(None) };
        let names_it = file.format == FORMAT
            && file.run == run.to_string()
            && file.attempt == attempt.to_string()
            && file.name.is_of(run);
        let runtime = Runtime::known(file.runtime, file.root);
        Ok(names_it.then_some(Self { run, attempt, name: file.name, runtime }))
    }

    /// What the runtime says about it: an error also if there is no such container.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`].
    pub fn state(&self) -> Result<ContainerState, RuntimeError> {
        self.runtime.call().state(self.name.as_str())
    }

    /// Whether its first process exists and has not ended.
    pub fn is_alive(&self) -> bool {
        self.state().is_ok_and(|state| state.status != ContainerStatus::Stopped)
    }

    /// Kills and removes what is there of it, and its `config.json`. None being there is no error.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`]: it may go on.
    pub fn end(&self, directory: &AttemptDirectory) -> Result<(), RuntimeError> {
        let call = self.runtime.call();
        // There may be none, or one that has ended.
        let _ = call.kill_all(self.name.as_str());
        call.delete(self.name.as_str())?;
        remove_bundle(directory);
        Ok(())
    }
}

/// Ends the container of an attempt whose shim is gone, if there ever was one. Says what the runtime said of it before;
/// absent if there was no container. The run's own copy of the bundle goes in any case.
///
/// The file that names it lies in the run's own directory. So it counts only for a run that is recorded to be a container,
/// and only if it names the place where this data directory's containers are kept: nothing else is executed or removed.
///
/// # Errors
///
/// [`ContainerError`]: it may go on.
pub(crate) fn end_left_behind(
    directory: &AttemptDirectory,
    run: RunId,
    attempt: AttemptId,
    workload: &Workload,
) -> Result<Option<ContainerState>, ContainerError> {
    if !matches!(workload, Workload::Image { .. }) {
        return Ok(None);
    }
    let own = |container: &Container| same_place(container.runtime.root(), &directory.runtime_root());
    let Some(container) = Container::read(directory, run, attempt)?.filter(own) else {
        // Whoever made it may have gone before the container was named.
        remove_bundle(directory);
        return Ok(None);
    };
    let state = container.state().ok();
    container.end(directory)?;
    Ok(state)
}

/// Whether two paths are the same, one of them perhaps from a working directory.
fn same_place(one: &Path, another: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    absolute(one).is_some_and(|one| Some(one) == absolute(another))
}

/// Where the run's own copy of the bundle is: beside the attempt's directory, so that no image holds its environment.
pub(crate) fn bundle_directory(directory: &AttemptDirectory) -> PathBuf {
    let mut name = OsString::from("oci-");
    name.push(directory.path().file_name().unwrap_or_default());
    directory.path().with_file_name(name)
}

/// Removes the run's own copy of the bundle: its environment need not stay on disk.
pub(crate) fn remove_bundle(directory: &AttemptDirectory) {
    let _ = std::fs::remove_dir_all(bundle_directory(directory));
}

fn file(directory: &AttemptDirectory) -> PathBuf {
    Path::new(directory.path()).join(CONTAINER_FILE)
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;

    #[test]
    fn a_container_is_read_only_by_whom_it_names() {
        let data = tempfile::tempdir().unwrap();
        let directory = AttemptDirectory::of(data.path(), ids::run(1), Ordinal(2));
        directory.create().unwrap();
        let read = |run, attempt| Container::read(&directory, run, attempt).unwrap();
        assert_eq!(read(ids::run(1), ids::attempt(1)), None);
        let runtime = Runtime::known("/usr/sbin/runc".into(), "/data/oci".into());
        let container = Container::of((ids::run(1), Ordinal(2)), ids::attempt(1), runtime);
        assert_eq!(container.name.as_str(), format!("tacho-{}-2", ids::run(1)));
        container.write(&directory).unwrap();
        assert_eq!(read(ids::run(1), ids::attempt(1)), Some(container));
        assert_eq!(read(ids::run(2), ids::attempt(1)), None);
        assert_eq!(read(ids::run(1), ids::attempt(2)), None);
        // Of another name is another container.
        let text = std::fs::read_to_string(file(&directory)).unwrap();
        std::fs::write(file(&directory), text.replace("tacho-", "other-")).unwrap();
        assert_eq!(read(ids::run(1), ids::attempt(1)), None);
    }
}
