//! What the committer and the timekeeper count, through the `metrics` facade; without a recorder these are no-ops.

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

/// Snapshots and deadlines that are armed now.
pub(super) const ARMED: &str = "tachograph_timers_armed";
/// Places among the concurrent snapshots that are taken now.
pub(super) const IN_FLIGHT: &str = "tachograph_snapshots_in_flight";
/// Seconds by the wall clock from the time at which a snapshot was due until its dispatch was durable.
pub(super) const LATENESS: &str = "tachograph_snapshot_lateness_seconds";
/// Snapshots that were dispatched.
pub(super) const DISPATCHED: &str = "tachograph_snapshots_dispatched_total";
/// Dispatched snapshots whose image was recorded.
pub(super) const TAKEN: &str = "tachograph_snapshots_taken_total";
/// Dispatched snapshots that were recorded as failed.
pub(super) const FAILED: &str = "tachograph_snapshots_failed_total";

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

pub(super) fn timers(armed: usize, in_flight: usize) {
    metrics::gauge!(ARMED).set(armed as f64);
    metrics::gauge!(IN_FLIGHT).set(in_flight as f64);
}

pub(super) fn dispatched(late: Duration) {
    metrics::counter!(DISPATCHED).increment(1);
    metrics::histogram!(LATENESS).record(late.as_secs_f64());
}

pub(super) fn taken() {
    metrics::counter!(TAKEN).increment(1);
}

pub(super) fn failed() {
    metrics::counter!(FAILED).increment(1);
}
