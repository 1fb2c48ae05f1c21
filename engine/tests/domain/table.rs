//! Every action in every status: which event it leads to, or the code of its refusal.

use std::sync::Arc;

use tachograph_engine::domain::testing::{Given, ids, spec};
use tachograph_engine::domain::{
    Action, Decision, Digest, EventName, ExitStatus, Finding, Guard, StartMode, StatusName,
};

use super::stories::{
    RUN, armed, ask, created, destroyed, dispatched, exit_of, exited, failed, failure, mine, second, start_action,
    started, unknown, waiting,
};

/// By column: unknown, Created, Started, Waiting, Exited, Failed, Destroyed. Every claim is the right one, every
/// attempt named is the current one.
const TABLE: &str = "
create           | Created     | run_exists      | run_exists         | run_exists         | run_exists       | run_exists           | run_destroyed
start fresh      | unknown_run | Started         | stale_attempt      | stale_attempt      | stale_attempt    | stale_attempt        | run_destroyed
start resume     | unknown_run | stale_attempt   | illegal_transition | Started            | illegal_transition | illegal_transition | run_destroyed
start elsewhere  | unknown_run | stale_attempt   | illegal_transition | Started            | illegal_transition | illegal_transition | run_destroyed
start restart    | unknown_run | stale_attempt   | illegal_transition | illegal_transition | Started          | Started              | run_destroyed
start takeover   | unknown_run | stale_attempt   | Started            | illegal_transition | illegal_transition | illegal_transition | run_destroyed
wait             | unknown_run | stale_attempt   | Waiting            | illegal_transition | illegal_transition | illegal_transition | run_destroyed
exit             | unknown_run | stale_attempt   | Exited             | Exited             | already          | conflicting_terminal | run_destroyed
fail             | unknown_run | Failed          | Failed             | Failed             | conflicting_terminal | already          | run_destroyed
destroy          | unknown_run | Destroyed       | force_required     | force_required     | Destroyed        | Destroyed            | run_destroyed
destroy force    | unknown_run | Destroyed       | Destroyed          | Destroyed          | Destroyed        | Destroyed            | run_destroyed
schedule         | unknown_run | stale_attempt   | illegal_transition | SnapshotScheduled  | illegal_transition | illegal_transition | run_destroyed
cancel           | unknown_run | nothing_pending | nothing_pending    | nothing_pending    | nothing_pending  | nothing_pending      | run_destroyed
dispatch         | unknown_run | snapshot_gone   | snapshot_gone      | snapshot_gone      | snapshot_gone    | snapshot_gone        | run_destroyed
complete         | unknown_run | snapshot_gone   | snapshot_gone      | snapshot_gone      | snapshot_gone    | snapshot_gone        | run_destroyed
fail snapshot    | unknown_run | snapshot_gone   | snapshot_gone      | snapshot_gone      | snapshot_gone    | snapshot_gone        | run_destroyed
disconnect       | unknown_run | stale_attempt   | RunnerDisconnected | RunnerDisconnected | illegal_transition | illegal_transition | run_destroyed
amend            | unknown_run | stale_attempt   | illegal_transition | illegal_transition | ExitAmended      | not_amendable        | run_destroyed
reconcile lost   | unknown_run | stale_attempt   | Reconciled         | Reconciled         | Reconciled       | Reconciled           | run_destroyed
reconcile orphan | unknown_run | stale_attempt   | Reconciled         | Reconciled         | Reconciled       | Reconciled           | run_destroyed
reconcile adopted| unknown_run | stale_attempt   | Reconciled         | Reconciled         | illegal_transition | illegal_transition | run_destroyed
";

fn action(name: &str) -> Action {
    let (previous, snapshot) = (ids::attempt(1), ids::snapshot(1));
    let reconcile = |finding| Action::Reconcile { attempt: previous, finding, detail: "pid 701".to_owned() };
    match name {
        "create" => Action::Create { spec: Arc::new(spec("build")) },
        "start fresh" => start_action(ids::attempt(2), "r2", StartMode::Fresh),
        "start resume" => start_action(previous, "r1", StartMode::Resume { previous }),
        "start elsewhere" => start_action(ids::attempt(2), "r2", StartMode::Resume { previous }),
        "start restart" => start_action(ids::attempt(2), "r2", StartMode::Restart { previous }),
        "start takeover" => start_action(ids::attempt(2), "r2", StartMode::Takeover { expected: previous }),
        "wait" => Action::Wait { claim: mine(), on: "approval".to_owned(), deadline: None },
        "exit" => Action::Exit { claim: mine(), exit: exit_of(unknown()) },
        "fail" => Action::Fail { claim: mine(), failure: failure("timeout 30s") },
        "destroy" => Action::Destroy { force: false, why: "not needed".to_owned() },
        "destroy force" => Action::Destroy { force: true, why: "not needed".to_owned() },
        "schedule" => Action::ScheduleSnapshot { claim: mine(), snapshot, due: second(30) },
        "cancel" => Action::CancelSnapshot { guard: Guard::Unconditional },
        "dispatch" => Action::DispatchSnapshot { snapshot },
        "complete" => {
            Action::CompleteSnapshot { snapshot, location: "/images/1".to_owned(), bytes: 1, digest: Digest::ZERO }
        }
        "fail snapshot" => Action::FailSnapshot { snapshot, message: "no space".to_owned() },
        "disconnect" => Action::DisconnectRunner { claim: mine() },
        "amend" => {
            Action::AmendExit { attempt: previous, status: ExitStatus::Code(42), source: "runs/1/exit".to_owned() }
        }
        "reconcile lost" => reconcile(Finding::Lost),
        "reconcile orphan" => reconcile(Finding::Orphan),
        "reconcile adopted" => reconcile(Finding::Adopted),
        other => panic!("no action is called {other}"),
    }
}

/// What the action leads to: the name of its last event, `already`, or the code of its refusal.
fn answer(given: &Given, action: Action) -> &'static str {
    match given.fleet().decide(&ask(action)) {
        Ok(Decision::Append(events)) => events.last().expect("a decision never appends nothing").name().name(),
        Ok(Decision::AlreadyRecorded) => "already",
        Err(refusal) => refusal.code(),
    }
}

fn rows() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    TABLE.trim().lines().map(|line| {
        let mut cells = line.split('|').map(str::trim);
        (cells.next().expect("a line has a first cell"), cells.collect())
    })
}

#[test]
fn every_action_in_every_status() {
    let columns = [Given::nothing(), created(), started(), waiting(), exited(unknown()), failed(), destroyed()];
    let mut cells = 0;
    for (name, expected) in rows() {
        assert_eq!(expected.len(), columns.len(), "{name}");
        for (given, expected) in columns.iter().zip(expected) {
            let status = given.fleet().state(RUN).run().map(|run| run.status.name());
            assert_eq!(answer(given, action(name)), expected, "{name} in {status:?}");
            cells += 1;
        }
    }
    assert_eq!(cells, 21 * 7);
}

/// The events say themselves in which statuses they may follow. Snapshots need more than a status and are told apart.
#[test]
fn the_table_and_the_events_agree_about_statuses() {
    let columns = [created(), started(), waiting(), exited(unknown()), failed(), destroyed(), armed(), dispatched()];
    let mut seen = std::collections::BTreeSet::new();
    for (name, _) in rows() {
        for given in &columns {
            let state = given.fleet().state(RUN);
            let Ok(Decision::Append(events)) = given.fleet().decide(&ask(action(name))) else { continue };
            let mut state = state.clone();
            for event in &events {
                assert!(event.may_follow(&state), "{name}: {event:?} in {state:?}");
                seen.insert((event.name(), state.run().map(|run| run.status.name())));
                state = tachograph_engine::domain::evolve(state, event);
            }
        }
    }
    use EventName::{Destroyed, ExitAmended, Exited, Failed, Reconciled, RunnerDisconnected, Started, Waiting};
    for status in StatusName::ALL {
        for event in [Started, Waiting, Exited, Failed, Destroyed, RunnerDisconnected, ExitAmended, Reconciled] {
            let follows = event.follows().contains(&status);
            assert_eq!(seen.contains(&(event, Some(status))), follows, "{} in {status}", event.name());
        }
    }
}
