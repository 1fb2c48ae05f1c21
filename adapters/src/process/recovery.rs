//! What became of the runs that a crashed supervisor left open.

use std::collections::BTreeMap;

use tachograph_engine::domain::{
    Action, Actor, ActorKind, Attempt, AttemptId, Claim, Diagnostics, Exit, ExitStatus, Failure, FailureKind, Refusal,
    Run, RunId, Status, Stream, Witness, Workload, limits,
};
use tachograph_engine::shell::CommandOutcome;

use super::attempt::blocking;
use super::directory::AttemptDirectory;
use super::error::RunnerError;
use super::exit_record::ExitRecord;
use super::group::processes_of;
use super::identity::Identity;
use super::outcome::{last_output, receipt_facts};
use super::runner::{ProcessRunner, is_process_runner};
use super::text::cut;

const ALIVE_MAX: usize = 32;
const FACT_BYTES_MAX: usize = 1_024;

/// What recovery recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Runs whose end the former supervisor had seen and left on disk.
    pub exited: Vec<(RunId, ExitStatus)>,
    /// Runs whose end nobody saw, and such that had failed when the former supervisor died.
    pub failed: Vec<(RunId, FailureKind)>,
    /// Runs that were left alone, each with the reason: somebody else supervises them, or the engine refused.
    pub left_alone: Vec<(RunId, String)>,
}

impl ProcessRunner {
    /// Records what became of the runs that a supervisor left open, before anything is started.
    ///
    /// An exit record that names run, attempt and runner is the former supervisor's own word: its status and receipt
    /// are recorded. Otherwise the run failed as `SupervisorLost`, with what can be seen from here, and never with a
    /// guessed exit code. A command that was created and never started failed as `StartAbandoned`. Nothing is
    /// signalled: a process that is still alive is named in the diagnostics. Runs that this runner has under way,
    /// that a living supervisor holds, or that belong to another kind of runner are left alone. Repeating it is
    /// harmless; a crash in the middle leaves the rest to the next time.
    ///
    /// # Errors
    ///
    /// [`RunnerError`] if the engine gave no answer.
    pub async fn recover(&self) -> Result<RecoveryReport, RunnerError> {
        let mut report = RecoveryReport::default();
        for record in self.engine().live() {
            let run = &record.run;
            match (&run.attempt, &run.status) {
                (None, Status::Created) => self.abandon(run, &mut report).await?,
                (Some(attempt), Status::Started | Status::Waiting { .. }) => {
                    self.settle(run, attempt, &mut report).await?;
                }
                _ => {}
            }
        }
        Ok(report)
    }

    async fn abandon(&self, run: &Run, report: &mut RecoveryReport) -> Result<(), RunnerError> {
        let starting = self.registry().all().iter().any(|live| live.run == run.id);
        if starting || !matches!(run.spec.workload, Workload::Command { .. }) {
            return Ok(());
        }
        let attempt = AttemptId::from_ulid(self.engine().mint());
        let claim = Claim { run: run.id, attempt, runner: self.runner().clone() };
        let message = "its supervisor went away before it was started".to_owned();
        let failure = Failure { kind: FailureKind::StartAbandoned, message, diagnostics: Diagnostics::default() };
        self.record(claim, End::Failed(failure), report).await
    }

    async fn settle(&self, run: &Run, attempt: &Attempt, report: &mut RecoveryReport) -> Result<(), RunnerError> {
        if !is_process_runner(&attempt.runner) || self.runs(run.id, attempt.id).is_some() {
            return Ok(());
        }
        let claim = Claim { run: run.id, attempt: attempt.id, runner: attempt.runner.clone() };
        let directory = AttemptDirectory::of(self.runs_dir(), run.id, attempt.ordinal);
        let look = {
            let claim = claim.clone();
            move || Findings::look(&directory, &claim)
        };
        let Some(findings) = blocking(look).await else { return Ok(()) };
        if let Some(pid) = findings.other_supervisor() {
            report.left_alone.push((run.id, format!("its supervisor, pid {pid}, is alive")));
            return Ok(());
        }
        self.record(claim, findings.end(), report).await
    }

    async fn record(&self, claim: Claim, end: End, report: &mut RecoveryReport) -> Result<(), RunnerError> {
        let run = claim.run;
        let actor = Actor::new(ActorKind::Recovery, self.runner().as_str());
        let action = match end.clone() {
            End::Exited(exit) => Action::Exit { claim, exit },
            End::Failed(failure) => Action::Fail { claim, failure },
        };
        let answer = self.engine().submit(self.engine().command(run, actor, action)).await?;
        match (answer.outcome, end) {
            (CommandOutcome::Refused { refusal, .. }, _) => report.left_alone.push((run, refused(&refusal))),
            (_, End::Exited(exit)) => report.exited.push((run, exit.status)),
            (_, End::Failed(failure)) => report.failed.push((run, failure.kind)),
        }
        Ok(())
    }
}

fn refused(refusal: &Refusal) -> String {
    format!("the engine refused: {refusal}")
}

#[derive(Debug, Clone)]
enum End {
    Exited(Exit),
    Failed(Failure),
}

/// What is left of an attempt in the world.
#[derive(Debug)]
struct Findings {
    identity: Option<Identity>,
    record: Option<ExitRecord>,
    /// Why there is no record that counts.
    no_record: String,
    alive: Vec<u32>,
    last_output: Vec<String>,
    output_bytes: [Option<u64>; 2],
}

impl Findings {
    /// Looks, and touches nothing.
    fn look(directory: &AttemptDirectory, claim: &Claim) -> Self {
        let identity = Identity::read(directory, claim.run, claim.attempt).unwrap_or_default();
        let (record, no_record) = match ExitRecord::read(&directory.exit_record(), claim.run, claim.attempt) {
            Ok(None) => (None, "absent".to_owned()),
            Ok(Some(record)) if record.is_word_of(&claim.runner) => (Some(record), String::new()),
            Ok(Some(record)) => (None, format!("a claim of {}, not by the runner", record.status)),
            Err(error) => (None, error.to_string()),
        };
        let bytes = |stream| directory.output(stream).metadata().ok().map(|metadata| metadata.len());
        let mut alive = processes_of(claim.attempt);
        let process = identity.as_ref().and_then(|identity| identity.process.as_ref());
        // A process may have wiped its environment and is still the one that was spawned.
        alive.extend(process.filter(|process| process.is_alive()).map(|process| process.pid));
        alive.sort_unstable();
        alive.dedup();
        Self {
            alive,
            last_output: last_output(directory),
            output_bytes: [bytes(Stream::Stdout), bytes(Stream::Stderr)],
            identity,
            record,
            no_record,
        }
    }

    /// The pid of the supervisor that holds it, if that is alive and not this process.
    fn other_supervisor(&self) -> Option<u32> {
        let supervisor = &self.identity.as_ref()?.supervisor;
        (supervisor.pid != std::process::id() && supervisor.is_alive()).then_some(supervisor.pid)
    }

    fn end(self) -> End {
        match &self.record {
            Some(record) => match record.failure.clone() {
                Some((kind, message)) => self.failed(recorded_kind(&kind), message),
                None => End::Exited(Exit {
                    status: record.status.clone(),
                    witness: Witness::ExitFile,
                    output: record.output.clone(),
                }),
            },
            None => self.failed(
                FailureKind::SupervisorLost,
                "its supervisor went away while it was open, and nobody saw its end".to_owned(),
            ),
        }
    }

    fn failed(self, kind: FailureKind, message: String) -> End {
        let message = cut(&message, limits::MESSAGE_BYTES_MAX).to_owned();
        let facts = self.facts();
        let alive = self.alive.iter().take(ALIVE_MAX).map(|pid| format!("process {pid}")).collect();
        let likely_cause = Some(self.likely_cause().to_owned());
        let last_output = self.last_output;
        End::Failed(Failure { kind, message, diagnostics: Diagnostics { alive, last_output, likely_cause, facts } })
    }

    fn likely_cause(&self) -> &'static str {
        match (&self.identity, self.alive.is_empty(), &self.record) {
            (_, _, Some(_)) => "the supervisor died after it had seen the end and before that was in the journal",
            (_, false, None) => "the supervisor was killed; processes of the attempt go on without it",
            (None, true, None) => "the supervisor died before anything was spawned",
            (Some(identity), true, None) if identity.process.is_none() => {
                "the supervisor died about the time of the spawn"
            }
            (Some(_), true, None) => "supervisor and process ended together, or the process ended unseen",
        }
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        let mut add = |name: &str, value: String| {
            facts.insert(name.to_owned(), cut(&value, FACT_BYTES_MAX).to_owned());
        };
        for (name, bytes) in
            [("stdout_bytes_on_disk", self.output_bytes[0]), ("stderr_bytes_on_disk", self.output_bytes[1])]
        {
            add(name, bytes.map_or_else(|| "no file".to_owned(), |bytes| bytes.to_string()));
        }
        match self.identity.as_ref().map(|identity| identity.process.as_ref()) {
            None => add("process", "no identity on disk".to_owned()),
            Some(None) => add("process", "none recorded".to_owned()),
            Some(Some(process)) => {
                let state = if process.is_alive() { "alive" } else { "gone" };
                add("process", format!("pid {} of boot {}: {state}", process.pid, process.boot_id));
            }
        }
        match &self.record {
            None => add("exit_record", self.no_record.clone()),
            Some(record) => {
                add("exit_record", "present".to_owned());
                add("exit_status", record.status.to_string());
                if let Some(receipt) = &record.output {
                    facts.extend(receipt_facts(receipt));
                }
            }
        }
        facts
    }
}

/// The kinds that runners and shims write into exit records; whatever else is there, its supervisor is gone.
pub(super) fn recorded_kind(name: &str) -> FailureKind {
    match name {
        "timed_out" => FailureKind::TimedOut,
        "output_lost" => FailureKind::OutputLost,
        "not_found" => FailureKind::NotFound,
        "not_executable" => FailureKind::NotExecutable,
        "spawn_failed" => FailureKind::SpawnFailed,
        _ => FailureKind::SupervisorLost,
    }
}
