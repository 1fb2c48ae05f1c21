//! A supervisor of sandboxes, one of whose runners loses its connection while a run waits.
//!
//! ```text
//! cargo run --example takeover
//! ```
//!
//! The runner `node-1` lets a run wait and arms a snapshot of its sandbox. Its connection is lost, which cancels the
//! snapshot in the same append. `node-2` goes on with the run as a new attempt, waits as well and arms a snapshot of its
//! own. `node-1` comes back, and cancels: refused, since what is armed is not its own. `node-2` cancels in its own right
//! and arms another one, which is taken when it is due. In the end the story is read from the journal, with what was
//! refused beside what happened.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tachograph::prelude::*;
use tachograph::projections::ItemBody;

/// How long a run waits before an image of its sandbox is worth its cost.
const DELAY_MS: i64 = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?; // or a directory that stays
    print!("{}", takeover(data.path()).await?);
    Ok(())
}

/// Acts the story out, and tells it from the journal.
async fn takeover(data: &Path) -> Result<String, Box<dyn Error>> {
    let engine = open(data).await?;
    let images = Arc::new(Images { directory: data.join("images") });
    // One timekeeper per engine; `Timers` is the timer wheel that it asks what is due.
    let (timekeeper, stop) = Timekeeper::new(&engine, Box::new(Timers::empty()), images, TimekeeperOptions::default());
    let timekeeper = tokio::spawn(timekeeper.run());

    let run = RunId::from_ulid(engine.mint());
    let supervisor = Actor::new(ActorKind::Supervisor, "fleet");
    let workload = Workload::Image { reference: "registry/agent:3".into(), argv: Vec::new() };
    let spec = Arc::new(RunSpec { name: Some("agent".into()), workload, ..RunSpec::default() });
    written(&engine, run, &supervisor, Action::Create { spec }).await?;

    // node-1 starts the run, which soon waits; a short wait would not be worth an image, so that is delayed.
    let first = start(&engine, run, "node-1", StartMode::Fresh).await?;
    wait(&engine, &first, "an approval").await?;
    arm(&engine, &first, 60_000).await?;
    // The supervisor sees node-1's connection break: the snapshot is canceled in the same append.
    written(&engine, run, &supervisor, Action::DisconnectRunner { claim: first.clone() }).await?;

    // node-2 goes on, as a new attempt: from here on nothing that node-1 says counts.
    let second = start(&engine, run, "node-2", StartMode::Resume { previous: first.attempt }).await?;
    wait(&engine, &second, "the same approval").await?;
    arm(&engine, &second, 60_000).await?;

    // node-1 is back, and cancels what it believes to be its snapshot.
    let refused = cancel(&engine, run, "node-1").await?;
    assert_eq!(refused.outcome.refusal(), Some(&Refusal::NotOwner { armed_by: RunnerId::from("node-2") }));

    // node-2 may, and arms another one that is due soon.
    assert!(cancel(&engine, run, "node-2").await?.outcome.written().is_some());
    let mut entries = engine.subscribe(engine.head().position);
    arm(&engine, &second, DELAY_MS).await?;
    while !entries.next().await?.events().iter().any(|event| matches!(event, Event::SnapshotTaken { .. })) {}

    let exit = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output: None };
    written(&engine, run, &holder(&second), Action::Exit { claim: second, exit }).await?;
    let told = story(&engine, run).await?;
    stop.stop();
    timekeeper.await?;
    engine.close().await?;
    Ok(told)
}

async fn open(data: &Path) -> Result<Engine, Box<dyn Error>> {
    let clock = Arc::new(SystemClock);
    let parts = Parts {
        journal: Box::new(FileJournal::open(data, JournalOptions::default())?),
        clock: clock.clone(),
        ids: Arc::new(UlidSource::new()),
        host: Arc::new(LocalHost::new(clock)),
        checkpoints: Some(Arc::new(FileCheckpoints::open(data))),
    };
    Ok(Engine::open(parts, Options::default()).await?.0)
}

async fn start(engine: &Engine, run: RunId, runner: &str, mode: StartMode) -> Result<Claim, Box<dyn Error>> {
    let claim = Claim { run, attempt: AttemptId::from_ulid(engine.mint()), runner: RunnerId::from(runner) };
    let action = Action::Start { attempt: claim.attempt, runner: claim.runner.clone(), mode };
    written(engine, run, &holder(&claim), action).await?;
    Ok(claim)
}

async fn wait(engine: &Engine, claim: &Claim, on: &str) -> Result<(), Box<dyn Error>> {
    let action = Action::Wait { claim: claim.clone(), on: on.to_owned(), deadline: None };
    written(engine, claim.run, &holder(claim), action).await
}

async fn arm(engine: &Engine, claim: &Claim, delay_ms: i64) -> Result<(), Box<dyn Error>> {
    let (snapshot, due) = (SnapshotId::from_ulid(engine.mint()), engine.clock().now().plus_millis(delay_ms));
    let action = Action::ScheduleSnapshot { claim: claim.clone(), snapshot, due };
    written(engine, claim.run, &holder(claim), action).await
}

/// A runner cancels in its own right: that takes effect only if it armed the snapshot.
async fn cancel(engine: &Engine, run: RunId, runner: &str) -> Result<Answer, SubmitError> {
    let action = Action::CancelSnapshot { guard: Guard::Runner(RunnerId::from(runner)) };
    engine.submit(engine.command(run, Actor::new(ActorKind::Runner, runner), action)).await
}

/// Submits what must not be refused.
async fn written(engine: &Engine, run: RunId, actor: &Actor, action: Action) -> Result<(), Box<dyn Error>> {
    match engine.submit(engine.command(run, actor.clone(), action)).await?.outcome.refusal() {
        Some(refusal) => Err(refusal.to_string().into()),
        None => Ok(()),
    }
}

fn holder(claim: &Claim) -> Actor {
    Actor::new(ActorKind::Runner, claim.runner.as_str())
}

/// One line per event and refusal, with the actor's name.
async fn story(engine: &Engine, run: RunId) -> Result<String, Box<dyn Error>> {
    let mut timeline = Timeline::of(run);
    engine.reader().history(run).await?.iter().for_each(|entry| timeline.apply(entry));
    let mut told = String::new();
    for item in timeline.items() {
        match &item.body {
            ItemBody::Event { event, cause, .. } => {
                writeln!(told, "{:>3}  {:<20} by {}", item.position.0, event.name().name(), cause.actor)?;
            }
            ItemBody::Refused { refusal, cause, .. } => {
                writeln!(
                    told,
                    "{:>3}  refused: {} to {}: {refusal}",
                    item.position.0,
                    cause.action.name(),
                    cause.actor
                )?;
            }
            ItemBody::System(_) | ItemBody::Missing { .. } => {}
        }
    }
    Ok(told)
}

/// Stands for whatever makes images of your sandboxes. An image is complete once it has its name.
struct Images {
    directory: PathBuf,
}

impl Images {
    fn path(&self, wanted: &WantedSnapshot) -> PathBuf {
        self.directory.join(wanted.snapshot.to_string())
    }

    fn image(&self, wanted: &WantedSnapshot) -> std::io::Result<SnapshotImage> {
        let content = std::fs::read(self.path(wanted))?;
        let digest = Digest(*blake3::hash(&content).as_bytes());
        Ok(SnapshotImage { location: format!("images/{}", wanted.snapshot), bytes: content.len() as u64, digest })
    }
}

#[async_trait]
impl Snapshotter for Images {
    async fn take(&self, wanted: &WantedSnapshot) -> Result<SnapshotImage, SnapshotError> {
        let draft = self.path(wanted).with_extension("draft");
        let saved = std::fs::create_dir_all(&self.directory)
            .and_then(|()| std::fs::write(&draft, format!("the sandbox of {}", wanted.run)))
            .and_then(|()| std::fs::File::open(&draft)?.sync_all())
            .and_then(|()| std::fs::rename(&draft, self.path(wanted)))
            .and_then(|()| std::fs::File::open(&self.directory)?.sync_all());
        saved.and_then(|()| self.image(wanted)).map_err(|error| SnapshotError::because(error.to_string()))
    }

    async fn find(&self, wanted: &WantedSnapshot) -> Result<Option<SnapshotImage>, SnapshotError> {
        match self.image(wanted) {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SnapshotError::because(error.to_string())),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_story_is_as_it_is_told_above() {
        let data = tempfile::tempdir().unwrap();
        let told = takeover(data.path()).await.unwrap();
        let steps: Vec<&str> = told.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        let expected = [
            "Created",
            "Started",
            "Waiting",
            "SnapshotScheduled", // node-1
            "SnapshotCanceled",
            "RunnerDisconnected",
            "Started",
            "Waiting",
            "SnapshotScheduled", // node-2
            "refused:",
            "SnapshotCanceled",
            "SnapshotScheduled",
            "SnapshotDispatched",
            "SnapshotTaken",
            "Exited",
        ];
        assert_eq!(steps, expected, "{told}");
    }
}
