//! B2: a pid that belonged to one run is given to another, whose exit is delivered before it is registered. By pid,
//! the first run reads the second one's code, and the second one's waiter hangs.

use tachograph_adapters::process::Launch;
use tachograph_engine::domain::{Event, ExitStatus, RunId};
use tachograph_tests::commands::{begin, exit_of, runner, script};
use tachograph_tests::naive::Ledger;
use tachograph_tests::supervisor::{Expect, code};
use tachograph_tests::{Place, Supervisor};

fn naive() -> [[Option<i32>; 2]; 2] {
    let mut ledger = Ledger::default();
    let a = ledger.insert("A", None);
    ledger.start(a, 701);
    ledger.reaped(701, 1);
    // B is spawned with the same pid and exits; the exit is delivered, then B is registered.
    ledger.reaped(701, 2);
    let b = ledger.insert("B", None);
    ledger.start(b, 701);
    [[ledger.wait(a), ledger.wait(a)], [ledger.wait(b), ledger.wait(b)]]
}

async fn assert_started_before_exited(supervisor: &Supervisor, run: RunId) {
    let events = supervisor.events(run).await;
    let place = |is: fn(&Event) -> bool| events.iter().position(is);
    let started = place(|event| matches!(event, Event::Started { .. })).expect("started");
    let exited = place(|event| matches!(event, Event::Exited { .. })).expect("exited");
    assert!(started < exited, "{events:?}");
}

/// Real processes: each is waited for by its own handle, any number of times, by anyone, before and after.
#[tokio::test]
async fn every_wait_gets_its_own_attempts_code_every_time() {
    assert_eq!(naive(), [[Some(2), None], [None, None]], "naive: A reads 2, B hangs");

    let place = Place::new(232);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let runner = runner(&engine, &place);
    let (a, handle_a) = begin(&runner, script("exit 1"), Launch::default()).await;
    assert_eq!(exit_of(&handle_a).await.status, ExitStatus::Code(1));
    let (b, handle_b) = begin(&runner, script("exit 2"), Launch::default()).await;
    let waiting = tokio::join!(exit_of(&handle_b), exit_of(&handle_b), exit_of(&handle_a), exit_of(&handle_a));
    let (b1, b2, a1, a2) = waiting;
    assert_eq!([a1.status, a2.status], [ExitStatus::Code(1), ExitStatus::Code(1)]);
    assert_eq!([b1.status, b2.status], [ExitStatus::Code(2), ExitStatus::Code(2)]);
    for run in [a, b] {
        assert_started_before_exited(&supervisor, run).await;
    }
    engine.close().await.unwrap();
}

/// The same pid for certain, as runners that only know pids would report it: their reports name runs and attempts, so
/// that the pid does not matter.
#[tokio::test]
async fn a_pid_is_no_part_of_any_report() {
    let place = Place::new(233);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let a = supervisor.create(None).await;
    let b = supervisor.create(None).await;
    let on_a = supervisor.start(a, "pid 701").await;
    supervisor.exit(&on_a, code(1)).await.expect_written();
    // B's exit is delivered before B is registered.
    let on_b = supervisor.claim(b, "pid 701");
    supervisor.exit(&on_b, code(2)).await.expect_refused("stale_attempt");
    let starting = supervisor.starting(&on_b, tachograph_engine::domain::StartMode::Fresh);
    supervisor.submit(starting).await.expect_written();
    supervisor.exit(&on_b, code(2)).await.expect_written();
    for _ in 0..2 {
        assert_eq!(supervisor.exit_status(a).await, Some(ExitStatus::Code(1)));
        assert_eq!(supervisor.exit_status(b).await, Some(ExitStatus::Code(2)));
    }
    assert_started_before_exited(&supervisor, b).await;
    engine.close().await.unwrap();
}
