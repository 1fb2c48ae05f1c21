//! What happens while jobs run, as it is shown to people.

use std::time::Duration;

use tachograph_engine::domain::{Outcome, RunId};

use super::schedule::{JobReport, JobResult};
use crate::duration::human;
use crate::jobs::Job;
use crate::table::printable;
use crate::words;

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
    /// A job reported that it waits.
    Waiting {
        /// Which job.
        job: &'world Job,
        /// On what.
        on: &'world str,
    },
    /// A job reported that it no longer waits.
    Resumed {
        /// Which job.
        job: &'world Job,
    },
    /// A job is ready, as its check says.
    Ready {
        /// Which job.
        job: &'world Job,
        /// How long after its spawn.
        after: Duration,
    },
    /// An attempt of a job ended by itself before it was ready.
    EndedUnready {
        /// Of which job.
        job: &'world Job,
    },
    /// A snapshot of a job was taken.
    SnapshotTaken {
        /// Of which job.
        job: &'world Job,
        /// Where the image is.
        location: &'world str,
        /// Its size.
        bytes: u64,
    },
    /// A snapshot of a job was not taken.
    SnapshotFailed {
        /// Of which job.
        job: &'world Job,
        /// Why.
        message: &'world str,
    },
    /// A job is over.
    Finished {
        /// What became of it.
        report: &'world JobReport<'world>,
    },
    /// Something beside the jobs, in one line.
    Remark {
        /// What.
        text: &'world str,
    },
}

/// Shows what happens. Must not block for long: it is called between the attempts of all jobs.
pub trait Progress: Send + Sync {
    /// Shows one step.
    fn show(&self, step: &Step<'_>);

    /// Time has passed. Called several times a second.
    fn tick(&self) {}
}

/// A step in one line; nothing for one that earlier lines told already.
pub(super) fn line(step: &Step<'_>) -> Option<String> {
    match step {
        Step::Started { job, run, ordinal } => {
            Some(format!("{}: attempt {ordinal} started, run {run}", printable(&job.name)))
        }
        Step::Ended { job, ordinal, outcome, expected, elapsed, retries } => {
            let (name, ended) = (printable(&job.name), printable(&outcome_text(outcome)));
            let verdict = match (expected, retries) {
                (true, _) => String::new(),
                (false, false) => format!("; expected {}", job.expect),
                (false, true) => format!("; expected {}; trying again", job.expect),
            };
            Some(format!("{name}: attempt {ordinal} ended: {ended}, {}{verdict}", elapsed_text(*elapsed)))
        }
        Step::Waiting { job, on } => Some(format!("{}: waits on {}", printable(&job.name), printable(on))),
        Step::Resumed { job } => Some(format!("{}: goes on", printable(&job.name))),
        Step::Ready { job, after } => Some(format!("{}: ready after {}", printable(&job.name), elapsed_text(*after))),
        Step::EndedUnready { job } => Some(format!("{}: ended before it was ready", printable(&job.name))),
        Step::SnapshotTaken { job, location, bytes } => {
            Some(format!("{}: snapshot taken, {bytes} bytes in {}", printable(&job.name), printable(location)))
        }
        Step::SnapshotFailed { job, message } => {
            Some(format!("{}: snapshot FAILED: {}", printable(&job.name), printable(message)))
        }
        Step::Finished { report } => match &report.result {
            JobResult::Unrecorded(error) => {
                Some(format!("{}: {}", printable(&report.job.name), printable(&error.to_string())))
            }
            JobResult::Destroyed => Some(format!("{}: destroyed by an operator", printable(&report.job.name))),
            JobResult::Ended(_) | JobResult::NotBegun | JobResult::Left => None,
        },
        Step::Remark { text } => Some((*text).to_owned()),
    }
}

/// An outcome in a few words: `code 3`, `signal 9 (KILL)`, `not_found: program "x" is missing`.
pub(super) fn outcome_text(outcome: &Outcome) -> String {
    match (outcome.exit_status(), outcome.failure()) {
        (Some(status), _) => words::exit_status(status),
        (None, Some(failure)) => words::failed(failure),
        (None, None) => String::new(),
    }
}

/// A duration for people.
pub(super) fn elapsed_text(elapsed: Duration) -> String {
    human(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::{Exit, ExitStatus, Witness};

    use super::*;
    use crate::jobs::parse;

    #[test]
    fn every_step_is_one_line_that_cannot_play_with_the_terminal() {
        let text = "[jobs.\"b\u{202e}\"]\ncommand = [\"x\"]\nretries = 1\n";
        let job = parse(text.as_bytes()).unwrap().remove(0);
        let outcome = Outcome::Exited {
            exit: Exit { status: ExitStatus::Signal(9), witness: Witness::Waited, output: None },
            amended: None,
        };
        let ended = |expected, retries| Step::Ended {
            job: &job,
            ordinal: 1,
            outcome: &outcome,
            expected,
            elapsed: Duration::from_millis(1_500),
            retries,
        };
        let run = RunId::from_u128(1);
        for (step, expected) in [
            (
                Step::Started { job: &job, run, ordinal: 1 },
                "b\\u{202e}: attempt 1 started, run 00000000000000000000000001",
            ),
            (ended(true, false), "b\\u{202e}: attempt 1 ended: signal 9 (KILL), 1.5s"),
            (ended(false, false), "b\\u{202e}: attempt 1 ended: signal 9 (KILL), 1.5s; expected code 0"),
            (ended(false, true), "b\\u{202e}: attempt 1 ended: signal 9 (KILL), 1.5s; expected code 0; trying again"),
            (Step::Waiting { job: &job, on: "a\u{1b}[2J" }, "b\\u{202e}: waits on a\\u{1b}[2J"),
            (Step::Resumed { job: &job }, "b\\u{202e}: goes on"),
            (Step::Ready { job: &job, after: Duration::from_millis(120) }, "b\\u{202e}: ready after 120ms"),
            (Step::EndedUnready { job: &job }, "b\\u{202e}: ended before it was ready"),
            (
                Step::SnapshotTaken { job: &job, location: "snapshots/x", bytes: 7 },
                "b\\u{202e}: snapshot taken, 7 bytes in snapshots/x",
            ),
            (Step::SnapshotFailed { job: &job, message: "full" }, "b\\u{202e}: snapshot FAILED: full"),
            (Step::Remark { text: "stopping" }, "stopping"),
        ] {
            assert_eq!(line(&step).as_deref(), Some(expected));
        }
    }
}
