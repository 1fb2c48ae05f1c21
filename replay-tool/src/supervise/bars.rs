//! Live progress on a terminal: a line per running job and one for all.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::{Progress, Step, line};
use super::screen::Screen;
use crate::jobs::Job;
use crate::remarks::{begin_picture, end_picture, line_above, lines_above, until_drawn};
use crate::table::printable;

/// How often the picture is drawn at most, unless lines come above it.
const DRAWN_PER_SECOND: u8 = 20;

/// Bars on standard error, which must be a terminal. They are gone when this is dropped; the lines above them stay.
///
/// Nothing waits for the terminal: while it stands still nothing is drawn, and lines are kept up to a bound. When it goes on
/// the picture is that of then. Only at last, when this is dropped, it is waited for.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    jobs: Mutex<Jobs>,
}

/// What the picture shall show, whether or not it can be drawn now.
#[derive(Debug, Default)]
struct Jobs {
    /// By name, which is unique within a file.
    running: BTreeMap<String, Running>,
    /// Bars of those that are over.
    over: Vec<ProgressBar>,
    finished: u64,
}

#[derive(Debug)]
struct Running {
    text: String,
    since: Instant,
    /// Once it was drawn.
    bar: Option<ProgressBar>,
}

impl Jobs {
    fn begin(&mut self, job: &Job, ordinal: u32) {
        let attempt = if ordinal > 1 { format!(", attempt {ordinal}") } else { String::new() };
        let text = format!("{}{attempt}", printable(&job.name));
        let bar = self.running.remove(&job.name).and_then(|former| former.bar);
        if let Some(bar) = &bar {
            bar.reset_elapsed();
        }
        self.running.insert(job.name.clone(), Running { text, since: Instant::now(), bar });
    }

    fn say(&mut self, job: &Job, what: &str) {
        if let Some(running) = self.running.get_mut(&job.name) {
            running.text = format!("{}{what}", printable(&job.name));
        }
    }

    fn end(&mut self, job: &Job) {
        self.over.extend(self.running.remove(&job.name).and_then(|running| running.bar));
        self.finished += 1;
    }
}

impl Bars {
    /// Bars for so many jobs.
    pub(super) fn for_jobs(count: usize) -> Self {
        begin_picture();
        let target = ProgressDrawTarget::term_like_with_hz(Box::<Screen>::default(), DRAWN_PER_SECOND);
        let all = MultiProgress::with_draw_target(target);
        let total = all.add(ProgressBar::new(u64::try_from(count).unwrap_or(u64::MAX)));
        total.set_style(style("{bar:30} {pos}/{len} jobs, {elapsed}"));
        total.tick();
        Self { all, total, jobs: Mutex::default() }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // They are whole between any two statements, so whoever panicked has broken nothing.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws what there is to show by now, if the terminal has taken all that was drawn before.
    fn draw(&self, is_tick: bool) {
        let Some(lines) = lines_above() else { return };
        let mut jobs = self.jobs();
        jobs.over.drain(..).for_each(|bar| bar.finish_and_clear());
        if !lines.is_empty() {
            // If the terminal is gone, the jobs go on all the same.
            let _ = self.all.println(lines.trim_end_matches('\n'));
        }
        for running in jobs.running.values_mut() {
            let Running { text, since, bar } = running;
            let bar = bar.get_or_insert_with(|| {
                let bar = ProgressBar::new_spinner().with_style(style("{spinner} {msg}, {elapsed}"));
                self.all.insert_before(&self.total, bar.with_elapsed(since.elapsed()))
            });
            if bar.message() != *text {
                bar.set_message(text.clone());
            }
            if is_tick {
                bar.tick();
            }
        }
        if self.total.position() != jobs.finished {
            self.total.set_position(jobs.finished);
        }
        if is_tick {
            self.total.tick();
        }
    }
}

impl Progress for Bars {
    fn show(&self, step: &Step<'_>) {
        // The bar says that a job runs or waits; what becomes of it stays above the bars.
        if !matches!(step, Step::Started { .. } | Step::Waiting { .. } | Step::Resumed { .. })
            && let Some(line) = line(step)
        {
            line_above(&line);
        }
        match step {
            Step::Started { job, ordinal, .. } => self.jobs().begin(job, *ordinal),
            Step::Finished { report } => self.jobs().end(report.job),
            Step::Waiting { job, on } => self.jobs().say(job, &format!(", waits on {}", printable(on))),
            Step::Resumed { job } => self.jobs().say(job, ""),
            Step::Ready { .. } | Step::EndedUnready { .. } => {}
            Step::Ended { .. } | Step::SnapshotTaken { .. } | Step::SnapshotFailed { .. } | Step::Remark { .. } => {}
        }
        self.draw(false);
    }

    fn tick(&self) {
        self.draw(true);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        until_drawn();
        self.draw(false);
        until_drawn();
        self.total.finish_and_clear();
        let _ = self.all.clear();
        until_drawn();
        end_picture();
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
