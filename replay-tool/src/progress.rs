//! Progress that only a terminal on standard error shows.

use indicatif::{ProgressBar, ProgressStyle};

/// Less than this is done before anybody wonders.
const BYTES_MIN: u64 = 16 << 20;
const ENTRIES_MIN: u64 = 50_000;

/// A progress bar; gone when it is dropped.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// From where on it is shown.
    shown_from: u64,
    length: Option<u64>,
}

impl Bar {
    /// Over a file of so many bytes, if that is known.
    pub fn of_bytes(what: &'static str, length: Option<u64>) -> Self {
        let template = if length.is_some() {
            "{msg} {bar:40} {bytes}/{total_bytes}, {eta} to go"
        } else {
            "{msg} {spinner} {bytes}, {elapsed}"
        };
        Self::with(template, what, BYTES_MIN, length)
    }

    /// One that nobody sees.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), shown_from: 0, length: None }
    }

    /// Over so many entries.
    pub fn of_entries(what: &'static str, length: u64) -> Self {
        Self::with("{msg} {bar:40} {pos}/{len} entries, {eta} to go", what, ENTRIES_MIN, Some(length))
    }

    fn with(template: &str, what: &'static str, shown_from: u64, length: Option<u64>) -> Self {
        if length.is_some_and(|length| length < shown_from) {
            return Self::hidden();
        }
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: ProgressBar::no_length().with_style(style).with_message(what), shown_from, length }
    }

    /// So much is done.
    pub fn reached(&self, done: u64) {
        if self.length.unwrap_or(done) < self.shown_from {
            return;
        }
        if let Some(length) = self.length {
            self.bar.set_length(length);
        }
        self.bar.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
