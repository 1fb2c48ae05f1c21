//! Guards that can be thought away, and what a system without one does in its place.

use std::fmt;
use std::str::FromStr;

use tachograph_engine::domain::{
    Action, ArmedSnapshot, Attempt, AttemptId, Command, Exit, ExitStatus, Guard, Outcome, Refusal, Run, RunState,
    RunnerId, StartMode, Status, Timestamp,
};

/// A guard of the engine that is off.
///
/// Each says what a system without the guard does where the engine refuses. All other guards still hold: what passes one
/// may be refused by the next, and is then refused for that reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Waiver {
    /// A report counts for whatever attempt is current, and a start for whatever status the run is in. Nothing changes
    /// before the first attempt.
    StaleAttempt,
    /// A report counts whoever makes it.
    WrongRunner,
    /// The last report about an attempt's end wins.
    ConflictingTerminal,
    /// A destroyed run goes on as if it had not been destroyed, with the status of its last attempt.
    RunDestroyed,
    /// A run that is created a second time begins anew, and what it was is forgotten.
    RunExists,
    /// A start, a wait or an arming is possible in every status; a run that waits again after its end has not ended.
    IllegalTransition,
    /// An expected version is not looked at.
    VersionConflict,
    /// Several runs that have not ended may have one name.
    NameHeld,
    /// A run that is under way is destroyed without force.
    ForceRequired,
    /// Every runner may cancel a snapshot.
    NotOwner,
    /// A dispatch fires whether its snapshot is armed or not.
    SnapshotGone,
    /// A dispatch fires although a snapshot is being taken.
    AlreadyDispatched,
    /// A dispatch fires before its time.
    NotDue,
    /// The last amendment of an exit wins, whatever was known before.
    NotAmendable,
    /// What ends a wait (an end, a resume, a takeover, a lost runner, a destruction) leaves an armed snapshot armed.
    TransitionCancel,
}

/// What a command is decided on where a guard is off.
pub(super) struct Rewritten {
    /// The command as it counts.
    pub(super) command: Command,
    /// The state that it is decided on.
    pub(super) decided_on: RunState,
    /// The state that its events lead on from.
    pub(super) folded_on: RunState,
}

impl Waiver {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::StaleAttempt,
        Self::WrongRunner,
        Self::ConflictingTerminal,
        Self::RunDestroyed,
        Self::RunExists,
        Self::IllegalTransition,
        Self::VersionConflict,
        Self::NameHeld,
        Self::ForceRequired,
        Self::NotOwner,
        Self::SnapshotGone,
        Self::AlreadyDispatched,
        Self::NotDue,
        Self::NotAmendable,
        Self::TransitionCancel,
    ];

    /// Stable snake_case name: the code of the refusal, where there is one.
    pub const fn code(self) -> &'static str {
        match self {
            Self::StaleAttempt => "stale_attempt",
            Self::WrongRunner => "wrong_runner",
            Self::ConflictingTerminal => "conflicting_terminal",
            Self::RunDestroyed => "run_destroyed",
            Self::RunExists => "run_exists",
            Self::IllegalTransition => "illegal_transition",
            Self::VersionConflict => "version_conflict",
            Self::NameHeld => "name_held",
            Self::ForceRequired => "force_required",
            Self::NotOwner => "not_owner",
            Self::SnapshotGone => "snapshot_gone",
            Self::AlreadyDispatched => "already_dispatched",
            Self::NotDue => "not_due",
            Self::NotAmendable => "not_amendable",
            Self::TransitionCancel => "transition_cancel",
        }
    }

    /// The guard that refused, if it can be thought away.
    pub(super) const fn of(refusal: &Refusal) -> Option<Self> {
        match refusal {
            Refusal::StaleAttempt { .. } => Some(Self::StaleAttempt),
            Refusal::WrongRunner { .. } => Some(Self::WrongRunner),
            Refusal::ConflictingTerminal { .. } => Some(Self::ConflictingTerminal),
            Refusal::RunDestroyed => Some(Self::RunDestroyed),
            Refusal::RunExists => Some(Self::RunExists),
            Refusal::IllegalTransition { .. } => Some(Self::IllegalTransition),
            Refusal::VersionConflict { .. } => Some(Self::VersionConflict),
            Refusal::NameHeld { .. } => Some(Self::NameHeld),
            Refusal::ForceRequired { .. } => Some(Self::ForceRequired),
            Refusal::NotOwner { .. } => Some(Self::NotOwner),
            Refusal::SnapshotGone { .. } => Some(Self::SnapshotGone),
            Refusal::AlreadyDispatched { .. } => Some(Self::AlreadyDispatched),
            Refusal::NotDue { .. } => Some(Self::NotDue),
            Refusal::NotAmendable { .. } => Some(Self::NotAmendable),
            // There is nothing that a system without the check could change, or no system is without it.
            Refusal::UnknownRun
            | Refusal::InvalidInput { .. }
            | Refusal::NothingPending
            | Refusal::AlreadyDisconnected
            | Refusal::AttemptsExhausted { .. } => None,
        }
    }

    /// What a refused command is decided on without this guard; nothing if it changes nothing even then.
    pub(super) fn rewrite(self, refused: &Rewritten, refusal: &Refusal) -> Option<Rewritten> {
        let Rewritten { command, decided_on, folded_on } = refused;
        let mut next =
            Rewritten { command: command.clone(), decided_on: decided_on.clone(), folded_on: folded_on.clone() };
        match self {
            Self::VersionConflict => next.command.expected = None,
            Self::RunExists => (next.decided_on, next.folded_on) = Default::default(),
            // Whoever looks names up leaves that out.
            Self::NameHeld | Self::TransitionCancel => {}
            Self::StaleAttempt
            | Self::WrongRunner
            | Self::ConflictingTerminal
            | Self::RunDestroyed
            | Self::IllegalTransition
            | Self::ForceRequired
            | Self::NotOwner
            | Self::SnapshotGone
            | Self::AlreadyDispatched
            | Self::NotDue
            | Self::NotAmendable => {
                let (RunState::Known(decided_on), RunState::Known(folded_on)) =
                    (&mut next.decided_on, &mut next.folded_on)
                else {
                    return None;
                };
                self.rewrite_known(&mut next.command, decided_on, folded_on, refusal)?;
            }
        }
        Some(next)
    }

    fn rewrite_known(
        self,
        command: &mut Command,
        decided_on: &mut Run,
        folded_on: &mut Run,
        refusal: &Refusal,
    ) -> Option<()> {
        match (self, &mut command.action, refusal) {
            (Self::StaleAttempt, _, _) => name_current(command, decided_on)?,
            (Self::WrongRunner, action, Refusal::WrongRunner { holder }) => {
                claim_mut(action)?.runner = holder.clone();
            }
            (Self::ConflictingTerminal, _, _) => both(decided_on, folded_on, reopen),
            (Self::RunDestroyed, _, _) => both(decided_on, folded_on, revive),
            (Self::IllegalTransition, Action::Start { .. }, _) => start_from_here(command, decided_on)?,
            (Self::IllegalTransition, Action::Wait { .. }, _) => both(decided_on, folded_on, reopen),
            // It is armed whatever the status is, and that stays what it is.
            (Self::IllegalTransition, Action::ScheduleSnapshot { .. }, _) => decided_on.status = waiting(),
            (Self::ForceRequired, Action::Destroy { force, .. }, _) => *force = true,
            (Self::NotOwner, Action::CancelSnapshot { guard }, _) => *guard = Guard::Unconditional,
            (Self::SnapshotGone | Self::AlreadyDispatched, Action::DispatchSnapshot { snapshot }, _) => {
                let runner = decided_on.attempt.as_ref().map_or_else(|| RunnerId::from(""), |held| held.runner.clone());
                decided_on.armed = Some(ArmedSnapshot { id: *snapshot, runner, due: command.issued_at });
                decided_on.in_flight = None;
            }
            (Self::NotDue, Action::DispatchSnapshot { .. }, Refusal::NotDue { due }) => command.issued_at = *due,
            (Self::NotAmendable, Action::AmendExit { .. }, _) => {
                let unknown = ExitStatus::Unknown { cause: String::new() };
                let outcome = decided_on.attempt.as_mut()?.outcome.as_mut()?;
                let Outcome::Exited { exit: Exit { status, .. }, amended } = outcome else { return None };
                (*status, *amended) = (unknown, None);
            }
            _ => return None,
        }
        Some(())
    }
}

impl fmt::Display for Waiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Waiver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let code = match text {
            "first_terminal" => "conflicting_terminal",
            "name_uniqueness" => "name_held",
            other => other,
        };
        Self::ALL.into_iter().find(|waiver| waiver.code() == code).ok_or_else(|| {
            let codes: Vec<&str> = Self::ALL.iter().map(|waiver| waiver.code()).collect();
            format!("expected one of {}", codes.join(", "))
        })
    }
}

fn both(decided_on: &mut Run, folded_on: &mut Run, change: fn(&mut Run)) {
    change(decided_on);
    change(folded_on);
}

fn waiting() -> Status {
    Status::Waiting { on: String::new(), deadline: None }
}

/// Takes the end of the attempt back.
fn reopen(run: &mut Run) {
    run.status = Status::Started;
    if let Some(attempt) = &mut run.attempt {
        attempt.outcome = None;
    }
}

/// Takes the destruction back. Whether the run waited is not known any more.
fn revive(run: &mut Run) {
    run.status = match run.attempt.as_ref().map(|attempt| &attempt.outcome) {
        None => Status::Created,
        Some(None) => Status::Started,
        Some(Some(Outcome::Exited { .. })) => Status::Exited,
        Some(Some(Outcome::Failed(_))) => Status::Failed,
    };
}

fn claim_mut(action: &mut Action) -> Option<&mut tachograph_engine::domain::Claim> {
    match action {
        Action::Wait { claim, .. }
        | Action::Exit { claim, .. }
        | Action::Fail { claim, .. }
        | Action::ScheduleSnapshot { claim, .. }
        | Action::DisconnectRunner { claim } => Some(claim),
        Action::Create { .. }
        | Action::Start { .. }
        | Action::Destroy { .. }
        | Action::CancelSnapshot { .. }
        | Action::DispatchSnapshot { .. }
        | Action::CompleteSnapshot { .. }
        | Action::FailSnapshot { .. }
        | Action::AmendExit { .. }
        | Action::Reconcile { .. } => None,
    }
}

/// Lets the command speak about the attempt that is current.
pub(super) fn name_current(command: &mut Command, run: &Run) -> Option<()> {
    let latest = run.attempt.as_ref()?.id;
    match &mut command.action {
        Action::Start { .. } => return start_from_here(command, run),
        Action::AmendExit { attempt, .. } | Action::Reconcile { attempt, .. } => *attempt = latest,
        action => claim_mut(action)?.attempt = latest,
    }
    Some(())
}

/// Lets the command speak about the attempt that is current, in the right of its holder.
pub(super) fn claim_current(command: &mut Command, run: &Run) {
    let Some(Attempt { id, runner, .. }) = &run.attempt else { return };
    if let Some(claim) = claim_mut(&mut command.action) {
        (claim.attempt, claim.runner) = (*id, runner.clone());
    } else if let Action::AmendExit { attempt, .. } | Action::Reconcile { attempt, .. } = &mut command.action {
        *attempt = *id;
    }
}

/// Lets a start be one out of the present status. An attempt id that was used before is replaced by the command's own id.
fn start_from_here(command: &mut Command, run: &Run) -> Option<()> {
    let fresh = AttemptId::from_u128(command.id.to_u128());
    let Action::Start { attempt, runner, mode } = &mut command.action else { return None };
    let latest = run.attempt.as_ref();
    *mode = match (&run.status, latest.map(|latest| latest.id)) {
        (Status::Created, _) | (_, None) => StartMode::Fresh,
        (Status::Started, Some(expected)) => StartMode::Takeover { expected },
        (Status::Waiting { .. }, Some(previous)) => StartMode::Resume { previous },
        (Status::Exited | Status::Failed | Status::Destroyed { .. }, Some(previous)) => StartMode::Restart { previous },
    };
    match latest {
        Some(latest) if matches!(run.status, Status::Waiting { .. }) && latest.runner == *runner => {
            *attempt = latest.id;
        }
        Some(latest) if latest.id == *attempt || run.spent.contains(attempt) => *attempt = fresh,
        _ => {}
    }
    Some(())
}

/// When a snapshot that was asked for is due with another delay.
pub(super) fn delayed(command: &mut Command, delay_ms: i64) {
    let issued_at: Timestamp = command.issued_at;
    if let Action::ScheduleSnapshot { due, .. } = &mut command.action {
        *due = issued_at.plus_millis(delay_ms);
    }
}
