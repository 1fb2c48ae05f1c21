//! Where to look when a job did not end as it expects.

use std::path::Path;

use tachograph_adapters::process::AttemptDirectory;
use tachograph_engine::domain::{Ordinal, Stream};

use super::schedule::JobReport;
use crate::table::printable;

/// So many jobs are told about; `tacho show` tells about the others.
const JOBS_MAX: usize = 20;
/// So many of a job's last lines are shown.
const LINES_MAX: usize = 5;

/// A few lines for each job that did not end as it expects and has files: where its last attempt's output is, and the
/// last lines of its standard error.
pub(super) fn text(reports: &[JobReport<'_>], runs: &Path) -> String {
    let unexpected = reports.iter().filter(|report| !report.is_expected());
    let mut told: Vec<String> = unexpected.filter_map(|report| tell(report, runs)).collect();
    let others = told.len().saturating_sub(JOBS_MAX);
    told.truncate(JOBS_MAX);
    if others > 0 {
        told.push(format!("{others} more did not end as expected: `tacho show JOB` tells where their output is\n"));
    }
    told.concat()
}

fn tell(report: &JobReport<'_>, runs: &Path) -> Option<String> {
    let directory = AttemptDirectory::of(runs, report.run?, Ordinal(report.attempts));
    let name = printable(&report.job.name);
    let [stdout, stderr] = [Stream::Stdout, Stream::Stderr].map(|stream| directory.output(stream));
    if !stdout.exists() && !stderr.exists() {
        return None;
    }
    let paths = [stdout, stderr].map(|path| printable(&path.display().to_string()));
    let lines = directory.last_lines(Stream::Stderr);
    let last = lines[lines.len().saturating_sub(LINES_MAX)..].iter();
    let shown: String = last.map(|line| format!("  stderr: {}\n", printable(line))).collect();
    Some(format!("{name}: output in {} and {}\n{shown}", paths[0], paths[1]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tachograph_engine::domain::{Diagnostics, Failure, FailureKind, Outcome, RunId};

    use super::*;
    use crate::jobs::parse;
    use crate::supervise::schedule::JobResult;

    #[test]
    fn only_so_many_jobs_are_told_about_and_none_without_files() {
        let runs = tempfile::tempdir().unwrap();
        let job = parse(b"[jobs.bad]\ncommand = [\"x\"]\n").unwrap().remove(0);
        let failure = |message: &str| Failure {
            kind: FailureKind::TimedOut,
            message: message.to_owned(),
            diagnostics: Diagnostics::default(),
        };
        let reports: Vec<_> = (0..JOBS_MAX as u128 + 3)
            .map(|number| JobReport {
                job: &job,
                run: Some(RunId::from_u128(number)),
                attempts: 1,
                result: JobResult::Ended(Outcome::Failed(failure("ran too long"))),
                elapsed: Duration::ZERO,
            })
            .collect();
        // The first has no files.
        for report in &reports[1..] {
            let directory = AttemptDirectory::of(runs.path(), report.run.unwrap(), Ordinal(1));
            std::fs::create_dir_all(directory.path()).unwrap();
            std::fs::write(directory.output(Stream::Stderr), "last words\n").unwrap();
        }
        let told = text(&reports, runs.path());
        assert_eq!(told.matches("\n  stderr: last words\n").count(), JOBS_MAX);
        assert!(!told.contains(&RunId::from_u128(0).to_string()), "{told}");
        assert!(told.ends_with("\n2 more did not end as expected: `tacho show JOB` tells where their output is\n"));
    }
}
