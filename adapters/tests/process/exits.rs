use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tachograph_adapters::process::EndRecord;
use tachograph_engine::domain::{ExitStatus, Status, Witness};

use crate::support::{Bench, exit, status};

#[tokio::test]
async fn a_code_is_recorded_as_the_child_returned_it() {
    let bench = Bench::open().await;
    for code in [0, 1, 7, 42, 126, 127, 255] {
        let handle = bench.sh(&format!("exit {code}")).await;
        let end = handle.wait().await.unwrap();
        assert_eq!((&exit(&end).status, exit(&end).witness), (&ExitStatus::Code(code), Witness::Waited));
        assert!(matches!(end.record, EndRecord::Written { .. }), "{:?}", end.record);
        let record = bench.record(handle.run()).await;
        assert_eq!(record.run.status, Status::Exited);
        assert_eq!(record.run.attempt.as_ref().unwrap().outcome.as_ref(), Some(&end.outcome));
        assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
    }
}

#[tokio::test]
async fn a_signal_is_no_code() {
    let bench = Bench::open().await;
    for signal in [9, 15, 11, 6] {
        let handle = bench.sh(&format!("kill -{signal} $$")).await;
        assert_eq!(status(&handle).await, ExitStatus::Signal(signal));
    }
}

#[tokio::test]
async fn everybody_who_waits_gets_the_same_answer_before_and_after() {
    let bench = Bench::open().await;
    let go = bench.pipe("go");
    let handle = bench.sh(&format!("read line < {}; exit 5", go.path())).await;
    let early: Vec<_> = (0..10)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.wait().await.unwrap() })
        })
        .collect();
    assert!(handle.ended().is_none());
    go.release().await;
    let end = handle.wait().await.unwrap();
    assert_eq!(exit(&end).status, ExitStatus::Code(5));
    for waiter in early {
        assert!(Arc::ptr_eq(&waiter.await.unwrap(), &end));
    }
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&handle.wait().await.unwrap(), &end));
    }
    assert!(Arc::ptr_eq(&handle.ended().unwrap(), &end));
    assert_eq!(bench.story(handle.run()).await, ["Created", "Started", "Exited"]);
}

#[tokio::test]
async fn a_child_that_the_runner_does_not_know_keeps_its_code_for_its_owner() {
    let bench = Bench::open().await;
    let spawn = || Command::new("sh").args(["-c", "read line; exit 42"]).stdin(Stdio::piped()).spawn().unwrap();
    // One that ends before the runs, one in the midst of them, one after them: a greedy reaper takes at least one.
    let mut foreign = [spawn(), spawn(), spawn()];
    let mut end = |index: usize| foreign[index].stdin.take().unwrap().write_all(b"go\n").unwrap();
    end(0);
    let mut runs = Vec::new();
    for code in 0..10 {
        runs.push((code, bench.sh(&format!("exit {code}")).await));
    }
    end(1);
    for (code, handle) in runs {
        assert_eq!(status(&handle).await, ExitStatus::Code(code));
    }
    end(2);
    for child in &mut foreign {
        assert_eq!(child.wait().unwrap().code(), Some(42));
    }
}

#[tokio::test]
async fn two_runs_waited_for_twice_never_exchange_their_codes() {
    let bench = Bench::open().await;
    for _ in 0..20 {
        let (a, b) = (bench.sh("exit 1").await, bench.sh("exit 2").await);
        for _ in 0..2 {
            assert_eq!(status(&b).await, ExitStatus::Code(2));
            assert_eq!(status(&a).await, ExitStatus::Code(1));
        }
        // A child that ends at once still began first.
        assert_eq!(bench.story(b.run()).await, ["Created", "Started", "Exited"]);
    }
}
