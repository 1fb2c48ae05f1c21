//! The supervisor of this example: an engine, a runner of processes, and a timekeeper.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tachograph::adapters::process::AdoptionReport;
use tachograph::prelude::*;
use tokio::task::JoinHandle;

/// How long what is under way gets when the supervisor closes.
const BUDGET: Duration = Duration::from_secs(5);

/// A supervisor of one data directory.
pub(crate) struct Fleet {
    /// Answers commands.
    pub(crate) engine: Engine,
    /// Executes command lines.
    pub(crate) runner: ProcessRunner,
    /// What became of the runs that the supervisor before left open.
    pub(crate) adopted: AdoptionReport,
    timekeeper: JoinHandle<TimekeeperReport>,
    stop: TimekeeperHandle,
}

impl Fleet {
    /// Opens a data directory, and records what became of what was left open.
    pub(crate) async fn open(data: &Path) -> Result<Self, Box<dyn Error>> {
        let clock = Arc::new(SystemClock);
        let parts = Parts {
            journal: Box::new(FileJournal::open(data, JournalOptions::default())?),
            clock: clock.clone(),
            ids: Arc::new(UlidSource::new()),
            host: Arc::new(LocalHost::new(clock)),
            checkpoints: Some(Arc::new(FileCheckpoints::open(data))),
        };
        let engine = Engine::open(parts, Options::default()).await?.0;
        // A short deadline for output, so that nobody waits long for the grandchild of the third incident.
        let options = RunnerOptions { drain_deadline_ms: 500, ..RunnerOptions::default() };
        let runner = ProcessRunner::new(engine.clone(), super::runs_in(data), options);
        let adopted = runner.recover().await?;
        let images = Arc::new(Images { directory: data.join("snapshots") });
        let options = TimekeeperOptions::default();
        let (timekeeper, stop) = Timekeeper::new(&engine, Box::new(Timers::empty()), images, options);
        Ok(Self { engine, runner, adopted, timekeeper: tokio::spawn(timekeeper.run()), stop })
    }

    /// Ends what is under way, and closes the journal.
    pub(crate) async fn close(self) -> Result<(), Box<dyn Error>> {
        self.runner.shutdown(BUDGET).await;
        self.stop.stop();
        self.timekeeper.await?;
        Ok(self.engine.close().await?)
    }

    /// What a run is that executes a shell script.
    pub(crate) fn script(name: &str, text: &str) -> RunSpec {
        let argv = ["sh", "-c", text].map(str::to_owned).to_vec();
        Self::spec(name, Workload::Command { argv, cwd: None })
    }

    /// What a run is that somebody else executes.
    pub(crate) fn image(name: &str, reference: &str) -> RunSpec {
        Self::spec(name, Workload::Image { reference: reference.to_owned(), argv: Vec::new() })
    }

    fn spec(name: &str, workload: Workload) -> RunSpec {
        let labels = [("service", name), ("env", "production")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        RunSpec { name: Some(name.to_owned()), labels, workload, ..RunSpec::default() }
    }

    /// Starts a process and waits for its end.
    pub(crate) async fn run(&self, spec: RunSpec, launch: Launch) -> Result<RunId, Box<dyn Error>> {
        let run = self.runner.create(spec).await?;
        self.runner.start(run, launch).await?.wait().await?;
        Ok(run)
    }

    /// Creates a run that a runner elsewhere holds.
    pub(crate) async fn create(&self, spec: RunSpec) -> Result<RunId, Box<dyn Error>> {
        let run = RunId::from_ulid(self.engine.mint());
        self.written(run, supervisor(), Action::Create { spec: Arc::new(spec) }).await?;
        Ok(run)
    }

    /// Opens an attempt that a runner elsewhere holds.
    pub(crate) async fn start(&self, run: RunId, runner: &str, mode: StartMode) -> Result<Claim, Box<dyn Error>> {
        let claim = Claim { run, attempt: AttemptId::from_ulid(self.engine.mint()), runner: RunnerId::from(runner) };
        let action = Action::Start { attempt: claim.attempt, runner: claim.runner.clone(), mode };
        self.written(run, supervisor(), action).await?;
        Ok(claim)
    }

    /// The holder of a claim lets its run wait.
    pub(crate) async fn wait(&self, claim: &Claim, on: &str) -> Result<(), Box<dyn Error>> {
        let action = Action::Wait { claim: claim.clone(), on: on.to_owned(), deadline: None };
        self.written(claim.run, holder(claim), action).await
    }

    /// The holder of a claim arms a snapshot that is due so many milliseconds from now.
    pub(crate) async fn arm(&self, claim: &Claim, delay_ms: i64) -> Result<SnapshotId, Box<dyn Error>> {
        let snapshot = SnapshotId::from_ulid(self.engine.mint());
        let due = self.engine.clock().now().plus_millis(delay_ms);
        let action = Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due };
        self.written(claim.run, holder(claim), action).await?;
        Ok(snapshot)
    }

    /// The holder of a claim reports an exit with a code.
    pub(crate) fn exit(claim: &Claim, code: i32) -> Action {
        let exit = Exit { status: ExitStatus::Code(code), witness: Witness::Waited, output: None };
        Action::Exit { claim: claim.clone(), exit }
    }

    /// Submits what must be accepted.
    pub(crate) async fn written(&self, run: RunId, actor: Actor, action: Action) -> Result<(), Box<dyn Error>> {
        let answer = self.engine.submit(self.engine.command(run, actor, action)).await?;
        match answer.outcome.refusal() {
            Some(refusal) => Err(refusal.to_string().into()),
            None => Ok(()),
        }
    }

    /// Submits what must be refused.
    pub(crate) async fn refused(&self, run: RunId, actor: Actor, action: Action) -> Result<(), Box<dyn Error>> {
        let answer = self.engine.submit(self.engine.command(run, actor, action)).await?;
        match answer.outcome.refusal() {
            Some(_) => Ok(()),
            None => Err("what should have been refused was written".into()),
        }
    }
}

/// The supervisor as an actor.
pub(crate) fn supervisor() -> Actor {
    Actor::new(ActorKind::Supervisor, "fleet")
}

/// The holder of a claim as an actor.
pub(crate) fn holder(claim: &Claim) -> Actor {
    Actor::new(ActorKind::Runner, claim.runner.as_str())
}

/// Stands for whatever makes images of sandboxes. An image is complete once it has its name.
struct Images {
    directory: PathBuf,
}

impl Images {
    fn path(&self, wanted: &WantedSnapshot) -> PathBuf {
        self.directory.join(wanted.run.to_string()).join(wanted.snapshot.to_string())
    }

    fn image(&self, wanted: &WantedSnapshot) -> std::io::Result<SnapshotImage> {
        let content = std::fs::read(self.path(wanted))?;
        let digest = Digest(*blake3::hash(&content).as_bytes());
        let location = format!("snapshots/{}/{}", wanted.run, wanted.snapshot);
        Ok(SnapshotImage { location, bytes: content.len() as u64, digest })
    }

    fn save(&self, wanted: &WantedSnapshot) -> std::io::Result<SnapshotImage> {
        let path = self.path(wanted);
        let draft = path.with_extension("draft");
        std::fs::create_dir_all(draft.parent().unwrap_or(&self.directory))?;
        std::fs::write(&draft, "the sandbox, as it stood")?;
        std::fs::File::open(&draft)?.sync_all()?;
        std::fs::rename(&draft, &path)?;
        self.image(wanted)
    }
}

#[async_trait]
impl Snapshotter for Images {
    async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
        self.save(wanted).map_err(|error| SnapshotError::because(error.to_string()))
    }

    async fn find(&self, wanted: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
        Ok(self.image(wanted).ok())
    }

    async fn discard(&self, wanted: &WantedSnapshot) -> Result<(), SnapshotError> {
        match std::fs::remove_file(self.path(wanted)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(SnapshotError::because(error.to_string()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
