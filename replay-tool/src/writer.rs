//! A data directory, opened for writing.

mod control;
mod snapshots;
mod standing;
mod timekeeping;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tachograph_adapters::checkpoint::FileCheckpoints;
use tachograph_adapters::clock::{SystemClock, UlidSource};
use tachograph_adapters::control::{ControlListener, ControlRequest, call};
use tachograph_adapters::descriptors;
use tachograph_adapters::freeze::{Freezer, FreezerOptions, ProcessFreezer, ThawReport};
use tachograph_adapters::host::LocalHost;
use tachograph_adapters::journal::{FileJournal, JournalOptions};
use tachograph_adapters::process::{AdoptionReport, ProcessRunner, REPORT_SOCKET, RunnerError, RunnerOptions, Shim};
use tachograph_adapters::shim::{self, Beside};
use tachograph_adapters::snapshot::{ArchiveOptions, ArchiveSnapshotter, CommandSnapshotter, ProgramImages};
use tachograph_adapters::threads::{keep_blocking, room_for};
use tachograph_engine::domain::{Position, RunId};
use tachograph_engine::ports::{CheckpointStore, JournalError, SnapshotError, Snapshotter};
use tachograph_engine::shell::{Engine, OpenReport, Options, Parts, SubmitError};
use tachograph_projections::{CurrentState, Projection, Until};

use self::control::OperatorControl;
use self::snapshots::{JobSnapshotter, Surrender};
use self::standing::{Standing, WatchedFreezer};
use self::timekeeping::Timekeeping;
use crate::app::IDLE_MAX;
use crate::dataset::RUNS_DIR;
use crate::error::Error;
use crate::lock_wait::{LockWait, SUPERVISOR_WAIT};
use crate::replay;
use crate::speaking::SOCKET;

/// Entries between two checkpoints of all runs: reading so many takes a fraction of a second.
const CHECKPOINT_EVERY: u64 = 100_000;
/// What is left of attempts gets this long to end, and snapshots to be finished before.
const CLOSE_BUDGET: Duration = Duration::from_secs(5);
/// What an open journal takes: who opens it and goes on to prepare runs, the anchor's and the committer's thread, and
/// those of the index.
const OPENING_THREADS: usize = 7;
/// How long whoever has the journal may take to show that it listens.
const PING_TIME: Duration = Duration::from_secs(1);

/// The one writer of a data directory, with a runner for commands and a timekeeper for their snapshots.
#[derive(Debug)]
pub struct Writer {
    /// Answers commands.
    pub engine: Engine,
    /// Executes command lines.
    pub runner: ProcessRunner,
    /// What opening found.
    pub opened: OpenReport,
    /// What became of the runs that the writer before left open.
    pub recovered: AdoptionReport,
    /// What those of them are called that have a name.
    names: BTreeMap<RunId, String>,
    /// What the writer before had frozen.
    pub thawed: ThawReport,
    timekeeping: Timekeeping,
    /// Where operators ask, or why they cannot.
    control: io::Result<ControlListener>,
    /// Why runs have no report socket, if they have none.
    reporting: Result<(), Arc<io::Error>>,
    /// Where folds are saved.
    checkpoints: Arc<FileCheckpoints>,
    pub(crate) checkpoint_every: u64,
}

/// Programs that take the snapshots of runs, by the name of the run.
pub type SnapshotCommands = BTreeMap<String, Vec<String>>;

/// Who is the parent of the commands: shims, or this process itself. Shims are started out of the program `tacho-shim`
/// beside this one if that is of the same build, which is faster, and out of this very program otherwise. Both stay what
/// they are when their files are replaced.
pub(crate) fn parent(no_shim: bool) -> Shim {
    static BESIDE: OnceLock<Option<Beside>> = OnceLock::new();
    if no_shim {
        return Shim::Off;
    }
    let find = || {
        shim::beside().unwrap_or_else(|why| {
            tracing::warn!("{why}; shims are started out of this program itself, which takes longer");
            None
        })
    };
    Shim::Program(BESIDE.get_or_init(find).as_ref().map_or_else(|| PathBuf::from("/proc/self/exe"), Beside::program))
}

impl Writer {
    /// Opens a data directory, which is made if it does not exist: lets go on what a former writer had frozen, records what
    /// became of runs that were left open, and then lets snapshots and deadlines happen when they are due. Operators are
    /// answered at `control.sock` in it from the first on, with `starting` until that is done, and until it is closed. A
    /// journal that an operator's command has open is waited for. Runs that are not named in `commands` are archived.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`]: it is locked by another writer that listens or does not end soon, read-only, no directory,
    /// damaged, or of a newer format.
    pub async fn open_with(data: &Path, commands: SnapshotCommands, shim: Shim) -> Result<Self, Error> {
        let OpenEngine { engine, opened, checkpoints } = open_engine_once_free(data).await?;
        match Self::with_engine(data, commands, shim, engine.clone(), opened, checkpoints).await {
            Ok(writer) => Ok(writer),
            Err(error) => {
                // The first error is the one to tell; the lock must be given back either way.
                let _ = engine.close().await;
                Err(error)
            }
        }
    }

    /// As [`open_with`](Self::open_with) does; all runs are archived, and are this process's own children.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn open(data: &Path) -> Result<Self, Error> {
        Self::open_with(data, SnapshotCommands::new(), Shim::Off).await
    }

    async fn with_engine(
        data: &Path,
        commands: SnapshotCommands,
        shim: Shim,
        engine: Engine,
        opened: OpenReport,
        checkpoints: Arc<FileCheckpoints>,
    ) -> Result<Self, Error> {
        let handler = Arc::new(OperatorControl::default());
        // Before all that may take a while: an operator who finds the journal in use finds somebody to speak with.
        let control = ControlListener::bind(data.join(SOCKET), handler.clone());
        let (freezer, thawed) = open_freezer(data.to_owned()).await?;
        let runner = ProcessRunner::with_shim(engine.clone(), data.join(RUNS_DIR), RunnerOptions::default(), shim);
        let recovered = runner.recover().await?;
        let names = names_of(&engine, &recovered).await?;
        remove_sockets_of_ended(data, &recovered);
        // Only now: what is due of a run that is no more must not be taken of it.
        let timekeeping = Timekeeping::start(&engine, &runner, snapshotter(data, commands, freezer, &runner)?);
        handler.begin(runner.clone());
        // With the first attempt it would be too late to say that there is none.
        let reporting = runner.listen_for_reports().await;
        let checkpoint_every = CHECKPOINT_EVERY;
        Ok(Self {
            engine,
            runner,
            opened,
            recovered,
            names,
            thawed,
            timekeeping,
            control,
            reporting,
            checkpoints,
            checkpoint_every,
        })
    }

    /// What nobody should overlook about how the directory was found.
    pub fn alarm(&self) -> Option<String> {
        let (position, _) = self.opened.opening.missing_up_to?;
        Some(format!("warning: acknowledged entries up to position {position} are missing: the journal was cut"))
    }

    /// What else a person may want to know about how the directory was found, one sentence each.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(torn) = &self.opened.opening.torn {
            remarks.push(format!("cut an incomplete write of {} bytes off {}", torn.bytes, torn.file));
        }
        remarks.extend(found(&self.recovered, &self.names));
        remarks.extend(thaw_remarks(&self.thawed));
        if let Err(error) = &self.control {
            let error = descriptors::told(error);
            remarks.push(format!("operators cannot reach this supervisor: {SOCKET} cannot be made: {error}"));
        }
        if let Err(error) = &self.reporting {
            let error = descriptors::told(&**error);
            remarks.push(format!("runs cannot report that they wait: {REPORT_SOCKET} cannot be made: {error}"));
        }
        remarks
    }

    /// Gives up the snapshots that are being taken, so that what they froze goes on. Each is recorded as failed.
    pub fn give_up_snapshots(&self) {
        self.timekeeping.give_up();
    }

    /// Lets no more snapshot and deadline happen, and waits for those under way. What takes longer than the budget is given
    /// up and recorded as failed; what did not fire stays armed.
    pub async fn stop_timers(&self, budget: Duration) {
        self.timekeeping.stop(budget).await;
    }

    /// Lets go of runs that a former supervisor started and that go on: the next one finds them. Ends what is left of
    /// attempts that were asked to end, records that the journal was closed, and gives the directory
    /// back.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`]; what was acknowledged is safe nevertheless.
    pub async fn close(self) -> Result<(), Error> {
        self.close_within(CLOSE_BUDGET).await
    }

    /// The same, and all that is waited for shares one budget. What has not ended by then is left to be found by the next
    /// writer.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_within(self, budget: Duration) -> Result<(), Error> {
        let clock = self.engine.clock().clone();
        let deadline = clock.monotonic().saturating_add(budget);
        self.stop_timers(budget).await;
        self.runner.let_go().await;
        self.runner.shutdown(deadline.saturating_sub(clock.monotonic())).await;
        self.give_back().await
    }

    /// Leaves all runs that are under way to their shims, records that the journal was closed, and gives the directory back.
    /// The next writer finds them.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn detach(self) -> Result<(), Error> {
        self.detach_within(CLOSE_BUDGET).await
    }

    /// The same, and all that is waited for shares one budget.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn detach_within(self, budget: Duration) -> Result<(), Error> {
        let clock = self.engine.clock().clone();
        let deadline = clock.monotonic().saturating_add(budget);
        self.stop_timers(budget).await;
        self.runner.leave(deadline.saturating_sub(clock.monotonic())).await;
        self.give_back().await
    }

    async fn give_back(self) -> Result<(), Error> {
        // Whoever asks from now on finds nobody, waits for the lock to be free, and asks the journal.
        drop(self.control);
        if let Err(error) = save_current_state(&self.engine, &self.checkpoints, self.checkpoint_every).await {
            tracing::warn!(%error, "no checkpoint of all runs is saved; reading them takes longer");
        }
        Ok(self.engine.close().await?)
    }
}

async fn names_of(engine: &Engine, report: &AdoptionReport) -> Result<BTreeMap<RunId, String>, Error> {
    let mut names = BTreeMap::new();
    for run in report.runs() {
        if let Some(name) = engine.run(run).await?.and_then(|record| record.run.spec.name.clone()) {
            names.insert(run, name);
        }
    }
    Ok(names)
}

/// What opening found about runs, one sentence each.
fn found(report: &AdoptionReport, names: &BTreeMap<RunId, String>) -> Vec<String> {
    let named = |run: &RunId| match names.get(run) {
        Some(name) => format!("run {name} ({run})"),
        None => format!("run {run}"),
    };
    let mut told = Vec::new();
    let mut tell = |run: &RunId, what: String| told.push(format!("{} {what}", named(run)));
    for run in &report.promoted {
        tell(run, "had been started, which the journal did not know".to_owned());
    }
    for (run, _) in &report.adopted {
        tell(run, "goes on from the last supervisor, and is followed".to_owned());
    }
    for (run, status) in &report.exited {
        tell(run, format!("was left open: {status}"));
    }
    for (run, cause) in &report.unknown {
        tell(run, format!("was left open: unknown: {cause}"));
    }
    for (run, kind) in &report.failed {
        tell(run, format!("was left open: {}", kind.name()));
    }
    for (run, detail) in &report.orphans {
        tell(run, format!("has left something alive: {detail}"));
    }
    for (run, what) in &report.ended {
        tell(run, format!("had left something behind, which is no more: {what}"));
    }
    for (run, status) in &report.amended {
        tell(run, format!("had an unknown end, which was {status}"));
    }
    for (run, why) in &report.left_alone {
        tell(run, format!("is still open: {why}"));
    }
    told
}

/// Saves the fold of all runs, if enough entries came since the last one: what `tacho runs` begins at.
async fn save_current_state(engine: &Engine, checkpoints: &FileCheckpoints, every: u64) -> Result<(), JournalError> {
    let reader = &**engine.reader();
    let saved = checkpoints.latest(CurrentState::NAME, CurrentState::VERSION, None).await?;
    let since = saved.map_or(Position::ZERO, |checkpoint| checkpoint.position);
    if reader.head().position.0.saturating_sub(since.0) < every {
        return Ok(());
    }
    let replayed = replay::current_state(reader, Some(checkpoints), Until::End).await?;
    replay::save(&replayed.state, reader, checkpoints).await?;
    Ok(())
}

/// Removes the sockets at which a killed supervisor of a former version listened to runs that have ended, in the directory of
/// each: nobody else would.
fn remove_sockets_of_ended(data: &Path, recovered: &AdoptionReport) {
    let exited = recovered.exited.iter().map(|(run, _)| run);
    let ended = exited.chain(recovered.unknown.iter().map(|(run, _)| run));
    for run in ended.chain(recovered.failed.iter().map(|(run, _)| run)) {
        let socket = data.join(RUNS_DIR).join(run.to_string()).join(SOCKET);
        let is_socket = socket.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
        if is_socket && let Err(error) = std::fs::remove_file(&socket) {
            tracing::warn!(%error, socket = %socket.display(), "a socket that nobody listens at is still there");
        }
    }
}

/// Who takes snapshots in a data directory.
fn snapshotter(
    data: &Path,
    commands: SnapshotCommands,
    freezer: ProcessFreezer,
    runner: &ProcessRunner,
) -> Result<JobSnapshotter, Error> {
    let standing = Standing::default();
    let freezer: Arc<dyn Freezer> = Arc::new(WatchedFreezer { freezer, standing: standing.clone() });
    let cannot = |error: SnapshotError| Error::internal(format!("no snapshots can be taken: {error}"));
    let archive = ArchiveSnapshotter::open(data, None, freezer, ArchiveOptions::default()).map_err(cannot)?;
    let mut by_name: BTreeMap<String, Arc<dyn Snapshotter>> = BTreeMap::new();
    for (name, argv) in commands {
        let argv = argv.into_iter().map(OsString::from).collect();
        by_name.insert(name, Arc::new(CommandSnapshotter::open(data, None, argv).map_err(cannot)?));
    }
    let others: [Arc<dyn Snapshotter>; 2] =
        [Arc::new(archive.clone()), Arc::new(ProgramImages::open(data).map_err(cannot)?)];
    let (archive, runner) = (Arc::new(archive), Some(runner.clone()));
    Ok(JobSnapshotter { archive, by_name, kinds: others.into(), surrender: Surrender::default(), standing, runner })
}

/// Thawing what was left frozen looks at processes, and may wait for the disk.
pub(crate) async fn open_freezer(data: PathBuf) -> Result<(ProcessFreezer, ThawReport), Error> {
    let open = tokio::task::spawn_blocking(move || ProcessFreezer::open(&data, FreezerOptions::default()));
    open.await.map_err(|error| Error::internal(format!("thawing what was frozen was interrupted: {error}")))
}

/// What a person may want to know about what was thawed.
pub(crate) fn thaw_remarks(report: &ThawReport) -> Vec<String> {
    let thawed = report.thawed.iter().filter(|(_, processes)| *processes > 0);
    let thawed = thawed.map(|(attempt, _)| format!("attempt {attempt} was left frozen and goes on again"));
    let failed = report.failed.iter();
    thawed
        .chain(failed.map(|(path, why)| format!("what was frozen by {} may still be: {why}", path.display())))
        .collect()
}

/// An engine over the journal of a data directory, which it alone writes.
pub(crate) struct OpenEngine {
    pub(crate) engine: Engine,
    pub(crate) opened: OpenReport,
    pub(crate) checkpoints: Arc<FileCheckpoints>,
}

/// The same once nobody else has the journal open. Whoever listens is a supervisor, which is not waited for.
async fn open_engine_once_free(data: &Path) -> Result<OpenEngine, Error> {
    let wait = LockWait::begin(SUPERVISOR_WAIT)?;
    let socket = data.join(SOCKET);
    loop {
        match open_engine(data).await {
            Err(Error::Journal(JournalError::Locked { .. }))
                if call(&socket, &ControlRequest::Ping, PING_TIME).await.is_err() && wait.go_on().await => {}
            opened => return opened,
        }
    }
}

/// Opens the journal of a data directory for writing, and nothing else: runs that were left open stay as they are.
pub(crate) async fn open_engine(data: &Path) -> Result<OpenEngine, Error> {
    room_for(OPENING_THREADS).map_err(Error::short_of_threads("opening the journal"))?;
    keep_blocking(IDLE_MAX / 4).map_err(Error::short_of_threads("opening the journal"))?;
    let journal = open_journal(data.to_owned()).await?;
    let clock = Arc::new(SystemClock);
    let checkpoints = Arc::new(FileCheckpoints::open(data));
    let parts = Parts {
        journal: Box::new(journal),
        clock: clock.clone(),
        ids: Arc::new(UlidSource::default()),
        host: Arc::new(LocalHost::new(clock)),
        checkpoints: Some(checkpoints.clone() as Arc<dyn CheckpointStore>),
    };
    let (engine, opened) = Engine::open(parts, Options::default()).await?;
    Ok(OpenEngine { engine, opened, checkpoints })
}

/// Reading and checking a long journal may take a while and blocks.
async fn open_journal(data: PathBuf) -> Result<FileJournal, Error> {
    let open = tokio::task::spawn_blocking(move || FileJournal::open(&data, JournalOptions::default()));
    match open.await {
        Ok(journal) => Ok(journal?),
        Err(error) => Err(Error::internal(format!("opening the journal was interrupted: {error}"))),
    }
}

impl From<RunnerError> for Error {
    fn from(error: RunnerError) -> Self {
        match error {
            RunnerError::Refused { refusal } => Self::Refused(refusal),
            RunnerError::NotSubmitted(error) => error.into(),
            RunnerError::Journal(error) => Self::Journal(error),
            RunnerError::ReadyCheck(error) => Self::Input {
                code: "usage",
                message: format!("the ready check cannot be used: {error}"),
                remedy: "correct it; nothing was started".to_owned(),
            },
            RunnerError::NoCommand { .. }
            | RunnerError::NoShim { .. }
            | RunnerError::ExitsIgnored { .. }
            | RunnerError::UnderWay { .. }
            | RunnerError::ShuttingDown
            | RunnerError::Abandoned { .. } => Self::internal(error.to_string()),
        }
    }
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Journal(error) => Self::Journal(error),
            SubmitError::Closed => Self::Journal(JournalError::Closed),
            SubmitError::QueueFull | SubmitError::Contended => Self::internal(error.to_string()),
        }
    }
}
