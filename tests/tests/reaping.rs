//! A4's companion, in a program of its own because it disturbs every child of its process: a reaper that waits for
//! any child takes the exit codes of everybody else; failed starts must leave no zombie (invariant 13).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::fs;
use std::process::Command;

use rustix::process::{WaitOptions, wait};
use tachograph_adapters::process::Launch;
use tachograph_engine::domain::{ExitStatus, StatusName};
use tachograph_tests::commands::{begin, command, exit_of, runner, script};
use tachograph_tests::{Place, Supervisor};

/// Children of this process that have ended and were not reaped.
fn zombies() -> usize {
    let me = std::process::id().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|item| fs::read_to_string(item.ok()?.path().join("stat")).ok())
        .filter(|stat| {
            // pid (name) state parent …
            let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
            fields.next() == Some("Z") && fields.next() == Some(me.as_str())
        })
        .count()
}

/// Waits until the child has ended, and leaves it to be reaped.
fn until_ended(pid: u32) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
}

// One test, so that nothing else in this process has children.
#[tokio::test]
async fn eight_failed_starts_leave_no_zombie_and_a_stranger_its_code() {
    let place = Place::new(225);
    let (engine, _) = place.open().await;
    let supervisor = Supervisor::of(&engine);
    let runner = runner(&engine, &place);

    // A child that the runner knows nothing of ends first, and waits for its owner.
    let mut stranger = Command::new("sh").args(["-c", "exit 42"]).spawn().unwrap();
    until_ended(stranger.id());
    assert_eq!(zombies(), 1, "the stranger itself");
    for start in 0..8 {
        if start % 2 == 0 {
            let (run, handle) = begin(&runner, command(&["/no/such/program"]), Launch::default()).await;
            assert!(handle.wait().await.unwrap().outcome.failure().is_some());
            assert_eq!(supervisor.status(run).await, StatusName::Failed);
        } else {
            let (run, handle) = begin(&runner, script("kill -9 $$"), Launch::default()).await;
            assert_eq!(exit_of(&handle).await.status, ExitStatus::Signal(9));
            assert_eq!(supervisor.status(run).await, StatusName::Exited);
        }
    }
    assert_eq!(zombies(), 1, "only the stranger is left");
    assert_eq!(stranger.wait().unwrap().code(), Some(42), "its owner gets its code");
    assert_eq!(zombies(), 0);
    engine.close().await.unwrap();

    // Naive: the supervisor reaps whatever there is, until there is nothing more.
    let mut stranger = Command::new("sh").args(["-c", "exit 42"]).spawn().unwrap();
    let mut taken = Vec::new();
    while let Ok(Some((pid, status))) = wait(WaitOptions::empty()) {
        taken.push((pid.as_raw_nonzero().get().cast_unsigned(), status.exit_status()));
    }
    assert_eq!(taken, [(stranger.id(), Some(42))], "naive: the code went to whoever was first");
    assert!(stranger.wait().is_err(), "naive: its owner gets nothing");
}
