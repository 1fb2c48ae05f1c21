//! The incidents that this project exists to make impossible, one module each.
//!
//! Every test plays the same ordered actions against Tachograph and against the [naive ledger](tachograph_tests::naive)
//! and shows both that the ledger ends up wrong in the way that was seen in the field, and that Tachograph does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

mod a1_reused_id;
mod a2_stale_file;
mod a3_end_before_output;
mod a4_failed_start;
mod a5_snapshot_nobody_cancels;
mod b10_double_resurrect;
mod b11_destroy_while_starting;
mod b12_name_reuse;
mod b1_duplicate_exit;
mod b2_pid_reused;
mod b3_no_witness;
mod b4_failure_kept;
mod b5_late_start_after_stop;
mod b6_cancel_races;
mod b7_rearmed_at_boot;
mod b8_stalled_loop;
mod b9_lost_answer;
