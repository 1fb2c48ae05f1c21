//! The design's invariants over random walks through the lives of a few runs, at the level of the domain.
//!
//! | module | invariant |
//! | --- | --- |
//! | `isolation` | 1: an event of one attempt changes nothing of another attempt or run |
//! | `terminals` | 3: at most one end per attempt, the first one; 4: `Destroyed` is final |
//! | `retries` | 5: a retried command is written at most once, also after reopening; 8: refusals change nothing |
//! | `snapshots` | 6: canceled means never dispatched, dispatched means once, none is lost; 7: who may cancel |
//! | `replay` | 9 and 10 for what was written: the same states, and the same answers |
//! | `coverage` | that the walks go everywhere, so that the others mean something |
//!
//! Every one is tried on `TACHO_CASES` walks from `TACHO_SEED`.

mod coverage;
mod isolation;
mod replay;
mod retries;
mod snapshots;
mod terminals;

use proptest::test_runner::TestCaseError;
use tachograph_tests::cases::for_all;
use tachograph_tests::walk::{Walk, walks};

/// Enough for every guard of the domain to be missed when it is gone.
const CASES: u32 = 500;
const STEPS: usize = 80;

type Checked = Result<(), TestCaseError>;

/// The property holds for every walk.
#[track_caller]
fn for_all_walks(property: impl Fn(&Walk) -> Checked) {
    for_all(CASES, &walks(STEPS), |walk| property(&walk));
}

fn failed(why: &str) -> TestCaseError {
    TestCaseError::fail(why.to_owned())
}
