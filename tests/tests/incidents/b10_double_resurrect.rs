//! B10: two recovery loops see the same failed run and both resurrect it; or one does and crashes between the two
//! writes that it takes, and does it again.

use tachograph_engine::domain::{Event, FailureKind, Ordinal, StartMode, StatusName};
use tachograph_tests::naive::{Ledger, RowId};
use tachograph_tests::supervisor::{Expect, code, failure};
use tachograph_tests::{Place, Supervisor};

/// What each naive loop does once it has seen the parent failed.
fn resurrect(ledger: &mut Ledger, parent: RowId, crash_between: bool) {
    let child = ledger.insert("child", Some(parent));
    ledger.start(child, 700);
    if !crash_between {
        ledger.update(parent, |row| row.status = "resurrected");
    }
}

#[tokio::test]
async fn of_two_loops_one_opens_a_new_attempt() {
    let place = Place::new(120);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let mut ledger = Ledger::default();
    let run = supervisor.create(Some("job")).await;
    let failed = supervisor.start(run, "r1").await;
    supervisor.fail(&failed, failure(FailureKind::RunnerLost, "gone")).await.expect_written();
    let parent = ledger.insert("job", None);
    ledger.start_failed(parent, "gone");

    // Both look, then both act.
    let seen = [supervisor.record(run).await, supervisor.record(run).await];
    let previous = seen.map(|record| record.run.attempt.as_ref().unwrap().id);
    let claims = [supervisor.claim(run, "r2"), supervisor.claim(run, "r3")];
    let answers = [
        supervisor.submit(supervisor.starting(&claims[0], StartMode::Restart { previous: previous[0] })).await,
        supervisor.submit(supervisor.starting(&claims[1], StartMode::Restart { previous: previous[1] })).await,
    ];
    let both_saw = [ledger.select(parent).unwrap().status, ledger.select(parent).unwrap().status];
    for status in both_saw {
        if status == "failed" {
            resurrect(&mut ledger, parent, false);
        }
    }
    assert_eq!(ledger.children(parent).len(), 2, "naive: two children");

    answers[0].expect_written();
    answers[1].expect_refused("stale_attempt");
    let record = supervisor.record(run).await;
    let attempt = record.run.attempt.as_ref().unwrap();
    assert_eq!((attempt.id, attempt.ordinal), (claims[0].attempt, Ordinal(2)));
    assert_eq!(supervisor.refusals(run).await, ["stale_attempt"]);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_crash_in_the_middle_leaves_one_attempt_that_the_retry_finds() {
    let place = Place::new(121);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let mut ledger = Ledger::default();
    let run = supervisor.create(Some("job")).await;
    let failed = supervisor.start(run, "r1").await;
    supervisor.fail(&failed, failure(FailureKind::RunnerLost, "gone")).await.expect_written();
    let parent = ledger.insert("job", None);
    ledger.start_failed(parent, "gone");

    // The loop restarts the run and crashes before it gets any further.
    let claim = supervisor.claim(run, "r2");
    let restart = supervisor.starting(&claim, StartMode::Restart { previous: failed.attempt });
    let written = supervisor.submit(restart.clone()).await.expect_written();
    resurrect(&mut ledger, parent, true);
    let crashed = place.crashed();
    engine.close().await.unwrap();
    ledger.crash_and_restart();
    let (engine, report) = crashed.open().await;
    let supervisor = Supervisor::of(&engine);

    // Recovery runs it again: the same intention, and another loop with one of its own.
    assert_eq!(report.open_runs, [run]);
    assert_eq!(supervisor.submit(restart).await.expect_duplicate(), written);
    let other = supervisor.claim(run, "r3");
    let again = supervisor.starting(&other, StartMode::Restart { previous: failed.attempt });
    supervisor.submit(again).await.expect_refused("stale_attempt");
    if ledger.select(parent).unwrap().status == "failed" {
        resurrect(&mut ledger, parent, false);
    }
    assert_eq!(ledger.children(parent).len(), 2, "naive: two children");

    let starts = supervisor.events(run).await.iter().filter(|event| matches!(event, Event::Started { .. })).count();
    assert_eq!(starts, 2, "the first attempt and the one new");
    supervisor.exit(&claim, code(0)).await.expect_written();
    assert_eq!(supervisor.status(run).await, StatusName::Exited);
    engine.close().await.unwrap();
}
