//! The runner: what embedders hold.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tachograph_engine::domain::{
    Action, Actor, ActorKind, AttemptId, Command, Effect, Refusal, RunId, RunSpec, RunnerId, StartMode,
};
use tachograph_engine::ports::JournalError;
use tachograph_engine::shell::{Answer, Engine};
use tokio::sync::OnceCell;

use super::adoption::ThisBoot;
use super::error::RunnerError;
use super::handle::{ClockRef, Phase, RunHandle};
use super::identity::ProcessIdentity;
use super::inherited::Inherited;
use super::launch::Launch;
use super::open::Opening;
use super::options::RunnerOptions;
use super::places::Places;
use super::registry::Registry;
use super::report_socket::ReportSocket;
use super::shim::child_exits_are_ignored;
use super::shim_mode::Shim;
use super::text::cut;
use super::usage::{self, RunnerUsage};

/// Begins the id of every runner of this kind, so that recovery leaves attempts of other kinds alone.
const RUNNER_PREFIX: &str = "process/";
const HOST_BYTES_MAX: usize = 64;
/// So long a start that is left may take to be let go of.
const LEAVING: Duration = Duration::from_secs(1);

/// Runs commands as attempts of runs that an engine records. Cheap to clone; needs a Tokio runtime with IO and time.
///
/// The order is always the same: the run is durably created, its attempt durably started, the attempt's directory
/// and identity are on disk, and only then is a process spawned. Use one runner per engine in a process.
///
/// A process that ignores CHLD, as it may have been started to, does not learn how its children end: nothing is started
/// then ([`RunnerError::ExitsIgnored`]). [`shim::heed_child_exits`](super::shim::heed_child_exits), called first in `main`,
/// mends that.
///
/// Without shims this process writes the output of its children itself. Where the size of files is limited (`ulimit -f`) it
/// should catch or ignore XFSZ, by which it would be killed: the output then counts as lost, as on a full disk.
#[derive(Debug, Clone)]
pub struct ProcessRunner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    runs_dir: PathBuf,
    options: RunnerOptions,
    shim: Shim,
    registry: Registry,
    report_socket: ReportSocket,
    runner: RunnerId,
    supervisor: ProcessIdentity,
    inherited: Inherited,
    closing: AtomicBool,
    /// How many look at what was left open.
    recoveries: AtomicUsize,
    places: Places,
    this_boot: OnceCell<ThisBoot>,
}

impl ProcessRunner {
    /// A runner that keeps its runs' files below `runs_dir`, which is made when it is needed. Its runs are its own children.
    pub fn new(engine: Engine, runs_dir: impl Into<PathBuf>, options: RunnerOptions) -> Self {
        Self::with_shim(engine, runs_dir, options, Shim::Off)
    }

    /// The same, and the caller says who is the parent of a run's process.
    pub fn with_shim(engine: Engine, runs_dir: impl Into<PathBuf>, options: RunnerOptions, shim: Shim) -> Self {
        let pid = std::process::id();
        // Without /proc a supervisor has no start, and recovery cannot tell that it is alive.
        let supervisor = ProcessIdentity::of(pid).unwrap_or_else(|_| ProcessIdentity {
            pid,
            start_ticks: 0,
            boot_id: String::new(),
        });
        let runner = RunnerId::new(format!("{RUNNER_PREFIX}{}/{pid}/{}", host(), engine.mint()));
        let (registry, report_socket) = (Registry::default(), ReportSocket::default());
        let (inherited, closing) = (Inherited::read(), AtomicBool::new(false));
        let runs_dir = runs_dir.into();
        let this_boot = OnceCell::new();
        let (places, recoveries) = (Places::new(&options, &shim), AtomicUsize::new(0));
        let shared = Shared {
            engine,
            runs_dir,
            options,
            shim,
            registry,
            report_socket,
            runner,
            supervisor,
            inherited,
            closing,
            recoveries,
            places,
            this_boot,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The id that this runner holds attempts under.
    pub fn runner(&self) -> &RunnerId {
        &self.shared.runner
    }

    /// Records a new run, durably. Nothing is started.
    ///
    /// # Errors
    ///
    /// [`RunnerError::Refused`] for a spec out of bounds or a name that is held, or if the engine gave no answer.
    pub async fn create(&self, spec: RunSpec) -> Result<RunId, RunnerError> {
        let run = RunId::from_ulid(self.engine().mint());
        self.submit(run, Action::Create { spec: Arc::new(spec) }).await?;
        Ok(run)
    }

    /// Records a new run, opens its first attempt and spawns its process, as [`create`](Self::create) and
    /// [`start`](Self::start) do one after the other. Both records are durable before the spawn, by one sync.
    ///
    /// # Errors
    ///
    /// As those two. The run is recorded and has no attempt if its start alone was refused.
    pub async fn launch(&self, spec: RunSpec, launch: Launch) -> Result<RunHandle, RunnerError> {
        let (run, attempt) = (RunId::from_ulid(self.engine().mint()), self.mint_attempt());
        let opening = Opening { run, attempt, mode: StartMode::Fresh, creates: Some(Arc::new(spec)) };
        self.open_in_turn(opening, launch).await
    }

    /// Opens the first attempt of a created run and spawns its process.
    ///
    /// A command that cannot be spawned is no error: the attempt is opened, recorded as failed with the reason, and
    /// the handle says so. It waits for its turn if there is no [place](RunnerOptions::live_max) for it; dropping the
    /// future gives that up, and does not stop a start that is under way.
    ///
    /// # Errors
    ///
    /// [`RunnerError`]; nothing was spawned then. [`RunnerError::ShuttingDown`] also for those who wait for their turn when
    /// the runner shuts down; nothing was recorded then.
    pub async fn start(&self, run: RunId, launch: Launch) -> Result<RunHandle, RunnerError> {
        self.start_attempt(run, self.mint_attempt(), StartMode::Fresh, launch).await
    }

    /// Opens a new attempt of a run that has ended, naming the attempt that it follows, and spawns its process.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); of two that restart the same end, one is refused.
    pub async fn restart(&self, run: RunId, launch: Launch) -> Result<RunHandle, RunnerError> {
        let record = self.engine().run(run).await?;
        let previous = record.and_then(|record| record.run.attempt.as_ref().map(|attempt| attempt.id));
        // A run without an attempt cannot be restarted: the engine says so, and records it.
        let mode = previous.map_or(StartMode::Fresh, |previous| StartMode::Restart { previous });
        self.start_attempt(run, self.mint_attempt(), mode, launch).await
    }

    /// Opens an attempt under a given id and out of a given situation, for those who must be able to repeat it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_attempt(
        &self,
        run: RunId,
        attempt: AttemptId,
        mode: StartMode,
        launch: Launch,
    ) -> Result<RunHandle, RunnerError> {
        self.open_in_turn(Opening { run, attempt, mode, creates: None }, launch).await
    }

    async fn open_in_turn(&self, opening: Opening, launch: Launch) -> Result<RunHandle, RunnerError> {
        let Opening { run, attempt, .. } = opening;
        if self.registry().get(run, attempt).is_some() {
            return Err(RunnerError::UnderWay { run, attempt });
        }
        if child_exits_are_ignored() {
            return Err(RunnerError::ExitsIgnored { run });
        }
        let place = self.shared.places.take().await.ok_or(RunnerError::ShuttingDown)?;
        let runner = self.clone();
        let opened = tokio::spawn(async move { runner.open(place, opening, launch).await });
        opened.await.unwrap_or(Err(RunnerError::Abandoned { run, attempt }))
    }

    /// The attempt, if this runner has it under way.
    pub fn handle(&self, run: RunId, attempt: AttemptId) -> Option<RunHandle> {
        self.registry().get(run, attempt).map(|live| RunHandle { live, clock: self.clock() })
    }

    /// All attempts that this runner has under way and whose end is not recorded yet.
    pub fn handles(&self) -> Vec<RunHandle> {
        let all = self.registry().all().into_iter();
        let open = all.filter(|live| !matches!(*live.phase.borrow(), Phase::Ended(_)));
        open.map(|live| RunHandle { live, clock: self.clock() }).collect()
    }

    /// What this runner and its process use at this moment.
    pub fn usage(&self) -> RunnerUsage {
        RunnerUsage {
            live: self.registry().all().len(),
            queued: self.shared.places.queued(),
            live_max: self.shared.places.most,
            descriptors: usage::descriptors(),
            threads: usage::threads(),
        }
    }

    /// Destroys a run, and ends what it still has running if that is forced.
    ///
    /// # Errors
    ///
    /// [`RunnerError::Refused`] if the engine refuses, or if it gave no answer.
    pub async fn destroy(&self, run: RunId, force: bool, why: impl Into<String>) -> Result<(), RunnerError> {
        self.submit(run, Action::Destroy { force, why: why.into() }).await
    }

    /// Performs the effects of an answer that concern processes. Each ends exactly the attempt that it names and is a
    /// no-op if this runner does not have that one under way. Harmless when repeated.
    pub fn perform(&self, effects: &[Effect]) {
        let grace = Duration::from_millis(self.options().grace_ms);
        for effect in effects {
            let unwanted = match effect {
                Effect::EndAttempt { run, attempt } => self.handle(*run, *attempt),
                Effect::DestroyOrphan { claim } if claim.runner == self.holder_of(claim.run, claim.attempt) => {
                    self.handle(claim.run, claim.attempt)
                }
                Effect::DestroyOrphan { .. } | Effect::TakeSnapshot { .. } => None,
            };
            if let Some(unwanted) = unwanted {
                unwanted.terminate(grace);
            }
        }
    }

    /// Starts nothing more and leaves what is under way to its shims: each attempt goes on, its shim writes its end down,
    /// and the next supervisor finds it. Starts that are being made get so long to come to something, and are left as they are
    /// then, if a shim has them. Returns how many attempts were left; waiting for one of them is [`RunnerError::Abandoned`]. Without shims nothing is left, since
    /// nobody would see the end of this process's own children.
    pub async fn leave(&self, budget: Duration) -> usize {
        self.close_to_starts();
        let left = match self.shim() {
            Shim::Off => self.let_go().await,
            Shim::Program(_) => self.leave_to_shims(budget).await,
        };
        // What goes on may find the next supervisor there as soon as the journal is free.
        self.close_report_socket();
        left
    }

    async fn leave_to_shims(&self, budget: Duration) -> usize {
        let clock = self.engine().clock().clone();
        let deadline = clock.monotonic().saturating_add(budget);
        let mut left = 0;
        for live in self.registry().all() {
            let mut phase = live.phase.subscribe();
            tokio::select! {
                biased;
                _ = phase.wait_for(|phase| !matches!(phase, Phase::Starting)) => {}
                () = clock.sleep(deadline.saturating_sub(clock.monotonic())) => {}
            }
            if matches!(*live.phase.borrow(), Phase::Ended(_) | Phase::Abandoned) {
                continue;
            }
            let is_starting = matches!(*live.phase.borrow(), Phase::Starting);
            live.released.send_replace(true);
            let mut settled = live.settled.subscribe();
            tokio::select! {
                biased;
                _ = settled.wait_for(|settled| *settled) => {}
                // It has no shim yet, and may get one or not.
                () = clock.sleep(LEAVING), if is_starting => continue,
            }
            // It may have ended just now, and be recorded.
            left += usize::from(!matches!(*live.phase.borrow(), Phase::Ended(_)));
        }
        left
    }

    /// Nothing is started any more, and nobody waits for a place.
    pub(super) fn close_to_starts(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.places.close();
    }

    /// Submits what a supervisor asks for, and performs what follows.
    pub(super) async fn submit(&self, run: RunId, action: Action) -> Result<(), RunnerError> {
        let answer = self.engine().submit(self.wish(run, action)).await?;
        self.obeyed(answer)
    }

    /// The same for two of which the second makes no sense without the first.
    pub(super) async fn submit_both(&self, run: RunId, first: Action, then: Action) -> Result<(), RunnerError> {
        let (first, then) = self.engine().submit_both(self.wish(run, first), self.wish(run, then)).await?;
        self.obeyed(first).and_then(|()| self.obeyed(then))
    }

    fn wish(&self, run: RunId, action: Action) -> Command {
        self.engine().command(run, Actor::new(ActorKind::Supervisor, self.runner().as_str()), action)
    }

    fn obeyed(&self, answer: Answer) -> Result<(), RunnerError> {
        self.perform(&answer.effects);
        match refusal(answer) {
            Some(refusal) => Err(RunnerError::Refused { refusal }),
            None => Ok(()),
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(super) fn clock(&self) -> ClockRef {
        ClockRef(self.engine().clock().clone())
    }

    pub(super) fn runs_dir(&self) -> &Path {
        &self.shared.runs_dir
    }

    /// Where runtimes keep the state of this runner's containers: `oci` beside the directory of all runs, so that they
    /// meet nobody else's.
    pub(super) fn runtime_root(&self) -> PathBuf {
        self.runs_dir().with_file_name("oci")
    }

    pub(super) fn options(&self) -> RunnerOptions {
        self.shared.options
    }

    pub(super) fn shim(&self) -> &Shim {
        &self.shared.shim
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    pub(super) fn report_socket(&self) -> &ReportSocket {
        &self.shared.report_socket
    }

    /// Says until it is dropped that it is still to be found out what became of attempts that others left open.
    pub(super) fn recovering(&self) -> Recovering<'_> {
        self.shared.recoveries.fetch_add(1, Ordering::SeqCst);
        Recovering(&self.shared.recoveries)
    }

    pub(super) fn is_recovering(&self) -> bool {
        self.shared.recoveries.load(Ordering::SeqCst) > 0
    }

    /// Whether it has the attempt under way, and knows who holds it.
    pub(super) fn has_opened(&self, run: RunId, attempt: AttemptId) -> bool {
        self.registry().get(run, attempt).is_some_and(|live| live.opened.get().is_some())
    }

    /// Looked for once: its beginning in the journal stays where it is.
    pub(super) async fn this_boot(&self) -> Result<ThisBoot, JournalError> {
        let find = || ThisBoot::find(&**self.engine().reader());
        self.shared.this_boot.get_or_try_init(find).await.copied()
    }

    /// This runner as long as somebody else holds it.
    pub(super) fn downgrade(&self) -> WeakRunner {
        WeakRunner(Arc::downgrade(&self.shared))
    }

    pub(super) fn supervisor(&self) -> &ProcessIdentity {
        &self.shared.supervisor
    }

    /// What this process has in its environment, and its runs find in theirs.
    pub(super) fn inherited(&self) -> &Inherited {
        &self.shared.inherited
    }

    pub(super) fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::SeqCst)
    }

    fn mint_attempt(&self) -> AttemptId {
        AttemptId::from_ulid(self.engine().mint())
    }
}

/// That a runner looks at what was left open.
#[derive(Debug)]
pub(super) struct Recovering<'runner>(&'runner AtomicUsize);

impl Drop for Recovering<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A runner that may be gone.
#[derive(Debug, Clone)]
pub(super) struct WeakRunner(Weak<Shared>);

impl WeakRunner {
    pub(super) fn upgrade(&self) -> Option<ProcessRunner> {
        self.0.upgrade().map(|shared| ProcessRunner { shared })
    }
}

/// Whether a runner id was made by a runner of this kind.
pub(super) fn is_process_runner(runner: &RunnerId) -> bool {
    runner.as_str().starts_with(RUNNER_PREFIX)
}

fn refusal(answer: Answer) -> Option<Refusal> {
    answer.outcome.refusal().cloned()
}

/// The host's name as far as it fits into an id.
fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let printable: String = name.chars().filter(|char| !char.is_control() && *char != '/').collect();
    cut(&printable, HOST_BYTES_MAX).to_owned()
}
