//! The bounded queue, group commit and close.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tachograph_adapters::clock::ManualClock;
use tachograph_engine::domain::{EntryBody, Position, SystemFact};
use tachograph_engine::shell::{Engine, Options, SubmitError};
use tachograph_tests::place::{BEGIN, memory_parts};
use tachograph_tests::supervisor::Expect;
use tachograph_tests::{Gate, Supervisor};

pub(crate) async fn gated(seed: u64, options: Options) -> (Supervisor, Gate) {
    let gate = Gate::default();
    let mut parts = memory_parts(seed);
    parts.journal = gate.before(parts.journal);
    let (engine, _) = Engine::open(parts, options).await.unwrap();
    (Supervisor { engine }, gate)
}

#[tokio::test]
async fn a_full_queue_refuses_try_submit_and_makes_submit_wait() {
    let (supervisor, gate) = gated(1, Options { queue_max: 2, ..Options::default() }).await;
    gate.hold();
    let taken = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let queued = [(); 2].map(|()| supervisor.engine.try_submit(supervisor.creation(None)).unwrap());
    assert!(matches!(supervisor.engine.try_submit(supervisor.creation(None)), Err(SubmitError::QueueFull)));
    let mut waiting = Box::pin(supervisor.engine.submit(supervisor.creation(None)));
    assert!((&mut waiting).now_or_never().is_none(), "submit waits for a place");
    gate.release();
    let mut positions = vec![taken.await.unwrap().expect_written().0];
    for pending in queued {
        positions.push(pending.await.unwrap().expect_written().0);
    }
    positions.push(waiting.await.unwrap().expect_written().0);
    assert!(positions.is_sorted(), "the queue's order is the journal's: {positions:?}");
}

#[tokio::test]
async fn what_queues_up_during_a_commit_is_the_next_batch() {
    let (supervisor, gate) = gated(2, Options::default()).await;
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let pending: Vec<_> = (0..100).map(|_| supervisor.engine.try_submit(supervisor.creation(None)).unwrap()).collect();
    gate.release();
    plug.await.unwrap().expect_written();
    for pending in pending {
        pending.await.unwrap().expect_written();
    }
    // The first batch is the engine's own `Opened`.
    assert_eq!(gate.batches(), [1, 1, 100]);
}

#[tokio::test]
async fn a_batch_is_no_larger_than_its_bound() {
    let (supervisor, gate) = gated(3, Options { batch_max: 7, ..Options::default() }).await;
    gate.hold();
    let pending: Vec<_> = (0..50).map(|_| supervisor.engine.try_submit(supervisor.creation(None)).unwrap()).collect();
    gate.release();
    for pending in pending {
        pending.await.unwrap().expect_written();
    }
    assert!(gate.batches().iter().all(|entries| *entries <= 7), "{:?}", gate.batches());
}

#[tokio::test]
async fn close_answers_what_is_queued_then_writes_closed_and_refuses_the_rest() {
    let (supervisor, gate) = gated(4, Options::default()).await;
    gate.hold();
    let before: Vec<_> = (0..10).map(|_| supervisor.engine.try_submit(supervisor.creation(None)).unwrap()).collect();
    let mut close = Box::pin(supervisor.engine.close());
    assert!((&mut close).now_or_never().is_none());
    let after = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.release();
    close.await.unwrap();
    for pending in before {
        pending.await.unwrap().expect_written();
    }
    assert!(matches!(after.await, Err(SubmitError::Closed)), "it came after the close");
    let late = supervisor.engine.submit(supervisor.creation(None)).await;
    assert!(matches!(late, Err(SubmitError::Closed)));
    assert!(matches!(supervisor.engine.try_submit(supervisor.creation(None)), Err(SubmitError::Closed)));
    supervisor.engine.close().await.expect("closing again is no error");
    let entries = supervisor.entries().await;
    assert_eq!(entries.len(), 12);
    assert!(matches!(entries[0].body, EntryBody::System(SystemFact::Opened(_))));
    assert!(matches!(entries[11].body, EntryBody::System(SystemFact::Closed(_))));
    assert!(entries.iter().zip(1..).all(|(entry, position)| entry.position == Position(position)));
}

#[tokio::test]
async fn dropping_the_last_handle_closes() {
    let engine = tachograph_tests::place::in_memory(5).await;
    let mut subscription = engine.subscribe(Position(1));
    drop(engine);
    let closed = subscription.next().await.unwrap();
    assert!(matches!(closed.body, EntryBody::System(SystemFact::Closed(_))));
}

/// A clock that stands still while the committer waits a little for a batch to fill does not stop it for ever.
#[tokio::test]
async fn a_clock_that_stands_still_holds_up_no_batch() {
    let clock = ManualClock::new(BEGIN);
    let gate = Gate::default();
    let mut parts = memory_parts(6);
    parts.clock = Arc::new(clock.clone());
    parts.journal = gate.before(parts.journal);
    let (engine, _) = Engine::open(parts, Options::default()).await.unwrap();
    let supervisor = Supervisor { engine };
    // A batch of ten, of which the next one falls short, and a commit that takes five seconds.
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let batch: Vec<_> = (0..10).map(|_| supervisor.engine.try_submit(supervisor.creation(None)).unwrap()).collect();
    clock.advance(Duration::from_secs(5));
    gate.release();
    for pending in std::iter::once(plug).chain(batch) {
        pending.await.unwrap().expect_written();
    }
    // The time is there only so that a committer that waits for ever fails the test instead of stopping it.
    let answer = tokio::time::timeout(Duration::from_secs(60), supervisor.submit(supervisor.creation(None))).await;
    answer.expect("it is committed").expect_written();
}
