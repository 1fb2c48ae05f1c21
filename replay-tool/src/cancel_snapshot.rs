//! `tacho cancel-snapshot`: an armed snapshot, canceled by a person.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tachograph_adapters::clock::UlidSource;
use tachograph_adapters::control::{ControlGuard, ControlOutcome, ControlRequest};
use tachograph_engine::domain::{Action, CommandId, EntryBody, Event, Guard, Position, RunId};
use tachograph_engine::ports::IdSource;

use crate::cli::CancelSnapshotArgs;
use crate::control_problem::ControlProblem;
use crate::dataset::Dataset;
use crate::direct::{self, Asked, Obeyed};
use crate::error::{Error, exit};
use crate::output::Context;

/// What became of a cancel, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CancelView {
    /// Of which run.
    pub run: String,
    /// `canceled`, or the code of the refusal: `already_dispatched`, `not_owner`, `nothing_pending`, …
    pub outcome: String,
    /// The snapshot that is canceled; null if it is refused.
    pub snapshot: Option<String>,
    /// Where the cancel or its refusal is recorded; null if the like of it was refused so often that it is only counted.
    pub position: Option<u64>,
    /// Whether a supervisor did it; false if it was written to the journal directly because nobody supervises it.
    pub supervised: bool,
}

/// Cancels the snapshot, by way of the supervisor that has the data directory open, else in the journal itself.
///
/// # Errors
///
/// [`Error`] if it is refused or cannot be asked for.
pub async fn execute(context: &Context, args: CancelSnapshotArgs) -> Result<u8, Error> {
    let Some(guard) = args.guard.guard() else {
        let (message, remedy) =
            ("in whose right is not given", "give exactly one of --runner RUNNER and --unconditional");
        return Err(Error::Input { code: "usage", message: message.to_owned(), remedy: remedy.to_owned() });
    };
    let run = direct::resolve(&context.data, &args.run).await?;
    let command = CommandId::from_ulid(UlidSource::default().next());
    let request = ControlRequest::CancelSnapshot { command, run, guard: told(&guard) };
    let asked = Asked { run, command, action: Action::CancelSnapshot { guard } };
    let Obeyed { outcome, supervised } = direct::obey(context, &request, asked).await?;
    print(context, run, &outcome, supervised).await
}

fn told(guard: &Guard) -> ControlGuard {
    match guard {
        Guard::Runner(runner) => ControlGuard::Runner { runner: runner.as_str().to_owned() },
        Guard::Unconditional => ControlGuard::Unconditional,
    }
}

async fn print(context: &Context, run: RunId, outcome: &ControlOutcome, supervised: bool) -> Result<u8, Error> {
    let mut view =
        CancelView { run: run.to_string(), outcome: "canceled".to_owned(), snapshot: None, position: None, supervised };
    let mut output = context.stdout();
    if let Some(refused) = outcome.refusal() {
        view.outcome.clone_from(&refused.code);
        view.position = refused.recorded;
        if context.is_json() {
            output.json(&view)?;
            output.flush()?;
        }
        return Err(ControlProblem::Refused(refused.clone()).into());
    }
    let position = direct::written(outcome);
    view.position = position.map(|position| position.0);
    view.snapshot = snapshot_at(&context.data, position).await;
    if context.is_json() {
        output.json(&view)?;
    } else {
        let snapshot = view.snapshot.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
        let at = position.map(|position| format!(" at position {position}")).unwrap_or_default();
        output.text(&format!("snapshot{snapshot} of run {run} canceled{at}\n"))?;
        if !supervised {
            output
                .text("nobody supervises this data directory: the next supervisor records what became of the run\n")?;
        }
    }
    output.flush()?;
    Ok(exit::OK)
}

/// The snapshot that the entry at a position canceled.
async fn snapshot_at(data: &Path, position: Option<Position>) -> Option<String> {
    let entry = Arc::clone(Dataset::open(data).ok()?.reader()).entry(position?).await.ok()??;
    let EntryBody::Committed(committed) = &entry.body else { return None };
    committed.events.iter().find_map(|event| match event {
        Event::SnapshotCanceled { snapshot, .. } => Some(snapshot.to_string()),
        _ => None,
    })
}
