//! `tacho supervise`: the jobs of a file, recorded.

mod bars;
mod launcher;
mod lines;
mod others;
mod places;
mod progress;
pub mod schedule;
mod screen;
mod stopping;
#[cfg(test)]
pub(crate) mod stuck;
mod summary;
mod unexpected;
mod waits;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use rustix::process::Signal;
use tachograph_adapters::process::RunHandle;
use tachograph_engine::domain::{Refusal, RunId};

pub use progress::{Progress, Step};
pub use summary::{ErrorView, ExpectationView, JobView};
pub use waits::JobSnapshotView;

use self::bars::Bars;
use self::launcher::ProcessLauncher;
use self::lines::Lines;
use self::others::Others;
use self::schedule::{JobReport, JobResult, Limits, run_all};
use self::stopping::{Ending, HASTE_BUDGET, stop_all, watch};
use self::waits::Waits;
use crate::cli::SuperviseArgs;
use crate::dataset::RUNS_DIR;
use crate::error::{Error, exit};
use crate::interrupt::Interrupts;
use crate::jobs::{self, Job};
use crate::output::Context;
use crate::remarks::offer;
use crate::signal::shell_code;
use crate::stop::Urgency;
use crate::writer::{Writer, parent};

/// How long snapshots that are being taken may go on once all jobs have ended.
const SNAPSHOT_BUDGET: Duration = Duration::from_secs(60);
/// How often live progress moves.
const TICK: Duration = Duration::from_millis(100);

/// Runs the jobs and returns the exit code for the process: 0 if each ended as expected, 128 + n if signal n stopped
/// them, else 1.
///
/// # Errors
///
/// [`Error`] if the file or the journal cannot be used, or if a name is held by a run that is still open.
pub async fn execute(context: &Context, args: SuperviseArgs) -> Result<u8, Error> {
    let jobs = jobs::read(&args.file)?;
    let mut interrupts =
        Interrupts::install().map_err(|error| Error::internal(format!("cannot catch signals: {error}")))?;
    let commands = jobs.iter().filter_map(|job| Some((job.name.clone(), job.snapshot_command.clone()?)));
    let writer = Writer::open_with(&context.data, commands.collect(), parent(args.no_shim)).await?;
    let ending = Ending::within(args.stop_within.as_duration());
    let progress = progress(context, jobs.len());
    let supervised = supervise(context, &args, &jobs, &writer, &mut interrupts, &ending, &*progress).await;
    let clock = writer.engine.clock().clone();
    // Whoever asked for the end waits for all of it.
    let closed = match ending.left(writer.engine.clock().monotonic()) {
        None if args.detach => writer.detach().await,
        Some(left) if args.detach => writer.detach_within(left).await,
        Some(left) => writer.close_within(left).await,
        None => writer.close().await,
    };
    let (summary, verdict) = match supervised {
        Ok(supervised) => (Some(supervised.summary), supervised.verdict),
        Err(error) => (None, Err(error)),
    };
    // Whoever reads it may take his time: nothing waits for him any more that others wait for.
    let telling = context.clone();
    let telling = tokio::task::spawn_blocking(move || {
        drop(progress);
        summary.map_or(Ok(()), |summary| summary.print(&telling))
    });
    let patience = ending.left(clock.monotonic()).map_or(Duration::MAX, |left| left.max(HASTE_BUDGET));
    tokio::select! {
        biased;
        told = telling => told.map_err(|error| Error::internal(format!("cannot tell how it ended: {error}")))??,
        // Asked again, or for long enough: what nobody reads is left unsaid.
        signal = interrupts.next() => return closed.map(|()| shell_code(signal.as_raw())),
        () = tokio::time::sleep(patience) => {}
    }
    let code = verdict?;
    closed.map(|()| code)
}

/// How it all ended.
struct Supervised {
    summary: Summary,
    /// The exit code, or the first error that left a job unrecorded.
    verdict: Result<u8, Error>,
}

/// What is told of all jobs at last, on standard output.
enum Summary {
    Json(Vec<JobView>),
    Text(String),
}

async fn supervise(
    context: &Context,
    args: &SuperviseArgs,
    jobs: &[Job],
    writer: &Writer,
    interrupts: &mut Interrupts,
    ending: &Ending,
    progress: &dyn Progress,
) -> Result<Supervised, Error> {
    for remark in writer.alarm().into_iter().chain(writer.remarks()) {
        progress.show(&Step::Remark { text: &remark });
    }
    let adopted = adopted(jobs, writer);
    refuse_held_names(jobs, writer, &adopted)?;
    let jobs_max = jobs_max(args.jobs);
    if let Some(text) = places::remark(jobs_max.min(jobs.len()), writer.runner.usage().live_max) {
        progress.show(&Step::Remark { text: &text });
    }
    for (name, handle) in &adopted {
        let text = format!("job {name}: run {} of this name goes on, and is this job's run", handle.run());
        progress.show(&Step::Remark { text: &text });
    }
    let clock = writer.engine.clock().clone();
    let begun = clock.monotonic();
    let (stop, signal) = (ending.stop.clone(), OnceLock::new());
    let mut waits = Waits::after(writer.opened.found.position, &writer.engine, jobs, progress);
    adopted.iter().for_each(|(name, handle)| waits.and_run(handle.run(), name));
    let is_a_jobs = |handle: &RunHandle| adopted.values().any(|job| job.run() == handle.run());
    let others = Others::of(writer, is_a_jobs, progress);
    let launcher = ProcessLauncher::new(writer, stop.clone(), progress).going_on_with(adopted);
    let limits = Limits { jobs_max, fail_fast: args.fail_fast };
    let reports = {
        let mut scheduled = pin!(run_all(jobs, limits, &launcher, progress, &*clock, &stop));
        let work = async {
            let mut stopping = pin!(stop_all(writer, ending, args.detach, progress));
            let mut has_stopped = false;
            let reports = tokio::select! {
                biased;
                reports = &mut scheduled => reports,
                () = &mut stopping => {
                    has_stopped = true;
                    scheduled.await
                }
            };
            // What is being taken of a job that has ended belongs to what is told about it.
            tokio::select! {
                biased;
                () = stop.reached(Urgency::Soon) => {}
                () = writer.stop_timers(SNAPSHOT_BUDGET) => {}
            }
            // The end of the jobs is not that of the runs that are no job's, and how many are left is still to be told.
            if stop.is_requested() && !has_stopped {
                stopping.await;
            }
            reports
        };
        // Only what has news is looked at: this wakes for each step of each job.
        let mut beside = FuturesUnordered::from_iter([
            watch(interrupts, ending, &signal, args.detach, progress).boxed_local(),
            ending.note_begin(&*clock).boxed_local(),
            tick(progress).boxed_local(),
            waits.watch().boxed_local(),
            others.watch().boxed_local(),
        ]);
        tokio::select! {
            reports = work => reports,
            Some(never) = beside.next() => match never {},
        }
    };
    others.tell_rest(stop.is_requested());
    let snapshots = waits.finish(&writer.engine).await;
    let took = clock.monotonic().saturating_sub(begun);
    let summary = Summary::of(context, &reports, &snapshots, took);
    Ok(Supervised { summary, verdict: verdict(reports, signal.get().copied()) })
}

/// Bars on a terminal, lines elsewhere.
fn progress(context: &Context, count: usize) -> Box<dyn Progress> {
    // Nothing is known of one without a name, as in a container or on a serial line.
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if std::io::stderr().is_terminal() && !dumb && !context.is_json() {
        Box::new(Bars::for_jobs(count))
    } else {
        Box::new(Lines::default())
    }
}

fn jobs_max(asked: Option<NonZeroUsize>) -> usize {
    asked.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

/// Runs that go on from the last supervisor, by the names of the jobs whose they are: same name, same command line.
fn adopted(jobs: &[Job], writer: &Writer) -> BTreeMap<String, RunHandle> {
    let mut adopted = BTreeMap::new();
    for record in writer.engine.live() {
        let run = &record.run;
        let same = |job: &&Job| run.spec.name.as_ref() == Some(&job.name) && run.spec.workload == job.spec().workload;
        let attempt = run.attempt.as_ref().map(|attempt| attempt.id);
        let handle = attempt.and_then(|attempt| writer.runner.handle(run.id, attempt));
        if let (Some(job), Some(handle)) = (jobs.iter().find(same), handle.filter(RunHandle::is_adopted)) {
            if let Some(delay) = job.snapshot_delay {
                handle.snapshot_after(delay.as_duration());
            }
            adopted.insert(job.name.clone(), handle);
        }
    }
    adopted
}

/// All or none: nothing is begun if a run that is still open holds one of the names, and is not that job's own.
fn refuse_held_names(jobs: &[Job], writer: &Writer, adopted: &BTreeMap<String, RunHandle>) -> Result<(), Error> {
    for record in writer.engine.live() {
        if adopted.values().any(|handle| handle.run() == record.run.id) {
            continue;
        }
        let held = record.run.spec.name.as_ref().filter(|name| jobs.iter().any(|job| job.name == **name));
        if let Some(name) = held {
            return Err(Error::Refused(Refusal::NameHeld { name: name.clone(), holder: record.run.id }));
        }
    }
    Ok(())
}

async fn tick(progress: &dyn Progress) -> Infallible {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        progress.tick();
        offer();
    }
}

impl Summary {
    fn of(
        context: &Context,
        reports: &[JobReport<'_>],
        snapshots: &BTreeMap<RunId, Vec<JobSnapshotView>>,
        took: Duration,
    ) -> Self {
        let of = |report: &JobReport<'_>| report.run.and_then(|run| snapshots.get(&run)).map_or(&[][..], Vec::as_slice);
        if context.is_json() {
            return Self::Json(reports.iter().map(|report| JobView::of(report, of(report))).collect());
        }
        let images = waits::text(reports.iter().map(|report| (report.job, of(report))));
        let files = unexpected::text(reports, &context.data.join(RUNS_DIR));
        Self::Text(format!("{}{images}{files}{}", summary::table(reports), summary::sum(reports, took)))
    }

    /// Prints it. A reader that went away changes nothing about the jobs.
    fn print(&self, context: &Context) -> Result<(), Error> {
        let mut output = context.stdout();
        let printed = match self {
            Self::Json(views) => output.json(views),
            Self::Text(text) => output.text(text),
        };
        match printed.and_then(|()| output.flush()) {
            Err(Error::BrokenPipe) => Ok(()),
            printed => printed,
        }
    }
}

/// The exit code: the signal's, else that of the first job that could not be recorded, else whether all is as expected.
fn verdict(reports: Vec<JobReport<'_>>, signal: Option<Signal>) -> Result<u8, Error> {
    if let Some(signal) = signal {
        return Ok(shell_code(signal.as_raw()));
    }
    let all = reports.iter().all(JobReport::is_expected);
    let error = reports.into_iter().find_map(|report| match report.result {
        JobResult::Unrecorded(error) => Some(error),
        JobResult::Ended(_) | JobResult::Destroyed | JobResult::NotBegun | JobResult::Left => None,
    });
    match error {
        Some(error) => Err(error),
        None if all => Ok(exit::OK),
        None => Ok(exit::FAILED),
    }
}
