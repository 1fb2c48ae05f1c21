//! Showing output to somebody while a shim captures it.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tachograph_engine::domain::Stream;
use tokio::sync::watch;

use super::attempt::HeldAttempt;
use super::directory::{AttemptDirectory, open_foreign};
use super::handle::{Live, Phase};
use super::passthrough::{Passthrough, pass_end, pass_through};
use super::pump::Kept;

/// How soon more is looked for in a file that has just grown, and how seldom in one that has not for a while.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(40);

/// Passes the attempt's output through while its files grow, until its end is recorded.
pub(super) fn pass_growing(held: &HeldAttempt, stdout: Option<Passthrough>, stderr: Option<Passthrough>) {
    for (stream, to) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
        let Some(to) = to else { continue };
        let (live, directory) = (held.live().clone(), held.directory.clone());
        live.passing.send_modify(|passing| *passing += 1);
        tokio::spawn(async move {
            pass(&live, &directory, stream, to).await;
            live.passing.send_modify(|passing| *passing = passing.saturating_sub(1));
        });
    }
}

async fn pass(live: &Live, directory: &AttemptDirectory, stream: Stream, mut to: Passthrough) {
    let mut phase = live.phase.subscribe();
    // The shim makes the files before anything is executed.
    let _ = phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await;
    let file = match open_foreign(&directory.output(stream)) {
        Ok(file) => Arc::new(file),
        Err(error) => return tracing::debug!(%error, stream = stream.name(), "there is no output to pass through"),
    };
    let (progress, kept) = watch::channel(Kept::default());
    let result = tokio::select! {
        result = pass_through(file.clone(), kept, &mut to) => result,
        () = observe(&file, &mut phase, progress) => return,
    };
    let passed = match result {
        Ok(passed) => pass_end(directory, stream, passed, &mut to).await,
        Err(error) => Err(error),
    };
    if let Err(error) = passed {
        tracing::debug!(%error, stream = stream.name(), "output is no longer passed through");
    }
}

/// Tells how much is in the file, as long as somebody wants to know.
async fn observe(file: &File, phase: &mut watch::Receiver<Phase>, progress: watch::Sender<Kept>) {
    let mut pause = LOOK_FIRST;
    loop {
        let finished = matches!(*phase.borrow_and_update(), Phase::Ended(_) | Phase::Abandoned);
        // It was at its full length before the end was recorded.
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let grown = progress.send_if_modified(|kept| {
            let grown = bytes > kept.bytes;
            *kept = Kept { bytes: bytes.max(kept.bytes), finished };
            grown || finished
        });
        if finished {
            return progress.closed().await;
        }
        pause = if grown { LOOK_FIRST } else { pause.saturating_mul(2).min(LOOK_LAST) };
        tokio::select! {
            _ = phase.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
