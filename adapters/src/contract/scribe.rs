//! Drafts as a committer makes them, without one.

use std::sync::Arc;

use tachograph_engine::domain::testing::{command, ids, spec};
use tachograph_engine::domain::{
    Action, Attempt, Claim, Command, Committed, Decision, EntryBody, EntryId, Exit, ExitStatus, Failure, FailureKind,
    Finding, Fleet, Refused, RefusedCommand, RunId, RunState, RunnerId, Session, StartMode, SystemFact, Timestamp,
    Version, Witness,
};
use tachograph_engine::ports::Draft;

/// Decides commands against all runs and drafts the entries, the way a committer does.
#[derive(Debug, Clone, Default)]
pub struct Scribe {
    fleet: Fleet,
    drafted: u64,
    attempts: u64,
}

impl Scribe {
    /// All runs as the drafts have left them.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The entry for a command; none if it repeats what is recorded.
    pub fn draft(&mut self, command: Command) -> Option<Draft> {
        let body = match self.fleet.decide(&command) {
            Ok(Decision::AlreadyRecorded) => return None,
            Ok(Decision::Append(events)) => {
                self.fleet.apply(command.run, &events);
                let version = self.fleet.state(command.run).version();
                EntryBody::Committed(Committed { command, version, events })
            }
            Err(refusal) => {
                EntryBody::Refused(Refused { command: RefusedCommand::keep(command, &refusal), refusal, count: 1 })
            }
        };
        Some(self.wrap(body))
    }

    /// The entry for a fact about the journal.
    pub fn system(&mut self, fact: SystemFact) -> Draft {
        self.wrap(EntryBody::System(fact))
    }

    /// The entry that ends a session.
    pub fn closed(&mut self) -> Draft {
        let wall = Timestamp::from_micros(0);
        let [host, boot_id, version] = ["host", "boot", "1"].map(str::to_owned);
        self.system(SystemFact::Closed(Session { host, boot_id, pid: 1, version, wall, monotonic_us: 0 }))
    }

    fn wrap(&mut self, body: EntryBody) -> Draft {
        self.drafted += 1;
        let recorded_at = Timestamp::from_micros(i64::try_from(self.drafted).unwrap_or(i64::MAX));
        Draft { id: EntryId::from_u128(ids::entry(self.drafted).to_u128()), recorded_at, body }
    }

    /// A command to create a run, with a name or without.
    pub fn create(run: RunId, name: Option<&str>) -> Command {
        let mut spec = spec("unnamed");
        spec.name = name.map(str::to_owned);
        command(run, Action::Create { spec: Arc::new(spec) })
    }

    /// A command that begins an attempt in whatever way the run's status asks for.
    pub fn start(&mut self, run: RunId, runner: &str) -> Command {
        self.attempts += 1;
        let mode = match (self.fleet.state(run), self.attempt(run)) {
            (RunState::Unknown, _) | (_, None) => StartMode::Fresh,
            (RunState::Known(known), Some(Attempt { id, .. })) if known.is_ended() => {
                StartMode::Restart { previous: *id }
            }
            (_, Some(Attempt { id, .. })) => StartMode::Takeover { expected: *id },
        };
        let attempt = ids::attempt(self.attempts);
        command(run, Action::Start { attempt, runner: RunnerId::from(runner), mode })
    }

    /// A report that the present attempt exited with a code.
    pub fn exit(&self, run: RunId, code: i32) -> Command {
        let exit = Exit { status: ExitStatus::Code(code), witness: Witness::Waited, output: None };
        command(run, Action::Exit { claim: self.claim(run), exit })
    }

    /// A report that the present attempt failed.
    pub fn fail(&self, run: RunId, message: &str) -> Command {
        let failure = Failure {
            kind: FailureKind::SpawnFailed,
            message: message.to_owned(),
            diagnostics: tachograph_engine::domain::Diagnostics::default(),
        };
        command(run, Action::Fail { claim: self.claim(run), failure })
    }

    /// A report that the present attempt waits.
    pub fn wait(&self, run: RunId) -> Command {
        command(run, Action::Wait { claim: self.claim(run), on: "an answer".to_owned(), deadline: None })
    }

    /// A finding about the present attempt, possible in every status but `Destroyed`.
    pub fn reconcile(&self, run: RunId) -> Command {
        let attempt = self.claim(run).attempt;
        command(run, Action::Reconcile { attempt, finding: Finding::Lost, detail: "looked for".to_owned() })
    }

    /// A forced end of the run's life.
    pub fn destroy(run: RunId) -> Command {
        command(run, Action::Destroy { force: true, why: "asked for".to_owned() })
    }

    /// The version that a run is at.
    pub fn version(&self, run: RunId) -> Version {
        self.fleet.state(run).version()
    }

    fn attempt(&self, run: RunId) -> Option<&Attempt> {
        self.fleet.state(run).run().and_then(|known| known.attempt.as_ref())
    }

    /// The claim of the present holder; of nobody, if there is none.
    fn claim(&self, run: RunId) -> Claim {
        match self.attempt(run) {
            Some(Attempt { id, runner, .. }) => Claim { run, attempt: *id, runner: runner.clone() },
            None => Claim { run, attempt: ids::attempt(0), runner: RunnerId::from("nobody") },
        }
    }
}
