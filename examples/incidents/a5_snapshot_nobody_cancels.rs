//! A5: a run waits, and a snapshot of its sandbox is armed. The run completes, or moves to another runner, and a ledger
//! would let the old timer pause the machine in the middle of its work. Here the fact that ends the wait cancels the
//! snapshot in the same append, and an old runner can neither cancel nor arm anything.

use std::error::Error;

use tachograph::prelude::*;

use super::fleet::{Fleet, holder};

pub(crate) async fn play(fleet: &Fleet) -> Result<(), Box<dyn Error>> {
    healthy(fleet).await?;
    let run = fleet.create(Fleet::image("research", "registry/agent:3")).await?;
    let first = fleet.start(run, "vm-1", StartMode::Fresh).await?;
    fleet.wait(&first, "a long poll").await?;
    fleet.arm(&first, 60_000).await?;
    // vm-1 falls silent; the run goes on elsewhere, and waits there.
    let second = fleet.start(run, "vm-2", StartMode::Resume { previous: first.attempt }).await?;
    fleet.wait(&second, "the same long poll").await?;
    fleet.arm(&second, 60_000).await?;
    // vm-1 was only slow: it cancels what it believes to be its own, and reports an exit.
    let cancel = Action::CancelSnapshot { guard: Guard::Runner(first.runner.clone()) };
    fleet.refused(run, holder(&first), cancel).await?;
    fleet.refused(run, holder(&first), Fleet::exit(&first, 1)).await?;
    // The run completes while the snapshot is armed: both facts are one append.
    fleet.written(run, holder(&second), Fleet::exit(&second, 0)).await
}

/// One that goes as it should: the snapshot is taken when it is due, and then the run goes on.
async fn healthy(fleet: &Fleet) -> Result<(), Box<dyn Error>> {
    let run = fleet.create(Fleet::image("survey", "registry/agent:3")).await?;
    let claim = fleet.start(run, "vm-1", StartMode::Fresh).await?;
    fleet.wait(&claim, "a long poll").await?;
    let mut entries = fleet.engine.subscribe(fleet.engine.head().position);
    fleet.arm(&claim, 50).await?;
    while !entries.next().await?.events().iter().any(|event| matches!(event, Event::SnapshotTaken { .. })) {}
    let mode = StartMode::Resume { previous: claim.attempt };
    let action = Action::Start { attempt: claim.attempt, runner: claim.runner.clone(), mode };
    fleet.written(run, holder(&claim), action).await?;
    fleet.written(run, holder(&claim), Fleet::exit(&claim, 0)).await
}
