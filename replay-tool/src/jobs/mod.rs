//! The jobs file: what `tacho supervise` runs.
//!
//! A TOML file with one table per job; the job's name is its run's name.
//!
//! ```toml
//! [jobs.build]
//! command = ["make", "-j4"]         # required: the program and its arguments; no shell is involved
//! cwd = "/src/app"                  # working directory; relative to, and by default, the one tacho is started in
//! env = { CC = "clang" }            # added to tacho's own environment; values are never recorded
//! labels = { team = "core" }        # recorded with the run
//! retries = 2                       # further attempts if one does not end as expected; default 0
//! timeout = "1m30s"                 # wall-clock time of one attempt: text, or a number of seconds; default none
//! output_limit = "64MB"             # the most that is kept of its output, first and last part; default: everything
//! expect = { code = 0 }             # how it must end; this is the default
//! snapshot_delay = "5s"             # how long it waits before an image of its sandbox is taken; default: never
//! snapshot_command = ["save.sh"]    # takes that image instead of the built-in archive
//! ready = { port = 8080 }           # what shows that it is ready: a file, a line or a port; default: its process
//! ready_within = "30s"              # by when it must be; this is the default
//!
//! [jobs.build.oci]                  # a container instead of a command of this host; `command` is optional then
//! bundle = "/srv/bundles/build"     # required: the OCI bundle
//! runtime = "runc"                  # what makes the container; this is the default
//! ```
//!
//! `expect` is `{ code = 3 }`, `{ signal = 9 }`, `{ signal = "KILL" }` or `{ failure = "not_found" }`; an integer alone is a
//! code (`expect = 3`), a text alone a failure (`expect = "timed_out"`).
//!
//! A file is used as a whole or not at all: anything wrong in it is an error, and all errors are reported at once, each
//! with its line and column.

mod expectation;
mod file;
mod oci;
mod problem;
mod readiness;
mod value;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tachograph_adapters::process::ReadyCheck;
use tachograph_engine::domain::{ResourceLimits, RunSpec, Workload};

pub use expectation::Expectation;
pub use problem::{JobsError, PROBLEMS_SHOWN_MAX, Problem};

use crate::duration::DurationMs;
use crate::size::Size;

/// Bytes in a jobs file.
pub const JOBS_FILE_BYTES_MAX: u64 = 16 * 1_024 * 1_024;
/// Jobs in a file.
pub const JOBS_MAX: usize = 10_000;
/// Bytes in all names and values of a job's environment together.
pub const ENV_BYTES_MAX: usize = 128 * 1_024;

/// One job: a command line, and how to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name, and its run's.
    pub name: String,
    /// Program and arguments; empty only for a container that executes what its OCI bundle says.
    pub command: Vec<String>,
    /// Working directory, if not the supervisor's own.
    pub cwd: Option<String>,
    /// Added to the supervisor's environment.
    pub env: BTreeMap<String, String>,
    /// Recorded with the run.
    pub labels: BTreeMap<String, String>,
    /// Further attempts after the first that does not end as expected.
    pub retries: u32,
    /// Wall-clock time of one attempt; never zero.
    pub timeout: Option<DurationMs>,
    /// The most that is kept of the output of one attempt, both streams together; everything without it.
    pub output_limit: Option<Size>,
    /// How it must end.
    pub expect: Expectation,
    /// How long it waits before a snapshot of it is taken, 0 to 30 days; none is taken without it.
    pub snapshot_delay: Option<DurationMs>,
    /// Program and arguments that take its snapshots, instead of the built-in archive. Only with a delay.
    pub snapshot_command: Option<Vec<String>>,
    /// What shows that it is ready, and by when it must.
    pub ready: Option<ReadyCheck>,
    /// The container that it is, if it is no command of this host.
    pub oci: Option<OciJob>,
}

/// What a job's container is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciJob {
    /// The OCI bundle; absolute.
    pub bundle: String,
    /// The runtime, a name or a path, if not the default one.
    pub runtime: Option<String>,
}

impl Job {
    /// What the job's run is created as.
    pub fn spec(&self) -> RunSpec {
        RunSpec {
            name: Some(self.name.clone()),
            labels: self.labels.clone(),
            workload: self.workload(),
            limits: ResourceLimits {
                wall_ms: self.timeout.map(DurationMs::as_millis),
                memory_bytes: None,
                output_bytes: self.output_limit.map(|Size(bytes)| bytes),
            },
            parent: None,
        }
    }

    fn workload(&self) -> Workload {
        let argv = self.command.clone();
        match &self.oci {
            Some(OciJob { bundle, .. }) => Workload::Image { reference: bundle.clone(), argv },
            None => Workload::Command { argv, cwd: self.cwd.clone() },
        }
    }
}

/// Reads the jobs of a file, in the order of the file.
///
/// # Errors
///
/// [`JobsError`]: with everything that is wrong in it, not only the first thing.
pub fn read(path: &Path) -> Result<Vec<Job>, JobsError> {
    let unreadable = |source| JobsError::Unreadable { path: path.to_owned(), source };
    let bytes = read_bounded(path).map_err(unreadable)?;
    if bytes.len() as u64 > JOBS_FILE_BYTES_MAX {
        return Err(JobsError::TooLong { path: path.to_owned(), bytes_max: JOBS_FILE_BYTES_MAX });
    }
    parse(&bytes).map_err(|problems| JobsError::Invalid { path: path.to_owned(), problems })
}

/// At most one byte more than a file may have, so that an endless one ends.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(JOBS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the jobs of a file's content, in its order.
///
/// # Errors
///
/// All problems, in the order of the content; never empty.
pub fn parse(bytes: &[u8]) -> Result<Vec<Job>, Vec<Problem>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => file::read(text),
        Err(error) => {
            let sound = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let mut problems = problem::Problems::new(&sound);
            problems.note(sound.len(), "is not UTF-8 from here on; jobs files are UTF-8 text".to_owned());
            Err(problems.into_sorted())
        }
    }
}

#[cfg(test)]
mod tests;
