//! `tacho kill`: a run's attempt, ended by a person.

use std::time::{Duration, Instant};

use serde::Serialize;
use tachograph_adapters::control::{ControlRequest, ControlResponse};
use tachograph_engine::domain::{Attempt, AttemptId, Entry, EntryBody, Event, Outcome, Position, RunId, RunRecord};

use crate::cli::KillArgs;
use crate::control_problem::ControlProblem;
use crate::dataset::Dataset;
use crate::direct;
use crate::duration;
use crate::error::{Error, exit};
use crate::following::{Following, LOOK_EVERY, Seen};
use crate::lock_wait::{LockWait, OPERATOR_WAIT};
use crate::machine::{Machine, WriterState};
use crate::output::Context;
use crate::processes::{ProcessTable, Sighting};
use crate::speaking::{self, SOCKET};
use crate::view::{ExitView, FailureBrief};
use crate::words;

/// How much longer the end may take to be recorded: output is drained for 5 s at most, and synced.
const RECORD_TIME: Duration = Duration::from_secs(19);

/// After so long it is looked whether nothing is to be expected, since the shim that would do it is stopped.
const STOPPED_TIME: Duration = Duration::from_secs(1);

/// What became of a kill, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KillView {
    /// Of which run.
    pub run: String,
    /// Ordinal of the attempt.
    pub attempt: u32,
    /// Id of the attempt.
    pub attempt_id: String,
    /// `ended`, or `asked` if the end was not waited for.
    pub outcome: &'static str,
    /// How it exited; null if it failed, or its end was not waited for.
    pub exit: Option<ExitView>,
    /// Why it failed; null if it did not.
    pub failure: Option<FailureBrief>,
    /// Where its end is recorded; null if that was not waited for, or is archived by then and told by no record.
    pub position: Option<u64>,
}

/// Asks the supervisor that has the data directory open to end the run's attempt, and waits until its end is recorded.
/// Signals nobody itself.
///
/// # Errors
///
/// [`Error`] if there is nothing to end, nobody who could, or no end in time.
pub async fn execute(context: &Context, args: KillArgs) -> Result<u8, Error> {
    let dataset = Dataset::open(&context.data)?;
    let run = direct::resolve_in(&dataset, &args.run).await?;
    let head = dataset.reader().head().position;
    let record = dataset.record(run, head).await?;
    let grace = args.grace.as_duration();
    let Some(attempt) = record.run.attempt.as_ref().filter(|attempt| attempt.outcome.is_none()) else {
        return Err(not_under_way(&record));
    };
    let grace_ms = args.grace.as_millis();
    let request = ControlRequest::Kill { run, attempt: attempt.id, grace_ms };
    ask(context, &dataset, &record, &request).await?;
    let mut view = KillView {
        run: run.to_string(),
        attempt: attempt.ordinal.0,
        attempt_id: attempt.id.to_string(),
        outcome: "asked",
        exit: None,
        failure: None,
        position: None,
    };
    if args.no_wait {
        let after = duration::human(grace_ms.saturating_mul(1_000));
        return print(
            context,
            &view,
            &format!("attempt {} of run {run} asked to end; killed after {after}", view.attempt),
        );
    }
    let mut waited = grace.saturating_add(STOPPED_TIME);
    let mut following = Following::of(&dataset, head);
    let mut awaited = Awaited { context, dataset: &dataset, run, attempt: attempt.id, following: &mut following };
    let mut end = awaited.end(waited).await?;
    let stopped_shim = if end.is_none() { stopped_shim(context, &record) } else { None };
    if end.is_none() && stopped_shim.is_none() {
        end = awaited.end(RECORD_TIME).await?;
        waited = waited.saturating_add(RECORD_TIME);
    }
    let Some((position, ended)) = end else {
        let waited = duration::human(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        return Err(ControlProblem::NotEnded { run, waited, stopped_shim }.into());
    };
    view.outcome = "ended";
    view.position = position.map(|position| position.0);
    view.exit = ended.as_ref().and_then(Outcome::exit_status).map(Into::into);
    view.failure = ended.as_ref().and_then(Outcome::failure).map(Into::into);
    let place = position.map_or("; where is archived".to_owned(), |position| format!(" at position {position}"));
    let text = format!("attempt {} of run {run} {}{place}", view.attempt, in_words(ended.as_ref()));
    print(context, &view, &text)
}

/// The pid of the attempt's shim, if somebody stopped that: it ends nothing then.
fn stopped_shim(context: &Context, record: &RunRecord) -> Option<u32> {
    let table = ProcessTable::scan(&Machine::this());
    let sighting = Sighting::of(&record.run, &context.data, &table);
    sighting.shim().filter(|shim| table.is_stopped(shim)).map(|shim| shim.pid)
}

/// Asks the supervisor. A writer that does not listen may be about to, or to end: it is asked again for a while.
async fn ask(context: &Context, dataset: &Dataset, record: &RunRecord, request: &ControlRequest) -> Result<(), Error> {
    let socket = context.data.join(SOCKET);
    let wait = LockWait::begin(OPERATOR_WAIT)?;
    loop {
        match speaking::respond(&socket, request).await? {
            Some(ControlResponse::Killing { under_way: true }) => return Ok(()),
            Some(ControlResponse::Killing { under_way: false }) => return Err(elsewhere(dataset, record).await),
            Some(other) => return Err(speaking::strange(&socket, &other).into()),
            None => match unsupervised(context, dataset, record).await? {
                Error::Control(ControlProblem::Deaf { .. }) if wait.go_on().await => {}
                error => return Err(error),
            },
        }
    }
}

fn in_words(ended: Option<&Outcome>) -> String {
    match ended {
        None => "was destroyed or replaced".to_owned(),
        Some(Outcome::Failed(failure)) => format!("failed: {}", words::failed(failure)),
        Some(outcome @ Outcome::Exited { .. }) => {
            format!("exited with {}", outcome.exit_status().map(words::exit_status).unwrap_or_default())
        }
    }
}

fn print(context: &Context, view: &KillView, text: &str) -> Result<u8, Error> {
    let mut output = context.stdout();
    if context.is_json() {
        output.json(view)?;
    } else {
        output.text(&format!("{}\n", crate::table::printable(text)))?;
    }
    output.flush()?;
    Ok(exit::OK)
}

/// Where an attempt's end is recorded, if that is told, and how it ended: no outcome if it was destroyed or another attempt
/// took its place.
type Ended = (Option<Position>, Option<Outcome>);

/// An attempt whose end is waited for.
struct Awaited<'a> {
    context: &'a Context,
    dataset: &'a Dataset,
    run: RunId,
    attempt: AttemptId,
    following: &'a mut Following,
}

impl Awaited<'_> {
    /// Its end; nothing if it is not recorded within this time.
    async fn end(&mut self, limit: Duration) -> Result<Option<Ended>, Error> {
        let begun = Instant::now();
        loop {
            let entries = match self.following.look().await? {
                Seen::Entries(entries) => entries,
                Seen::Archived(unread) => {
                    self.context.note(&unread);
                    match self.end_in_record().await? {
                        None => continue,
                        ended => return Ok(ended),
                    }
                }
            };
            let ended_by = |entry: &Entry| Some((Some(entry.position), ended_by(entry, self.run, self.attempt)?));
            if let Some(ended) = entries.iter().find_map(ended_by) {
                return Ok(Some(ended));
            }
            if entries.is_empty() {
                if begun.elapsed() >= limit {
                    return Ok(None);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Its end as far as how the run stands tells, where its entries are archived.
    async fn end_in_record(&self) -> Result<Option<Ended>, Error> {
        let record = self.dataset.record(self.run, self.dataset.reader().head().position).await?;
        Ok(match record.run.attempt.filter(|latest| latest.id == self.attempt) {
            None => Some((None, None)),
            Some(Attempt { outcome: Some(outcome), .. }) => {
                Some((record.ended.map(|(position, _)| position), Some(outcome)))
            }
            Some(_) => record.run.status.name().is_ended().then_some((None, None)),
        })
    }
}

fn ended_by(entry: &Entry, run: RunId, attempt: AttemptId) -> Option<Option<Outcome>> {
    let EntryBody::Committed(committed) = &entry.body else { return None };
    if entry.run() != Some(run) {
        return None;
    }
    committed.events.iter().find_map(|event| match event {
        Event::Exited { attempt: ended, exit } if *ended == attempt => {
            Some(Some(Outcome::Exited { exit: exit.clone(), amended: None }))
        }
        Event::Failed { attempt: ended, failure, .. } if *ended == attempt => {
            Some(Some(Outcome::Failed(failure.clone())))
        }
        Event::Started { attempt: started, .. } if *started != attempt => Some(None),
        Event::Destroyed { .. } => Some(None),
        _ => None,
    })
}

fn not_under_way(record: &RunRecord) -> Error {
    let outcome = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
    let what = match outcome {
        None if record.run.is_ended() => "it is destroyed".to_owned(),
        None => "it was not started yet".to_owned(),
        Some(_) => format!("it has {}", in_words(outcome)),
    };
    ControlProblem::NotUnderWay { run: record.run.id, what }.into()
}

/// The supervisor does not run the attempt: its end may just have been recorded, or another runner holds it.
async fn elsewhere(dataset: &Dataset, before: &RunRecord) -> Error {
    let run = before.run.id;
    let now = dataset.record(run, dataset.reader().head().position).await;
    let now = now.as_ref().unwrap_or(before);
    match now.run.attempt.as_ref().filter(|attempt| attempt.outcome.is_none()) {
        None => not_under_way(now),
        Some(attempt) => {
            let what = format!("the supervisor does not run it itself; runner {} holds it", attempt.runner);
            ControlProblem::NotUnderWay { run, what }.into()
        }
    }
}

/// Nobody listens: either the writer is deaf, or there is none.
async fn unsupervised(context: &Context, dataset: &Dataset, record: &RunRecord) -> Result<Error, Error> {
    let machine = Machine::this();
    if let Some(writer) = dataset.last_writer().await?
        && machine.state_of(&writer) == WriterState::Alive
    {
        let (data, socket) = (context.data.clone(), context.data.join(SOCKET));
        return Ok(ControlProblem::Deaf { data, holder: format!("pid {}", writer.session.pid), socket }.into());
    }
    let table = ProcessTable::scan(&machine);
    let what = Sighting::of(&record.run, &context.data, &table).alive(&table);
    Ok(ControlProblem::Unsupervised { run: record.run.id, what }.into())
}
