//! Arbitrary entries and records: every variant, every field, whether or not a decision could have led to it.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};

use crate::domain::{
    Action, ActionName, Actor, ActorKind, ArmedSnapshot, Attempt, CancelCause, Claim, Command, Committed, Diagnostics,
    Digest, DispatchedSnapshot, Drain, Entry, EntryBody, Event, Exit, ExitStatus, Failure, FailureKind, Finding, Guard,
    Ordinal, Outcome, OutputReceipt, Position, Refusal, Refused, RefusedCommand, ResourceLimits, Run, RunRecord,
    RunSpec, RunnerId, Session, StartCause, StartMode, Status, StatusName, Stream, StreamReceipt, SystemFact,
    Timestamp, TornTail, Version, Witness, Workload,
};

macro_rules! ids {
    ($($name:ident: $domain:ident,)*) => {$(
        fn $name() -> impl Strategy<Value = crate::domain::$domain> + Clone {
            any::<u128>().prop_map(crate::domain::$domain::from_u128)
        }
    )*};
}

ids! { run_id: RunId, attempt_id: AttemptId, command_id: CommandId, entry_id: EntryId, snapshot_id: SnapshotId, }

/// Any text of a few characters, multi-byte ones and controls included.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        4 => vec(any::<char>(), 0..6).prop_map(|chars| chars.into_iter().collect()),
        1 => (200_usize..300).prop_map(|length| "x".repeat(length)),
    ]
    .boxed()
}

/// Any time, the extremes included.
fn time() -> impl Strategy<Value = Timestamp> + Clone {
    prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX), any::<i64>().prop_map(Timestamp::from_micros)]
}

/// Any number, with those around the widths of a varint more often.
fn number() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![0..300_u64, 65_000..66_000_u64, any::<u32>().prop_map(u64::from), any::<u64>()]
}

fn position() -> impl Strategy<Value = Position> {
    number().prop_map(Position)
}

fn version() -> impl Strategy<Value = Version> {
    number().prop_map(Version)
}

fn runner() -> impl Strategy<Value = RunnerId> + Clone {
    text().prop_map(RunnerId::new)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> + Clone {
    proptest::sample::select(all)
}

fn action_name() -> impl Strategy<Value = ActionName> {
    use ActionName as A;
    one_of(&[
        A::Create,
        A::Start,
        A::Wait,
        A::Exit,
        A::Fail,
        A::Destroy,
        A::ScheduleSnapshot,
        A::CancelSnapshot,
        A::DispatchSnapshot,
        A::CompleteSnapshot,
        A::FailSnapshot,
        A::DisconnectRunner,
        A::AmendExit,
        A::Reconcile,
    ])
}

fn finding() -> impl Strategy<Value = Finding> {
    one_of(&[Finding::Adopted, Finding::Lost, Finding::Orphan])
}

fn start_cause() -> impl Strategy<Value = StartCause> {
    one_of(&[StartCause::Fresh, StartCause::Resume, StartCause::Restart, StartCause::Takeover])
}

fn actor() -> impl Strategy<Value = Actor> {
    use ActorKind::{Operator, Recovery, Runner, Supervisor, Timer};
    (one_of(&[Runner, Supervisor, Operator, Timer, Recovery]), text()).prop_map(|(kind, id)| Actor::new(kind, id))
}

fn claim() -> BoxedStrategy<Claim> {
    (run_id(), attempt_id(), runner()).prop_map(|(run, attempt, runner)| Claim { run, attempt, runner }).boxed()
}

fn spec() -> BoxedStrategy<Arc<RunSpec>> {
    let argv = || vec(text(), 0..3);
    let workload = prop_oneof![
        (argv(), option::of(text())).prop_map(|(argv, cwd)| Workload::Command { argv, cwd }),
        (text(), argv()).prop_map(|(reference, argv)| Workload::Image { reference, argv }),
    ];
    let limits = (option::of(number()), option::of(number()), option::of(number()))
        .prop_map(|(wall_ms, memory_bytes, output_bytes)| ResourceLimits { wall_ms, memory_bytes, output_bytes });
    (option::of(text()), btree_map(text(), text(), 0..3), workload, limits, option::of(run_id()))
        .prop_map(|(name, labels, workload, limits, parent)| {
            Arc::new(RunSpec { name, labels, workload, limits, parent })
        })
        .boxed()
}

fn exit_status() -> BoxedStrategy<ExitStatus> {
    prop_oneof![
        any::<i32>().prop_map(ExitStatus::Code),
        any::<i32>().prop_map(ExitStatus::Signal),
        text().prop_map(|cause| ExitStatus::Unknown { cause }),
    ]
    .boxed()
}

fn exit() -> BoxedStrategy<Exit> {
    let receipt = || (number(), digest()).prop_map(|(bytes, digest)| StreamReceipt { bytes, digest });
    let open = vec(one_of(&[Stream::Stdout, Stream::Stderr]), 0..3);
    let drain = prop_oneof![
        Just(Drain::Drained),
        (number(), open).prop_map(|(waited_ms, open)| Drain::DrainTimedOut { waited_ms, open }),
    ];
    let output =
        (receipt(), receipt(), drain).prop_map(|(stdout, stderr, drain)| OutputReceipt { stdout, stderr, drain });
    let witness = one_of(&[Witness::Waited, Witness::ExitFile, Witness::Synthesised]);
    (exit_status(), witness, option::of(output))
        .prop_map(|(status, witness, output)| Exit { status, witness, output })
        .boxed()
}

fn failure() -> BoxedStrategy<Failure> {
    let kind = prop_oneof![
        Just(FailureKind::NotFound),
        Just(FailureKind::NotExecutable),
        Just(FailureKind::SpawnFailed),
        Just(FailureKind::StartTimeout),
        Just(FailureKind::TimedOut),
        Just(FailureKind::SupervisorLost),
        Just(FailureKind::RunnerLost),
        Just(FailureKind::StartAbandoned),
        Just(FailureKind::OutputLost),
        text().prop_map(FailureKind::Other),
    ];
    let lines = || vec(text(), 0..3);
    let diagnostics = (lines(), lines(), option::of(text()), btree_map(text(), text(), 0..3))
        .prop_map(|(alive, last_output, likely_cause, facts)| Diagnostics { alive, last_output, likely_cause, facts });
    (kind, text(), diagnostics).prop_map(|(kind, message, diagnostics)| Failure { kind, message, diagnostics }).boxed()
}

fn outcome() -> BoxedStrategy<Outcome> {
    prop_oneof![
        (exit(), option::of(exit_status())).prop_map(|(exit, amended)| Outcome::Exited { exit, amended }),
        failure().prop_map(Outcome::Failed),
    ]
    .boxed()
}

fn start_mode() -> impl Strategy<Value = StartMode> {
    prop_oneof![
        Just(StartMode::Fresh),
        attempt_id().prop_map(|previous| StartMode::Resume { previous }),
        attempt_id().prop_map(|previous| StartMode::Restart { previous }),
        attempt_id().prop_map(|expected| StartMode::Takeover { expected }),
    ]
}

fn guard() -> impl Strategy<Value = Guard> {
    prop_oneof![runner().prop_map(Guard::Runner), Just(Guard::Unconditional)]
}

fn action() -> BoxedStrategy<Action> {
    prop_oneof![
        spec().prop_map(|spec| Action::Create { spec }),
        (attempt_id(), runner(), start_mode()).prop_map(|(attempt, runner, mode)| Action::Start {
            attempt,
            runner,
            mode
        }),
        (claim(), text(), option::of(time())).prop_map(|(claim, on, deadline)| Action::Wait { claim, on, deadline }),
        (claim(), exit()).prop_map(|(claim, exit)| Action::Exit { claim, exit }),
        (claim(), failure()).prop_map(|(claim, failure)| Action::Fail { claim, failure }),
        (any::<bool>(), text()).prop_map(|(force, why)| Action::Destroy { force, why }),
        snapshot_action(),
        claim().prop_map(|claim| Action::DisconnectRunner { claim }),
        (attempt_id(), exit_status(), text()).prop_map(|(attempt, status, source)| Action::AmendExit {
            attempt,
            status,
            source
        }),
        (attempt_id(), finding(), text()).prop_map(|(attempt, finding, detail)| Action::Reconcile {
            attempt,
            finding,
            detail
        }),
    ]
    .boxed()
}

fn snapshot_action() -> BoxedStrategy<Action> {
    prop_oneof![
        (claim(), snapshot_id(), time()).prop_map(|(claim, snapshot, due)| Action::ScheduleSnapshot {
            claim,
            snapshot,
            due
        }),
        guard().prop_map(|guard| Action::CancelSnapshot { guard }),
        snapshot_id().prop_map(|snapshot| Action::DispatchSnapshot { snapshot }),
        (snapshot_id(), text(), number(), digest()).prop_map(|(snapshot, location, bytes, digest)| {
            Action::CompleteSnapshot { snapshot, location, bytes, digest }
        }),
        (snapshot_id(), text()).prop_map(|(snapshot, message)| Action::FailSnapshot { snapshot, message }),
    ]
    .boxed()
}

fn command() -> BoxedStrategy<Command> {
    (command_id(), run_id(), actor(), time(), option::of(version()), action())
        .prop_map(|(id, run, actor, issued_at, expected, action)| Command {
            id,
            run,
            actor,
            issued_at,
            expected,
            action,
        })
        .boxed()
}

fn event() -> BoxedStrategy<Event> {
    prop_oneof![
        (run_id(), spec()).prop_map(|(run, spec)| Event::Created { run, spec }),
        (attempt_id(), any::<u32>(), runner(), start_cause(), option::of(attempt_id())).prop_map(
            |(attempt, ordinal, runner, cause, previous)| {
                Event::Started { attempt, ordinal: Ordinal(ordinal), runner, cause, previous }
            }
        ),
        (attempt_id(), text(), option::of(time())).prop_map(|(attempt, on, deadline)| Event::Waiting {
            attempt,
            on,
            deadline
        }),
        (attempt_id(), exit()).prop_map(|(attempt, exit)| Event::Exited { attempt, exit }),
        (attempt_id(), any::<u32>(), runner(), failure()).prop_map(|(attempt, ordinal, runner, failure)| {
            Event::Failed { attempt, ordinal: Ordinal(ordinal), runner, failure }
        }),
        (text(), any::<bool>()).prop_map(|(why, forced)| Event::Destroyed { why, forced }),
        snapshot_event(),
        (attempt_id(), runner()).prop_map(|(attempt, runner)| Event::RunnerDisconnected { attempt, runner }),
        (attempt_id(), exit_status(), text()).prop_map(|(attempt, status, source)| Event::ExitAmended {
            attempt,
            status,
            source
        }),
        (attempt_id(), finding(), text()).prop_map(|(attempt, finding, detail)| Event::Reconciled {
            attempt,
            finding,
            detail
        }),
    ]
    .boxed()
}

fn snapshot_event() -> BoxedStrategy<Event> {
    let cause = prop_oneof![
        guard().prop_map(CancelCause::Asked),
        Just(CancelCause::RunEnded),
        Just(CancelCause::RunnerDisconnected),
        Just(CancelCause::Superseded),
        Just(CancelCause::Resumed),
        Just(CancelCause::TakenOver),
        Just(CancelCause::Destroyed),
    ];
    prop_oneof![
        (snapshot_id(), runner(), time()).prop_map(|(snapshot, runner, due)| Event::SnapshotScheduled {
            snapshot,
            runner,
            due
        }),
        (snapshot_id(), cause).prop_map(|(snapshot, cause)| Event::SnapshotCanceled { snapshot, cause }),
        snapshot_id().prop_map(|snapshot| Event::SnapshotDispatched { snapshot }),
        (snapshot_id(), text(), number(), digest()).prop_map(|(snapshot, location, bytes, digest)| {
            Event::SnapshotTaken { snapshot, location, bytes, digest }
        }),
        (snapshot_id(), text()).prop_map(|(snapshot, message)| Event::SnapshotFailed { snapshot, message }),
    ]
    .boxed()
}

fn status_name() -> impl Strategy<Value = StatusName> {
    one_of(&StatusName::ALL)
}

fn refusal() -> BoxedStrategy<Refusal> {
    prop_oneof![
        Just(Refusal::UnknownRun),
        Just(Refusal::RunExists),
        Just(Refusal::RunDestroyed),
        option::of(attempt_id()).prop_map(|current| Refusal::StaleAttempt { current }),
        runner().prop_map(|holder| Refusal::WrongRunner { holder }),
        (status_name(), action_name()).prop_map(|(from, action)| Refusal::IllegalTransition { from, action }),
        outcome().prop_map(|recorded| Refusal::ConflictingTerminal { recorded: Box::new(recorded) }),
        version().prop_map(|actual| Refusal::VersionConflict { actual }),
        (text(), text()).prop_map(|(field, why)| Refusal::InvalidInput { field, why }),
        (text(), run_id()).prop_map(|(name, holder)| Refusal::NameHeld { name, holder }),
        other_refusal(),
    ]
    .boxed()
}

fn other_refusal() -> BoxedStrategy<Refusal> {
    prop_oneof![
        status_name().prop_map(|from| Refusal::ForceRequired { from }),
        Just(Refusal::NothingPending),
        runner().prop_map(|armed_by| Refusal::NotOwner { armed_by }),
        snapshot_id().prop_map(|snapshot| Refusal::AlreadyDispatched { snapshot }),
        option::of(snapshot_id()).prop_map(|armed| Refusal::SnapshotGone { armed }),
        time().prop_map(|due| Refusal::NotDue { due }),
        Just(Refusal::AlreadyDisconnected),
        outcome().prop_map(|recorded| Refusal::NotAmendable { recorded: Box::new(recorded) }),
        any::<u32>().prop_map(|limit| Refusal::AttemptsExhausted { limit }),
    ]
    .boxed()
}

fn refused() -> BoxedStrategy<Refused> {
    let kept = prop_oneof![
        command().prop_map(|command| RefusedCommand::Whole(Box::new(command))),
        (command_id(), run_id(), actor(), time(), action_name()).prop_map(|(id, run, actor, issued_at, action)| {
            RefusedCommand::OutOfBounds { id, run, actor, issued_at, action }
        }),
    ];
    (kept, refusal(), number()).prop_map(|(command, refusal, count)| Refused { command, refusal, count }).boxed()
}

fn system_fact() -> BoxedStrategy<SystemFact> {
    let session = || {
        (text(), text(), any::<u32>(), text(), time(), number()).prop_map(
            |(host, boot_id, pid, version, wall, monotonic_us)| Session {
                host,
                boot_id,
                pid,
                version,
                wall,
                monotonic_us,
            },
        )
    };
    let torn = (text(), number(), number(), position()).prop_map(|(file, offset, bytes, position)| TornTail {
        file,
        offset,
        bytes,
        position,
    });
    prop_oneof![
        session().prop_map(SystemFact::Opened),
        (option::of(torn), option::of((position(), digest())), number())
            .prop_map(|(torn, missing_up_to, open_runs)| SystemFact::Recovered { torn, missing_up_to, open_runs }),
        session().prop_map(SystemFact::Closed),
    ]
    .boxed()
}

fn committed() -> BoxedStrategy<Committed> {
    let any_events = (command(), version(), vec(event(), 0..3)).prop_map(|(command, version, events)| Committed {
        command,
        version,
        events,
    });
    // A create as a decision makes it: the event shares the spec.
    let created = (command(), version(), spec()).prop_map(|(command, version, spec)| Committed {
        events: vec![Event::Created { run: command.run, spec: spec.clone() }],
        command: Command { action: Action::Create { spec }, ..command },
        version,
    });
    prop_oneof![4 => any_events, 1 => created].boxed()
}

/// Any entry.
pub(super) fn entry() -> BoxedStrategy<Entry> {
    let body = prop_oneof![
        committed().prop_map(EntryBody::Committed),
        refused().prop_map(EntryBody::Refused),
        system_fact().prop_map(EntryBody::System),
    ];
    (entry_id(), position(), time(), option::of(position()), body)
        .prop_map(|(id, position, recorded_at, previous, body)| Entry { id, position, recorded_at, previous, body })
        .boxed()
}

/// Any run record.
pub(super) fn record() -> BoxedStrategy<RunRecord> {
    let positions = (position(), position(), position(), option::of((position(), version())));
    (run(), time(), time(), positions, number())
        .prop_map(|(run, created_at, updated_at, (created, updated, last, ended), refusals)| RunRecord {
            run,
            created_at,
            updated_at,
            created,
            updated,
            last,
            ended,
            refusals,
        })
        .boxed()
}

fn run() -> BoxedStrategy<Run> {
    let status = prop_oneof![
        Just(Status::Created),
        Just(Status::Started),
        (text(), option::of(time())).prop_map(|(on, deadline)| Status::Waiting { on, deadline }),
        Just(Status::Exited),
        Just(Status::Failed),
        text().prop_map(|why| Status::Destroyed { why }),
    ];
    let armed = (snapshot_id(), runner(), time()).prop_map(|(id, runner, due)| ArmedSnapshot { id, runner, due });
    let in_flight = (snapshot_id(), attempt_id()).prop_map(|(id, attempt)| DispatchedSnapshot { id, attempt });
    let snapshots = (option::of(armed), option::of(in_flight), vec(snapshot_id(), 0..3));
    (run_id(), version(), spec(), status, option::of(attempt()), vec(attempt_id(), 0..3), snapshots)
        .prop_map(|(id, version, spec, status, attempt, spent, (armed, in_flight, spent_snapshots))| Run {
            id,
            version,
            spec,
            status,
            attempt,
            spent,
            spent_snapshots,
            armed,
            in_flight,
        })
        .boxed()
}

fn attempt() -> BoxedStrategy<Attempt> {
    let flags = (any::<bool>(), any::<bool>());
    (attempt_id(), any::<u32>(), runner(), start_cause(), flags, option::of(outcome()))
        .prop_map(|(id, ordinal, runner, cause, (started, connected), outcome)| Attempt {
            id,
            ordinal: Ordinal(ordinal),
            runner,
            cause,
            started,
            connected,
            outcome,
        })
        .boxed()
}
