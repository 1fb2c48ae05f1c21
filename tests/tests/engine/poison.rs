//! After a failed append nothing is acknowledged until the journal is opened again, and nothing acknowledged is lost.

use std::time::Duration;

use tachograph_engine::domain::Position;
use tachograph_engine::ports::JournalError;
use tachograph_engine::shell::{Engine, Options, SubmitError, SubscriptionError};
use tachograph_tests::gate::Break;
use tachograph_tests::supervisor::Expect;
use tachograph_tests::{Gate, Place, Supervisor};

async fn gated(place: &Place) -> (Supervisor, Gate) {
    let gate = Gate::default();
    let mut parts = place.parts().unwrap();
    parts.journal = gate.before(parts.journal);
    let (engine, _) = Engine::open(parts, Options::default()).await.unwrap();
    (Supervisor { engine }, gate)
}

#[tokio::test]
async fn everybody_is_told_and_reopening_finds_all_that_was_acknowledged() {
    for (seed, when) in [(40, Break::Before), (41, Break::After)] {
        let place = Place::new(seed);
        let (supervisor, gate) = gated(&place).await;
        let kept = supervisor.creation(Some("kept"));
        let acknowledged = supervisor.submit(kept.clone()).await.expect_written();
        gate.hold();
        gate.break_next(when);
        let doomed = supervisor.creation(Some("doomed"));
        let in_flight = supervisor.engine.try_submit(doomed.clone()).unwrap();
        gate.until_waiting().await;
        let queued: Vec<_> = (0..5).map(|_| supervisor.engine.try_submit(supervisor.creation(None)).unwrap()).collect();
        gate.release();
        assert!(matches!(in_flight.await, Err(SubmitError::Journal(JournalError::Io { .. }))));
        for pending in queued {
            assert!(matches!(pending.await, Err(SubmitError::Journal(JournalError::Poisoned { .. }))));
        }
        let late = supervisor.engine.submit(supervisor.creation(None)).await.unwrap_err();
        assert_eq!((late.code(), late.http_status()), ("poisoned", 503));
        assert!(matches!(supervisor.engine.close().await, Err(JournalError::Poisoned { .. })));
        assert_eq!(supervisor.record(kept.run).await.run.id, kept.run, "reading goes on");

        // The old handle is still there; the lock is not.
        let (engine, report) = place.open().await;
        assert!(!report.opening.clean, "a poisoned journal was not closed");
        let reopened = Supervisor::of(&engine);
        assert_eq!(reopened.submit(kept).await.expect_duplicate(), acknowledged);
        let retried = reopened.submit(doomed.clone()).await;
        match when {
            Break::Before | Break::Full => drop(retried.expect_written()),
            Break::After | Break::Twice => drop(retried.expect_duplicate()),
        }
        assert_eq!(reopened.history(doomed.run).await.len(), 1, "{when:?}: written once");
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_subscriber_gets_what_is_durable_and_then_learns_that_it_is_over() {
    let place = Place::new(42);
    let (supervisor, gate) = gated(&place).await;
    let run = supervisor.create(None).await;
    let mut subscription = supervisor.engine.subscribe(Position(1));
    assert_eq!(subscription.next().await.unwrap().run(), Some(run));
    gate.break_next(Break::Before);
    supervisor.engine.submit(supervisor.creation(None)).await.unwrap_err();
    // The time is there only so that a subscriber who is told nothing fails the test instead of stopping it.
    let over = tokio::time::timeout(Duration::from_secs(60), subscription.next()).await.expect("it is told");
    assert!(matches!(over, Err(SubscriptionError::Closed)));
}

#[tokio::test]
async fn a_full_disk_is_told_as_what_it_is_to_everybody() {
    let place = Place::new(48);
    let (supervisor, gate) = gated(&place).await;
    gate.break_next(Break::Full);
    for _ in 0..3 {
        let error = supervisor.engine.submit(supervisor.creation(None)).await.unwrap_err();
        assert_eq!(error.code(), "disk_full", "there is something to do about it: {error}");
    }
    assert!(matches!(supervisor.engine.close().await, Err(JournalError::Full { .. })));
}
