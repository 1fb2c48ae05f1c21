//! What an intent means in the light of what happened before.

use std::sync::Arc;

use tachograph_engine::domain::testing::{ids, spec};
use tachograph_engine::domain::{
    Action, AttemptId, Claim, Diagnostics, Digest, Exit, ExitStatus, Failure, FailureKind, Finding, Guard, Run,
    RunSpec, RunnerId, SnapshotId, StartMode, StatusName, Witness,
};

use super::intent::{Intent, Stance};
use super::world::{World, run_in};

/// An action, before it is known about what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Start,
    Resume,
    ResumeElsewhere,
    Restart,
    Takeover,
    Wait,
    Exit,
    Fail,
    Destroy,
    DestroyForced,
    Schedule,
    Cancel,
    CancelUnconditionally,
    Dispatch,
    Complete,
    FailSnapshot,
    Disconnect,
    Amend,
    Reconcile,
}

const ALL: [Kind; 20] = [
    Kind::Create,
    Kind::Start,
    Kind::Resume,
    Kind::ResumeElsewhere,
    Kind::Restart,
    Kind::Takeover,
    Kind::Wait,
    Kind::Exit,
    Kind::Fail,
    Kind::Destroy,
    Kind::DestroyForced,
    Kind::Schedule,
    Kind::Cancel,
    Kind::CancelUnconditionally,
    Kind::Dispatch,
    Kind::Complete,
    Kind::FailSnapshot,
    Kind::Disconnect,
    Kind::Amend,
    Kind::Reconcile,
];

/// What fits the run's state, some of it more often than the rest.
fn natural(run: Option<&Run>) -> Vec<Kind> {
    use Kind::{
        Amend, Cancel, CancelUnconditionally, Complete, Create, Destroy, DestroyForced, Disconnect, Dispatch, Exit,
        Fail, FailSnapshot, Reconcile, Restart, Resume, ResumeElsewhere, Schedule, Start, Takeover, Wait,
    };
    let Some(run) = run else { return vec![Create] };
    let mut kinds = match run.status.name() {
        StatusName::Created => [vec![Start; 10], vec![Fail, Destroy]].concat(),
        StatusName::Started => [vec![Wait; 8], vec![Exit, Exit, Fail, Takeover, Disconnect, Reconcile]].concat(),
        StatusName::Waiting => {
            let others = vec![Resume, ResumeElsewhere, Exit, Fail, Disconnect, Reconcile, DestroyForced];
            [vec![Schedule; 6], others].concat()
        }
        StatusName::Exited => [vec![Restart; 8], vec![Exit, Amend, Reconcile, Destroy]].concat(),
        StatusName::Failed => [vec![Restart; 8], vec![Fail, Reconcile, Destroy]].concat(),
        StatusName::Destroyed => ALL.to_vec(),
    };
    if run.armed.is_some() {
        kinds.extend([vec![Cancel; 3], vec![CancelUnconditionally], vec![Dispatch; 8]].concat());
    }
    if run.in_flight.is_some() {
        kinds.extend([vec![Complete; 3], vec![FailSnapshot, FailSnapshot, Cancel, Dispatch]].concat());
    }
    kinds
}

/// One of these, or the other if there is none.
fn choose<T: Clone>(choices: &[T], pick: usize, otherwise: T) -> T {
    if choices.is_empty() { otherwise } else { choices[pick % choices.len()].clone() }
}

impl World {
    /// The action that this intent amounts to now.
    pub(super) fn action(&mut self, intent: &Intent) -> Action {
        let run = run_in(intent.run);
        let kinds = if intent.natural { natural(self.state(run)) } else { ALL.to_vec() };
        let kind = kinds[intent.pick % kinds.len()];
        match kind {
            Kind::Create => Action::Create { spec: Arc::new(named(intent.runner)) },
            Kind::Start => self.start(intent, StartMode::Fresh),
            Kind::Resume => {
                let claim = self.claim(intent);
                let mode = StartMode::Resume { previous: claim.attempt };
                Action::Start { attempt: claim.attempt, runner: claim.runner, mode }
            }
            Kind::ResumeElsewhere => {
                let previous = self.claim(intent).attempt;
                self.start(intent, StartMode::Resume { previous })
            }
            Kind::Restart => {
                let previous = self.claim(intent).attempt;
                self.start(intent, StartMode::Restart { previous })
            }
            Kind::Takeover => {
                let expected = self.claim(intent).attempt;
                self.start(intent, StartMode::Takeover { expected })
            }
            Kind::Wait => Action::Wait { claim: self.claim(intent), on: "approval".to_owned(), deadline: None },
            Kind::Exit => Action::Exit { claim: self.claim(intent), exit: exit(intent.pick / 32) },
            Kind::Fail => Action::Fail { claim: self.claim(intent), failure: failure(intent.pick / 32) },
            Kind::Destroy => Action::Destroy { force: false, why: "done".to_owned() },
            Kind::DestroyForced => Action::Destroy { force: true, why: "in the way".to_owned() },
            Kind::Disconnect => Action::DisconnectRunner { claim: self.claim(intent) },
            Kind::Amend => Action::AmendExit {
                attempt: self.claim(intent).attempt,
                status: ExitStatus::Code(if intent.runner == 0 { 0 } else { 42 }),
                source: "exit record".to_owned(),
            },
            Kind::Reconcile => Action::Reconcile {
                attempt: self.claim(intent).attempt,
                finding: [Finding::Adopted, Finding::Lost, Finding::Orphan][intent.runner],
                detail: "pid 701".to_owned(),
            },
            Kind::Schedule
            | Kind::Cancel
            | Kind::CancelUnconditionally
            | Kind::Dispatch
            | Kind::Complete
            | Kind::FailSnapshot => self.snapshot_action(kind, intent),
        }
    }

    fn snapshot_action(&mut self, kind: Kind, intent: &Intent) -> Action {
        let snapshot = self.snapshot(kind, intent);
        match kind {
            Kind::Schedule => {
                let delay_ms = i64::try_from(intent.pick * 31 % 30_000).unwrap_or(0);
                Action::ScheduleSnapshot { claim: self.claim(intent), snapshot, due: self.now.plus_millis(delay_ms) }
            }
            Kind::Cancel => Action::CancelSnapshot { guard: Guard::Runner(self.canceling(intent)) },
            Kind::CancelUnconditionally => Action::CancelSnapshot { guard: Guard::Unconditional },
            Kind::Complete => {
                Action::CompleteSnapshot { snapshot, location: "/images/1".to_owned(), bytes: 1, digest: Digest::ZERO }
            }
            Kind::FailSnapshot => Action::FailSnapshot { snapshot, message: "no space".to_owned() },
            _ => Action::DispatchSnapshot { snapshot },
        }
    }

    /// A start by this intent's runner, of a new attempt if the actor is not late.
    fn start(&mut self, intent: &Intent, mode: StartMode) -> Action {
        let fresh = ids::attempt(self.fresh());
        let known: Vec<AttemptId> = self.claims(intent.run).iter().map(|claim| claim.attempt).collect();
        // Some who know what goes before still open an attempt that was open once.
        let reopens = intent.stance == Stance::Stale || (intent.pick / 32).is_multiple_of(8);
        let attempt = if reopens { choose(&known, intent.pick / 256, fresh) } else { fresh };
        Action::Start { attempt, runner: runner(intent.runner), mode }
    }

    /// What the actor presents.
    fn claim(&mut self, intent: &Intent) -> Claim {
        let run = run_in(intent.run);
        let first = Claim { run, attempt: ids::attempt(self.fresh()), runner: runner(intent.runner) };
        let present = self.claims(intent.run).last().cloned().unwrap_or(first);
        match intent.stance {
            Stance::Present | Stance::Retry | Stance::Clumsy => present,
            Stance::Stale => choose(self.claims(intent.run), intent.pick / 32, present),
            Stance::OtherRunner => Claim { runner: runner(intent.runner + 1), ..present },
            Stance::Foreign => {
                let others = self.claims((intent.run + 1) % super::RUNS);
                let other = others.last().cloned().unwrap_or_else(|| present.clone());
                // Some believe that it is this run's, some only mistake the run.
                match intent.pick / 32 % 3 {
                    0 => other,
                    1 => Claim { run, ..other },
                    _ => Claim { run: other.run, ..present },
                }
            }
        }
    }

    /// Which snapshot the actor means.
    fn snapshot(&mut self, kind: Kind, intent: &Intent) -> SnapshotId {
        let run = self.state(run_in(intent.run));
        let armed = run.and_then(|run| run.armed.as_ref()).map(|armed| armed.id);
        let in_flight = run.and_then(|run| run.in_flight.as_ref()).map(|in_flight| in_flight.id);
        let present = match kind {
            Kind::Complete | Kind::FailSnapshot => in_flight,
            Kind::Schedule => None,
            _ => armed,
        };
        let fresh = ids::snapshot(self.fresh());
        match intent.stance {
            Stance::Stale => choose(self.snapshots(intent.run), intent.pick / 32, fresh),
            Stance::Foreign => choose(self.snapshots((intent.run + 1) % super::RUNS), intent.pick / 32, fresh),
            Stance::Present | Stance::OtherRunner | Stance::Retry | Stance::Clumsy => present.unwrap_or(fresh),
        }
    }

    /// Which runner asks for a cancel.
    fn canceling(&mut self, intent: &Intent) -> RunnerId {
        let run = run_in(intent.run);
        match intent.stance {
            Stance::Present | Stance::Retry | Stance::Clumsy if !(intent.pick / 32).is_multiple_of(4) => {
                let armed = self.state(run).and_then(|run| run.armed.as_ref());
                armed.map_or_else(|| runner(intent.runner), |armed| armed.runner.clone())
            }
            // Some know all and still try to cancel what is not theirs.
            Stance::Present | Stance::Retry | Stance::Clumsy => runner(intent.runner),
            Stance::Stale | Stance::OtherRunner | Stance::Foreign => self.claim(intent).runner,
        }
    }
}

fn runner(index: usize) -> RunnerId {
    RunnerId::from(["r1", "r2", "r3"][index % 3])
}

/// Nobody, or one of two names that all runs want.
fn named(index: usize) -> RunSpec {
    match index {
        0 => RunSpec { name: None, ..spec("") },
        1 => spec("build"),
        _ => spec("test"),
    }
}

fn exit(pick: usize) -> Exit {
    let status = match pick % 4 {
        0 => ExitStatus::Code(0),
        1 => ExitStatus::Signal(9),
        _ => ExitStatus::Unknown { cause: "nobody saw it".to_owned() },
    };
    let witness = if pick.is_multiple_of(3) { Witness::Waited } else { Witness::Synthesised };
    Exit { status, witness, output: None }
}

fn failure(pick: usize) -> Failure {
    let message = if pick.is_multiple_of(2) { "timeout 30s" } else { "no memory" };
    Failure { kind: FailureKind::StartTimeout, message: message.to_owned(), diagnostics: Diagnostics::default() }
}
