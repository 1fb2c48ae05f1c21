//! Readers see what was acknowledged, and nothing that was not.

use tachograph_engine::domain::{Position, StatusName};
use tachograph_engine::shell::Options;
use tachograph_tests::Supervisor;
use tachograph_tests::place::in_memory;
use tachograph_tests::supervisor::{Expect, code};

use crate::queue::gated;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_answered_reads_its_own_write() {
    let supervisor = Supervisor { engine: in_memory(30).await };
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let supervisor = supervisor.clone();
            tokio::spawn(async move {
                for round in 0..40 {
                    let name = format!("job-{task}-{round}");
                    let run = supervisor.create(Some(&name)).await;
                    assert_eq!(supervisor.status(run).await, StatusName::Created);
                    assert_eq!(supervisor.engine.resolve(&name).await.unwrap(), Some(run));
                    let claim = supervisor.start(run, "r1").await;
                    assert_eq!(supervisor.status(run).await, StatusName::Started);
                    assert!(supervisor.engine.live().iter().any(|record| record.run.id == run));
                    let (position, version) = supervisor.exit(&claim, code(0)).await.expect_written();
                    let record = supervisor.record(run).await;
                    assert_eq!((record.run.version, record.updated), (version, position));
                    assert!(supervisor.engine.head().position >= position);
                    assert!(supervisor.engine.live().iter().all(|record| record.run.id != run));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_durable_yet_is_seen_by_nobody() {
    let (supervisor, gate) = gated(31, Options::default()).await;
    let run = supervisor.create(Some("build")).await;
    let head = supervisor.engine.head();
    let record = supervisor.record(run).await;
    gate.hold();
    let starting = supervisor.starting(&supervisor.claim(run, "r1"), tachograph_engine::domain::StartMode::Fresh);
    let creation = supervisor.creation(Some("deploy"));
    let start = supervisor.engine.try_submit(starting).unwrap();
    gate.until_waiting().await;
    let create = supervisor.engine.try_submit(creation.clone()).unwrap();
    assert_eq!(supervisor.record(run).await, record);
    assert_eq!(supervisor.engine.live().as_slice(), std::slice::from_ref(&record));
    assert_eq!(supervisor.engine.run(creation.run).await.unwrap(), None);
    assert_eq!(supervisor.engine.resolve("deploy").await.unwrap(), None);
    assert_eq!(supervisor.engine.head(), head);
    assert!(supervisor.engine.reader().read(head.position, 10).await.unwrap().is_empty());
    gate.release();
    assert_eq!(start.await.unwrap().expect_written().0, Position(head.position.0 + 1));
    create.await.unwrap().expect_written();
    assert_eq!(supervisor.status(run).await, StatusName::Started);
    assert_eq!(supervisor.engine.resolve("deploy").await.unwrap(), Some(creation.run));
}
