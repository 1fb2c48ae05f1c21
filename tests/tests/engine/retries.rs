//! A command is answered once, however often it comes (invariant 5).

use tachograph_engine::domain::{Command, FailureKind, Position, Refusal, StartMode};
use tachograph_engine::shell::{Answer, CommandOutcome, FirstAnswer, Options};
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

/// The creation and the first start of a run whose name another one holds.
fn refused_pair(supervisor: &Supervisor) -> (Command, Command) {
    let creation = supervisor.creation(Some("build"));
    let start = supervisor.starting(&supervisor.claim(creation.run, "r1"), StartMode::Fresh);
    (creation, start)
}

#[track_caller]
fn both_refused((first, then): &(Answer, Answer), at: Position) {
    assert_eq!(first.outcome.refusal().map(Refusal::code), Some("name_held"), "{first:?}");
    assert_eq!(then.outcome.refusal().map(Refusal::code), Some("name_held"), "{then:?}");
    for answer in [first, then] {
        let told = match &answer.outcome {
            CommandOutcome::Duplicate { of: FirstAnswer::Refused { position, .. } } => Some(*position),
            CommandOutcome::Refused { recorded, .. } => *recorded,
            other => panic!("{other:?}"),
        };
        assert!(told.is_none_or(|told| told == at), "{answer:?} instead of {at}");
    }
}

#[tokio::test]
async fn a_pair_whose_first_command_was_refused_gets_that_refusal_again_also_after_reopening() {
    let place = Place::new(15);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let holder = supervisor.create(Some("build")).await;
    let (creation, start) = refused_pair(&supervisor);
    let pair = engine.submit_both(creation.clone(), start.clone()).await.unwrap();
    let at = engine.head().position;
    both_refused(&pair, at);
    let again = engine.submit_both(creation.clone(), start.clone()).await.unwrap();
    both_refused(&again, at);
    let holding = supervisor.start(holder, "r2").await;
    supervisor.exit(&holding, code(0)).await.expect_written();
    // The name is free by now, and the run may have been created by another command.
    let other = Command { id: supervisor.creation(None).id, ..creation.clone() };
    supervisor.submit(other).await.expect_written();
    engine.close().await.unwrap();
    let (engine, _) = place.open().await;
    let entries = Supervisor::of(&engine).entries().await.len();
    both_refused(&engine.submit_both(creation, start).await.unwrap(), at);
    assert_eq!(Supervisor::of(&engine).entries().await.len(), entries, "nothing is decided anew");
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_refused_pair_twice_in_one_batch_is_refused_once() {
    let (supervisor, gate) = gated(16, Options::default()).await;
    supervisor.create(Some("build")).await;
    let (creation, start) = refused_pair(&supervisor);
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let pair = || supervisor.engine.submit_both(creation.clone(), start.clone());
    let (mut first, mut again) = (Box::pin(pair()), Box::pin(pair()));
    // Both are in the queue once they wait.
    let waits = std::future::poll_fn(|context| {
        assert!(first.as_mut().poll(context).is_pending() && again.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    });
    waits.await;
    gate.release();
    plug.await.unwrap().expect_written();
    let (first, again) = (first.await.unwrap(), again.await.unwrap());
    let at = supervisor.engine.head().position;
    both_refused(&first, at);
    both_refused(&again, at);
    assert_eq!(gate.batches().last(), Some(&1), "one batch, one refusal");
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
