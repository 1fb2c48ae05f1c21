//! A journal in which not all goes well: every question with a name has an answer in it, but the one that never may have.
//!
//! Most runs start and end. Of each hundred some fail, lose their end, are taken over, are snapshotted while they wait, or are
//! reported about too late. Supervisors write it one after the other: each leaves runs behind that are open, every other one
//! crashes, and the next one says what became of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use tachograph_adapters::clock::{ManualClock, SystemClock};
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Claim, Diagnostics, Digest, Entry, Exit, ExitStatus, Failure as WhyFailed,
    FailureKind, Guard, Run, RunId, RunSpec, RunnerId, SnapshotId, StartMode, Status, Timestamp, Witness, Workload,
};
use tachograph_engine::ports::{AppendError, Clock, Draft, Journal, JournalError, JournalReader, Opening};
use tachograph_engine::shell::{CommandOutcome, Engine};

use crate::{Failure, open_over};

/// Supervisors that write it, of which every other one crashes.
const SESSIONS: u64 = 8;
/// Runs that are under way at a time, at most.
const AT_A_TIME: u64 = 1_024;
/// From one command to the next.
const COMMAND: Duration = Duration::from_millis(1);
/// From a crash to the next supervisor, and from a close.
const AWAY: [Duration; 2] = [Duration::from_secs(90), Duration::from_secs(8 * 3_600)];
/// How long before now the first one begins. The last one ends hours before now.
const AGO_MS: i64 = 36 * 3_600_000;
/// From arming a snapshot until it is due: about as long as all that are under way take for a step.
const DUE_MS: i64 = 1_000;

/// What happens to a run: each step is one event, but of a report that comes too late.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Create,
    Start,
    Wait,
    Arm,
    Cancel,
    Dispatch,
    Taken,
    TakeOver,
    Exit,
    /// It ended, and nobody saw how.
    LoseEnd,
    /// How it ended turns up.
    FindEnd,
    Fail,
    /// It failed since its supervisor went away.
    LoseSupervisor,
    Destroy,
    /// The first runner says that it ended, which it may no longer.
    LateExit,
}

/// What happens to the run of a number.
const fn steps(number: u64) -> &'static [Step] {
    use Step::{
        Arm, Cancel, Create, Destroy, Dispatch, Exit, Fail, FindEnd, LateExit, LoseEnd, Start, TakeOver, Taken, Wait,
    };
    match number % 100 {
        0 => &[Create, Fail],
        1 => &[Create, Start, Fail],
        2 => &[Create, Start, LoseEnd],
        3 => &[Create, Start, LoseEnd, FindEnd],
        4 => &[Create, Start, TakeOver, LateExit, Exit],
        5 => &[Create, Start, Exit, Destroy, LateExit],
        6 => &[Create, Start, Wait, Arm, Dispatch, Taken, Exit],
        7 => &[Create, Start, Wait, Arm, Cancel, Exit],
        _ => &[Create, Start, Exit],
    }
}

/// What becomes of a run that a supervisor left behind.
fn steps_after(run: &Run, number: u64) -> &'static [Step] {
    match (&run.status, &run.armed, &run.in_flight) {
        (Status::Created, ..) => &[Step::Fail],
        (Status::Waiting { .. }, Some(_), _) => &[Step::Dispatch, Step::Taken, Step::LoseEnd],
        (Status::Waiting { .. }, None, Some(_)) => &[Step::Taken, Step::LoseEnd],
        _ if number.is_multiple_of(2) => &[Step::LoseSupervisor],
        _ => &[Step::LoseEnd],
    }
}

/// A journal of so many events, written in the last days by the clock that it has.
///
/// # Errors
///
/// Whatever the engine says, or answers instead of what was to happen.
pub async fn fill(data: &Path, events: u64) -> Result<(), Failure> {
    let clock = ManualClock::new(SystemClock.now().plus_millis(-AGO_MS));
    let number = Arc::new(AtomicU64::new(0));
    for session in 0..SESSIONS {
        let (crashed, crashes) = (Arc::new(AtomicBool::new(false)), session % 2 == 0);
        let journal = Mortal { journal: FileJournal::open(data, JournalOptions::default())?, crashed: crashed.clone() };
        let (engine, _) = open_over(data, Box::new(journal), Arc::new(clock.clone())).await?;
        // What the division leaves over is the first one's.
        let mut left = events / SESSIONS;
        left += if session == 0 { events % SESSIONS } else { 0 };
        Supervisor { engine: engine.clone(), clock: clock.clone(), number: number.clone(), left: AtomicU64::new(left) }
            .works()
            .await?;
        crashed.store(crashes, Ordering::SeqCst);
        engine.close().await?;
        clock.advance(AWAY[usize::from(!crashes)]);
    }
    Ok(())
}

/// One that writes so many more events.
struct Supervisor {
    engine: Engine,
    clock: ManualClock,
    number: Arc<AtomicU64>,
    left: AtomicU64,
}

impl Supervisor {
    /// Ends what it finds open, then has runs live until it has written all its events.
    async fn works(self) -> Result<(), Failure> {
        let at_a_time = (self.left.load(Ordering::SeqCst) / 8).clamp(1, AT_A_TIME);
        let found = self.engine.live();
        try_join_all((0..).zip(&found).map(|(number, record)| {
            let steps = steps_after(&record.run, number);
            let life = Life::found(&record.run, &self.engine, number);
            self.lives(life, steps)
        }))
        .await?;
        let supervisor = Arc::new(self);
        let tasks = (0..at_a_time).map(|_| {
            let supervisor = supervisor.clone();
            tokio::spawn(async move {
                while supervisor.left.load(Ordering::SeqCst) > 0 {
                    let number = supervisor.number.fetch_add(1, Ordering::SeqCst);
                    supervisor.lives(Life::begun(&supervisor.engine, number), steps(number)).await?;
                }
                Ok::<_, Failure>(())
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await??;
        }
        Ok(())
    }

    /// Does the steps of one life, each acknowledged before the next is submitted, until no event is left to be written.
    async fn lives(&self, mut life: Life, steps: &[Step]) -> Result<(), Failure> {
        for step in steps {
            let is_late = *step == Step::LateExit;
            let take = |left: u64| left.checked_sub(1);
            if !is_late && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
                return Ok(());
            }
            self.clock.advance(COMMAND);
            if *step == Step::Dispatch && self.clock.now() < life.due {
                self.clock.advance(Duration::from_millis(u64::try_from(DUE_MS)?));
            }
            let (kind, action) = life.action(*step, self.clock.now());
            let command = self.engine.command(life.claim.run, Actor::new(kind, &*life.actor(kind)), action);
            let answer = self.engine.submit(command).await?;
            if matches!(answer.outcome, CommandOutcome::Refused { .. }) != is_late {
                return Err(format!("not as it should be: {:?}", answer.outcome).into());
            }
        }
        Ok(())
    }
}

/// One run, as those know it who report about it.
struct Life {
    number: u64,
    /// Of who held it first, and of who holds it.
    first: Claim,
    claim: Claim,
    snapshot: SnapshotId,
    due: Timestamp,
}

impl Life {
    fn begun(engine: &Engine, number: u64) -> Self {
        let runner = RunnerId::from(format!("host-{}/4711", number % 16).as_str());
        let claim =
            Claim { run: RunId::from_ulid(engine.mint()), attempt: AttemptId::from_ulid(engine.mint()), runner };
        let snapshot = SnapshotId::from_ulid(engine.mint());
        Self { number, first: claim.clone(), claim, snapshot, due: Timestamp::MIN }
    }

    fn found(run: &Run, engine: &Engine, number: u64) -> Self {
        let mut life = Self::begun(engine, number);
        life.claim.run = run.id;
        if let Some(attempt) = &run.attempt {
            (life.claim.attempt, life.claim.runner) = (attempt.id, attempt.runner.clone());
        }
        let armed = run.armed.as_ref().map(|armed| armed.id);
        life.snapshot = armed.or(run.in_flight.as_ref().map(|taken| taken.id)).unwrap_or(life.snapshot);
        life
    }

    /// Who says so, of a kind.
    fn actor(&self, kind: ActorKind) -> String {
        if kind == ActorKind::Runner { self.first.runner.to_string() } else { format!("bench-{}", kind.name()) }
    }

    /// What a step is, and who reports it.
    fn action(&mut self, step: Step, now: Timestamp) -> (ActorKind, Action) {
        let claim = self.claim.clone();
        match step {
            Step::Create => (ActorKind::Supervisor, Action::Create { spec: Arc::new(self.spec()) }),
            Step::Start => (ActorKind::Supervisor, self.start(StartMode::Fresh)),
            Step::TakeOver => {
                self.claim.attempt = AttemptId::from_u128(claim.attempt.to_u128() ^ 1);
                self.claim.runner = RunnerId::from("host-16/4711");
                (ActorKind::Operator, self.start(StartMode::Takeover { expected: claim.attempt }))
            }
            Step::Wait => (ActorKind::Runner, Action::Wait { claim, on: "input".to_owned(), deadline: None }),
            Step::Arm => {
                self.due = now.plus_millis(DUE_MS);
                (ActorKind::Runner, Action::ScheduleSnapshot { claim, snapshot: self.snapshot, due: self.due })
            }
            Step::Cancel => (ActorKind::Runner, Action::CancelSnapshot { guard: Guard::Runner(claim.runner) }),
            Step::Dispatch => (ActorKind::Timer, Action::DispatchSnapshot { snapshot: self.snapshot }),
            Step::Taken => (ActorKind::Supervisor, self.taken()),
            Step::Exit => (ActorKind::Runner, Action::Exit { claim, exit: self.exit() }),
            Step::LateExit => (ActorKind::Runner, Action::Exit { claim: self.first.clone(), exit: self.exit() }),
            Step::LoseEnd => (ActorKind::Recovery, Action::Exit { claim, exit: lost() }),
            Step::FindEnd => (ActorKind::Recovery, self.found_end()),
            Step::Fail => (ActorKind::Supervisor, Action::Fail { claim, failure: failure(self.kind()) }),
            Step::LoseSupervisor => {
                (ActorKind::Recovery, Action::Fail { claim, failure: failure(FailureKind::SupervisorLost) })
            }
            Step::Destroy => {
                (ActorKind::Operator, Action::Destroy { force: false, why: "it is not needed".to_owned() })
            }
        }
    }

    fn spec(&self) -> RunSpec {
        let suite = ["unit", "integration", "nightly", "release"][(self.number / 100 % 4) as usize];
        RunSpec {
            labels: [("suite".to_owned(), suite.to_owned()), ("number".to_owned(), self.number.to_string())].into(),
            workload: Workload::Command {
                argv: vec!["/usr/bin/make".to_owned(), "-j2".to_owned(), "check".to_owned()],
                cwd: Some("/srv/build/checkout".to_owned()),
            },
            ..RunSpec::default()
        }
    }

    fn start(&self, mode: StartMode) -> Action {
        Action::Start { attempt: self.claim.attempt, runner: self.claim.runner.clone(), mode }
    }

    fn taken(&self) -> Action {
        let location = format!("/srv/snapshots/{}", self.snapshot);
        Action::CompleteSnapshot { snapshot: self.snapshot, location, bytes: 1 << 20, digest: Digest::ZERO }
    }

    /// Most end well.
    fn exit(&self) -> Exit {
        let status = match self.number % 50 {
            10 => ExitStatus::Signal(9),
            11..=13 => ExitStatus::Code(1),
            _ => ExitStatus::Code(0),
        };
        Exit { status, witness: Witness::Waited, output: None }
    }

    fn found_end(&self) -> Action {
        let (status, source) = (ExitStatus::Code(0), "exit record".to_owned());
        Action::AmendExit { attempt: self.claim.attempt, status, source }
    }

    fn kind(&self) -> FailureKind {
        match self.number / 100 % 4 {
            0 => FailureKind::NotFound,
            1 => FailureKind::SpawnFailed,
            2 => FailureKind::StartTimeout,
            _ => FailureKind::RunnerLost,
        }
    }
}

fn lost() -> Exit {
    let status = ExitStatus::Unknown { cause: "its process was gone".to_owned() };
    Exit { status, witness: Witness::Synthesised, output: None }
}

/// The same of a kind is told in the same words.
fn failure(kind: FailureKind) -> WhyFailed {
    WhyFailed { message: format!("this attempt ended as {}", kind.name()), kind, diagnostics: Diagnostics::default() }
}

/// A journal whose writer can crash: from then on nothing is appended, not even that it was closed.
struct Mortal {
    journal: FileJournal,
    crashed: Arc<AtomicBool>,
}

#[async_trait]
impl Journal for Mortal {
    fn opening(&self) -> Opening {
        self.journal.opening()
    }

    async fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Entry>, AppendError> {
        if self.crashed.load(Ordering::SeqCst) {
            // What closing an engine tells nobody.
            return Err(AppendError::Journal(JournalError::Closed));
        }
        self.journal.append(drafts).await
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.journal.reader()
    }

    async fn close(self: Box<Self>) -> Result<(), JournalError> {
        Box::new(self.journal).close().await
    }
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::Position;
    use tachograph_replay::audit::{Desk, NAMED, Parameter, Scope};
    use tachograph_replay::dataset::Dataset;

    use super::*;

    const EVENTS: u64 = 4_000;

    /// How many rows a question gets, asked now.
    async fn rows(dataset: &Dataset, sql: &str, mut given: Vec<Parameter>) -> usize {
        let mut desk = Desk::of(sql).unwrap();
        let scope = Scope { at: dataset.reader().head().position, after: Position(0), run: None };
        desk.fill(dataset, scope).await.unwrap();
        given.push(format!("now_us={}", SystemClock.now().as_micros()).parse().unwrap());
        let mut rows = 0;
        desk.ask(&[], &given, |_, next| {
            while next()?.is_some() {
                rows += 1;
            }
            Ok(())
        })
        .unwrap();
        rows
    }

    #[tokio::test]
    async fn every_question_has_an_answer_but_the_one_that_never_may() {
        let place = tempfile::tempdir().unwrap();
        fill(place.path(), EVENTS).await.unwrap();
        let dataset = Dataset::open(place.path()).unwrap();
        for query in NAMED {
            let defaults = query.parameters().into_iter().map(|parameter| parameter.default).collect();
            let rows = rows(&dataset, query.sql, defaults).await;
            assert_eq!(rows == 0, query.name == "ended-snapshots", "{}: {rows} rows", query.name);
        }
        assert_eq!(rows(&dataset, "SELECT event FROM events", Vec::new()).await as u64, EVENTS);
    }
}
