//! Commands of an operator: which run is meant, and writing to the journal directly if nobody supervises it.

use std::path::Path;

use tachograph_adapters::control::{ControlOutcome, FirstOutcome};
use tachograph_engine::domain::{Action, Command, CommandId, Position, RunId};
use tachograph_engine::ports::JournalError;

use crate::control_problem::ControlProblem;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::operator;
use crate::output::Context;
use crate::speaking::SOCKET;
use crate::writer::open_engine;

/// The run that is meant, read from the files. A run that may be among what is damaged is no wrong name.
pub(crate) async fn resolve(data: &Path, text: &str) -> Result<RunId, Error> {
    resolve_in(&Dataset::open(data)?, text).await
}

/// The same in a journal that is open for reading.
pub(crate) async fn resolve_in(dataset: &Dataset, text: &str) -> Result<RunId, Error> {
    match (dataset.resolve(text, None).await, dataset.damage()) {
        (Err(Error::UnknownRun { .. }), Some(damage)) => Err(damage.into()),
        (resolved, _) => resolved,
    }
}

/// Opens the journal, submits this one command and closes it again. What became of runs that a former supervisor left
/// open is not looked for: recording their ends would change them in the supervisor's name, and the operator asked about
/// one run. Effects are not performed either: no process is this one's own.
pub(crate) async fn submit(
    context: &Context,
    run: RunId,
    command: CommandId,
    action: Action,
) -> Result<ControlOutcome, Error> {
    let opened = open_engine(&context.data).await.map_err(|error| deaf(context, error))?;
    let issued_at = opened.engine.clock().now();
    let command = Command { id: command, run, actor: operator::this(), issued_at, expected: None, action };
    let answer = opened.engine.submit(command).await;
    let closed = opened.engine.close().await;
    let outcome = ControlOutcome::from(&answer?.outcome);
    closed?;
    Ok(outcome)
}

/// Where an outcome was written, now or before; nothing if it was refused.
pub(crate) fn written(outcome: &ControlOutcome) -> Option<Position> {
    match outcome {
        ControlOutcome::Written { position, .. }
        | ControlOutcome::Duplicate { of: FirstOutcome::Written { position, .. } } => Some(Position(*position)),
        ControlOutcome::Duplicate { of: FirstOutcome::Refused(_) } | ControlOutcome::Refused(_) => None,
    }
}

/// Who holds the journal and was not heard before.
fn deaf(context: &Context, error: Error) -> Error {
    match error {
        Error::Journal(JournalError::Locked { path: data, holder }) => {
            ControlProblem::Deaf { data, holder, socket: context.data.join(SOCKET) }.into()
        }
        other => other,
    }
}
