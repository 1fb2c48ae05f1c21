//! `tacho destroy`: a run, given up for good by a person.

use serde::Serialize;
use tachograph_adapters::clock::UlidSource;
use tachograph_adapters::control::{ControlOutcome, ControlRequest, RefusedOutcome};
use tachograph_engine::domain::{Action, CommandId, Run, RunId};
use tachograph_engine::ports::IdSource;

use crate::cli::DestroyArgs;
use crate::control_problem::ControlProblem;
use crate::dataset::Dataset;
use crate::direct::{self, Asked, Obeyed};
use crate::error::{Error, exit};
use crate::machine::Machine;
use crate::output::{Context, Output};
use crate::processes::{ProcessTable, Sighting};
use crate::table::printable;

/// What became of a destruction, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DestroyView {
    /// Of which run.
    pub run: String,
    /// `destroyed`, or the code of the refusal: `force_required`, `run_destroyed`, …
    pub outcome: String,
    /// Where that is recorded; null if the like of it was refused so often that it is only counted.
    pub position: Option<u64>,
    /// Whether a supervisor did it, which then ends the attempt; false if it was written to the journal directly.
    pub supervised: bool,
    /// The directory with the run's files, which stays; null if it has none.
    pub files: Option<String>,
    /// Processes of it that are alive and that nobody ends; empty if a supervisor did it.
    pub left_alive: Vec<u32>,
}

/// Destroys a run, by way of the supervisor that has the data directory open, else in the journal itself.
///
/// # Errors
///
/// [`Error`] if it is refused or cannot be asked for.
pub async fn execute(context: &Context, args: DestroyArgs) -> Result<u8, Error> {
    let dataset = Dataset::open(&context.data)?;
    let run = direct::resolve_in(&dataset, &args.run).await?;
    let before = dataset.record(run, dataset.reader().head().position).await?.run;
    let command = CommandId::from_ulid(UlidSource::default().next());
    let (force, why) = (args.force, args.why);
    let request = ControlRequest::Destroy { command, run, force, why: why.clone() };
    let asked = Asked { run, command, action: Action::Destroy { force, why } };
    let Obeyed { outcome, supervised } = direct::obey(context, &request, asked).await?;
    let files = dataset.files_of(run).map(|path| path.display().to_string());
    let mut view = DestroyView {
        run: run.to_string(),
        outcome: "destroyed".to_owned(),
        position: None,
        supervised,
        files,
        left_alive: Vec::new(),
    };
    let mut output = context.stdout();
    if let Some(refused) = outcome.refusal() {
        return Err(refuse(context, &mut output, view, refused)?);
    }
    view.position = direct::written(&outcome).map(|position| position.0);
    let left = if supervised { None } else { left_alive(context, &before) };
    view.left_alive = left.as_ref().map(|(pids, _)| pids.clone()).unwrap_or_default();
    if context.is_json() {
        output.json(&view)?;
    } else {
        output.text(&text(run, &view, left.map(|(_, words)| words), is_ending(&before, &outcome)))?;
    }
    output.flush()?;
    Ok(exit::OK)
}

/// Prints the refusal in JSON, and makes the error of it.
fn refuse(context: &Context, output: &mut Output, view: DestroyView, refused: &RefusedOutcome) -> Result<Error, Error> {
    let view = DestroyView { outcome: refused.code.clone(), position: refused.recorded, ..view };
    if context.is_json() {
        output.json(&view)?;
        output.flush()?;
    }
    let remedy = match refused.code.as_str() {
        "force_required" => "give --force to end and destroy it at once, or end it with `tacho kill` first".to_owned(),
        _ => refused.remedy.clone(),
    };
    Ok(ControlProblem::Refused(RefusedOutcome { remedy, ..refused.clone() }).into())
}

/// Whether an attempt was open, so that its supervisor ends it now.
fn is_ending(before: &Run, outcome: &ControlOutcome) -> bool {
    let is_open = before.attempt.as_ref().is_some_and(|attempt| attempt.outcome.is_none());
    is_open && outcome.refusal().is_none()
}

/// What is alive of a run that nobody supervises, as pids and in words.
fn left_alive(context: &Context, before: &Run) -> Option<(Vec<u32>, String)> {
    let table = ProcessTable::scan(&Machine::this());
    let sighting = Sighting::of(before, &context.data, &table);
    (!sighting.usage.pids.is_empty()).then(|| (sighting.usage.pids.clone(), sighting.alive(&table)))
}

fn text(run: RunId, view: &DestroyView, left: Option<String>, is_ending: bool) -> String {
    let at = view.position.map(|position| format!(" at position {position}")).unwrap_or_default();
    let mut text = format!("run {run} destroyed{at}; its history stays\n");
    if let Some(files) = &view.files {
        text.push_str(&format!("its files stay in {}\n", printable(files)));
    }
    match left {
        Some(words) => text.push_str(&format!("nobody supervises it and nothing was signalled: {words}\n")),
        None if view.supervised && is_ending => text.push_str("its supervisor ends what it still has running\n"),
        None => {}
    }
    text
}
