use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tachograph_adapters::clock::ManualClock;
use tachograph_adapters::process::{
    AttemptDirectory, Conclusion, Identity, ProcessRunner, RunHandle, RunnerOptions, foresee,
};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Event, ExitStatus, Finding, ResourceLimits, RunId, RunSpec, RunnerId,
    StartMode, Timestamp,
};

use crate::shimmed::{pid, until_gone};
use crate::support::{Bench, HANG, LONG, Pipe, by_shims, sh};

/// A run under a shim that nobody follows any more, and the next supervisor.
struct Left {
    bench: Bench,
    run: RunId,
    attempt: AttemptId,
    directory: AttemptDirectory,
    identity: Identity,
    next: ProcessRunner,
}

impl Left {
    async fn of(bench: Bench, handle: RunHandle, grace_ms: u64) -> Self {
        let (run, attempt) = (handle.run(), handle.attempt());
        let directory = AttemptDirectory::of(&bench.data.path().join("runs"), run, handle.ordinal().unwrap());
        let identity = Identity::read(&directory, run, attempt).unwrap().unwrap();
        assert_eq!(bench.runner.leave(LONG).await, 1);
        let options = RunnerOptions { grace_ms, ..RunnerOptions::default() };
        let next = ProcessRunner::with_shim(bench.engine.clone(), bench.data.path().join("runs"), options, by_shims());
        Self { bench, run, attempt, directory, identity, next }
    }

    fn shim(&self) -> u32 {
        self.identity.shim.as_ref().unwrap().pid
    }

    async fn kill_shim(&self) {
        kill_process(pid(self.shim()), Signal::KILL).unwrap();
        until_gone(self.shim()).await;
        until_gone(self.identity.process.as_ref().unwrap().pid).await;
    }

    fn runs(&self) -> PathBuf {
        self.bench.data.path().join("runs")
    }

    async fn submit(&self, action: Action) {
        let actor = Actor::new(ActorKind::Supervisor, "former");
        let answer = self.bench.engine.submit(self.bench.engine.command(self.run, actor, action)).await.unwrap();
        assert!(answer.outcome.written().is_some(), "{answer:?}");
    }

    /// As a supervisor does it that crashes before it has ended the attempt before.
    async fn take_over(&self) {
        let attempt = AttemptId::from_ulid(self.bench.engine.mint());
        let mode = StartMode::Takeover { expected: self.attempt };
        self.submit(Action::Start { attempt, runner: RunnerId::from("process/host/1/former"), mode }).await;
    }

    async fn events(&self) -> Vec<Event> {
        self.bench.events(self.run).await
    }
}

/// A command whose child outlives it in its group. It writes its pid to `ready`, and what `on_term` is to TERM.
async fn with_child(on_term: &str, by: &str) -> (Bench, RunHandle, u32, Pipe) {
    let bench = Bench::shimmed().await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let script = format!(
        "{by} sh -c \"trap {on_term} TERM; trap '' HUP PIPE INT; exec > /dev/null 2>&1; echo \\$\\$ > {}; read line < {never}\" & \
         read line < {never}",
        ready.path(),
        never = never.path()
    );
    let handle = bench.sh(&script).await;
    let child: u32 = ready.read_to_end().await.trim().parse().unwrap();
    (bench, handle, child, never)
}

#[tokio::test]
async fn the_rest_of_the_group_of_a_killed_shim_does_not_go_on_unseen() {
    // One that hears the polite signal is not killed before the grace is over; one that does not is.
    for (on_term, grace_ms) in [("'exit 0'", 600_000), ("''", 20)] {
        let (bench, handle, child, _never) = with_child(on_term, "").await;
        let left = Left::of(bench, handle, grace_ms).await;
        left.kill_shim().await;
        let foresight = foresee(&left.runs(), [&left.bench.record(left.run).await.run], &BTreeSet::new());
        let Conclusion::Unknown { cause } = &foresight.open[0].conclusion else { panic!("{foresight:?}") };
        assert!(cause.ends_with(&format!("and to be ended: process {child}")), "{cause}");
        let report = tokio::time::timeout(HANG, left.next.recover()).await.unwrap().unwrap();
        until_gone(child).await;
        let ended = format!("ended of its process group: process {child}");
        assert_eq!((report.ended, report.orphans), (vec![(left.run, ended.clone())], vec![]), "nothing of it is alive");
        let events = left.events().await;
        let [.., Event::Reconciled { finding, detail, .. }, Event::Exited { exit, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(*finding == Finding::Lost && detail.ends_with(&ended), "{detail}");
        let ExitStatus::Unknown { cause } = &exit.status else { panic!("{exit:?}") };
        assert!(cause.starts_with("its shim is gone") && cause.ends_with(&ended), "{cause}");
        for name in ["requests", "exit.room"] {
            assert!(!left.directory.path().join(name).exists(), "{name}");
        }
    }
}

#[tokio::test]
async fn what_left_the_group_of_a_killed_shim_is_not_signalled_and_stays_to_be_seen() {
    let (bench, handle, child, never) = with_child("''", "setsid").await;
    let left = Left::of(bench, handle, 0).await;
    left.kill_shim().await;
    let report = left.next.recover().await.unwrap();
    assert_eq!((report.orphans.len(), report.unknown.len()), (1, 1), "{report:?}");
    assert!(report.orphans[0].1.contains(&format!("alive with its id: process {child}")), "{report:?}");
    let record = left.bench.record(left.run).await;
    assert_eq!(foresee(&left.runs(), [&record.run], &BTreeSet::new()).left_alive, [(left.run, vec![child])]);
    never.release().await;
    until_gone(child).await;
    assert!(foresee(&left.runs(), [&record.run], &BTreeSet::new()).left_alive.is_empty());
}

#[tokio::test]
async fn an_attempt_that_was_taken_over_is_ended_also_without_its_requests() {
    for without_requests in [false, true] {
        let bench = Bench::shimmed().await;
        let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
        let handle = bench.sh(&format!("echo > {}; read line < {}", ready.path(), never.path())).await;
        ready.read_to_end().await;
        let left = Left::of(bench, handle, 1_000).await;
        left.take_over().await;
        if without_requests {
            std::fs::remove_file(left.directory.path().join("requests")).unwrap();
        }
        let report = left.next.recover().await.unwrap();
        let told = format!("attempt 1 was superseded and is alive; its shim, pid {}, was asked to end", left.shim());
        assert_eq!(report.orphans, [(left.run, told)], "{without_requests}");
        until_gone(left.shim()).await;
    }
}

#[tokio::test]
async fn the_rest_of_an_attempt_that_was_destroyed_is_ended_also_without_its_shim() {
    let (bench, handle, child, _never) = with_child("'exit 0'", "").await;
    let left = Left::of(bench, handle, 600_000).await;
    left.submit(Action::Destroy { force: true, why: "not wanted".to_owned() }).await;
    left.kill_shim().await;
    let report = tokio::time::timeout(HANG, left.next.recover()).await.unwrap().unwrap();
    let told = format!("of attempt 1, which was destroyed: ended of its process group: process {child}");
    assert_eq!((report.ended, report.orphans), (vec![(left.run, told)], vec![]));
    until_gone(child).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_on_purpose_stays_also_if_its_run_went_on() {
    let bench = Bench::shimmed().await;
    let (ready, go, never) = (bench.pipe("ready"), bench.pipe("go"), bench.pipe("never"));
    let script = format!(
        "sh -c 'exec > /dev/null 2>&1; echo $$ > {}; read line < {}' & read line < {}; exit 0",
        ready.path(),
        never.path(),
        go.path()
    );
    let handle = bench.sh(&script).await;
    let child: u32 = ready.read_to_end().await.trim().parse().unwrap();
    let left = Left::of(bench, handle, 0).await;
    go.release().await;
    until_gone(left.shim()).await;
    left.take_over().await;
    let report = left.next.recover().await.unwrap();
    assert!(report.orphans.is_empty(), "{report:?}");
    never.release().await;
    until_gone(child).await;
}

/// The shim has a clock of its own, which does not come so far here.
#[tokio::test]
async fn who_holds_an_adopted_run_still_lets_it_go_before_the_limit_that_counts_from_its_start() {
    let clock = ManualClock::new(Timestamp::from_micros(0));
    let bench = Bench::under(by_shims(), Arc::new(clock.clone()), RunnerOptions::default()).await;
    let (ready, never) = (bench.pipe("ready"), bench.pipe("never"));
    let limits = ResourceLimits { wall_ms: Some(3_600_000), ..ResourceLimits::default() };
    let spec = RunSpec { limits, ..sh(&format!("echo > {}; read line < {}", ready.path(), never.path())) };
    let handle = bench.launch(spec, tachograph_adapters::process::Launch::default()).await;
    ready.read_to_end().await;
    let left = Left::of(bench, handle, 0).await;
    clock.advance(Duration::from_secs(3_000));
    left.next.recover().await.unwrap();
    let standstill = left.next.standstill(left.run, left.attempt).unwrap();
    clock.advance(Duration::from_millis(600_000 - 50));
    let asked = tokio::time::timeout(HANG, standstill.asked_to_end()).await;
    assert!(asked.is_ok(), "it is held still when its limit comes");
    drop(standstill);
    left.next.handle(left.run, left.attempt).unwrap().terminate(Duration::ZERO);
    until_gone(left.shim()).await;
}
