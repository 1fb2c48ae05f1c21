//! One attempt as its runner holds it: what it reports to the engine, and what it leaves on disk.

use std::sync::Arc;

use tachograph_engine::domain::{
    Action, Actor, ActorKind, Claim, Diagnostics, Exit, Failure, Outcome, ResourceLimits, RunnerId, Stream, Witness,
    Workload, limits,
};
use tachograph_engine::shell::{Answer, Engine, SubmitError};

use super::directory::{AttemptDirectory, open_foreign};
use super::exit_record::{ExitRecord, LeftOut};
use super::handle::{AttemptEnd, EndRecord, Live, Phase};
use super::options::RunnerOptions;
use super::outcome::Seen;
use super::registry::Registration;
use super::start_guard::StartGuard;
use super::text::cut;
use crate::control::ControlListener;
use crate::threads::blocking;

/// One attempt as its runner holds it.
#[derive(Debug)]
pub(super) struct HeldAttempt {
    pub(super) engine: Engine,
    pub(super) options: RunnerOptions,
    pub(super) claim: Claim,
    /// Who reports about it: its holder, or whoever adopted it from that.
    pub(super) reporter: RunnerId,
    pub(super) directory: AttemptDirectory,
    pub(super) limits: ResourceLimits,
    /// What its run is recorded to execute.
    pub(super) workload: Workload,
    /// What it reports over, which goes with the runner and the last attempt that holds it. Let go of before the registration:
    /// whoever waited for that finds the socket gone.
    pub(super) socket: Option<Arc<ControlListener>>,
    /// Gone with the attempt's task, however that ends.
    pub(super) registration: Registration,
}

impl HeldAttempt {
    pub(super) fn live(&self) -> &Arc<Live> {
        &self.registration.live
    }

    /// Records an end that was seen: on disk first, then in the journal, then for those who wait. What is on disk is for the
    /// case that this process dies before the journal has it, and is not synced: only the journal's word has to outlive a
    /// power cut, since that alone is told to anybody.
    pub(super) async fn end(&self, seen: Seen, noted: Option<Noted>) {
        let (directory, sync_output) = (self.directory.clone(), self.options.sync_output);
        let (record, status, claim) = (self.exit_record(&seen), seen.status.clone(), self.claim.clone());
        let ended = blocking(move || {
            let Noted { claim } = noted.unwrap_or_else(|| Noted::before_any_record(&directory, &claim));
            if sync_output {
                sync(&directory);
            }
            let outcome = seen.outcome(&directory);
            let failure = match &outcome {
                Outcome::Failed(failure) => Some((failure.kind.name().to_owned(), failure.message.clone())),
                Outcome::Exited { .. } => None,
            };
            // Without it, only a crash before the next step would lose something: it is no reason to hold back the end.
            if let Err(error) = (ExitRecord { failure, ..record }).put(&directory) {
                tracing::warn!(%error, "the exit record is not on disk");
            }
            (outcome, claim)
        });
        let Some((outcome, claim)) = ended.await else { return };
        self.conclude(outcome, claim.filter(|claim| claim.status != status)).await;
    }

    /// Records an end that is on disk: in the journal, then for those who wait.
    pub(super) async fn conclude(&self, outcome: Outcome, contradiction: Option<ExitRecord>) {
        let action = match outcome.clone() {
            Outcome::Exited { exit, .. } => Action::Exit { claim: self.claim.clone(), exit },
            Outcome::Failed(failure) => Action::Fail { claim: self.claim.clone(), failure },
        };
        let answer = self.report(action).await;
        if let Some(record) = contradiction {
            self.contradict(record).await;
        }
        self.publish(outcome, answer);
    }

    /// Records that it never had a process, or lost it at once.
    pub(super) async fn fail(&self, guard: StartGuard, failure: Failure) {
        let failure = Failure { message: cut(&failure.message, limits::MESSAGE_BYTES_MAX).to_owned(), ..failure };
        let answer = guard.fail_as(failure.clone()).await;
        self.publish(Outcome::Failed(failure), answer);
    }

    /// Writes the exit record before the output is drained, for the case that the supervisor dies while it waits.
    pub(super) async fn note_exit(&self, status: &tachograph_engine::domain::ExitStatus) -> Option<Noted> {
        let record = ExitRecord { status: status.clone(), ..self.blank_record() };
        let (directory, claim) = (self.directory.clone(), self.claim.clone());
        blocking(move || {
            let noted = Noted::before_any_record(&directory, &claim);
            if let Err(error) = record.put(&directory) {
                tracing::warn!(%error, "the exit is not noted on disk");
            }
            noted
        })
        .await
    }

    /// Submits what a file claims against what was waited for: the engine refuses it, and keeps it as evidence.
    async fn contradict(&self, record: ExitRecord) {
        let exit = Exit { status: record.status, witness: Witness::ExitFile, output: record.output };
        let answer = self.report(Action::Exit { claim: self.claim.clone(), exit }).await;
        tracing::warn!(run = %self.claim.run, attempt = %self.claim.attempt, ?answer,
                       "the attempt's exit file disagrees with its wait status");
    }

    async fn report(&self, action: Action) -> Result<Answer, SubmitError> {
        let actor = Actor::new(ActorKind::Runner, self.reporter.as_str());
        self.engine.submit(self.engine.command(self.claim.run, actor, action)).await
    }

    fn publish(&self, outcome: Outcome, answer: Result<Answer, SubmitError>) {
        if let Err(error) = &answer {
            tracing::error!(run = %self.claim.run, attempt = %self.claim.attempt, %error, "the end is not recorded");
        }
        let record = end_record(answer);
        let end = AttemptEnd { run: self.claim.run, attempt: self.claim.attempt, outcome, record };
        self.live().phase.send_replace(Phase::Ended(Arc::new(end)));
        self.live().over.send_replace(true);
    }

    fn exit_record(&self, seen: &Seen) -> ExitRecord {
        ExitRecord {
            status: seen.status.clone(),
            output: Some(seen.drained.receipt.clone()),
            lingering: seen.lingering.clone(),
            left_out: LeftOut::of(&seen.drained),
            ..self.blank_record()
        }
    }

    fn blank_record(&self) -> ExitRecord {
        ExitRecord {
            run: self.claim.run,
            attempt: self.claim.attempt,
            runner: Some(self.claim.runner.clone()),
            status: tachograph_engine::domain::ExitStatus::Unknown { cause: String::new() },
            output: None,
            failure: None,
            lingering: Vec::new(),
            diagnostics: Diagnostics::default(),
            usage: None,
            left_out: None,
        }
    }
}

/// That the runner may have written its exit record: what lies in its place from now on is its own.
#[derive(Debug)]
pub(super) struct Noted {
    /// What lay there before.
    claim: Option<ExitRecord>,
}

impl Noted {
    /// Sets aside what lies in the place of the exit record: the runner has written none yet, so it is somebody
    /// else's. It counts as a claim only if it names this run and attempt.
    fn before_any_record(directory: &AttemptDirectory, claim: &Claim) -> Self {
        let path = directory.exit_record();
        let found = ExitRecord::read(&path, claim.run, claim.attempt);
        if !matches!(found, Ok(None))
            && let Err(error) = std::fs::rename(&path, directory.exit_claim())
        {
            tracing::warn!(%error, path = %path.display(), "a foreign exit record cannot be set aside");
        }
        let claim = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "a foreign exit record does not count");
            None
        });
        Self { claim }
    }
}

/// What the engine's answer makes of a reported end.
fn end_record(answer: Result<Answer, SubmitError>) -> EndRecord {
    match answer {
        Ok(answer) => match (answer.outcome.written(), answer.outcome.refusal()) {
            (Some((position, version)), _) => EndRecord::Written { position, version },
            (None, Some(refusal)) => EndRecord::Refused(refusal.clone()),
            (None, None) => EndRecord::NotSubmitted(SubmitError::Closed),
        },
        Err(error) => EndRecord::NotSubmitted(error),
    }
}

/// Output files that cannot be synced are shorter after a power cut than their receipt says, or gone, which then shows.
fn sync(directory: &AttemptDirectory) {
    let streams = [Stream::Stdout, Stream::Stderr];
    let parts = streams.iter().flat_map(|stream| directory.output_parts(*stream).unwrap_or_default());
    for path in streams.iter().map(|stream| directory.output(*stream)).chain(parts.map(|part| part.path)) {
        if let Err(error) = open_foreign(&path).and_then(|file| file.sync_data()) {
            tracing::warn!(%error, path = %path.display(), "output is not synced");
        }
    }
    if let Err(error) = directory.sync_names() {
        tracing::warn!(%error, "output is synced, and the name of it is not");
    }
}
