//! Refusals are recorded, change nothing (invariant 8), and cannot fill the disk.

use tachograph_engine::domain::{EntryBody, RunId};
use tachograph_engine::shell::CommandOutcome;
use tachograph_tests::Supervisor;
use tachograph_tests::place::in_memory;
use tachograph_tests::supervisor::{Expect, code};

#[tokio::test]
async fn the_same_refusal_is_recorded_at_its_1st_2nd_4th_and_8th_time_with_the_count() {
    let supervisor = Supervisor { engine: in_memory(20).await };
    let run = supervisor.create(None).await;
    let claim = supervisor.start(run, "r1").await;
    supervisor.exit(&claim, code(0)).await.expect_written();
    let before = supervisor.record(run).await;
    let mut recorded = Vec::new();
    for attempt in 1..=10 {
        match supervisor.exit(&claim, code(137)).await.outcome {
            CommandOutcome::Refused { refusal, recorded: position } => {
                assert_eq!(refusal.code(), "conflicting_terminal");
                recorded.extend(position.map(|_| attempt));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(recorded, [1, 2, 4, 8]);
    let counts: Vec<u64> = supervisor
        .history(run)
        .await
        .iter()
        .filter_map(|entry| match &entry.body {
            EntryBody::Refused(refused) => Some(refused.count),
            EntryBody::Committed(_) | EntryBody::System(_) => None,
        })
        .collect();
    assert_eq!(counts, [1, 2, 4, 8]);
    let after = supervisor.record(run).await;
    assert_eq!(after.run, before.run, "neither state nor version moved");
    assert_eq!((after.updated, after.refusals), (before.updated, 4));
}

#[tokio::test]
async fn reports_about_invented_runs_are_counted_together() {
    let supervisor = Supervisor { engine: in_memory(21).await };
    let mut recorded = 0;
    for number in 0..64 {
        let claim = supervisor.claim(RunId::from_u128(number), "r1");
        match supervisor.exit(&claim, code(0)).await.outcome {
            CommandOutcome::Refused { refusal, recorded: position } => {
                assert_eq!(refusal.code(), "unknown_run");
                recorded += u32::from(position.is_some());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(recorded, 7, "1, 2, 4, 8, 16, 32, 64");
}
