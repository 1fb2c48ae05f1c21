//! `tacho run`: one command, recorded.

mod passthrough;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tachograph_adapters::process::{
    AttemptEnd, DIRECTORY_FACT, EndRecord, Launch, NotReady, Passthrough, RunHandle, RunnerError,
};
use tachograph_engine::domain::{ExitStatus, Failure, FailureKind, Outcome, ResourceLimits, RunSpec, Workload, limits};
use tokio::task::spawn_blocking;

use self::passthrough::{Breakage, Sink};
use crate::cli::{Label, RunArgs};
use crate::duration::DurationMs;
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::output::Context;
use crate::patient::Patient;
use crate::remarks::remark;
use crate::report::own_program;
use crate::signal::shell_code;
use crate::size::Size;
use crate::table::printable;
use crate::words;
use crate::writer::{SnapshotCommands, Writer, parent};

/// So long after a signal a start may take until it is ended.
const START_BUDGET: Duration = Duration::from_secs(5);

/// Runs the command and returns the exit code for the process: the command's own, or 128 + n for signal n.
///
/// Nothing but the command's own output goes to standard output. Signals that ask for an end are passed on to the
/// command's process group. If the reader of one of its streams goes away, the command is told by the signal PIPE and
/// by failing writes; otherwise it would run on unseen where a shell's pipeline would have ended it.
///
/// # Errors
///
/// [`Error`] if Tachograph itself failed, the program could not be started, or its timeout ended it.
pub async fn execute(context: &Context, args: RunArgs) -> Result<u8, Error> {
    let spec = spec(&args)?;
    if let Some(check) = args.ready.check() {
        // Before anything is recorded, as with the spec.
        check.check().map_err(RunnerError::from)?;
    }
    // Before the data directory is touched; the engine would say the same.
    limits::check_spec(&spec).map_err(Error::Refused)?;
    let mut interrupts =
        Interrupts::install().map_err(|error| Error::internal(format!("cannot catch signals: {error}")))?;
    let writer = Writer::open_with(&context.data, SnapshotCommands::new(), parent(args.no_shim)).await?;
    if let Some(alarm) = writer.alarm() {
        remark(&format!("tacho: {alarm}\n"));
    }
    for found in writer.remarks() {
        remark(&format!("tacho: {}\n", printable(&found)));
    }
    let detach = args.detach;
    let recorded = record(&writer, spec, args, &mut interrupts).await;
    // What could not be started or has ended leaves nothing behind.
    let closed = if detach { writer.detach().await } else { writer.close().await };
    let code = recorded?;
    closed.map(|()| code)
}

/// What is recorded of the arguments. Bytes that are no UTF-8 become U+FFFD here, and are executed as they are.
fn spec(args: &RunArgs) -> Result<RunSpec, Error> {
    let mut labels = BTreeMap::new();
    for Label { key, value } in &args.labels {
        if labels.insert(key.clone(), value.clone()).is_some() {
            let message = format!("--label is given twice for the key {key:?}");
            return Err(Error::Input { code: "usage", message, remedy: "give each key once".to_owned() });
        }
    }
    let argv = args.command.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let cwd = args.cwd.as_ref().map(|cwd| cwd.to_string_lossy().into_owned());
    let workload = match &args.oci {
        Some(bundle) => Workload::Image { reference: reference(bundle)?, argv },
        None => Workload::Command { argv, cwd },
    };
    Ok(RunSpec {
        name: args.name.clone(),
        labels,
        workload,
        limits: ResourceLimits {
            wall_ms: args.timeout.map(DurationMs::as_millis),
            memory_bytes: None,
            output_bytes: args.output_limit.map(|Size(bytes)| bytes),
        },
        parent: None,
    })
}

/// The bundle as it is recorded and found: it means the same wherever it is read.
fn reference(bundle: &Path) -> Result<String, Error> {
    let absolute = std::path::absolute(bundle).ok().and_then(|path| path.into_os_string().into_string().ok());
    absolute.ok_or_else(|| Error::Input {
        code: "usage",
        message: format!("--oci {bundle:?} is empty, or no UTF-8"),
        remedy: "name the directory of an OCI bundle".to_owned(),
    })
}

async fn record(writer: &Writer, spec: RunSpec, args: RunArgs, interrupts: &mut Interrupts) -> Result<u8, Error> {
    let breakage = Arc::new(Breakage::default());
    // Who goes shows nothing any more.
    let sink = |sink: fn(Arc<Breakage>) -> Sink| -> Option<Passthrough> {
        if args.detach { None } else { Some(Box::new(sink(breakage.clone()))) }
    };
    let launch = Launch {
        argv: Some(args.command),
        cwd: args.cwd,
        // In a container the path of this program means nothing.
        env: own_program().into_iter().filter(|_| args.oci.is_none()).collect(),
        runtime: args.runtime,
        inherit_stdin: !args.detach && !std::io::stdin().is_terminal(),
        stdout: sink(Sink::stdout),
        stderr: sink(Sink::stderr),
        snapshot_delay: args.snapshot_delay.map(DurationMs::as_duration),
        ready: args.ready.check(),
        ..Launch::default()
    };
    let handle = begin(writer, spec, launch, async || interrupts.next().await).await?;
    let run = handle.run();
    tracing::info!(%run, "recording");
    if args.detach {
        let ended = tokio::select! {
            biased;
            end = follow(writer, &handle, interrupts, &breakage) => Some(end?),
            ready = handle.ready() => match ready {
                Ok(_) => handle.ended(),
                Err(_) => Some(handle.wait().await?),
            },
        };
        let code = ended.map_or(Ok(0), |end| exit_code(&end))?;
        let telling = spawn_blocking(move || writeln!(Patient(std::io::stdout()), "{run}"));
        return tokio::select! {
            biased;
            told = telling => told.map_err(io::Error::other).flatten().map(|()| code).map_err(Error::Output),
            // Who asks for an end need not wait for whoever wanted to know which run it is.
            signal = interrupts.next() => Ok(shell_code(signal.as_raw())),
        };
    }
    let end = follow(writer, &handle, interrupts, &breakage).await?;
    tokio::select! {
        () = handle.passed_through() => {}
        // The run is recorded; who asks for an end now need not wait for a slow reader.
        _ = interrupts.next() => {}
    }
    let code = exit_code(&end)?;
    match handle.ready().await {
        Ok(ready) => tracing::info!(after_ms = ready.after.as_millis(), "was ready"),
        Err(NotReady::Ended { .. }) => {
            // The code is the command's own; this is what it does not tell.
            remark("tacho: the command ended before it was ready\n");
        }
        Err(NotReady::TimedOut { .. } | NotReady::Abandoned { .. }) => {}
    }
    match breakage.take_error() {
        Some(error) => Err(Error::Output(error)),
        None => Ok(code),
    }
}

/// Starts it. A signal that comes before is passed on to it; one that it does not come to in time ends the start.
async fn begin(
    writer: &Writer,
    spec: RunSpec,
    launch: Launch,
    mut interrupted: impl AsyncFnMut() -> Signal,
) -> Result<RunHandle, RunnerError> {
    let clock = writer.engine.clock().clone();
    let mut launching = pin!(writer.runner.launch(spec, launch));
    let first = tokio::select! {
        biased;
        launched = &mut launching => return launched,
        signal = interrupted() => signal,
    };
    let mut asked = vec![first];
    let launched = tokio::select! {
        biased;
        launched = &mut launching => launched,
        // Somebody who asks once more does not want to wait.
        signal = interrupted() => {
            asked.push(signal);
            give_up_start(writer);
            launching.await
        }
        () = clock.sleep(START_BUDGET) => {
            give_up_start(writer);
            launching.await
        }
    };
    let handle = launched?;
    for signal in asked {
        handle.signal(signal);
    }
    Ok(handle)
}

/// What this writer has adopted is nobody's here to end.
fn give_up_start(writer: &Writer) {
    let own = writer.runner.handles().into_iter().filter(|handle| !handle.is_adopted());
    own.for_each(|handle| handle.terminate(Duration::ZERO));
}

/// Waits for the end, and passes on what happens meanwhile.
async fn follow(
    writer: &Writer,
    handle: &RunHandle,
    interrupts: &mut Interrupts,
    breakage: &Breakage,
) -> Result<Arc<AttemptEnd>, Error> {
    loop {
        let signal = tokio::select! {
            biased;
            end = handle.wait() => return Ok(end?),
            signal = interrupts.next() => signal,
            stream = breakage.reader_left() => {
                handle.hang_up(stream);
                continue;
            }
        };
        // While an image of it is taken it stands still, and could not follow the signal.
        writer.give_up_snapshots();
        if !handle.signal(signal) {
            tracing::warn!(signal = signal.as_raw(), "the run takes no more signals");
        }
    }
}

/// The exit code of a recorded end.
fn exit_code(end: &AttemptEnd) -> Result<u8, Error> {
    match &end.record {
        EndRecord::Written { .. } => {}
        EndRecord::Refused(refusal) => return Err(Error::Refused(refusal.clone())),
        EndRecord::NotSubmitted(error) => {
            // What the command did is not to be lost with the journal.
            remark(&format!("tacho: not recorded: {}\n", ended(&end.outcome)));
            return Err(error.clone().into());
        }
    }
    match &end.outcome {
        Outcome::Exited { exit, .. } => match &exit.status {
            // The system keeps the low byte of a code, so that it is never more.
            ExitStatus::Code(code) => Ok(u8::try_from(*code).unwrap_or(u8::MAX)),
            ExitStatus::Signal(number) => Ok(shell_code(*number)),
            ExitStatus::Unknown { cause } => Err(Error::ExitUnknown { cause: cause.clone() }),
        },
        Outcome::Failed(failure) => Err(failed(failure)),
    }
}

fn failed(failure: &Failure) -> Error {
    let message = failure.message.clone();
    let directory = failure.diagnostics.facts.contains_key(DIRECTORY_FACT);
    match failure.kind {
        FailureKind::NotFound => {
            let cause = failure.diagnostics.likely_cause.as_ref().map(|cause| format!("; {cause}"));
            Error::Program { found: false, directory, message: message + &cause.unwrap_or_default() }
        }
        FailureKind::NotExecutable => Error::Program { found: true, directory, message },
        FailureKind::TimedOut => Error::TimedOut { message },
        FailureKind::OutputLost => Error::OutputLost { message },
        FailureKind::SpawnFailed => {
            let cause = failure.diagnostics.likely_cause.as_ref().map(|cause| format!("; {cause}"));
            Error::SpawnFailed { message: message + &cause.unwrap_or_default() }
        }
        FailureKind::StartTimeout => {
            let cause = failure.diagnostics.likely_cause.as_ref().map(|cause| format!("; {cause}"));
            Error::NotReady { message: message + &cause.unwrap_or_default() }
        }
        FailureKind::SupervisorLost | FailureKind::RunnerLost | FailureKind::StartAbandoned | FailureKind::Other(_) => {
            Error::internal(words::failed(failure))
        }
    }
}

fn ended(outcome: &Outcome) -> String {
    outcome.exit_status().map_or_else(|| outcome.to_string(), words::exit_status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::stuck::Stuck;

    #[tokio::test]
    async fn a_start_that_comes_to_nothing_ends_once_it_was_asked_to_twice() {
        let data = tempfile::tempdir().unwrap();
        let stuck = Stuck::within(data.path());
        let writer = Writer::open_with(&data.path().join("data"), SnapshotCommands::new(), stuck.shim()).await.unwrap();
        let spec =
            RunSpec { workload: Workload::Command { argv: vec!["true".to_owned()], cwd: None }, ..RunSpec::default() };
        let mut asked = 0;
        let interrupted = async || {
            if asked == 0 {
                stuck.until_there().await;
            }
            asked += 1;
            if asked > 2 { std::future::pending().await } else { Signal::TERM }
        };
        let beginning = begin(&writer, spec, Launch::default(), interrupted);
        let limit = Duration::from_secs(60);
        let handle = tokio::time::timeout(limit, beginning).await.expect("the start is waited for").unwrap();
        let told = format!("{:?}", handle.wait().await.unwrap().outcome);
        assert!(told.contains("killed by signal 9"), "{told}");
        writer.close().await.unwrap();
    }
}
