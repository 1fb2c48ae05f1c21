//! Commands of an operator: which run is meant, and writing to the journal directly if nobody supervises it.

use std::path::Path;

use tachograph_adapters::control::{ControlOutcome, ControlRequest, FirstOutcome};
use tachograph_engine::domain::{Action, Command, CommandId, Position, RunId};
use tachograph_engine::ports::JournalError;
use tachograph_engine::shell::Engine;

use crate::control_problem::ControlProblem;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::lock_wait::{LockWait, OPERATOR_WAIT};
use crate::operator;
use crate::output::Context;
use crate::patient::tell;
use crate::speaking::{self, SOCKET};
use crate::table::printable;
use crate::writer::{open_engine, open_freezer, thaw_remarks};

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

/// What became of an operator's command.
pub(crate) struct Obeyed {
    pub(crate) outcome: ControlOutcome,
    /// Whether a supervisor did it.
    pub(crate) supervised: bool,
}

/// Has a command carried out: by the supervisor that has the data directory open, else in the journal itself. While
/// somebody holds the journal and does not listen, both are tried in turn for a while: it may be another operator's command,
/// or a supervisor that begins or ends. The command's id keeps it from being carried out twice.
///
/// # Errors
///
/// [`ControlProblem::Deaf`] if the journal is still held then, or whatever else is in the way.
pub(crate) async fn obey(context: &Context, request: &ControlRequest, command: Asked) -> Result<Obeyed, Error> {
    let socket = context.data.join(SOCKET);
    let wait = LockWait::begin(OPERATOR_WAIT)?;
    loop {
        if let Some(spoken) = speaking::ask(&socket, request).await? {
            return Ok(Obeyed { outcome: spoken.outcome, supervised: true });
        }
        match open_engine(&context.data).await {
            Ok(opened) => {
                return Ok(Obeyed { outcome: submit(context, opened.engine, command).await?, supervised: false });
            }
            Err(Error::Journal(JournalError::Locked { .. })) if wait.go_on().await => {}
            Err(error) => return Err(deaf(context, error)),
        }
    }
}

/// What an operator asks for.
pub(crate) struct Asked {
    pub(crate) run: RunId,
    pub(crate) command: CommandId,
    pub(crate) action: Action,
}

/// Lets go on what a former supervisor left frozen, submits this one command and closes the journal again. What became of
/// runs that it left open is not looked for: recording their ends would change them in the supervisor's name, and the
/// operator asked about one run. Effects are not performed either: no process is this one's own.
async fn submit(context: &Context, engine: Engine, asked: Asked) -> Result<ControlOutcome, Error> {
    let thawed = open_freezer(context.data.clone()).await;
    let Asked { run, command: id, action } = asked;
    let issued_at = engine.clock().now();
    let command = Command { id, run, actor: operator::this(), issued_at, expected: None, action };
    let answer = engine.submit(command).await;
    let closed = engine.close().await;
    let (_, thawed) = thawed?;
    for remark in thaw_remarks(&thawed) {
        tell(&format!("tacho: {}\n", printable(&remark)));
    }
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
