//! What happens while jobs run, as it is shown to people.

use std::time::Duration;

use tachograph_engine::domain::{Outcome, RunId};

use super::schedule::JobReport;
use crate::jobs::Job;

/// One thing that happened.
#[derive(Debug)]
pub enum Step<'world> {
    /// An attempt is about to begin.
    Started {
        /// Of which job.
        job: &'world Job,
        /// Its run.
        run: RunId,
        /// The attempt's number, from 1.
        ordinal: u32,
    },
    /// An attempt ended, and its end is recorded.
    Ended {
        /// Of which job.
        job: &'world Job,
        /// Its run.
        run: RunId,
        /// The attempt's number, from 1.
        ordinal: u32,
        /// How it ended.
        outcome: &'world Outcome,
        /// Whether that is what the job expects.
        expected: bool,
        /// How long it took.
        elapsed: Duration,
        /// Whether another attempt follows.
        retries: bool,
    },
    /// A job is over.
    Finished {
        /// What became of it.
        report: &'world JobReport<'world>,
    },
}

/// Shows what happens. Must not block for long: it is called between the attempts of all jobs.
pub trait Progress: Send + Sync {
    /// Shows one step.
    fn show(&self, step: &Step<'_>);
}
