//! One run that has not ended, with its processes.

use serde::Serialize;
use tachograph_adapters::process::{AttemptDirectory, ProcessIdentity};
use tachograph_engine::domain::{RunRecord, Stream};

use super::run::{SnapshotView, WaitingView, snapshot, waiting};
use crate::dataset::RUNS_DIR;
use crate::machine::WriterState;
use crate::processes::{Presence, ProcessTable, Sighting, Standstill};

/// One run that has not ended, with its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveView {
    /// Its id.
    pub run: String,
    /// Its name.
    pub name: Option<String>,
    /// The name of its last transition.
    pub status: &'static str,
    /// Ordinal of its attempt.
    pub attempt: Option<u32>,
    /// Id of its attempt.
    pub attempt_id: Option<String>,
    /// Who holds the attempt.
    pub runner: Option<String>,
    /// The attempt's own process; absent if none is known.
    pub process: Option<ProcessView>,
    /// The shim that looks after it; absent if it has none.
    pub shim: Option<ProcessView>,
    /// Why the shim does not go on, as far as people are told.
    #[serde(skip)]
    pub(crate) shim_stands: Option<Standstill>,
    /// For how long that process has been there, in milliseconds; absent unless it is alive.
    pub up_ms: Option<u64>,
    /// The attempt's processes that are alive.
    pub pids: Vec<u32>,
    /// Their processor time, in milliseconds.
    pub cpu_ms: u64,
    /// Their resident memory, in bytes.
    pub rss_bytes: u64,
    /// Bytes of standard output in its file; absent if there is none.
    pub stdout_bytes: Option<u64>,
    /// Bytes of standard error in its file; absent if there is none.
    pub stderr_bytes: Option<u64>,
    /// What it waits on.
    pub waiting: Option<WaitingView>,
    /// The snapshot that is armed or being taken.
    pub snapshot: Option<SnapshotView>,
    /// Whether the journal's last writer can still go on with it.
    pub writer: Option<&'static str>,
}

/// A process that is named on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProcessView {
    /// Its pid.
    pub pid: u32,
    /// Whether it is still there.
    pub state: Presence,
}

impl ProcessView {
    fn of(identity: &ProcessIdentity, table: &ProcessTable) -> Self {
        Self { pid: identity.pid, state: table.presence_of(identity) }
    }
}

impl LiveView {
    /// A run beside the processes of this machine.
    pub fn of(record: &RunRecord, data: &std::path::Path, table: &ProcessTable, writer: Option<WriterState>) -> Self {
        let run = &record.run;
        let attempt = run.attempt.as_ref();
        let sighting = Sighting::of(run, data, table);
        let directory = attempt.map(|attempt| AttemptDirectory::of(&data.join(RUNS_DIR), run.id, attempt.ordinal));
        let bytes = |stream: Stream| directory.as_ref()?.kept_bytes(stream);
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            run: run.id.to_string(),
            name: run.spec.name.clone(),
            status: run.status.name().name(),
            attempt: attempt.map(|attempt| attempt.ordinal.0),
            attempt_id: attempt.map(|attempt| attempt.id.to_string()),
            runner: attempt.map(|attempt| attempt.runner.to_string()),
            process: sighting.process().map(|process| ProcessView::of(process, table)),
            shim: sighting.shim().map(|shim| ProcessView::of(shim, table)),
            shim_stands: sighting.shim().and_then(|shim| table.standstill_of(shim)),
            up_ms: sighting.process().and_then(|process| table.age_of(process)).map(millis),
            cpu_ms: millis(sighting.usage.cpu),
            rss_bytes: sighting.usage.rss_bytes,
            pids: sighting.usage.pids,
            stdout_bytes: bytes(Stream::Stdout),
            stderr_bytes: bytes(Stream::Stderr),
            waiting: waiting(&run.status),
            snapshot: snapshot(run),
            writer: writer.map(WriterState::name),
        }
    }
}
