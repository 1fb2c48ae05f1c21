//! B9: an exit is written, its answer is lost, and the report comes again: the success is called a conflict, or there
//! are two ends.

use tachograph_engine::domain::{Event, ExitStatus, StatusName};
use tachograph_tests::naive::{Conflict, Ledger};
use tachograph_tests::supervisor::{Expect, code};
use tachograph_tests::{Place, Supervisor};

#[tokio::test]
async fn the_retry_gets_the_first_answer_and_another_end_is_refused_also_after_reopening() {
    let place = Place::new(119);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let mut careful = Ledger::default();
    let mut careless = Ledger::default();
    let run = supervisor.create(None).await;
    let claim = supervisor.start(run, "r1").await;
    let row = careful.insert("job", None);
    careful.start(row, 700);
    let careless_row = careless.insert("job", None);
    careless.start(careless_row, 700);

    // Written; whoever waited for the answer is gone.
    let exit = supervisor.exiting(&claim, code(0));
    drop(supervisor.engine.try_submit(exit.clone()).unwrap());
    careful.exited_if_running(row, 0).unwrap();
    careless.exited(careless_row, 0);

    // The same command again; reopened, and once more.
    let first = supervisor.submit(exit.clone()).await.expect_duplicate();
    engine.close().await.unwrap();
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    assert_eq!(supervisor.submit(exit).await.expect_duplicate(), first);
    assert_eq!(careful.exited_if_running(row, 0), Err(Conflict), "naive: 'conflict' for a success");

    // Then another end under a new command id.
    let position = supervisor.exit(&claim, code(137)).await.expect_refused("conflicting_terminal");
    assert!(position > first.0);
    careless.exited(careless_row, 137);
    assert_eq!(careless.select(careless_row).unwrap().exit_code, Some(137), "naive: the second end replaced the first");

    assert_eq!(supervisor.status(run).await, StatusName::Exited);
    assert_eq!(supervisor.exit_status(run).await, Some(ExitStatus::Code(0)));
    let ends = supervisor.events(run).await.iter().filter(|event| matches!(event, Event::Exited { .. })).count();
    assert_eq!(ends, 1);
    assert_eq!(supervisor.refusals(run).await, ["conflicting_terminal"]);
    engine.close().await.unwrap();
}
