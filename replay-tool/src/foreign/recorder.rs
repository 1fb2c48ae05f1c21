//! Observations to commands, decided by a real engine whose clock is the history's.
//!
//! What an event says is asked in its own actor's name. What only follows from it (that a container existed before the
//! history began, that an attempt has ended if another begins) is asked in the name of `operator:tacho import`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tachograph_adapters::clock::ManualClock;
use tachograph_engine::domain::{
    Action, Actor, ActorKind, Attempt, AttemptId, Claim, Command, Exit, ExitStatus, Failure, Outcome, Refusal, Run,
    RunId, RunRecord, RunSpec, RunnerId, StartMode, Witness, Workload, limits,
};
use tachograph_engine::shell::{CommandOutcome, Engine};
use ulid::Ulid;

use super::identity::{Identity, millis};
use super::observation::{Observation, Proof, Step, Subject};
use super::replaced::Held;
use super::report::Decided;
use super::silent::Silent;
use crate::error::Error;

/// Who concludes what no event says.
const CONCLUDER: &str = "tacho import";
/// What stands for an image that is not told.
const NOT_TOLD: &str = "(not told)";

/// Records observations, one after the other.
pub(super) struct Recorder {
    pub(super) engine: Engine,
    pub(super) clock: ManualClock,
    pub(super) identity: Identity,
    /// Which journal.
    pub(super) journal: Ulid,
    /// Who holds an attempt if no event says so.
    pub(super) holder: &'static str,
    /// Whether an attempt that is not named is found by when it began.
    pub(super) by_time: bool,
    /// Runs that were created.
    pub(super) runs: u64,
    /// Names and labels that a run could not have.
    pub(super) left_out: u64,
    /// Events that left no entry.
    pub(super) silent: Silent,
    /// Who holds the names that only one can have.
    pub(super) held: Held,
}

/// One observation on its way.
pub(super) struct Turn<'a> {
    pub(super) recorder: &'a mut Recorder,
    pub(super) observation: &'a Observation,
    run: RunId,
    decided: Decided,
}

impl Recorder {
    /// Submits what an observation leads to, and returns the answers; absent if it leads to nothing.
    pub(super) async fn observe(&mut self, observation: &Observation) -> Result<Option<Decided>, Error> {
        self.clock.set_wall(observation.at);
        let run = self.identity.run(&observation.subject.key);
        let main = self.identity.command(run, &observation.key, MAIN);
        let mut decided = Decided::about(run);
        if self.silent.knows(main) || self.engine.reader().answered(run, main).await?.is_some() {
            // It leads to other commands now than it did then; all of it is known.
            decided.is_duplicate = true;
            return Ok(Some(decided));
        }
        let mut turn = Turn { recorder: self, observation, run, decided };
        turn.take().await?;
        decided = turn.decided;
        if decided.positions.is_empty() {
            self.silent.remember(main);
        }
        let is_something = !decided.positions.is_empty() || !decided.refused.is_empty() || decided.is_duplicate;
        Ok(is_something.then_some(decided))
    }

    /// What a run is created as: all that is told and within bounds.
    fn spec(&mut self, subject: &Subject, parent: Option<RunId>) -> RunSpec {
        let mut spec = RunSpec { parent, workload: self.workload(subject), ..RunSpec::default() };
        spec.name = subject.name.clone().filter(|name| limits::check_name(name).is_ok());
        self.left_out += u64::from(spec.name.is_none() && subject.name.is_some());
        let own = [("import.source", self.identity.0), ("import.subject", subject.key.as_str())];
        let told = subject.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in own.into_iter().chain(told) {
            let label = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let alone = RunSpec { workload: not_told(), labels: label, ..RunSpec::default() };
            if spec.labels.len() < limits::LABELS_MAX && limits::check_spec(&alone).is_ok() {
                spec.labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
            } else {
                self.left_out += 1;
            }
        }
        spec
    }

    fn workload(&mut self, subject: &Subject) -> Workload {
        let told = subject.workload.clone().unwrap_or_else(not_told);
        let alone = RunSpec { workload: told, ..RunSpec::default() };
        if limits::check_spec(&alone).is_ok() {
            return alone.workload;
        }
        self.left_out += 1;
        not_told()
    }

    pub(super) async fn record(&self, run: RunId) -> Result<Option<Arc<RunRecord>>, Error> {
        Ok(self.engine.run(run).await?)
    }
}

fn not_told() -> Workload {
    Workload::Image { reference: NOT_TOLD.to_owned(), argv: Vec::new() }
}

/// What the command is for: an event leads to one of each at most.
const MAIN: &str = "main";

impl Turn<'_> {
    async fn take(&mut self) -> Result<(), Error> {
        let observation = self.observation;
        if let Step::Created = observation.step {
            return self.create(self.observation.actor.clone(), MAIN).await;
        }
        let record = match self.recorder.record(self.run).await? {
            Some(record) => Some(record),
            None => {
                self.create(concluder(), "create").await?;
                if had_begun(&observation.step) {
                    self.start_before(&observation.step).await?;
                }
                self.recorder.record(self.run).await?
            }
        };
        self.act(record.as_ref().map(|record| &record.run)).await
    }

    /// Creates the run, and what it belongs to before that. If another run holds its name, that is refused, and it is created
    /// without one.
    async fn create(&mut self, actor: Actor, what: &str) -> Result<(), Error> {
        let subject = &self.observation.subject;
        let parent = match &subject.parent {
            Some(parent) => Some(self.parent(parent).await?),
            None => None,
        };
        self.replace(subject, self.run, parent).await?;
        let spec = self.recorder.spec(subject, parent);
        let named = Action::Create { spec: Arc::new(spec.clone()) };
        if let Some(Refusal::NameHeld { .. }) = self.submit(self.run, actor, what, named).await? {
            let nameless = Action::Create { spec: Arc::new(RunSpec { name: None, ..spec }) };
            self.submit(self.run, concluder(), "nameless", nameless).await?;
        }
        Ok(())
    }

    async fn parent(&mut self, parent: &Subject) -> Result<RunId, Error> {
        let run = self.recorder.identity.run(&parent.key);
        if self.recorder.record(run).await?.is_none() {
            self.replace(parent, run, None).await?;
            let spec = self.recorder.spec(parent, None);
            let create = Action::Create { spec: Arc::new(spec.clone()) };
            if let Some(Refusal::NameHeld { .. }) = self.submit(run, concluder(), "parent", create).await? {
                let nameless = Action::Create { spec: Arc::new(RunSpec { name: None, ..spec }) };
                self.submit(run, concluder(), "nameless parent", nameless).await?;
            }
        }
        Ok(run)
    }

    /// Starts an attempt that had begun before the history did.
    async fn start_before(&mut self, step: &Step) -> Result<(), Error> {
        let attempt = self.begun(named_by(step), "before");
        // That it goes on is all that can be told of a run that was not known to wait.
        let (actor, what) = match step {
            Step::Resumed { .. } => (self.observation.actor.clone(), MAIN),
            _ => (concluder(), "start"),
        };
        let start = Action::Start { attempt, runner: self.runner(), mode: StartMode::Fresh };
        self.submit(self.run, actor, what, start).await?;
        Ok(())
    }

    async fn act(&mut self, run: Option<&Run>) -> Result<(), Error> {
        let latest = run.and_then(|run| run.attempt.as_ref());
        let is_open = latest.is_some_and(|latest| latest.outcome.is_none()) && run.is_some_and(|run| !run.is_ended());
        let action = match &self.observation.step {
            Step::Created | Step::Seen => return Ok(()),
            Step::Started { attempt, proves } => {
                if let Some(latest) = latest.filter(|_| is_open)
                    && let Some(cause) = self.proven_end(*proves, latest)
                {
                    let exit = unknown_exit(self.run, latest, cause.to_owned());
                    self.submit(self.run, concluder(), "end", exit).await?;
                }
                self.start(attempt.as_deref(), latest)
            }
            // Done by what stood in for its start.
            Step::Resumed { .. } if !self.decided.positions.is_empty() => return Ok(()),
            Step::Resumed { attempt } => {
                let claim = self.claim(attempt.as_deref(), run);
                let mode = StartMode::Resume { previous: claim.attempt };
                Action::Start { attempt: claim.attempt, runner: claim.runner, mode }
            }
            Step::Waiting { attempt, on, deadline } => {
                Action::Wait { claim: self.claim(attempt.as_deref(), run), on: on.clone(), deadline: *deadline }
            }
            Step::Exited { attempt, status } => self.exited(self.claim(attempt.as_deref(), run), status, latest),
            Step::Ended { cause } => match latest {
                Some(latest) if is_open && self.is_later_than(latest) => unknown_exit(self.run, latest, cause.clone()),
                Some(_) | None => return Ok(()),
            },
            Step::Failed { if_open: true, .. }
                if latest.is_some_and(|latest| !is_open || !self.is_later_than(latest)) =>
            {
                return Ok(());
            }
            Step::Failed { attempt, kind, message, .. } => Action::Fail {
                claim: self.claim(attempt.as_deref(), run),
                failure: Failure { kind: kind.clone(), message: message.clone(), diagnostics: Default::default() },
            },
            Step::Destroyed { why, force } => return self.destroy(why, *force, is_open).await,
            Step::Disconnected { attempt } => Action::DisconnectRunner { claim: self.claim(attempt.as_deref(), run) },
        };
        self.submit(self.run, self.observation.actor.clone(), MAIN, action).await?;
        Ok(())
    }

    fn start(&self, name: Option<&str>, latest: Option<&Attempt>) -> Action {
        let attempt = self.begun(name, "begun");
        let mode = match latest {
            None => StartMode::Fresh,
            // Refused if that has not ended.
            Some(latest) => StartMode::Restart { previous: latest.id },
        };
        Action::Start { attempt, runner: self.runner(), mode }
    }

    /// An end with a status; one that is told after it had to be recorded as unknown fills that.
    fn exited(&self, claim: Claim, status: &ExitStatus, latest: Option<&Attempt>) -> Action {
        let is_known = !matches!(status, ExitStatus::Unknown { .. });
        let is_unknown = |outcome: &Outcome| {
            let Outcome::Exited { exit, amended: None } = outcome else { return false };
            matches!(exit.status, ExitStatus::Unknown { .. })
        };
        let recorded = latest.filter(|latest| latest.id == claim.attempt).and_then(|latest| latest.outcome.as_ref());
        if is_known && recorded.is_some_and(is_unknown) {
            let source = self.recorder.identity.0.to_owned();
            return Action::AmendExit { attempt: claim.attempt, status: status.clone(), source };
        }
        // Whoever says it waited, or was told by who did.
        let witness = if is_known { Witness::Waited } else { Witness::Synthesised };
        Action::Exit { claim, exit: Exit { status: status.clone(), witness, output: None } }
    }

    /// From what it follows that an attempt has ended, if the beginning of another one proves that.
    fn proven_end(&self, proves: Proof, latest: &Attempt) -> Option<&'static str> {
        match proves {
            Proof::Nothing => None,
            Proof::EndedIfLater => self.is_later_than(latest).then_some("its end was not told; it was started again"),
            Proof::Ended => Some("another attempt began; nothing tells how this one ended"),
        }
    }

    /// What is gone is gone, also if nothing told of its end: first refused, which stands as evidence, then forced.
    async fn destroy(&mut self, why: &str, force: bool, is_open: bool) -> Result<(), Error> {
        let destroy = |force| Action::Destroy { force, why: why.to_owned() };
        let refusal = self.submit(self.run, self.observation.actor.clone(), MAIN, destroy(force)).await?;
        if is_open && matches!(refusal, Some(Refusal::ForceRequired { .. })) {
            self.submit(self.run, concluder(), "force", destroy(true)).await?;
        }
        Ok(())
    }

    /// The attempt that the event begins.
    fn begun(&self, name: Option<&str>, what: &str) -> AttemptId {
        let Observation { key, at, .. } = self.observation;
        match name {
            Some(name) => self.recorder.identity.named_attempt(self.run, name),
            None => self.recorder.identity.begun_attempt(self.run, &format!("{what} {key}"), *at),
        }
    }

    fn runner(&self) -> RunnerId {
        self.observation.subject.runner.clone().unwrap_or_else(|| RunnerId::from(self.recorder.holder))
    }

    /// The attempt that a report is about: the one that it names, else the one that was under way when it happened.
    fn claim(&self, name: Option<&str>, run: Option<&Run>) -> Claim {
        let latest = run.and_then(|run| run.attempt.as_ref());
        let attempt = match (name, run, latest) {
            (Some(name), ..) => self.recorder.identity.named_attempt(self.run, name),
            (None, Some(run), Some(latest)) => self.under_way(run, latest),
            (None, ..) => self.begun(None, "begun"),
        };
        let told = self.observation.subject.runner.clone();
        let held = latest.filter(|latest| latest.id == attempt).map(|latest| latest.runner.clone());
        let runner = told.or(held).unwrap_or_else(|| RunnerId::from(self.recorder.holder));
        Claim { run: self.run, attempt, runner }
    }

    /// Whether the event happened after an attempt began, so that it may be about that one. What was concluded of it just
    /// now began with it.
    fn is_later_than(&self, latest: &Attempt) -> bool {
        !self.recorder.by_time
            || !self.decided.positions.is_empty()
            || Identity::began(latest.id) < millis(self.observation.at)
    }

    fn under_way(&self, run: &Run, latest: &Attempt) -> AttemptId {
        let then = millis(self.observation.at);
        let had_begun = |attempt: &AttemptId| Identity::began(*attempt) <= then;
        if !self.recorder.by_time || had_begun(&latest.id) {
            return latest.id;
        }
        run.spent.iter().rev().copied().find(had_begun).unwrap_or(latest.id)
    }

    /// Submits a command, takes down its answer, and returns the refusal if it was refused now.
    pub(super) async fn submit(
        &mut self,
        run: RunId,
        actor: Actor,
        what: &str,
        action: Action,
    ) -> Result<Option<Refusal>, Error> {
        let Observation { key, at, .. } = self.observation;
        let id = self.recorder.identity.command(run, key, what);
        let is_create = matches!(action, Action::Create { .. });
        let command = Command { id, run, actor, issued_at: *at, expected: None, action };
        let answer = self.recorder.engine.submit(command).await?;
        match answer.outcome {
            CommandOutcome::Written { position, .. } => {
                self.recorder.runs += u64::from(is_create);
                self.decided.positions.push(position.0);
                Ok(None)
            }
            CommandOutcome::Duplicate { .. } => {
                self.decided.is_duplicate = true;
                Ok(None)
            }
            CommandOutcome::Refused { refusal, recorded } => {
                let position = recorded.map(|position| position.0);
                self.decided.positions.extend(position);
                self.decided.refused.push((refusal.code(), position));
                Ok(Some(refusal))
            }
        }
    }
}

pub(super) fn concluder() -> Actor {
    Actor::new(ActorKind::Operator, CONCLUDER)
}

/// The end of an attempt, of which only that it has come is known.
pub(super) fn unknown_exit(run: RunId, latest: &Attempt, cause: String) -> Action {
    let claim = Claim { run, attempt: latest.id, runner: latest.runner.clone() };
    let status = ExitStatus::Unknown { cause };
    Action::Exit { claim, exit: Exit { status, witness: Witness::Synthesised, output: None } }
}

/// Whether an event about a run that is not known proves that an attempt of it had begun.
const fn had_begun(step: &Step) -> bool {
    match step {
        Step::Waiting { .. }
        | Step::Resumed { .. }
        | Step::Exited { .. }
        | Step::Ended { .. }
        | Step::Disconnected { .. } => true,
        Step::Created | Step::Seen | Step::Started { .. } | Step::Failed { .. } | Step::Destroyed { .. } => false,
    }
}

fn named_by(step: &Step) -> Option<&str> {
    match step {
        Step::Created | Step::Seen | Step::Ended { .. } | Step::Destroyed { .. } => None,
        Step::Started { attempt, .. }
        | Step::Waiting { attempt, .. }
        | Step::Resumed { attempt }
        | Step::Exited { attempt, .. }
        | Step::Failed { attempt, .. }
        | Step::Disconnected { attempt } => attempt.as_deref(),
    }
}
