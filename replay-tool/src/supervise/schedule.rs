//! Which job runs when: so many at a time, each until an attempt ends as expected or none is left.

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tachograph_engine::domain::{AttemptId, Outcome, Refusal, RunId};
use tachograph_engine::ports::Clock;

use super::progress::{Progress, Step};
use crate::error::Error;
use crate::jobs::Job;
use crate::stop::{Stop, Urgency};

/// What the schedule needs of the world.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// Makes a new run of the job known, which may be begun with that. Durable when it returns; absent if a stop is under
    /// way.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] concerns this job alone; after any other error nothing can be recorded any more.
    async fn create(&self, job: &Job) -> Result<Option<RunId>, Error>;

    /// Opens an attempt of the run and returns once its end is durable. `previous` is the attempt before it, if any.
    /// Not begun if a stop is under way.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create). That a program cannot be started is no error but the attempt's end.
    async fn attempt(&self, job: &Job, run: RunId, previous: Option<AttemptId>) -> Result<Attempted, Error>;
}

/// What became of the wish for an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempted {
    /// Its end is durable.
    Ended(Ended),
    /// It was not begun any more.
    NotBegun,
    /// It goes on by itself, and whoever opens the data directory next finds it.
    Left,
}

/// The recorded end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which one.
    pub attempt: AttemptId,
    /// How it ended.
    pub outcome: Outcome,
}

/// How to schedule.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Jobs that run at a time, at least 1.
    pub jobs_max: usize,
    /// Whether no further job is begun after one that did not end as expected.
    pub fail_fast: bool,
}

/// What became of one job.
#[derive(Debug)]
pub struct JobReport<'job> {
    /// The job.
    pub job: &'job Job,
    /// Its run, if one was created.
    pub run: Option<RunId>,
    /// Attempts that were begun.
    pub attempts: u32,
    /// How it ended.
    pub result: JobResult,
    /// From its creation to its end, by the monotonic clock.
    pub elapsed: Duration,
}

/// How a job ended.
#[derive(Debug)]
pub enum JobResult {
    /// Like its last attempt.
    Ended(Outcome),
    /// An operator destroyed its run.
    Destroyed,
    /// It was not begun.
    NotBegun,
    /// It goes on by itself.
    Left,
    /// It could not be recorded.
    Unrecorded(Error),
}

impl JobReport<'_> {
    /// Whether it ended as it should.
    pub fn is_expected(&self) -> bool {
        matches!(&self.result, JobResult::Ended(outcome) if self.job.expect.is_met_by(outcome))
    }
}

/// Runs the jobs, beginning them in their order, and reports on each in the same order.
///
/// Once `stop` is requested, no job, attempt or retry is begun; ending those that run is up to whoever requested it. It
/// is requested from here if nothing can be recorded any more.
pub async fn run_all<'job>(
    jobs: &'job [Job],
    limits: Limits,
    launcher: &dyn Launcher,
    progress: &dyn Progress,
    clock: &dyn Clock,
    stop: &Stop,
) -> Vec<JobReport<'job>> {
    let at_work = AtWork { launcher, progress, clock, stop };
    let mut reports: Vec<Option<JobReport<'job>>> = jobs.iter().map(|_| None).collect();
    let mut queue = jobs.iter().enumerate();
    let mut running = FuturesUnordered::new();
    let mut begins = true;
    loop {
        while begins && running.len() < limits.jobs_max.max(1) && !stop.is_requested() {
            let Some((index, job)) = queue.next() else { break };
            running.push(async move { (index, at_work.run_job(job).await) });
        }
        let Some((index, report)) = running.next().await else { break };
        begins &= !limits.fail_fast || report.is_expected();
        progress.show(&Step::Finished { report: &report });
        if let Some(place) = reports.get_mut(index) {
            *place = Some(report);
        }
    }
    let not_begun =
        |job| JobReport { job, run: None, attempts: 0, result: JobResult::NotBegun, elapsed: Duration::ZERO };
    reports.into_iter().zip(jobs).map(|(report, job)| report.unwrap_or_else(|| not_begun(job))).collect()
}

/// What every job at work shares.
#[derive(Clone, Copy)]
struct AtWork<'world> {
    launcher: &'world dyn Launcher,
    progress: &'world dyn Progress,
    clock: &'world dyn Clock,
    stop: &'world Stop,
}

impl AtWork<'_> {
    async fn run_job<'job>(&self, job: &'job Job) -> JobReport<'job> {
        let begun = self.clock.monotonic();
        let mut report =
            JobReport { job, run: None, attempts: 0, result: JobResult::NotBegun, elapsed: Duration::ZERO };
        if let Err(error) = self.run_attempts(&mut report).await {
            // A refusal concerns one job; anything else means that no end of any job can be recorded any more.
            if !matches!(error, Error::Refused(_)) {
                self.stop.request(Urgency::Soon);
            }
            report.result = match error {
                // Nothing else destroys the run of a job.
                Error::Refused(Refusal::RunDestroyed) => JobResult::Destroyed,
                error => JobResult::Unrecorded(error),
            };
        }
        report.elapsed = self.clock.monotonic().saturating_sub(begun);
        report
    }

    async fn run_attempts(&self, report: &mut JobReport<'_>) -> Result<(), Error> {
        let job = report.job;
        let Some(run) = self.launcher.create(job).await? else { return Ok(()) };
        report.run = Some(run);
        let mut previous = None;
        loop {
            report.attempts += 1;
            let ordinal = report.attempts;
            let begun = self.clock.monotonic();
            self.progress.show(&Step::Started { job, run, ordinal });
            let ended = match self.launcher.attempt(job, run, previous).await? {
                Attempted::Ended(ended) => ended,
                Attempted::NotBegun => {
                    report.attempts -= 1;
                    return Ok(());
                }
                Attempted::Left => {
                    report.result = JobResult::Left;
                    return Ok(());
                }
            };
            let elapsed = self.clock.monotonic().saturating_sub(begun);
            let expected = job.expect.is_met_by(&ended.outcome);
            let retries = !expected && ordinal <= job.retries && !self.stop.is_requested();
            self.progress.show(&Step::Ended { job, ordinal, outcome: &ended.outcome, expected, elapsed, retries });
            previous = Some(ended.attempt);
            report.result = JobResult::Ended(ended.outcome);
            if !retries {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
