//! Real commands, run through the process runner.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use tachograph_adapters::process::{AttemptEnd, ExitRecord, Launch, ProcessRunner, RunHandle, RunnerOptions};
use tachograph_engine::domain::{Event, Exit, Ordinal, Outcome, RunId, RunSpec, Stream, Workload};
use tachograph_engine::shell::Engine;

use crate::{Latch, Place};

/// A spec that executes this.
pub fn command(argv: &[&str]) -> RunSpec {
    let argv = argv.iter().map(|&argument| argument.to_owned()).collect();
    RunSpec { workload: Workload::Command { argv, cwd: None }, ..RunSpec::default() }
}

/// A spec that executes a shell script.
pub fn script(text: &str) -> RunSpec {
    command(&["sh", "-c", text])
}

/// A launch whose script finds the latch as `$LATCH`.
pub fn with_latch(latch: &Latch) -> Launch {
    Launch { env: vec![(OsString::from("LATCH"), latch.path().as_os_str().to_owned())], ..Launch::default() }
}

/// A runner that keeps its files where a place has them.
pub fn runner(engine: &Engine, place: &Place) -> ProcessRunner {
    ProcessRunner::new(engine.clone(), place.runs(), RunnerOptions::default())
}

/// Creates a run and starts it.
pub async fn begin(runner: &ProcessRunner, spec: RunSpec, launch: Launch) -> (RunId, RunHandle) {
    let run = runner.create(spec).await.expect("created");
    let handle = runner.start(run, launch).await.expect("started");
    (run, handle)
}

/// The exit that an attempt was recorded with.
pub async fn exit_of(handle: &RunHandle) -> Exit {
    let end: Arc<AttemptEnd> = handle.wait().await.expect("an end");
    match &end.outcome {
        Outcome::Exited { exit, .. } => exit.clone(),
        Outcome::Failed(failure) => panic!("failed: {failure:?}"),
    }
}

/// The bytes that are kept of a stream.
///
/// # Errors
///
/// If they cannot be read.
pub fn kept(handle: &RunHandle, stream: Stream) -> io::Result<Vec<u8>> {
    fs::read(handle.directory().expect("a directory").join(stream.name()))
}

/// How many `Exited` there are among a run's events.
pub fn ends(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Exited { .. })).count()
}

/// Where the exit record of an attempt is, without the runner's help.
pub fn exit_record_path(place: &Place, run: RunId, ordinal: Ordinal) -> PathBuf {
    tachograph_adapters::process::AttemptDirectory::of(&place.runs(), run, ordinal).exit_record()
}

/// The exit record of a handle's attempt, if one that counts is there.
pub fn exit_record(handle: &RunHandle) -> Option<ExitRecord> {
    let path = handle.directory()?.join("exit.json");
    ExitRecord::read(&path, handle.run(), handle.attempt()).ok().flatten()
}
