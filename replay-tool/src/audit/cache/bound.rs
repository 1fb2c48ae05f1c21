//! How much room filled tables take at most.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::{PLACE_DIGITS, locked, remove};

/// Journals whose tables are kept; of more, those that were used longest ago go.
pub(super) const JOURNALS_MAX: usize = 8;
/// The tables of one journal take at most this part of what is free on their disk with them gone.
const PART_OF_FREE: u64 = 4;
/// What is needed for each entry, so that it is not begun in vain: about what the questions with a name take.
const ENTRY_BYTES: u64 = 256;
/// Letters of the identity of a journal.
const JOURNAL_LETTERS: usize = 26;

/// Room for the tables of one journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bytes: u64,
}

impl Room {
    /// Whether tables over so many entries have room.
    pub(super) fn is_enough_for(self, entries: u64) -> bool {
        self.bytes >= entries.saturating_mul(ENTRY_BYTES)
    }
}

/// The room for tables that take so many bytes now. Where it cannot be told, none.
pub(super) fn room(stem: &Path, bytes_now: u64) -> Room {
    let free = rustix::fs::statvfs(stem.parent().unwrap_or(stem));
    let free = free.map_or(0, |free| free.f_bavail.saturating_mul(free.f_frsize));
    Room { bytes: free.saturating_add(bytes_now) / PART_OF_FREE }
}

/// Removes the tables of other journals that were used longest ago, so that there is a place for this one. What another process
/// uses stays.
pub(super) fn make_room(stem: &Path) {
    let mut others = others(stem);
    others.sort();
    let surplus = others.len().saturating_sub(JOURNALS_MAX - 1);
    for (_, other) in others.into_iter().take(surplus) {
        if let Ok(Some(_held)) = locked(&other, true) {
            remove(&other);
            let _ = std::fs::remove_file(other.with_extension("lock"));
        }
    }
}

/// The other journals with a file in the directory, each with when it was used last.
fn others(stem: &Path) -> Vec<(SystemTime, PathBuf)> {
    let listed = stem.parent().map(std::fs::read_dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = listed
        .filter_map(|item| Some(item.ok()?.path()))
        .filter(|path| is_ours(path))
        .map(|path| path.with_extension(""))
        .filter(|other| other != stem)
        .collect();
    found.sort();
    found.dedup();
    let used = |other: &Path| other.with_extension("lock").symlink_metadata().and_then(|found| found.modified());
    found.into_iter().map(|other| (used(&other).unwrap_or(SystemTime::UNIX_EPOCH), other)).collect()
}

/// Whether a file has a name as this program gives it: no other one is ever removed.
fn is_ours(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.split_once('-'));
    let has_ending = matches!(ending, Some("tables" | "tables-journal" | "card" | "card-draft" | "lock"));
    has_ending
        && stem.is_some_and(|(journal, place)| {
            let is_journal =
                journal.len() == JOURNAL_LETTERS && journal.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_journal && place.len() == PLACE_DIGITS && place.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}
