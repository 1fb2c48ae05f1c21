//! What the committer counts, through the `metrics` facade; without a recorder these are no-ops.

use std::time::Duration;

use crate::domain::Refusal;

/// Entries that became durable.
pub(super) const APPENDED: &str = "tachograph_entries_appended_total";
/// Commands that were refused, recorded or not, by `reason`.
pub(super) const REFUSED: &str = "tachograph_commands_refused_total";
/// Commands that were answered as duplicates.
pub(super) const DUPLICATES: &str = "tachograph_commands_duplicate_total";
/// Entries per commit.
pub(super) const BATCH: &str = "tachograph_commit_entries";
/// Seconds from handing a batch to the journal until it was durable.
pub(super) const SYNC: &str = "tachograph_commit_seconds";

pub(super) fn committed(entries: usize, took: Duration) {
    metrics::counter!(APPENDED).increment(entries as u64);
    metrics::histogram!(BATCH).record(entries as f64);
    metrics::histogram!(SYNC).record(took.as_secs_f64());
}

pub(super) fn refused(refusal: &Refusal) {
    metrics::counter!(REFUSED, "reason" => refusal.code()).increment(1);
}

pub(super) fn duplicate() {
    metrics::counter!(DUPLICATES).increment(1);
}
