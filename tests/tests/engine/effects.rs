//! What should follow in the world is said again to whoever repeats a command: the first answer may have been lost.

use tachograph_engine::domain::{Action, Effect, Timestamp};
use tachograph_engine::shell::Options;
use tachograph_tests::supervisor::{Expect, supervisor as actor};
use tachograph_tests::{Place, Supervisor};

use crate::queue::gated;

#[tokio::test]
async fn a_repeated_command_has_the_effects_of_the_first_also_after_reopening() {
    let place = Place::new(95);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let run = supervisor.create(None).await;
    let claim = supervisor.start(run, "r1").await;
    let destroy = supervisor.command(actor(), run, Action::Destroy { force: true, why: "no longer wanted".to_owned() });
    let ready = supervisor.command(
        actor(),
        run,
        Action::Wait { claim: claim.clone(), on: "the next job".to_owned(), deadline: None },
    );
    let ends = [Effect::EndAttempt { run, attempt: claim.attempt }];
    let orphan = [Effect::DestroyOrphan { claim }];
    assert_eq!(supervisor.submit(destroy.clone()).await.effects, ends);
    assert_eq!(supervisor.submit(ready.clone()).await.effects, orphan);
    engine.close().await.unwrap();

    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let again = supervisor.submit(destroy).await;
    assert_eq!(again.effects, ends);
    again.expect_duplicate();
    assert_eq!(supervisor.submit(ready).await.effects, orphan);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_repeat_within_the_batch_has_them_too() {
    let (supervisor, gate) = gated(96, Options::default()).await;
    let run = supervisor.create(None).await;
    let claim = supervisor.start(run, "r1").await;
    gate.hold();
    let plug = supervisor.engine.try_submit(supervisor.creation(None)).unwrap();
    gate.until_waiting().await;
    let destroy = supervisor.command(actor(), run, Action::Destroy { force: true, why: String::new() });
    let pending = [(); 2].map(|()| supervisor.engine.try_submit(destroy.clone()).unwrap());
    gate.release();
    plug.await.unwrap().expect_written();
    for answer in pending {
        assert_eq!(answer.await.unwrap().effects, [Effect::EndAttempt { run, attempt: claim.attempt }]);
    }
}

#[tokio::test]
async fn no_snapshot_is_taken_twice() {
    let (supervisor, _) = gated(97, Options::default()).await;
    let run = supervisor.create(None).await;
    let claim = supervisor.start(run, "r1").await;
    supervisor.wait(&claim).await;
    let now: Timestamp = supervisor.engine.clock().now();
    let snapshot = supervisor.arm(&claim, now).await;
    let dispatch = supervisor.command(actor(), run, Action::DispatchSnapshot { snapshot });
    let first = supervisor.submit(dispatch.clone()).await;
    assert_eq!(first.effects, [Effect::TakeSnapshot { run, snapshot }]);
    let again = supervisor.submit(dispatch).await;
    assert_eq!(again.effects, []);
    again.expect_duplicate();
}
