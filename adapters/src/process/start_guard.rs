//! Nobody who starts a run leaves it half started: what did not succeed is recorded as failed.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tachograph_engine::domain::{Action, Actor, ActorKind, Claim, Command, Diagnostics, Failure, FailureKind, limits};
use tachograph_engine::shell::{Answer, Engine, SubmitError};
use tokio::runtime::{Builder, Handle};

use super::text::cut;

/// What can be seen of a start from outside, for whoever asks why it failed.
///
/// Any closure that returns [`Diagnostics`] is one.
pub trait StartWitness: Send + 'static {
    /// What is to be seen at this moment: what is alive, how much was printed, what was last printed. Called when the
    /// start failed, also in a destructor: it may read a few files and must not wait for anything. Should it panic, the
    /// failure is recorded all the same, and says so.
    fn diagnostics(&mut self) -> Diagnostics;

    /// The failure could not be recorded: the engine is closed or its journal failed. The attempt is open in the journal
    /// then, until somebody recovers it. By default nothing more is done than an error in the log.
    fn unrecorded(&mut self, failure: &Failure, why: &SubmitError) {
        let _ = (failure, why);
    }
}

impl<F: FnMut() -> Diagnostics + Send + 'static> StartWitness for F {
    fn diagnostics(&mut self) -> Diagnostics {
        self()
    }
}

/// Held by whoever starts a run, from the moment it is created or its attempt opened until it is started.
///
/// It ends in exactly one way: [`succeed`](Self::succeed), [`fail`](Self::fail), or it is dropped, by an early return, a
/// panic, or because the future that holds it is dropped. A dropped one records the attempt as `Failed` with
/// [`FailureKind::StartAbandoned`] and what its witness sees. It deletes nothing: the record, the attempt's files and
/// everything that the start left are evidence, and removing them is somebody's decision ([`Action::Destroy`]).
///
/// It knows nothing of processes, so that it serves the start of whatever a run is, a container or a virtual machine too.
/// It ends nothing either; what is alive is told by the witness and ended by its owner.
///
/// The claim is the fence: a guard that outlived its attempt, because the run was destroyed, ended or started anew
/// meanwhile, changes nothing; its report is refused, and recorded as such. On a run that is still `Created` the claim names
/// the attempt that was to be opened.
///
/// A destructor cannot wait. It puts its command into the engine's queue; if that is full, a thread waits for a place. An
/// engine that takes no more commands is an error in the log with all of the failure, and
/// [`StartWitness::unrecorded`] is told. A crash of the process before the failure is durable leaves the attempt open, as
/// it leaves every open attempt.
///
/// ```compile_fail
/// # fn of(guard: tachograph_adapters::process::StartGuard) {
/// guard.succeed();
/// guard.succeed(); // it is over, once
/// # }
/// ```
#[must_use = "dropping it records the start as abandoned"]
pub struct StartGuard(Option<Guarded>);

struct Guarded {
    engine: Engine,
    claim: Claim,
    witness: Option<Box<dyn StartWitness>>,
    /// The failure that is being recorded, so that no dropped future makes another one of it.
    failing: Option<(Command, Failure)>,
}

impl StartGuard {
    /// Guards the start of an attempt. Nothing is recorded by that.
    pub fn new(engine: &Engine, claim: Claim) -> Self {
        Self(Some(Guarded { engine: engine.clone(), claim, witness: None, failing: None }))
    }

    /// With somebody who can say what is to be seen of the start; replaces an earlier one.
    pub fn witnessed_by(mut self, witness: impl StartWitness) -> Self {
        if let Some(guarded) = &mut self.0 {
            guarded.witness = Some(Box::new(witness));
        }
        self
    }

    /// It is started, and somebody else answers for it from now on. Nothing is recorded.
    pub fn succeed(self) {
        self.disarm();
    }

    /// There is nothing to record: the start was refused, so that nothing was begun, or its end is recorded already.
    pub fn disarm(mut self) {
        self.0 = None;
    }

    /// Records that it failed for this reason, with what the witness sees, and waits for the engine's answer. Dropping the
    /// future does not stop that.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] if the engine gave no answer; the witness is told, too. A refusal is an answer: something else was
    /// recorded of the attempt before.
    pub async fn fail(mut self, kind: FailureKind, message: impl Into<String>) -> Result<Answer, SubmitError> {
        let diagnostics = self.0.as_mut().map(Guarded::diagnostics).unwrap_or_default();
        self.fail_as(Failure { kind, message: message.into(), diagnostics }).await
    }

    /// Records a failure whose diagnostics were gathered already.
    ///
    /// # Errors
    ///
    /// As [`fail`](Self::fail).
    pub async fn fail_as(mut self, failure: Failure) -> Result<Answer, SubmitError> {
        let Some(guarded) = &mut self.0 else { return Err(SubmitError::Closed) };
        let (command, engine) = (guarded.failing(failure), guarded.engine.clone());
        // The command is kept while this waits: a future that is dropped here leaves it to the destructor, which submits it
        // again under the same id.
        let answer = engine.submit(command).await;
        if let Some(guarded) = self.0.take()
            && let Some(unheard) = guarded.unheard()
        {
            unheard.hear(&answer);
        }
        answer
    }
}

impl Drop for StartGuard {
    fn drop(&mut self) {
        let Some(mut guarded) = self.0.take() else { return };
        if guarded.failing.is_none() {
            let how = if std::thread::panicking() { "panicked" } else { "was given up" };
            let message = format!("its start {how} before it had succeeded");
            let diagnostics = guarded.diagnostics();
            guarded.failing(Failure { kind: FailureKind::StartAbandoned, message, diagnostics });
        }
        let (engine, command) = (guarded.engine.clone(), guarded.failing.as_ref().map(|(command, _)| command.clone()));
        if let (Some(command), Some(unheard)) = (command, guarded.unheard()) {
            hand_over(&engine, command, unheard);
        }
    }
}

impl std::fmt::Debug for StartGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartGuard").field("claim", &self.0.as_ref().map(|guarded| &guarded.claim)).finish()
    }
}

impl Guarded {
    /// A panic must not leave a destructor, and must not cost the record.
    fn diagnostics(&mut self) -> Diagnostics {
        let Some(witness) = &mut self.witness else { return Diagnostics::default() };
        catch_unwind(AssertUnwindSafe(|| witness.diagnostics())).unwrap_or_else(|_| {
            let facts = [("diagnostics".to_owned(), "not gathered: the witness panicked".to_owned())].into();
            Diagnostics { facts, ..Diagnostics::default() }
        })
    }

    fn failing(&mut self, failure: Failure) -> Command {
        let failure = within_bounds(failure);
        let actor = Actor::new(ActorKind::Runner, self.claim.runner.as_str());
        let action = Action::Fail { claim: self.claim.clone(), failure: failure.clone() };
        let command = self.engine.command(self.claim.run, actor, action);
        self.failing = Some((command.clone(), failure));
        command
    }

    fn unheard(self) -> Option<Unheard> {
        let (_, failure) = self.failing?;
        Some(Unheard { claim: self.claim, witness: self.witness, failure, heard: false })
    }
}

/// A failure whose answer is still to come.
struct Unheard {
    claim: Claim,
    witness: Option<Box<dyn StartWitness>>,
    failure: Failure,
    heard: bool,
}

impl Unheard {
    fn hear(mut self, answer: &Result<Answer, SubmitError>) {
        self.heard = true;
        let Claim { run, attempt, .. } = &self.claim;
        match answer {
            Ok(answer) => match answer.outcome.refusal() {
                Some(refusal) => tracing::info!(%run, %attempt, %refusal, "the failed start counts no more"),
                None => tracing::warn!(%run, %attempt, kind = self.failure.kind.name(), why = self.failure.message,
                                       "the start failed"),
            },
            Err(error) => {
                tracing::error!(%run, %attempt, %error, failure = ?self.failure, "a failed start is not recorded");
                if let Some(witness) = &mut self.witness {
                    let told = catch_unwind(AssertUnwindSafe(|| witness.unrecorded(&self.failure, error)));
                    if told.is_err() {
                        tracing::error!(%run, %attempt, "the witness of a failed start panicked");
                    }
                }
            }
        }
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        if !self.heard {
            let Claim { run, attempt, .. } = &self.claim;
            tracing::warn!(%run, %attempt, failure = ?self.failure,
                           "the engine has a failed start, and nobody waited for its answer");
        }
    }
}

/// Puts the command into the queue now if there is a place, and has somebody wait for the rest.
fn hand_over(engine: &Engine, command: Command, unheard: Unheard) {
    match engine.try_submit(command.clone()) {
        Ok(pending) => match Handle::try_current() {
            // Once it is in the queue, it is answered whatever becomes of this runtime.
            Ok(runtime) => drop(runtime.spawn(async move { unheard.hear(&pending.await) })),
            Err(_) => on_a_thread(async move { unheard.hear(&pending.await) }),
        },
        Err(SubmitError::QueueFull) => {
            // A runtime that is going away would take the command along.
            let engine = engine.clone();
            on_a_thread(async move { unheard.hear(&engine.submit(command).await) });
        }
        Err(error) => unheard.hear(&Err(error)),
    }
}

/// Without a thread, the future is dropped and says in the log what is lost.
fn on_a_thread(work: impl Future<Output = ()> + Send + 'static) {
    let spawned = std::thread::Builder::new().name("tacho-start-guard".to_owned()).spawn(move || {
        match Builder::new_current_thread().build() {
            Ok(runtime) => runtime.block_on(work),
            Err(error) => tracing::error!(%error, "a failed start cannot be waited for"),
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "a failed start has no thread to wait on");
    }
}

/// Cut to what an entry may hold: a failure that is refused for its size would be no record.
fn within_bounds(failure: Failure) -> Failure {
    let text = |text: &str| cut(text, limits::MESSAGE_BYTES_MAX).to_owned();
    let lines = |lines: Vec<String>| {
        // The last ones tell most.
        let first = lines.len().saturating_sub(limits::DIAGNOSTICS_MAX);
        lines[first..].iter().map(|line| text(line)).collect()
    };
    let Failure { kind, message, diagnostics: Diagnostics { alive, last_output, likely_cause, facts } } = failure;
    let kind = match kind {
        FailureKind::Other(name) if !is_name(&name) => FailureKind::SpawnFailed,
        kind => kind,
    };
    let facts = facts.into_iter().filter(|(name, _)| is_name(name)).take(limits::DIAGNOSTICS_MAX);
    let diagnostics = Diagnostics {
        alive: lines(alive),
        last_output: lines(last_output),
        likely_cause: likely_cause.as_deref().map(text),
        facts: facts.map(|(name, value)| (name, text(&value))).collect(),
    };
    Failure { kind, message: text(&message), diagnostics }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= limits::LABEL_KEY_BYTES_MAX.min(limits::NAME_BYTES_MAX)
        && !name.contains(char::is_control)
}
