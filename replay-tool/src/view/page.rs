//! A page that was written.

use std::path::Path;

use serde::Serialize;

use crate::page::model::Page;

/// A page that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageView {
    /// Its file, as it was given.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// How many runs it shows.
    pub runs: usize,
    /// How many entries it shows.
    pub entries: usize,
    /// It shows entries after this position.
    pub after: u64,
    /// And up to this one.
    pub up_to: u64,
    /// Entries that were asked for and are left out, because there are too many.
    pub left_out: u64,
}

impl PageView {
    /// A page of so many bytes at a path.
    pub fn of(page: &Page, path: &Path, bytes: u64) -> Self {
        let (runs, entries) = (page.runs.name.len(), page.entries.len());
        let range = &page.range;
        let (after, up_to, left_out) = (range.after, range.up_to, range.left_out);
        Self { file: path.display().to_string(), bytes, runs, entries, after, up_to, left_out }
    }
}
