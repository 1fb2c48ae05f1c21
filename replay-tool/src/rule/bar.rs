//! How far a replay is.

use indicatif::{ProgressBar, ProgressStyle};
use tachograph_engine::domain::Position;

/// Journals with fewer entries are replayed before anybody wonders.
const PROGRESS_ENTRIES_MIN: u64 = 100_000;
/// Entries between two looks at the bar.
const ENTRIES_PER_LOOK: u64 = 4_096;

/// A progress bar that only a terminal on standard error shows.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Before the first entry of a journal with this end.
    pub(super) fn up_to(end: Position) -> Self {
        if end.0 < PROGRESS_ENTRIES_MIN {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("deciding again {bar:40} {pos}/{len} entries, {eta} to go");
        Self(ProgressBar::new(end.0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// This entry is done.
    pub(super) fn at(&self, position: Position) {
        if position.0.is_multiple_of(ENTRIES_PER_LOOK) {
            self.0.set_position(position.0);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
