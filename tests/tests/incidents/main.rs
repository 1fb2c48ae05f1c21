//! The incidents that this project exists to make impossible, one module each.
//!
//! Every test plays the same ordered actions against Tachograph and against the [naive ledger](tachograph_tests::naive)
//! and shows both that the ledger ends up wrong in the way that was seen in the field, and that Tachograph does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

mod a1_reused_id;
mod a5_snapshot_nobody_cancels;
mod b10_double_resurrect;
mod b11_destroy_while_starting;
mod b12_name_reuse;
mod b1_duplicate_exit;
mod b5_late_start_after_stop;
mod b6_cancel_races;
mod b9_lost_answer;
