//! Subscriptions catch up and go on live, without gap or double, and never hold up the committer.

use std::time::Duration;

use futures::FutureExt;
use tachograph_engine::domain::{EntryBody, Position, SystemFact};
use tachograph_engine::shell::{Engine, Options, Subscription, SubscriptionError};
use tachograph_tests::Supervisor;
use tachograph_tests::place::{in_memory, memory_parts};
use tachograph_tests::supervisor::{Expect, code};

use crate::queue::gated;

/// Everything up to the end, with the number of times that it lagged.
async fn drain(mut subscription: Subscription) -> (Vec<Position>, bool, u32) {
    let (mut positions, mut closed, mut lagged) = (Vec::new(), false, 0);
    loop {
        match subscription.next().await {
            Ok(entry) => {
                closed = matches!(entry.body, EntryBody::System(SystemFact::Closed(_)));
                positions.push(entry.position);
            }
            Err(SubscriptionError::Lagged { .. }) => lagged += 1,
            Err(SubscriptionError::Closed) => return (positions, closed, lagged),
            Err(SubscriptionError::Journal(error)) => panic!("{error}"),
        }
    }
}

fn contiguous(positions: &[Position], after: u64) -> bool {
    positions.iter().zip(after + 1..).all(|(position, expected)| position.0 == expected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_concurrent_writers_there_is_no_gap_and_no_double_and_closed_comes_last() {
    for feed_max in [2, 8_192] {
        let (engine, _) = Engine::open(memory_parts(60), Options { feed_max, ..Options::default() }).await.unwrap();
        let supervisor = Supervisor { engine };
        // More than is read at a time while catching up.
        for _ in 0..300 {
            supervisor.create(None).await;
        }
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let supervisor = supervisor.clone();
                tokio::spawn(async move {
                    for _ in 0..60 {
                        let run = supervisor.create(None).await;
                        let claim = supervisor.start(run, "r1").await;
                        supervisor.exit(&claim, code(0)).await.expect_written();
                    }
                })
            })
            .collect();
        let readers: Vec<_> = [0, 1, 150, 301, 700]
            .map(|after| (after, tokio::spawn(drain(supervisor.engine.subscribe(Position(after))))))
            .into();
        for writer in writers {
            writer.await.unwrap();
        }
        supervisor.engine.close().await.unwrap();
        let head = supervisor.engine.head().position.0;
        assert_eq!(head, 1 + 300 + 4 * 60 * 3 + 1);
        for (after, reader) in readers {
            let (positions, closed, _) = reader.await.unwrap();
            assert!(contiguous(&positions, after), "feed {feed_max}, after {after}: {positions:?}");
            assert_eq!(positions.len() as u64, head - after, "feed {feed_max}, after {after}");
            assert!(closed, "the last entry is the Closed fact");
        }
    }
}

/// What becomes durable after the files were read to their end and before the subscriber follows live is not lost.
#[tokio::test]
async fn between_catching_up_and_following_live_nothing_is_missed() {
    let (supervisor, gate) = gated(64, Options::default()).await;
    let mut subscription = supervisor.engine.subscribe(Position(1));
    gate.hold_ends();
    let next = tokio::spawn(async move { subscription.next().await });
    gate.until_end_waiting().await;
    let (position, _) = supervisor.submit(supervisor.creation(None)).await.expect_written();
    gate.release_ends();
    // The time is there only so that a subscriber who missed it fails the test instead of stopping it.
    let next = tokio::time::timeout(Duration::from_secs(60), next).await.expect("it is not missed");
    assert_eq!(next.unwrap().unwrap().position, position);
}

#[tokio::test]
async fn a_slow_subscriber_is_told_that_it_lagged_and_then_loses_nothing() {
    let (engine, _) = Engine::open(memory_parts(61), Options { feed_max: 4, ..Options::default() }).await.unwrap();
    let supervisor = Supervisor { engine };
    let mut subscription = supervisor.engine.subscribe(Position::ZERO);
    assert_eq!(subscription.next().await.unwrap().position, Position(1));
    assert!(subscription.next().now_or_never().is_none(), "it follows live");
    for _ in 0..20 {
        supervisor.create(None).await;
    }
    match subscription.next().await {
        Err(SubscriptionError::Lagged { missed }) => assert_eq!(missed, 16),
        other => panic!("{other:?}"),
    }
    assert_eq!(subscription.position(), Position(1));
    for position in 2..=21 {
        assert_eq!(subscription.next().await.unwrap().position, Position(position));
    }
    assert!(subscription.next().now_or_never().is_none(), "it follows live again");
    let (position, _) = supervisor.submit(supervisor.creation(None)).await.expect_written();
    assert_eq!(subscription.next().await.unwrap().position, position);
}

#[tokio::test]
async fn a_subscriber_that_reads_nothing_holds_up_nobody() {
    let (engine, _) = Engine::open(memory_parts(62), Options { feed_max: 1, ..Options::default() }).await.unwrap();
    let supervisor = Supervisor { engine };
    let mut idle = supervisor.engine.subscribe(Position(1));
    assert!(idle.next().now_or_never().is_none());
    for _ in 0..1_000 {
        supervisor.create(None).await;
    }
    supervisor.engine.close().await.unwrap();
    let (positions, closed, lagged) = drain(idle).await;
    assert!(contiguous(&positions, 1) && closed);
    assert_eq!((positions.len(), lagged), (1_001, 1));
}

#[tokio::test]
async fn after_close_a_subscription_still_delivers_the_past() {
    let engine = in_memory(63).await;
    let supervisor = Supervisor { engine };
    supervisor.create(None).await;
    supervisor.engine.close().await.unwrap();
    let (positions, closed, lagged) = drain(supervisor.engine.subscribe(Position::ZERO)).await;
    assert_eq!((positions.len(), closed, lagged), (3, true, 0));
}
