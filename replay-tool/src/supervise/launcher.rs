//! Jobs as runs of real processes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tachograph_adapters::process::{EndRecord, Launch, NotReady, Ready, RunHandle, RunnerError};
use tachograph_engine::domain::{AttemptId, RunId, RunSpec, StartMode};

use super::progress::{Progress, Step};
use super::schedule::{Attempted, Ended, Launcher};
use crate::control_problem::ControlProblem;
use crate::duration::DurationMs;
use crate::error::Error;
use crate::jobs::Job;
use crate::report::own_program;
use crate::stop::{Stop, Urgency};
use crate::writer::Writer;

/// So long a start may take to be told of after all ends are given up.
const LAST_START: Duration = Duration::from_millis(500);

/// Launches jobs as processes, recorded by a writer.
pub(super) struct ProcessLauncher<'writer> {
    writer: &'writer Writer,
    stop: Stop,
    progress: &'writer dyn Progress,
    /// Runs that go on from the last supervisor, by the names of their jobs.
    adopted: BTreeMap<String, RunHandle>,
    /// First attempts that were begun together with their runs, and are still to be waited for.
    begun: Mutex<BTreeMap<RunId, RunHandle>>,
}

impl<'writer> ProcessLauncher<'writer> {
    /// A launcher that gives up waiting for ends once they are given up by whoever stops it.
    pub(super) fn new(writer: &'writer Writer, stop: Stop, progress: &'writer dyn Progress) -> Self {
        Self { writer, stop, progress, adopted: BTreeMap::new(), begun: Mutex::default() }
    }

    /// With runs that go on from the last supervisor, by the names of their jobs: they are followed as those jobs' runs.
    pub(super) fn going_on_with(self, adopted: BTreeMap<String, RunHandle>) -> Self {
        Self { adopted, ..self }
    }

    /// The attempt that goes on, if the job's run was adopted and this is its first attempt here.
    fn going_on(&self, job: &Job, run: RunId, previous: Option<AttemptId>) -> Option<&RunHandle> {
        self.adopted.get(&job.name).filter(|handle| handle.run() == run && previous.is_none())
    }

    /// Shows that an attempt is ready, if that is asked for, or that it ended before.
    async fn show_readiness(&self, job: &Job, handle: &RunHandle) {
        if job.ready.is_some() {
            match handle.ready().await {
                Ok(Ready { after }) => self.progress.show(&Step::Ready { job, after }),
                Err(NotReady::Ended { .. }) => self.progress.show(&Step::EndedUnready { job }),
                // Its end tells.
                Err(NotReady::TimedOut { .. } | NotReady::Abandoned { .. }) => {}
            }
        }
    }

    fn begun(&self) -> MutexGuard<'_, BTreeMap<RunId, RunHandle>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once a start is not waited for any more: a moment after ends are given up, so that one whose end was
    /// recorded last is told.
    async fn start_given_up(&self) {
        self.stop.reached(Urgency::GivenUp).await;
        self.writer.engine.clock().sleep(LAST_START).await;
    }

    /// Opens another attempt of a run.
    async fn start(&self, job: &Job, run: RunId, previous: Option<AttemptId>) -> Result<RunHandle, RunnerError> {
        let mode = previous.map_or(StartMode::Fresh, |previous| StartMode::Restart { previous });
        let attempt = AttemptId::from_ulid(self.writer.engine.mint());
        self.writer.runner.start_attempt(run, attempt, mode, Self::launch(job)).await
    }

    fn launch(job: &Job) -> Launch {
        // In a container the path of this program means nothing.
        let own = own_program().into_iter().filter(|_| job.oci.is_none());
        let env = job.env.iter().map(|(name, value)| (name.into(), value.into())).chain(own).collect();
        let runtime = job.oci.as_ref().and_then(|oci| oci.runtime.as_ref()).map(Into::into);
        let snapshot_delay = job.snapshot_delay.map(DurationMs::as_duration);
        Launch { env, snapshot_delay, ready: job.ready.clone(), runtime, ..Launch::default() }
    }
}

#[async_trait]
impl Launcher for ProcessLauncher<'_> {
    async fn create(&self, job: &Job) -> Result<Option<RunId>, Error> {
        if let Some(adopted) = self.adopted.get(&job.name) {
            return Ok(Some(adopted.run()));
        }
        let launched = tokio::select! {
            biased;
            launched = self.writer.runner.launch(job.spec(), Self::launch(job)) => launched,
            () = self.start_given_up() => {
                let named = |run: &RunSpec| run.name.as_ref() == Some(&job.name);
                let left = self.writer.engine.live().into_iter().find(|record| named(&record.run.spec));
                return left.map_or(Ok(None), |record| Err(given_up(record.run.id)));
            }
        };
        match launched {
            Ok(handle) => {
                let run = handle.run();
                self.begun().insert(run, handle);
                Ok(Some(run))
            }
            Err(RunnerError::ShuttingDown) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn attempt(&self, job: &Job, run: RunId, previous: Option<AttemptId>) -> Result<Attempted, Error> {
        let begun = self.begun().remove(&run);
        let handle = match begun.or_else(|| self.going_on(job, run, previous).cloned()) {
            Some(handle) => handle,
            None => tokio::select! {
                biased;
                started = self.start(job, run, previous) => match started {
                    Ok(handle) => handle,
                    Err(RunnerError::ShuttingDown) => return Ok(Attempted::NotBegun),
                    Err(error) => return Err(error.into()),
                },
                () = self.start_given_up() => return Err(given_up(run)),
            },
        };
        let attempt = handle.attempt();
        let end = tokio::select! {
            biased;
            // Both, so that an end does not hide what is to be told of its readiness.
            (end, ()) = async { tokio::join!(handle.wait(), self.show_readiness(job, &handle)) } => match end {
                Err(RunnerError::Abandoned { .. }) if handle.is_left() => return Ok(Attempted::Left),
                end => end?,
            },
            () = self.stop.reached(Urgency::GivenUp) => return Err(given_up(run)),
        };
        match &end.record {
            EndRecord::Written { .. } => Ok(Attempted::Ended(Ended { attempt, outcome: end.outcome.clone() })),
            EndRecord::Refused(refusal) => Err(Error::Refused(refusal.clone())),
            EndRecord::NotSubmitted(error) => Err(error.clone().into()),
        }
    }
}

/// The next writer of the data directory records what became of it.
fn given_up(run: RunId) -> Error {
    let waited = "all the time that closing may take".to_owned();
    ControlProblem::NotEnded { run, waited, stopped_shim: None }.into()
}

#[cfg(test)]
mod tests {
    use super::super::lines::Lines;
    use super::super::stuck::{Stuck, kill};
    use super::*;
    use crate::jobs::parse;
    use crate::writer::SnapshotCommands;

    fn job(text: &str) -> Job {
        parse(format!("[jobs.a]\ncommand = {text}\n").as_bytes()).unwrap().remove(0)
    }

    #[tokio::test]
    async fn a_run_that_a_stop_forestalls_is_not_created_and_a_retry_is_left_out() {
        let data = tempfile::tempdir().unwrap();
        let writer = Writer::open(data.path()).await.unwrap();
        let lines = Lines::default();
        let launcher = ProcessLauncher::new(&writer, Stop::default(), &lines);
        let job = job("[\"true\"]");
        let run = launcher.create(&job).await.unwrap().unwrap();
        let Attempted::Ended(ended) = launcher.attempt(&job, run, None).await.unwrap() else { panic!("not ended") };
        writer.runner.shutdown(Duration::ZERO).await;
        let head = writer.engine.head();
        assert_eq!(launcher.attempt(&job, run, Some(ended.attempt)).await.unwrap(), Attempted::NotBegun);
        assert_eq!(launcher.create(&job).await.unwrap(), None);
        assert_eq!(writer.engine.head(), head, "nothing holds its name");
        writer.close().await.unwrap();
    }

    async fn stuck_writer(place: &std::path::Path) -> (Stuck, Writer) {
        let stuck = Stuck::within(place);
        let writer = Writer::open_with(&place.join("data"), SnapshotCommands::new(), stuck.shim()).await.unwrap();
        (stuck, writer)
    }

    #[tokio::test]
    async fn starts_that_come_to_nothing_are_not_waited_for_once_they_are_given_up() {
        let place = tempfile::tempdir().unwrap();
        let (stuck, writer) = stuck_writer(place.path()).await;
        let stop = Stop::default();
        let lines = Lines::default();
        let launcher = ProcessLauncher::new(&writer, stop.clone(), &lines);
        let first = job("[\"true\"]");
        stuck.stand_still(false);
        let run = launcher.create(&first).await.unwrap().unwrap();
        let Attempted::Ended(ended) = launcher.attempt(&first, run, None).await.unwrap() else { panic!("not ended") };
        stuck.stand_still(true);
        stop.request(Urgency::GivenUp);
        let limit = Duration::from_secs(60);
        let retried = launcher.attempt(&first, run, Some(ended.attempt));
        let retried = tokio::time::timeout(limit, retried).await.expect("the retry is waited for");
        assert_eq!(retried.unwrap_err().code(), "not_ended");
        kill(stuck.until_there().await);
        let second = parse(b"[jobs.b]\ncommand = [\"true\"]\n").unwrap().remove(0);
        let created = tokio::time::timeout(limit, launcher.create(&second)).await.expect("the creation is waited for");
        assert_eq!(created.unwrap_err().code(), "not_ended", "its run is named");
        kill(stuck.until_there().await);
        writer.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_start_that_is_left_to_its_shim_is_told_as_left() {
        let place = tempfile::tempdir().unwrap();
        let (stuck, writer) = stuck_writer(place.path()).await;
        let lines = Lines::default();
        let launcher = ProcessLauncher::new(&writer, Stop::default(), &lines);
        let job = job("[\"true\"]");
        let attempted = async {
            let run = launcher.create(&job).await.unwrap().unwrap();
            launcher.attempt(&job, run, None).await.unwrap()
        };
        let left = async {
            let shim = stuck.until_there().await;
            (writer.runner.leave(Duration::ZERO).await, shim)
        };
        let both = async { tokio::join!(attempted, left) };
        let (attempted, (left, shim)) =
            tokio::time::timeout(Duration::from_secs(60), both).await.expect("it is waited for");
        assert_eq!((attempted, left), (Attempted::Left, 1));
        kill(shim);
        writer.detach().await.unwrap();
    }

    #[tokio::test]
    async fn an_end_that_is_given_up_is_not_waited_for() {
        let data = tempfile::tempdir().unwrap();
        let writer = Writer::open(data.path()).await.unwrap();
        let stop = Stop::default();
        let lines = Lines::default();
        let launcher = ProcessLauncher::new(&writer, stop.clone(), &lines);
        let job = job("[\"sleep\", \"60\"]");
        let run = launcher.create(&job).await.unwrap().unwrap();
        stop.request(Urgency::GivenUp);
        let error = launcher.attempt(&job, run, None).await.unwrap_err();
        assert_eq!(error.code(), "not_ended");
        writer.close().await.unwrap();
    }
}
