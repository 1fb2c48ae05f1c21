//! A command is answered once, however often it comes (invariant 5).

use tachograph_engine::domain::{FailureKind, StartMode};
use tachograph_engine::shell::{CommandOutcome, FirstAnswer, Options};
use tachograph_tests::supervisor::{Expect, code, failure};
use tachograph_tests::{Place, Supervisor};

use crate::queue::gated;

#[tokio::test]
async fn the_same_command_twice_in_one_batch_is_written_once() {
    let (supervisor, gate) = gated(10, Options::default()).await;
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let command = supervisor.creation(Some("build"));
    let pending = [(); 3].map(|()| supervisor.engine.try_submit(command.clone()).unwrap());
    gate.release();
    plug.await.unwrap().expect_written();
    let [first, second, third] = pending;
    let written = first.await.unwrap().expect_written();
    assert_eq!(second.await.unwrap().expect_duplicate(), written);
    assert_eq!(third.await.unwrap().expect_duplicate(), written);
    assert_eq!(supervisor.history(command.run).await.len(), 1);
    assert_eq!(gate.batches(), [1, 1, 1], "one batch, one entry");
}

#[tokio::test]
async fn the_same_command_later_gets_the_first_answer_also_after_reopening() {
    let place = Place::new(11);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let creation = supervisor.creation(Some("build"));
    let created = supervisor.submit(creation.clone()).await.expect_written();
    let claim = supervisor.start(creation.run, "r1").await;
    let exit = supervisor.exiting(&claim, code(7));
    let exited = supervisor.submit(exit.clone()).await.expect_written();
    let stray = supervisor.exiting(&claim, code(8));
    let refused = supervisor.submit(stray.clone()).await.expect_refused("conflicting_terminal");
    for opening in 0..3 {
        let (engine, _) = if opening == 0 {
            (engine.clone(), None)
        } else {
            let (engine, report) = place.open().await;
            (engine, Some(report))
        };
        let supervisor = Supervisor::of(&engine);
        let entries = supervisor.entries().await.len();
        assert_eq!(supervisor.submit(creation.clone()).await.expect_duplicate(), created, "opening {opening}");
        assert_eq!(supervisor.submit(exit.clone()).await.expect_duplicate(), exited, "opening {opening}");
        match supervisor.submit(stray.clone()).await.outcome {
            CommandOutcome::Duplicate { of: FirstAnswer::Refused { position, refusal } } => {
                assert_eq!((position, refusal.code()), (refused, "conflicting_terminal"));
            }
            other => panic!("opening {opening}: {other:?}"),
        }
        assert_eq!(supervisor.entries().await.len(), entries, "a duplicate writes nothing");
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_same_report_of_an_end_under_another_command_id_is_a_duplicate_of_the_first() {
    let place = Place::new(12);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let exited = supervisor.create(None).await;
    let exited = supervisor.start(exited, "r1").await;
    let first = supervisor.exit(&exited, code(0)).await.expect_written();
    let failed = supervisor.create(None).await;
    let failed = supervisor.start(failed, "r1").await;
    let second = supervisor.fail(&failed, failure(FailureKind::TimedOut, "60 s")).await.expect_written();
    for _ in 0..2 {
        let (engine, _) = {
            engine.close().await.unwrap();
            place.open().await
        };
        let supervisor = Supervisor::of(&engine);
        assert_eq!(supervisor.exit(&exited, code(0)).await.expect_duplicate(), first);
        assert_eq!(supervisor.fail(&failed, failure(FailureKind::TimedOut, "60 s")).await.expect_duplicate(), second);
        assert_eq!(supervisor.history(exited.run).await.len(), 3);
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_same_report_of_an_end_twice_in_one_batch_is_a_duplicate_of_the_first() {
    let (supervisor, gate) = gated(13, Options::default()).await;
    let run = supervisor.create(None).await;
    let claim = supervisor.start(run, "r1").await;
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let first = supervisor.engine.try_submit(supervisor.exiting(&claim, code(3))).unwrap();
    let again = supervisor.engine.try_submit(supervisor.exiting(&claim, code(3))).unwrap();
    let conflict = supervisor.engine.try_submit(supervisor.exiting(&claim, code(4))).unwrap();
    gate.release();
    plug.await.unwrap().expect_written();
    let written = first.await.unwrap().expect_written();
    assert_eq!(again.await.unwrap().expect_duplicate(), written);
    conflict.await.unwrap().expect_refused("conflicting_terminal");
    assert_eq!(gate.batches().last(), Some(&2));
}

/// More ended runs in one batch than are kept at hand between batches.
#[tokio::test]
async fn a_large_batch_about_ended_runs_forgets_none_of_them() {
    let (supervisor, gate) = gated(14, Options::default()).await;
    let mut claims = Vec::new();
    for _ in 0..1_100 {
        let claim = supervisor.claim(supervisor.create(None).await, "r1");
        supervisor.submit(supervisor.starting(&claim, StartMode::Fresh)).await.expect_written();
        supervisor.exit(&claim, code(0)).await.expect_written();
        claims.push(claim);
    }
    let expected = supervisor.record(claims[0].run).await.ended.unwrap();
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let again = |claim| supervisor.engine.try_submit(supervisor.exiting(claim, code(0))).unwrap();
    let reports: Vec<_> = claims.iter().chain([&claims[0]]).map(again).collect();
    let restart = StartMode::Restart { previous: claims[0].attempt };
    let restart = supervisor.starting(&supervisor.claim(claims[0].run, "r2"), restart);
    let restart = supervisor.engine.try_submit(restart).unwrap();
    gate.release();
    plug.await.unwrap().expect_written();
    let mut answers = Vec::new();
    for report in reports {
        answers.push(report.await.unwrap().expect_duplicate());
    }
    assert_eq!((answers[0], answers[1_100]), (expected, expected));
    restart.await.unwrap().expect_written();
    assert_eq!(gate.batches().last(), Some(&1), "one batch");
    assert!(supervisor.engine.live().iter().any(|record| record.run.id == claims[0].run), "it is open again");
}
