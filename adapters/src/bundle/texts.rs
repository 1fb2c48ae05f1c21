//! Every text in an entry, by what it is: the places where a value that must not be passed on can stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use tachograph_engine::domain::{
    Action, Actor, CancelCause, Claim, Command, Diagnostics, Entry, EntryBody, Event, Exit, ExitStatus, Failure,
    FailureKind, Guard, Outcome, Refusal, RefusedCommand, RunSpec, RunnerId, Session, SystemFact, Workload,
};

/// What a text is. Names of it are [`TextKind::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum TextKind {
    /// The name of a run.
    Name,
    /// The value of a label.
    Label,
    /// An argument of a command line.
    Argv,
    /// A working directory.
    Cwd,
    /// The reference of an image.
    Image,
    /// Who holds, held or claims an attempt.
    Runner,
    /// Who issued a command.
    Actor,
    /// What a run waits on.
    WaitingOn,
    /// Why a run was destroyed.
    Why,
    /// The message of a failure, of an attempt or a snapshot, or the kind of one that has no name of its own.
    Message,
    /// Diagnostics of a failure: what was alive, last output, likely cause, values of facts.
    Diagnostics,
    /// Why an exit status is unknown.
    Cause,
    /// What recovery found, in words.
    Detail,
    /// Where an amended exit came from.
    Source,
    /// Where an image is.
    Location,
    /// Which input was refused, and why.
    Refusal,
    /// The name of the host that wrote.
    Host,
    /// What only software writes: boot id, version, name of a segment file.
    Machine,
    /// The key of a label or of a fact, by which values are found: it stays.
    Key,
}

impl TextKind {
    /// The kinds that can be asked for, by their names.
    pub(super) const NAMED: [(&'static str, Self); 17] = [
        ("name", Self::Name),
        ("label", Self::Label),
        ("argv", Self::Argv),
        ("cwd", Self::Cwd),
        ("image", Self::Image),
        ("runner", Self::Runner),
        ("actor", Self::Actor),
        ("waiting_on", Self::WaitingOn),
        ("why", Self::Why),
        ("message", Self::Message),
        ("diagnostics", Self::Diagnostics),
        ("cause", Self::Cause),
        ("detail", Self::Detail),
        ("source", Self::Source),
        ("location", Self::Location),
        ("refusal", Self::Refusal),
        ("host", Self::Host),
    ];

    /// Whether it is written by people or programs as they like, and may so hold a part of anything.
    pub(super) const fn is_free(self) -> bool {
        match self {
            Self::WaitingOn
            | Self::Why
            | Self::Message
            | Self::Diagnostics
            | Self::Cause
            | Self::Detail
            | Self::Source
            | Self::Location
            | Self::Refusal => true,
            Self::Name
            | Self::Label
            | Self::Argv
            | Self::Cwd
            | Self::Image
            | Self::Runner
            | Self::Actor
            | Self::Host
            | Self::Machine
            | Self::Key => false,
        }
    }

    /// Stable name, also in salts and reports.
    pub(super) fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, kind)| *kind == self).map_or("machine", |(name, _)| name)
    }
}

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) kind: TextKind,
    /// The key of a label.
    pub(super) key: Option<&'a str>,
}

/// What is shown every text, and may change it.
pub(super) type See<'a> = dyn FnMut(Place<'_>, &mut String) + 'a;

/// Shows every text of an entry, in a fixed order.
pub(super) fn visit(entry: &mut Entry, see: &mut See<'_>) {
    match &mut entry.body {
        EntryBody::Committed(committed) => {
            command(&mut committed.command, see);
            committed.events.iter_mut().for_each(|item| event(item, see));
        }
        EntryBody::Refused(refused) => {
            match &mut refused.command {
                RefusedCommand::Whole(whole) => command(whole, see),
                RefusedCommand::OutOfBounds { actor: who, .. } => actor(who, see),
            }
            refusal(&mut refused.refusal, see);
        }
        EntryBody::System(fact) => system(fact, see),
    }
}

fn plain(kind: TextKind, text: &mut String, see: &mut See<'_>) {
    see(Place { kind, key: None }, text);
}

fn lines(kind: TextKind, lines: &mut [String], see: &mut See<'_>) {
    lines.iter_mut().for_each(|line| plain(kind, line, see));
}

fn runner(id: &mut RunnerId, see: &mut See<'_>) {
    let mut text = id.as_str().to_owned();
    plain(TextKind::Runner, &mut text, see);
    if text != id.as_str() {
        *id = RunnerId::new(text);
    }
}

fn actor(actor: &mut Actor, see: &mut See<'_>) {
    let mut text = actor.id.to_string();
    plain(TextKind::Actor, &mut text, see);
    if *text != *actor.id {
        actor.id = text.into();
    }
}

fn claim(claim: &mut Claim, see: &mut See<'_>) {
    runner(&mut claim.runner, see);
}

fn pairs(kind: TextKind, pairs: &mut BTreeMap<String, String>, see: &mut See<'_>) {
    for (key, value) in pairs {
        see(Place { kind, key: Some(key) }, value);
        plain(TextKind::Key, &mut key.clone(), see);
    }
}

fn spec(spec: &mut Arc<RunSpec>, see: &mut See<'_>) {
    let RunSpec { name, labels, workload, limits: _, parent: _ } = Arc::make_mut(spec);
    if let Some(name) = name {
        plain(TextKind::Name, name, see);
    }
    pairs(TextKind::Label, labels, see);
    match workload {
        Workload::Command { argv, cwd } => {
            lines(TextKind::Argv, argv, see);
            if let Some(cwd) = cwd {
                plain(TextKind::Cwd, cwd, see);
            }
        }
        Workload::Image { reference, argv } => {
            plain(TextKind::Image, reference, see);
            lines(TextKind::Argv, argv, see);
        }
    }
}

fn status(status: &mut ExitStatus, see: &mut See<'_>) {
    match status {
        ExitStatus::Unknown { cause } => plain(TextKind::Cause, cause, see),
        ExitStatus::Code(_) | ExitStatus::Signal(_) => {}
    }
}

fn exit(exit: &mut Exit, see: &mut See<'_>) {
    status(&mut exit.status, see);
}

fn failure(failure: &mut Failure, see: &mut See<'_>) {
    if let FailureKind::Other(kind) = &mut failure.kind {
        plain(TextKind::Message, kind, see);
    }
    plain(TextKind::Message, &mut failure.message, see);
    let Diagnostics { alive, last_output, likely_cause, facts } = &mut failure.diagnostics;
    lines(TextKind::Diagnostics, alive, see);
    lines(TextKind::Diagnostics, last_output, see);
    if let Some(cause) = likely_cause {
        plain(TextKind::Diagnostics, cause, see);
    }
    pairs(TextKind::Diagnostics, facts, see);
}

fn outcome(outcome: &mut Outcome, see: &mut See<'_>) {
    match outcome {
        Outcome::Exited { exit: recorded, amended } => {
            exit(recorded, see);
            if let Some(amended) = amended {
                status(amended, see);
            }
        }
        Outcome::Failed(recorded) => failure(recorded, see),
    }
}

fn guard(guard: &mut Guard, see: &mut See<'_>) {
    match guard {
        Guard::Runner(owner) => runner(owner, see),
        Guard::Unconditional => {}
    }
}

fn command(command: &mut Command, see: &mut See<'_>) {
    actor(&mut command.actor, see);
    match &mut command.action {
        Action::Create { spec: created } => spec(created, see),
        Action::Start { runner: holder, .. } => runner(holder, see),
        Action::Wait { claim: who, on, .. } => {
            claim(who, see);
            plain(TextKind::WaitingOn, on, see);
        }
        Action::Exit { claim: who, exit: reported } => {
            claim(who, see);
            exit(reported, see);
        }
        Action::Fail { claim: who, failure: reported } => {
            claim(who, see);
            failure(reported, see);
        }
        Action::Destroy { why, .. } => plain(TextKind::Why, why, see),
        Action::ScheduleSnapshot { claim: who, .. } | Action::DisconnectRunner { claim: who } => claim(who, see),
        Action::CancelSnapshot { guard: asked } => guard(asked, see),
        Action::CompleteSnapshot { location, .. } => plain(TextKind::Location, location, see),
        Action::FailSnapshot { message, .. } => plain(TextKind::Message, message, see),
        Action::AmendExit { status: amended, source, .. } => {
            status(amended, see);
            plain(TextKind::Source, source, see);
        }
        Action::Reconcile { detail, .. } => plain(TextKind::Detail, detail, see),
        Action::DispatchSnapshot { .. } => {}
    }
}

fn event(event: &mut Event, see: &mut See<'_>) {
    match event {
        Event::Created { spec: created, .. } => spec(created, see),
        Event::Started { runner: holder, .. }
        | Event::SnapshotScheduled { runner: holder, .. }
        | Event::RunnerDisconnected { runner: holder, .. } => runner(holder, see),
        Event::Waiting { on, .. } => plain(TextKind::WaitingOn, on, see),
        Event::Exited { exit: recorded, .. } => exit(recorded, see),
        Event::Failed { runner: holder, failure: recorded, .. } => {
            runner(holder, see);
            failure(recorded, see);
        }
        Event::Destroyed { why, .. } => plain(TextKind::Why, why, see),
        Event::SnapshotCanceled { cause, .. } => match cause {
            CancelCause::Asked(asked) => guard(asked, see),
            CancelCause::RunEnded
            | CancelCause::RunnerDisconnected
            | CancelCause::Superseded
            | CancelCause::Resumed
            | CancelCause::TakenOver
            | CancelCause::Destroyed => {}
        },
        Event::SnapshotTaken { location, .. } => plain(TextKind::Location, location, see),
        Event::SnapshotFailed { message, .. } => plain(TextKind::Message, message, see),
        Event::ExitAmended { status: amended, source, .. } => {
            status(amended, see);
            plain(TextKind::Source, source, see);
        }
        Event::Reconciled { detail, .. } => plain(TextKind::Detail, detail, see),
        Event::SnapshotDispatched { .. } => {}
    }
}

fn refusal(refusal: &mut Refusal, see: &mut See<'_>) {
    match refusal {
        Refusal::WrongRunner { holder: who } | Refusal::NotOwner { armed_by: who } => runner(who, see),
        Refusal::ConflictingTerminal { recorded } | Refusal::NotAmendable { recorded } => outcome(recorded, see),
        Refusal::InvalidInput { field, why } => {
            plain(TextKind::Refusal, field, see);
            plain(TextKind::Refusal, why, see);
        }
        Refusal::NameHeld { name, .. } => plain(TextKind::Name, name, see),
        Refusal::UnknownRun
        | Refusal::RunExists
        | Refusal::RunDestroyed
        | Refusal::StaleAttempt { .. }
        | Refusal::IllegalTransition { .. }
        | Refusal::VersionConflict { .. }
        | Refusal::ForceRequired { .. }
        | Refusal::NothingPending
        | Refusal::AlreadyDispatched { .. }
        | Refusal::SnapshotGone { .. }
        | Refusal::NotDue { .. }
        | Refusal::AlreadyDisconnected
        | Refusal::AttemptsExhausted { .. } => {}
    }
}

fn system(fact: &mut SystemFact, see: &mut See<'_>) {
    match fact {
        SystemFact::Opened(session) | SystemFact::Closed(session) => {
            let Session { host, boot_id, pid: _, version, wall: _, monotonic_us: _ } = session;
            plain(TextKind::Host, host, see);
            plain(TextKind::Machine, boot_id, see);
            plain(TextKind::Machine, version, see);
        }
        SystemFact::Recovered { torn, missing_up_to: _, open_runs: _ } => {
            if let Some(torn) = torn {
                plain(TextKind::Machine, &mut torn.file, see);
            }
        }
    }
}
