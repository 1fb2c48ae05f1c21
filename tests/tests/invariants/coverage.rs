//! That the walks go everywhere. An invariant over walks that never get anywhere would hold without a guard.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tachograph_engine::domain::{Event, StatusName};
use tachograph_tests::cases::for_so_many;
use tachograph_tests::walk::{Answer, walks};

use super::{CASES, STEPS};

/// Every event, by name.
const EVENTS: [&str; 14] = [
    "Created",
    "Started",
    "Waiting",
    "Exited",
    "Failed",
    "Destroyed",
    "SnapshotScheduled",
    "SnapshotCanceled",
    "SnapshotDispatched",
    "SnapshotTaken",
    "SnapshotFailed",
    "RunnerDisconnected",
    "ExitAmended",
    "Reconciled",
];

/// Every refusal, by code, but `attempts_exhausted`: that takes ten thousand attempts, and has a test of its own.
const REFUSALS: [&str; 18] = [
    "unknown_run",
    "run_exists",
    "run_destroyed",
    "stale_attempt",
    "wrong_runner",
    "illegal_transition",
    "conflicting_terminal",
    "version_conflict",
    "invalid_input",
    "name_held",
    "force_required",
    "nothing_pending",
    "not_owner",
    "already_dispatched",
    "snapshot_gone",
    "not_due",
    "already_disconnected",
    "not_amendable",
];

const CAUSES: [&str; 8] = [
    "asked_by_runner",
    "asked_unconditionally",
    "run_ended",
    "runner_disconnected",
    "superseded",
    "resumed",
    "taken_over",
    "destroyed",
];

/// Each of them at least so often in all walks together.
const AT_LEAST: u64 = 20;

#[test]
fn the_walks_go_everywhere() {
    let seen: RefCell<BTreeMap<String, u64>> = RefCell::default();
    let saw = |what: String| *seen.borrow_mut().entry(what).or_default() += 1;
    for_so_many(CASES * 2, &walks(STEPS), |walk| {
        for step in &walk.steps {
            saw("step".to_owned());
            match &step.answer {
                Answer::Written(_) => saw("written".to_owned()),
                Answer::AlreadyRecorded => saw("already recorded".to_owned()),
                Answer::Refused(refusal) => saw(format!("refused {}", refusal.code())),
                Answer::Duplicate(_) => saw("duplicate".to_owned()),
            }
            if step.reopened && matches!(step.answer, Answer::Duplicate(_)) {
                saw("duplicate right after reopening".to_owned());
            }
            for event in step.events() {
                saw(format!("event {}", event.name().name()));
                if let Event::SnapshotCanceled { cause, .. } = event {
                    saw(format!("cause {}", cause.name()));
                }
            }
            for (_, state) in step.after.runs() {
                let Some(run) = state.run() else { continue };
                saw(format!("status {}", run.status.name()));
                if run.attempt.as_ref().is_some_and(|attempt| attempt.ordinal.0 >= 5) {
                    saw("fifth attempt".to_owned());
                }
            }
        }
        Ok(())
    });
    let seen = seen.into_inner();
    let expected = EVENTS
        .map(|name| format!("event {name}"))
        .into_iter()
        .chain(REFUSALS.map(|code| format!("refused {code}")))
        .chain(CAUSES.map(|cause| format!("cause {cause}")))
        .chain(StatusName::ALL.map(|status| format!("status {status}")))
        .chain(
            ["already recorded", "duplicate", "duplicate right after reopening", "fifth attempt"].map(str::to_owned),
        );
    for what in expected {
        let times = seen.get(&what).copied().unwrap_or(0);
        assert!(times >= AT_LEAST, "{what}: {times} times; seen: {seen:#?}");
    }
    assert!(seen["written"] * 10 >= seen["step"] * 4, "too few commands are legal: {seen:#?}");
}
