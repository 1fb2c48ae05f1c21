//! One entry for every variant that has a number on the wire, always the same, for the golden bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::testing::ids;
use crate::domain::{
    Action, ActionName, Actor, ActorKind, ArmedSnapshot, Attempt, CancelCause, Claim, Command, Committed, Diagnostics,
    Digest, DispatchedSnapshot, Drain, Entry, EntryBody, Event, Events, Exit, ExitStatus, Failure, FailureKind,
    Finding, Guard, Ordinal, Outcome, OutputReceipt, Position, Refusal, Refused, RefusedCommand, ResourceLimits, Run,
    RunRecord, RunSpec, RunnerId, Session, StartCause, StartMode, Status, StatusName, Stream, StreamReceipt,
    SystemFact, Timestamp, TornTail, Version, Witness, Workload,
};

/// A name for each sample, which says what is special about it.
pub(super) fn entries() -> Vec<(String, Entry)> {
    let mut samples = Vec::new();
    let mut add = |name: String, body: EntryBody| samples.push((name, entry(body)));
    for (name, action, events) in committed() {
        add(format!("committed {name}"), commit(action, events));
    }
    for kind in [ActorKind::Runner, ActorKind::Supervisor, ActorKind::Operator, ActorKind::Timer, ActorKind::Recovery] {
        add(format!("actor {}", kind.name()), EntryBody::Refused(out_of_bounds(kind, ActionName::Start)));
    }
    for action in ACTIONS {
        add(format!("out_of_bounds {}", action.name()), EntryBody::Refused(out_of_bounds(ActorKind::Runner, action)));
    }
    for (name, refusal) in refusals() {
        let command = RefusedCommand::Whole(Box::new(command(Action::Destroy { force: true, why: "done".to_owned() })));
        add(format!("refused {name}"), EntryBody::Refused(Refused { command, refusal, count: 4 }));
    }
    let whole = command(Action::Create { spec: Arc::new(spec()) });
    let whole = Refused {
        command: RefusedCommand::Whole(Box::new(whole)),
        refusal: Refusal::NameHeld { name: "build".to_owned(), holder: ids::run(2) },
        count: 1,
    };
    add("refused create".to_owned(), EntryBody::Refused(whole));
    for (name, fact) in facts() {
        add(format!("system {name}"), EntryBody::System(fact));
    }
    samples
}

pub(super) fn records() -> Vec<(String, RunRecord)> {
    let statuses = [
        (Status::Created, None),
        (Status::Started, Some(attempt(StartCause::Fresh, None))),
        (Status::Waiting { on: "ci".to_owned(), deadline: Some(time(9)) }, Some(attempt(StartCause::Resume, None))),
        (Status::Exited, Some(attempt(StartCause::Restart, Some(outcomes().remove(0).1)))),
        (Status::Failed, Some(attempt(StartCause::Takeover, Some(outcomes().remove(2).1)))),
        (Status::Destroyed { why: "done".to_owned() }, None),
    ];
    statuses.into_iter().map(|(status, attempt)| (status.name().name().to_owned(), record(status, attempt))).collect()
}

fn record(status: Status, attempt: Option<Attempt>) -> RunRecord {
    let waiting = status.name() == StatusName::Waiting;
    let armed = waiting.then(|| ArmedSnapshot { id: ids::snapshot(1), runner: runner(), due: time(5) });
    let in_flight = waiting.then(|| DispatchedSnapshot { id: ids::snapshot(2), attempt: ids::attempt(1) });
    let ended = status.name().is_ended().then_some((Position(300), Version(70_000)));
    let run = Run {
        id: ids::run(1),
        version: Version(70_000),
        spec: Arc::new(spec()),
        status,
        attempt,
        spent: vec![ids::attempt(7), ids::attempt(8)],
        spent_snapshots: vec![ids::snapshot(3)],
        armed,
        in_flight,
    };
    RunRecord {
        run,
        created_at: time(1),
        updated_at: time(2),
        created: Position(3),
        updated: Position(300),
        last: Position(70_001),
        ended,
        refusals: 5,
    }
}

fn attempt(cause: StartCause, outcome: Option<Outcome>) -> Attempt {
    Attempt {
        id: ids::attempt(1),
        ordinal: Ordinal(3),
        runner: runner(),
        cause,
        started: true,
        connected: false,
        outcome,
    }
}

const ACTIONS: [ActionName; 14] = [
    ActionName::Create,
    ActionName::Start,
    ActionName::Wait,
    ActionName::Exit,
    ActionName::Fail,
    ActionName::Destroy,
    ActionName::ScheduleSnapshot,
    ActionName::CancelSnapshot,
    ActionName::DispatchSnapshot,
    ActionName::CompleteSnapshot,
    ActionName::FailSnapshot,
    ActionName::DisconnectRunner,
    ActionName::AmendExit,
    ActionName::Reconcile,
];

fn committed() -> Vec<(String, Action, Events)> {
    let mut samples = vec![create(), image()];
    samples.extend(starts());
    samples.extend(ends());
    samples.extend(snapshots());
    samples.extend(others());
    samples.into_iter().map(|(name, action, events)| (name.to_owned(), action, events)).collect()
}

type Sample = (&'static str, Action, Events);

fn create() -> Sample {
    let spec = Arc::new(spec());
    ("create", Action::Create { spec: spec.clone() }, vec![Event::Created { run: ids::run(1), spec }])
}

fn image() -> Sample {
    let workload = Workload::Image { reference: "alpine:3".to_owned(), argv: vec!["sh".to_owned()] };
    let spec = Arc::new(RunSpec { workload, ..RunSpec::default() });
    ("create image", Action::Create { spec: spec.clone() }, vec![Event::Created { run: ids::run(1), spec }])
}

fn starts() -> Vec<Sample> {
    let previous = ids::attempt(1);
    let modes = [
        ("start fresh", StartMode::Fresh, StartCause::Fresh, None),
        ("start resume", StartMode::Resume { previous }, StartCause::Resume, Some(previous)),
        ("start restart", StartMode::Restart { previous }, StartCause::Restart, Some(previous)),
        ("start takeover", StartMode::Takeover { expected: previous }, StartCause::Takeover, Some(previous)),
    ];
    let started = |(name, mode, cause, previous)| {
        let attempt = ids::attempt(2);
        let event = Event::Started { attempt, ordinal: Ordinal(2), runner: runner(), cause, previous };
        (name, Action::Start { attempt, runner: runner(), mode }, vec![event])
    };
    modes.map(started).into()
}

fn ends() -> Vec<Sample> {
    let attempt = ids::attempt(1);
    let exited = |(name, exit): (&'static str, Exit)| {
        (name, Action::Exit { claim: claim(), exit: exit.clone() }, vec![Event::Exited { attempt, exit }])
    };
    let failed = |(name, failure): (&'static str, Failure)| {
        let event = Event::Failed { attempt, ordinal: Ordinal(1), runner: runner(), failure: failure.clone() };
        (name, Action::Fail { claim: claim(), failure }, vec![event])
    };
    exits().into_iter().map(exited).chain(failures().into_iter().map(failed)).collect()
}

fn exits() -> Vec<(&'static str, Exit)> {
    let receipt = |bytes| StreamReceipt { bytes, digest: Digest([bytes as u8; 32]) };
    let output = |drain| Some(OutputReceipt { stdout: receipt(1), stderr: receipt(20), drain });
    let open = vec![Stream::Stdout, Stream::Stderr];
    let unknown = ExitStatus::Unknown { cause: "nobody saw it".to_owned() };
    vec![
        ("exit code", Exit { status: ExitStatus::Code(-1), witness: Witness::Waited, output: output(Drain::Drained) }),
        (
            "exit signal",
            Exit {
                status: ExitStatus::Signal(9),
                witness: Witness::ExitFile,
                output: output(Drain::DrainTimedOut { waited_ms: 2_000, open }),
            },
        ),
        ("exit unknown", Exit { status: unknown, witness: Witness::Synthesised, output: None }),
    ]
}

fn failures() -> Vec<(&'static str, Failure)> {
    let kinds = [
        ("fail not_found", FailureKind::NotFound),
        ("fail not_executable", FailureKind::NotExecutable),
        ("fail spawn_failed", FailureKind::SpawnFailed),
        ("fail start_timeout", FailureKind::StartTimeout),
        ("fail timed_out", FailureKind::TimedOut),
        ("fail supervisor_lost", FailureKind::SupervisorLost),
        ("fail runner_lost", FailureKind::RunnerLost),
        ("fail start_abandoned", FailureKind::StartAbandoned),
        ("fail output_lost", FailureKind::OutputLost),
        ("fail other", FailureKind::Other("quota".to_owned())),
    ];
    kinds.map(|(name, kind)| (name, failure(kind))).into()
}

fn failure(kind: FailureKind) -> Failure {
    let diagnostics = Diagnostics {
        alive: vec!["shim".to_owned()],
        last_output: vec!["booting".to_owned(), String::new()],
        likely_cause: Some("no memory".to_owned()),
        facts: BTreeMap::from([("console_bytes".to_owned(), "0".to_owned())]),
    };
    Failure { kind, message: "timeout 30s".to_owned(), diagnostics }
}

fn snapshots() -> Vec<Sample> {
    let snapshot = ids::snapshot(1);
    let (location, digest) = ("/images/1".to_owned(), Digest([0xab; 32]));
    let message = "no space".to_owned();
    let taken = Event::SnapshotTaken { snapshot, location: location.clone(), bytes: 1 << 33, digest };
    let failed = Event::SnapshotFailed { snapshot, message: message.clone() };
    let scheduled = Event::SnapshotScheduled { snapshot, runner: runner(), due: time(3) };
    let mut samples = vec![
        ("schedule", Action::ScheduleSnapshot { claim: claim(), snapshot, due: time(3) }, vec![scheduled]),
        ("dispatch", Action::DispatchSnapshot { snapshot }, vec![Event::SnapshotDispatched { snapshot }]),
        ("complete", Action::CompleteSnapshot { snapshot, location, bytes: 1 << 33, digest }, vec![taken]),
        ("snapshot failed", Action::FailSnapshot { snapshot, message }, vec![failed]),
    ];
    samples.extend(causes().into_iter().map(|(name, guard, cause)| {
        (name, Action::CancelSnapshot { guard }, vec![Event::SnapshotCanceled { snapshot, cause }])
    }));
    samples
}

fn causes() -> [(&'static str, Guard, CancelCause); 8] {
    let (guarded, unguarded) = (Guard::Runner(runner()), Guard::Unconditional);
    [
        ("cancel asked_by_runner", guarded.clone(), CancelCause::Asked(guarded.clone())),
        ("cancel asked_unconditionally", unguarded.clone(), CancelCause::Asked(unguarded)),
        ("cancel run_ended", guarded.clone(), CancelCause::RunEnded),
        ("cancel runner_disconnected", guarded.clone(), CancelCause::RunnerDisconnected),
        ("cancel superseded", guarded.clone(), CancelCause::Superseded),
        ("cancel resumed", guarded.clone(), CancelCause::Resumed),
        ("cancel taken_over", guarded.clone(), CancelCause::TakenOver),
        ("cancel destroyed", guarded, CancelCause::Destroyed),
    ]
}

fn others() -> Vec<Sample> {
    let (attempt, source, why) = (ids::attempt(1), "runs/1/exit".to_owned(), "done".to_owned());
    let (on, deadline, status) = ("approval".to_owned(), Some(time(8)), ExitStatus::Code(42));
    let amended = Event::ExitAmended { attempt, status: status.clone(), source: source.clone() };
    let destroyed = Event::Destroyed { why: why.clone(), forced: true };
    let lost = Event::RunnerDisconnected { attempt, runner: runner() };
    let mut samples = vec![
        (
            "wait",
            Action::Wait { claim: claim(), on: on.clone(), deadline },
            vec![Event::Waiting { attempt, on, deadline }],
        ),
        ("destroy", Action::Destroy { force: true, why }, vec![destroyed]),
        ("disconnect", Action::DisconnectRunner { claim: claim() }, vec![lost]),
        ("amend", Action::AmendExit { attempt, status, source }, vec![amended]),
    ];
    let findings = [
        ("reconcile adopted", Finding::Adopted),
        ("reconcile lost", Finding::Lost),
        ("reconcile orphan", Finding::Orphan),
    ];
    samples.extend(findings.map(|(name, finding)| {
        let detail = "pid 701".to_owned();
        let event = Event::Reconciled { attempt, finding, detail: detail.clone() };
        (name, Action::Reconcile { attempt, finding, detail }, vec![event])
    }));
    samples
}

fn outcomes() -> Vec<(&'static str, Outcome)> {
    let amended = Some(ExitStatus::Code(42));
    vec![
        ("exited", Outcome::Exited { exit: exits().remove(0).1, amended: None }),
        ("amended", Outcome::Exited { exit: exits().remove(2).1, amended }),
        ("failed", Outcome::Failed(failure(FailureKind::StartTimeout))),
    ]
}

fn refusals() -> Vec<(String, Refusal)> {
    let mut samples: Vec<(String, Refusal)> =
        plain_refusals().into_iter().map(|refusal| (refusal.code().to_owned(), refusal)).collect();
    for (name, outcome) in outcomes() {
        let recorded = Box::new(outcome);
        let conflict = Refusal::ConflictingTerminal { recorded: recorded.clone() };
        samples.push((format!("conflicting_terminal {name}"), conflict));
        samples.push((format!("not_amendable {name}"), Refusal::NotAmendable { recorded }));
    }
    for from in StatusName::ALL {
        samples.push((format!("force_required {from}"), Refusal::ForceRequired { from }));
    }
    samples
}

fn plain_refusals() -> Vec<Refusal> {
    vec![
        Refusal::UnknownRun,
        Refusal::RunExists,
        Refusal::RunDestroyed,
        Refusal::StaleAttempt { current: Some(ids::attempt(3)) },
        Refusal::WrongRunner { holder: runner() },
        Refusal::IllegalTransition { from: StatusName::Failed, action: ActionName::Wait },
        Refusal::VersionConflict { actual: Version(300) },
        Refusal::InvalidInput { field: "spec.labels".to_owned(), why: "65 labels; at most 64".to_owned() },
        Refusal::NameHeld { name: "build".to_owned(), holder: ids::run(2) },
        Refusal::NothingPending,
        Refusal::NotOwner { armed_by: runner() },
        Refusal::AlreadyDispatched { snapshot: ids::snapshot(1) },
        Refusal::SnapshotGone { armed: None },
        Refusal::NotDue { due: time(4) },
        Refusal::AlreadyDisconnected,
        Refusal::AttemptsExhausted { limit: 10_000 },
    ]
}

fn facts() -> [(&'static str, SystemFact); 4] {
    let session = Session {
        host: "lorry".to_owned(),
        boot_id: "5ff2".to_owned(),
        pid: 701,
        version: "0.1.0".to_owned(),
        wall: time(1),
        monotonic_us: 1 << 40,
    };
    let file = "00000000000000000001.seg".to_owned();
    let torn = Some(TornTail { file, offset: 4_096, bytes: 17, position: Position(8) });
    [
        ("opened", SystemFact::Opened(session.clone())),
        ("recovered", SystemFact::Recovered { torn: None, missing_up_to: None, open_runs: 0 }),
        (
            "recovered with losses",
            SystemFact::Recovered { torn, missing_up_to: Some((Position(9), Digest([1; 32]))), open_runs: 2 },
        ),
        ("closed", SystemFact::Closed(session)),
    ]
}

fn commit(action: Action, events: Events) -> EntryBody {
    EntryBody::Committed(Committed { command: command(action), version: Version(events.len() as u64), events })
}

fn out_of_bounds(kind: ActorKind, action: ActionName) -> Refused {
    let actor = Actor::new(kind, "node-1");
    let (id, run) = (ids::command(1), ids::run(1));
    Refused {
        command: RefusedCommand::OutOfBounds { id, run, actor, issued_at: time(0), action },
        refusal: Refusal::InvalidInput { field: "why".to_owned(), why: "is empty".to_owned() },
        count: 2,
    }
}

fn entry(body: EntryBody) -> Entry {
    Entry { id: ids::entry(1), position: Position(251), recorded_at: time(2), previous: Some(Position(70_000)), body }
}

fn command(action: Action) -> Command {
    let actor = Actor::new(ActorKind::Supervisor, "test");
    let (id, run) = (ids::command(1), ids::run(1));
    Command { id, run, actor, issued_at: time(1), expected: Some(Version(7)), action }
}

fn spec() -> RunSpec {
    RunSpec {
        name: Some("build".to_owned()),
        labels: BTreeMap::from([("team".to_owned(), "ci".to_owned()), ("zone".to_owned(), String::new())]),
        workload: Workload::Command { argv: vec!["make".to_owned(), "-j".to_owned()], cwd: Some("/src".to_owned()) },
        limits: ResourceLimits { wall_ms: Some(60_000), memory_bytes: None, output_bytes: Some(1 << 20) },
        parent: Some(ids::run(9)),
    }
}

fn claim() -> Claim {
    Claim { run: ids::run(1), attempt: ids::attempt(1), runner: runner() }
}

fn runner() -> RunnerId {
    RunnerId::from("r1")
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_micros(1_795_230_720_000_250 + second * 1_000_000)
}
