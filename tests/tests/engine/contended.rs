//! Another writer of a shared store is faster: the batch is decided again on what is there, and nothing is forgotten.

use tachograph_engine::domain::StatusName;
use tachograph_engine::shell::{CommandOutcome, Engine, Options, SubmitError};
use tachograph_tests::supervisor::{Expect, code};
use tachograph_tests::{Gate, Place, Supervisor};

use crate::queue::gated;

/// More conflicts in a row than the committer puts up with.
const TOO_MANY: usize = 16;

#[tokio::test]
async fn a_batch_that_met_a_conflict_is_decided_again() {
    let (supervisor, gate) = gated(90, Options::default()).await;
    let run = supervisor.create(Some("build")).await;
    let claim = supervisor.start(run, "r1").await;
    gate.conflict(TOO_MANY - 1);
    supervisor.exit(&claim, code(3)).await.expect_written();
    assert_eq!(supervisor.status(run).await, StatusName::Exited);
    assert_eq!(supervisor.history(run).await.len(), 3);
}

#[tokio::test]
async fn a_run_stays_open_and_keeps_its_name_when_its_command_is_given_up() {
    let place = Place::new(91);
    let gate = Gate::default();
    let mut parts = place.parts().unwrap();
    parts.journal = gate.before(parts.journal);
    let (engine, _) = Engine::open(parts, Options::default()).await.unwrap();
    let supervisor = Supervisor::of(&engine);
    let run = supervisor.create(Some("build")).await;
    let claim = supervisor.start(run, "r1").await;
    gate.conflict(TOO_MANY);
    let exit = supervisor.exiting(&claim, code(0));
    let error = engine.submit(exit.clone()).await.unwrap_err();
    assert!(matches!(error, SubmitError::Contended), "{error}");
    supervisor.submit(supervisor.creation(Some("build"))).await.expect_refused("name_held");
    assert_eq!(engine.live().iter().map(|record| record.run.id).collect::<Vec<_>>(), [run]);
    engine.close().await.unwrap();

    let (engine, report) = place.open().await;
    assert!(report.checkpoint.is_some(), "it was closed with a checkpoint");
    assert_eq!(report.open_runs, [run]);
    Supervisor::of(&engine).submit(exit).await.expect_written();
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_is_decided_again_counts_once() {
    let (supervisor, gate) = gated(92, Options::default()).await;
    let run = supervisor.create(None).await;
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let stray = supervisor.exiting(&supervisor.claim(run, "r9"), code(1));
    let refused = supervisor.engine.try_submit(stray).unwrap();
    let beside = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.conflict(2);
    gate.release();
    plug.await.unwrap().expect_written();
    let outcome = refused.await.unwrap().outcome;
    assert!(matches!(outcome, CommandOutcome::Refused { recorded: Some(_), .. }), "the first is recorded: {outcome:?}");
    beside.await.unwrap().expect_written();
}
