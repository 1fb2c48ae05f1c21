//! The conclusion made true in the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Command, CommandId, Diagnostics, Exit, ExitStatus, Failure,
    FailureKind, Finding, Ordinal, Outcome, Position, Run, RunId, RunRecord, RunnerId, StartMode, Stream, Witness,
    limits,
};
use tachograph_engine::shell::{Answer, CommandOutcome, Engine};
use tokio::task::JoinSet;

use super::super::directory::AttemptDirectory;
use super::super::error::RunnerError;
use super::super::exit_record::ExitRecord;
use super::super::outcome::{TimeUp, last_output, receipt_facts};
use super::super::room;
use super::super::runner::ProcessRunner;
use super::super::shim;
use super::super::text::cut;
use super::conclusion::{Conclusion, Witnessed, concerns, conclude, is_unstarted_image, was_created_here};
use super::evidence::{Evidence, Identified, Known, pids};
use super::following::Adopted;
use super::processes::Processes;
use super::report::AdoptionReport;
use super::rest::rest_of;
use crate::threads::blocking;

const FACT_BYTES_MAX: usize = 1_024;
/// How long a shim whose supervisor died is waited for until it has begun: it needs some milliseconds.
const BEGINNING_MAX: Duration = Duration::from_secs(5);
const BEGINNING_PAUSE: Duration = Duration::from_millis(5);
/// Where a new journal is opened: there is nothing before.
const OPENING: Position = Position(1);
/// Derives the command ids, so that a repetition, also after a crash in the middle, is known as one.
const FINDING_CONTEXT: &str = "tachograph 2026-11-22 the command that records what recovery found";

/// What is to be recorded about an attempt, and why.
struct Settled {
    conclusion: Conclusion,
    evidence: Evidence,
    ended: Ended,
}

/// What was left of an attempt without its shim, and was ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Ended {
    /// What became of its container.
    container: Option<String>,
    /// Whether that may go on all the same.
    may_go_on: bool,
    /// Members of its process group.
    processes: Vec<u32>,
}

impl Ended {
    /// As the end of a sentence that says what is known; empty if there was nothing.
    fn told(&self) -> String {
        let container = self.container.as_ref().map(|became| format!("; {became}")).unwrap_or_default();
        let processes = if self.processes.is_empty() {
            String::new()
        } else {
            format!("; ended of its process group: {}", pids(&self.processes))
        };
        container + &processes
    }
}

impl ProcessRunner {
    /// Looks at every run that another supervisor left open, before anything is started, and makes the journal say what
    /// is so.
    ///
    /// What is alive and certainly itself, by pid, start and boot, is adopted: it is among [`handles`](Self::handles)
    /// from here on, with all that a started one has, and stays held by its old runner id in the journal. What has ended
    /// is recorded with the status that its shim or supervisor wrote down; what ended unseen as
    /// [unknown](ExitStatus::Unknown), never with a guessed code. A run that the journal knows as created only, and that
    /// was executed, is promoted to started first. What is alive and cannot be verified is reported and never signalled.
    /// What is left of the process group of a killed shim is ended, and so is an attempt that its run does not want any
    /// more; both may take the grace.
    /// Each finding is a `Reconciled` fact before the transition that follows. Runs that this runner has under way, that
    /// a living supervisor holds, or that belong to another kind of runner are left alone.
    ///
    /// Repeating it is harmless; a crash in the middle leaves the rest to the next time.
    ///
    /// # Errors
    ///
    /// [`RunnerError`] if the engine gave no answer.
    pub async fn recover(&self) -> Result<AdoptionReport, RunnerError> {
        let _recovering = self.recovering();
        let open = self.left_open().await?;
        let mut report = AdoptionReport::default();
        // One look serves all: whoever could start a shim for them is gone. Where no run was ever recorded, no process is of
        // interest.
        let is_new = self.engine().head().position <= OPENING;
        let processes = if is_new { None } else { blocking(Processes::look).await };
        let processes = Arc::new(processes.unwrap_or_default());
        report.add(self.end_unwanted(&processes).await?);
        report.add(self.end_kept_containers(&processes).await?);
        let mut settling = JoinSet::new();
        for record in open {
            let (runner, processes) = (self.clone(), processes.clone());
            settling.spawn(async move { runner.settle(&record.run, &processes, None).await });
        }
        while let Some(settled) = settling.join_next().await {
            let abandoned = |_| RunnerError::NotSubmitted(tachograph_engine::shell::SubmitError::Closed);
            report.add(settled.map_err(abandoned)??);
        }
        report.add(self.amend_unwitnessed().await?);
        report.sort();
        Ok(report)
    }

    /// Runs that are open, and this kind of runner's.
    async fn left_open(&self) -> Result<Vec<Arc<RunRecord>>, RunnerError> {
        let mut open = Vec::new();
        for record in self.engine().live() {
            let created_here = is_unstarted_image(&record.run)
                && was_created_here(&self.engine().reader().history(record.run.id).await?);
            if concerns(&record.run, || created_here) {
                open.push(record);
            }
        }
        Ok(open)
    }

    /// `ended` says what was left of the attempt without its shim and is ended by now, if anything was found before.
    async fn settle(
        &self,
        run: &Run,
        processes: &Arc<Processes>,
        ended: Option<Ended>,
    ) -> Result<AdoptionReport, RunnerError> {
        let mut report = AdoptionReport::default();
        if self.registry().all().iter().any(|live| live.run == run.id) {
            return Ok(report);
        }
        let Some(evidence) = self.look(run, processes).await else { return Ok(report) };
        let conclusion = self.in_view_of_the_boot(run, conclude(run, &evidence)).await?;
        match (&conclusion, &run.attempt, &evidence.identified) {
            (Conclusion::PromoteToStarted, None, Identified::Known(known)) => {
                if self.promote(run.id, known, &mut report).await?
                    && let Some(record) = self.engine().run(run.id).await?
                {
                    report.add(Box::pin(self.settle(&record.run, processes, None)).await?);
                }
            }
            (Conclusion::LeaveAlone { why }, ..) => report.left_alone.push((run.id, why.clone())),
            (Conclusion::Unknown { cause }, None, _) => self.give_up(run.id, lost(cause), &mut report).await?,
            (_, None, _) => self.give_up(run.id, abandoned(), &mut report).await?,
            (_, Some(attempt), _) => {
                let claim = Claim { run: run.id, attempt: attempt.id, runner: attempt.runner.clone() };
                let by_shim = matches!(conclusion, Conclusion::Adopt(Witnessed::ByShim(_)));
                if ended.is_none()
                    && !by_shim
                    && let Some(ended) = self.end_what_is_left(run, &claim, attempt.ordinal, &evidence).await
                {
                    // What was seen of it is no more.
                    let processes = Arc::new(blocking(Processes::look).await.unwrap_or_default());
                    report.add(Box::pin(self.settle(run, &processes, Some(ended))).await?);
                } else if let Conclusion::Adopt(witnessed) = &conclusion {
                    let (ordinal, spec) = (attempt.ordinal, &run.spec);
                    let adopted = self.adopt(claim, ordinal, spec, witnessed, &evidence, &mut report).await?;
                    if adopted == Adopted::Vanished {
                        report.add(Box::pin(self.settle(run, processes, ended)).await?);
                    }
                } else {
                    let settled = Settled { conclusion, evidence, ended: ended.unwrap_or_default() };
                    self.conclude_open(claim, attempt.ordinal, settled, &mut report).await?;
                }
            }
        }
        Ok(report)
    }

    async fn in_view_of_the_boot(&self, run: &Run, conclusion: Conclusion) -> Result<Conclusion, RunnerError> {
        let reader = self.engine().reader();
        match run.attempt {
            Some(_) => Ok(self.this_boot().await?.qualify(&**reader, run.id, conclusion).await?),
            None => Ok(conclusion),
        }
    }

    /// Looks, and again for a while if a shim is about to begin: it does not need the supervisor that started it.
    async fn look(&self, run: &Run, processes: &Arc<Processes>) -> Option<Evidence> {
        let (runs_dir, run, processes) = (self.runs_dir().to_owned(), run.clone(), processes.clone());
        blocking(move || {
            let mut evidence = Evidence::about(&runs_dir, &run, &processes);
            let mut waited = Duration::ZERO;
            while matches!(evidence.identified, Identified::Beginning { .. }) && waited < BEGINNING_MAX {
                std::thread::sleep(BEGINNING_PAUSE);
                waited += BEGINNING_PAUSE;
                evidence = Evidence::about(&runs_dir, &run, &Processes::look());
            }
            evidence
        })
        .await
    }

    /// Records the start that the world knows of. Returns whether the journal knows it now.
    async fn promote(&self, run: RunId, known: &Known, report: &mut AdoptionReport) -> Result<bool, RunnerError> {
        let (attempt, runner) = (known.attempt, known.runner.clone());
        let start = Action::Start { attempt, runner, mode: StartMode::Fresh };
        match self.recorded(run, attempt, "start", start).await?.outcome {
            CommandOutcome::Refused { refusal, .. } => {
                report.left_alone.push((run, refused(&refusal)));
                Ok(false)
            }
            _ => {
                report.promoted.push(run);
                Ok(true)
            }
        }
    }

    /// Ends what goes on of an attempt whose shim is gone, and whose it certainly is: its container, by its name, and the
    /// rest of its process group. Nobody would see their end. Absent if there was nothing.
    async fn end_what_is_left(&self, run: &Run, claim: &Claim, ordinal: Ordinal, evidence: &Evidence) -> Option<Ended> {
        let (directory, claim) = (AttemptDirectory::of(self.runs_dir(), claim.run, ordinal), claim.clone());
        let workload = run.spec.workload.clone();
        let end = move || crate::oci::end_left_behind(&directory, claim.run, claim.attempt, &workload);
        let (container, may_go_on) = match blocking(end).await? {
            Ok(state) => (state.map(|state| format!("its container was {state}, and is removed")), false),
            Err(error) => {
                tracing::warn!(%error, "a container may go on whose shim is gone");
                (Some(format!("its container may go on: {error}")), true)
            }
        };
        let group = match &evidence.identified {
            Identified::Known(known) if !evidence.rest.is_empty() => rest_of(known),
            _ => None,
        };
        let processes = match group {
            Some(group) => self.end_rest(group).await,
            None => Vec::new(),
        };
        (container.is_some() || !processes.is_empty()).then_some(Ended { container, may_go_on, processes })
    }

    /// Fails a run that was never started as far as the journal knows.
    async fn give_up(&self, run: RunId, failure: Failure, report: &mut AdoptionReport) -> Result<(), RunnerError> {
        let attempt = AttemptId::from_ulid(self.engine().mint());
        let claim = Claim { run, attempt, runner: self.runner().clone() };
        self.end(claim, Outcome::Failed(failure), report).await
    }

    async fn conclude_open(
        &self,
        claim: Claim,
        ordinal: Ordinal,
        settled: Settled,
        report: &mut AdoptionReport,
    ) -> Result<(), RunnerError> {
        let directory = AttemptDirectory::of(self.runs_dir(), claim.run, ordinal);
        if settled.evidence.shim_was_killed() {
            let directory = directory.clone();
            // Nobody asks a shim that is gone, and it needs no room.
            blocking(move || {
                shim::forget_requests(&directory);
                room::give_back(&directory);
            })
            .await;
        }
        match self.outcome(&claim, &directory, settled, report).await? {
            Some(outcome) => self.end(claim, outcome, report).await,
            None => Ok(()),
        }
    }

    /// The end that follows, with the fact behind it on record; none if there is no end yet.
    async fn outcome(
        &self,
        claim: &Claim,
        directory: &AttemptDirectory,
        Settled { conclusion, evidence, ended }: Settled,
        report: &mut AdoptionReport,
    ) -> Result<Option<Outcome>, RunnerError> {
        let may_go_on = ended.may_go_on;
        let ended = ended.told();
        let told = cut(&(evidence.told() + &ended), limits::MESSAGE_BYTES_MAX).to_owned();
        let is_alive = may_go_on || matches!(conclusion, Conclusion::Orphan { .. });
        if is_alive {
            report.orphans.push((claim.run, told.clone()));
        } else if let Some(what) = ended.strip_prefix("; ") {
            report.ended.push((claim.run, what.to_owned()));
        }
        Ok(match conclusion {
            Conclusion::Adopt(_) | Conclusion::PromoteToStarted | Conclusion::LeaveAlone { .. } => None,
            Conclusion::Record(record) => {
                if !ended.is_empty() {
                    self.found(claim, Finding::Orphan, told).await?;
                }
                Some(of_record(&record, directory))
            }
            Conclusion::StartAbandoned => {
                self.found(claim, Finding::Lost, told).await?;
                Some(Outcome::Failed(abandoned()))
            }
            Conclusion::Unknown { cause } => {
                self.found(claim, Finding::Lost, told).await?;
                leave_mark(directory).await;
                Some(unknown(cause + &ended))
            }
            Conclusion::Orphan { cause, .. } => {
                self.found(claim, Finding::Orphan, told).await?;
                leave_mark(directory).await;
                Some(unknown(cause + &ended))
            }
        })
    }

    /// Records a fact about an attempt: each once, but that it was adopted, which is a new fact for each supervisor.
    pub(super) async fn found(&self, claim: &Claim, finding: Finding, detail: String) -> Result<Answer, RunnerError> {
        let command = finding_of(self.engine(), self.runner(), claim, finding, detail);
        Ok(self.engine().submit(command).await?)
    }

    async fn end(&self, claim: Claim, outcome: Outcome, report: &mut AdoptionReport) -> Result<(), RunnerError> {
        let run = claim.run;
        let answer = self.report_end(claim, outcome.clone()).await?;
        match (answer.outcome, outcome) {
            (CommandOutcome::Refused { refusal, .. }, _) => report.left_alone.push((run, refused(&refusal))),
            (_, Outcome::Exited { exit: Exit { status: ExitStatus::Unknown { cause }, .. }, .. }) => {
                report.unknown.push((run, cause));
            }
            (_, Outcome::Exited { exit, .. }) => report.exited.push((run, exit.status)),
            (_, Outcome::Failed(failure)) => report.failed.push((run, failure.kind)),
        }
        Ok(())
    }

    /// Reports the end of an attempt with the claim of whoever holds it, as what this runner is here: its recovery.
    async fn report_end(&self, claim: Claim, outcome: Outcome) -> Result<Answer, RunnerError> {
        let run = claim.run;
        let action = match outcome {
            Outcome::Exited { exit, .. } => Action::Exit { claim, exit },
            Outcome::Failed(failure) => Action::Fail { claim, failure },
        };
        let command = self.engine().command(run, self.as_recovery(), action);
        Ok(self.engine().submit(command).await?)
    }

    pub(super) async fn recorded(
        &self,
        run: RunId,
        attempt: AttemptId,
        what: &str,
        action: Action,
    ) -> Result<Answer, RunnerError> {
        let (id, actor, issued_at) = (finding_id(attempt, what), self.as_recovery(), self.engine().clock().now());
        Ok(self.engine().submit(Command { id, run, actor, issued_at, expected: None, action }).await?)
    }

    fn as_recovery(&self) -> Actor {
        Actor::new(ActorKind::Recovery, self.runner().as_str())
    }
}

/// The command that records a fact about an attempt in the name of a runner's recovery.
pub(super) fn finding_of(
    engine: &Engine,
    runner: &RunnerId,
    claim: &Claim,
    finding: Finding,
    detail: String,
) -> Command {
    let by = if finding == Finding::Adopted { runner.as_str() } else { "" };
    Command {
        id: finding_id(claim.attempt, &format!("{} {by}", finding.name())),
        run: claim.run,
        actor: Actor::new(ActorKind::Recovery, runner.as_str()),
        issued_at: engine.clock().now(),
        expected: None,
        action: Action::Reconcile { attempt: claim.attempt, finding, detail },
    }
}

/// The same for the same finding about the same attempt, whoever finds it.
fn finding_id(attempt: AttemptId, what: &str) -> CommandId {
    const RANDOM: u128 = (1 << 80) - 1;
    let mut hasher = blake3::Hasher::new_derive_key(FINDING_CONTEXT);
    hasher.update(&attempt.to_u128().to_be_bytes()).update(what.as_bytes());
    let mut bits = [0; 16];
    bits.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    CommandId::from_u128((attempt.to_u128() & !RANDOM) | (u128::from_be_bytes(bits) & RANDOM))
}

pub(super) fn refused(refusal: &tachograph_engine::domain::Refusal) -> String {
    format!("the engine refused: {refusal}")
}

/// An end that is certain, with a status that nobody saw.
pub(super) fn unknown(cause: String) -> Outcome {
    let cause = cut(&cause, limits::MESSAGE_BYTES_MAX).to_owned();
    let exit = Exit { status: ExitStatus::Unknown { cause }, witness: Witness::Synthesised, output: None };
    Outcome::Exited { exit, amended: None }
}

fn abandoned() -> Failure {
    let message = "its supervisor went away before it was executed".to_owned();
    Failure { kind: FailureKind::StartAbandoned, message, diagnostics: Diagnostics::default() }
}

/// What was executed although the journal knows no start, and is gone.
fn lost(cause: &str) -> Failure {
    let message = cut(cause, limits::MESSAGE_BYTES_MAX).to_owned();
    Failure { kind: FailureKind::SupervisorLost, message, diagnostics: Diagnostics::default() }
}

/// An end because its time was up, with a status that nobody saw.
pub(super) fn timed_out(time_up: &TimeUp, cause: &str) -> Outcome {
    let message = cut(&format!("{time_up}; {cause}"), limits::MESSAGE_BYTES_MAX).to_owned();
    Outcome::Failed(Failure { kind: FailureKind::TimedOut, message, diagnostics: Diagnostics::default() })
}

/// What an exit record says, as it is reported.
fn of_record(record: &ExitRecord, directory: &AttemptDirectory) -> Outcome {
    let Some((kind, message)) = &record.failure else {
        let (status, output) = (record.status.clone(), record.output.clone());
        return Outcome::Exited { exit: Exit { status, witness: Witness::ExitFile, output }, amended: None };
    };
    let mut diagnostics = record.diagnostics.clone();
    diagnostics.alive.truncate(limits::DIAGNOSTICS_MAX);
    if diagnostics.last_output.is_empty() {
        diagnostics.last_output = last_output(directory);
    }
    diagnostics.last_output.truncate(limits::DIAGNOSTICS_MAX);
    diagnostics.facts.extend(facts(record, directory));
    let message = cut(message, limits::MESSAGE_BYTES_MAX).to_owned();
    Outcome::Failed(Failure { kind: recorded_kind(kind), message, diagnostics })
}

fn facts(record: &ExitRecord, directory: &AttemptDirectory) -> BTreeMap<String, String> {
    let mut facts = record.output.as_ref().map(receipt_facts).unwrap_or_default();
    facts.insert("exit_status".to_owned(), cut(&record.status.to_string(), FACT_BYTES_MAX).to_owned());
    for stream in [Stream::Stdout, Stream::Stderr] {
        if let Some(bytes) = directory.kept_bytes(stream) {
            facts.insert(format!("{}_bytes_on_disk", stream.name()), bytes.to_string());
        }
    }
    facts
}

/// The kinds that runners and shims write into exit records; whatever else is there, its supervisor is gone.
pub(in super::super) fn recorded_kind(name: &str) -> FailureKind {
    match name {
        "timed_out" => FailureKind::TimedOut,
        "output_lost" => FailureKind::OutputLost,
        "not_found" => FailureKind::NotFound,
        "not_executable" => FailureKind::NotExecutable,
        "spawn_failed" => FailureKind::SpawnFailed,
        _ => FailureKind::SupervisorLost,
    }
}

/// Marks an attempt that has an unknown end, so that a record that comes to light is looked for there only.
async fn leave_mark(directory: &AttemptDirectory) {
    let directory = directory.clone();
    blocking(move || {
        if directory.path().is_dir()
            && let Err(error) = directory.mark_unwitnessed()
        {
            tracing::debug!(%error, "a record that comes to light later will not be looked for");
        }
    })
    .await;
}
