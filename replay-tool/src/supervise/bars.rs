//! Live progress on a terminal: a line per running job and one for all.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::progress::{Progress, Step, line};
use crate::jobs::Job;
use crate::table::printable;

/// Bars on standard error, which must be a terminal. They are gone when this is dropped; the lines above them stay.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    /// By name, which is unique within a file.
    running: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    /// Bars for so many jobs.
    pub(super) fn for_jobs(count: usize) -> Self {
        let all = MultiProgress::new();
        let total = all.add(ProgressBar::new(u64::try_from(count).unwrap_or(u64::MAX)));
        total.set_style(style("{bar:30} {pos}/{len} jobs, {elapsed}"));
        total.tick();
        Self { all, total, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, ProgressBar>> {
        // The map is whole between any two statements, so whoever panicked has broken nothing.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, job: &Job, what: &str) {
        if let Some(bar) = self.running().get(&job.name) {
            bar.set_message(format!("{}{what}", printable(&job.name)));
        }
    }

    fn begin(&self, job: &Job, ordinal: u32) {
        let mut running = self.running();
        let bar = running.entry(job.name.clone()).or_insert_with(|| {
            let bar = self.all.insert_before(&self.total, ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {msg}, {elapsed}"));
            bar
        });
        let attempt = if ordinal > 1 { format!(", attempt {ordinal}") } else { String::new() };
        bar.reset_elapsed();
        bar.set_message(format!("{}{attempt}", printable(&job.name)));
    }

    fn end(&self, job: &Job) {
        if let Some(bar) = self.running().remove(&job.name) {
            bar.finish_and_clear();
        }
        self.total.inc(1);
    }
}

impl Progress for Bars {
    fn show(&self, step: &Step<'_>) {
        // The bar says that a job runs or waits; what becomes of it stays above the bars.
        if !matches!(step, Step::Started { .. } | Step::Waiting { .. } | Step::Resumed { .. })
            && let Some(line) = line(step)
        {
            // If the terminal is gone, the jobs go on all the same.
            let _ = self.all.println(line);
        }
        match step {
            Step::Started { job, ordinal, .. } => self.begin(job, *ordinal),
            Step::Finished { report } => self.end(report.job),
            Step::Waiting { job, on } => self.say(job, &format!(", waits on {}", printable(on))),
            Step::Resumed { job } => self.say(job, ""),
            Step::Ready { .. } | Step::EndedUnready { .. } => {}
            Step::Ended { .. } | Step::SnapshotTaken { .. } | Step::SnapshotFailed { .. } | Step::Remark { .. } => {}
        }
    }

    fn tick(&self) {
        self.running().values().for_each(ProgressBar::tick);
        self.total.tick();
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.total.finish_and_clear();
        let _ = self.all.clear();
    }
}

/// The style of a template that is part of this file; the default one if that should not parse.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_parse() {
        for template in ["{bar:30} {pos}/{len} jobs, {elapsed}", "{spinner} {msg}, {elapsed}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
