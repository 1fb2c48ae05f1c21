//! Names are for people: held by a run that has not ended, free afterwards, resolved to the present holder.

use tachograph_engine::domain::{FailureKind, Refusal, StartMode};
use tachograph_engine::shell::{Answer, Options, SubmitError};
use tachograph_tests::place::in_memory;
use tachograph_tests::supervisor::{Expect, code, failure};
use tachograph_tests::{Place, Supervisor};

use crate::queue::gated;

#[tokio::test]
async fn a_name_is_held_until_its_run_ends_and_resolves_to_the_present_holder() {
    let supervisor = Supervisor { engine: in_memory(50).await };
    let first = supervisor.create(Some("build")).await;
    let answer = supervisor.submit(supervisor.creation(Some("build"))).await;
    answer.expect_refused("name_held");
    assert_eq!(answer.outcome.refusal(), Some(&Refusal::NameHeld { name: "build".to_owned(), holder: first }));
    let claim = supervisor.start(first, "r1").await;
    supervisor.wait(&claim).await.expect_written();
    supervisor.submit(supervisor.creation(Some("build"))).await.expect_refused("name_held");
    supervisor.exit(&claim, code(0)).await.expect_written();
    assert_eq!(supervisor.engine.resolve("build").await.unwrap(), Some(first), "the last holder");
    let second = supervisor.create(Some("build")).await;
    assert_eq!(supervisor.engine.resolve("build").await.unwrap(), Some(second));
    let restart = supervisor.starting(&supervisor.claim(first, "r1"), StartMode::Restart { previous: claim.attempt });
    supervisor.submit(restart.clone()).await.expect_refused("name_held");
    supervisor.destroy(second, true).await.expect_written();
    let again = supervisor.restart(&claim, "r2").await;
    assert_eq!(supervisor.engine.resolve("build").await.unwrap(), Some(first), "it took the name again");
    assert_eq!(again.run, first);
}

#[tokio::test]
async fn names_survive_reopening_and_a_crash() {
    let place = Place::new(51);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let ended = supervisor.create(Some("done")).await;
    let claim = supervisor.start(ended, "r1").await;
    supervisor.exit(&claim, code(0)).await.expect_written();
    let open = supervisor.create(Some("open")).await;
    let crashed = place.crashed();
    engine.close().await.unwrap();
    for place in [&place, &crashed] {
        let (engine, _) = place.open().await;
        let supervisor = Supervisor::of(&engine);
        assert_eq!(engine.resolve("done").await.unwrap(), Some(ended));
        assert_eq!(engine.resolve("open").await.unwrap(), Some(open));
        supervisor.submit(supervisor.creation(Some("open"))).await.expect_refused("name_held");
        let next = supervisor.create(Some("done")).await;
        assert_eq!(engine.resolve("done").await.unwrap(), Some(next));
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn within_one_batch_a_name_is_taken_once_and_passed_on_at_an_end() {
    let (supervisor, gate) = gated(52, Options::default()).await;
    let holder = supervisor.create(Some("build")).await;
    let claim = supervisor.start(holder, "r1").await;
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let batch = [
        supervisor.creation(Some("build")),
        supervisor.exiting(&claim, code(0)),
        supervisor.creation(Some("build")),
        supervisor.creation(Some("build")),
        supervisor.creation(Some("deploy")),
        supervisor.creation(Some("deploy")),
    ];
    let pending = batch.clone().map(|command| supervisor.engine.try_submit(command).unwrap());
    gate.release();
    plug.await.unwrap().expect_written();
    let [held, exit, taken, too_late, deploy, second] = pending;
    held.await.unwrap().expect_refused("name_held");
    exit.await.unwrap().expect_written();
    taken.await.unwrap().expect_written();
    too_late.await.unwrap().expect_refused("name_held");
    deploy.await.unwrap().expect_written();
    second.await.unwrap().expect_refused("name_held");
    assert_eq!(gate.batches().last(), Some(&6));
    assert_eq!(supervisor.engine.resolve("build").await.unwrap(), Some(batch[2].run));
}

#[tokio::test]
async fn a_run_that_begins_and_ends_within_one_batch_leaves_its_name_free() {
    let (supervisor, gate) = gated(53, Options::default()).await;
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let creation = supervisor.creation(Some("build"));
    let claim = supervisor.claim(creation.run, "r1");
    let failing = supervisor.command(
        tachograph_tests::supervisor::supervisor(),
        creation.run,
        tachograph_engine::domain::Action::Fail { claim, failure: failure(FailureKind::NotFound, "no such file") },
    );
    let pending = [creation, failing].map(|command| supervisor.engine.try_submit(command).unwrap());
    gate.release();
    let written = |answer: Result<Answer, SubmitError>| answer.unwrap().expect_written();
    written(plug.await);
    for pending in pending {
        written(pending.await);
    }
    assert_eq!(gate.batches().last(), Some(&2), "one batch");
    let next = supervisor.create(Some("build")).await;
    assert_eq!(supervisor.engine.resolve("build").await.unwrap(), Some(next));
}
