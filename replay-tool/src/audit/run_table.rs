//! `runs` and `labels`: one row per run as it is at a position, and per label that a run was created with.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use tachograph_engine::domain::{
    Entry, Event, Exit, ExitStatus, Outcome, RunId, RunRecord, RunSpec, Status, Timestamp, Workload,
};

use super::column::{Table, integer, json};
use super::ending;
use crate::view::RunView;

/// Columns that a checkpoint of all runs does not know.
pub(super) const NOT_SAVED: [&str; 2] = ["status_since", "status_since_us"];
/// Columns that are made of more of a run's spec than its name.
const OF_SPEC: [&str; 6] = ["command", "cwd", "image", "left_out_bytes_min", "parent", "payload"];
/// What is kept of a spec of which nothing is read, not even a name: one for all runs.
static NOTHING: LazyLock<Arc<RunSpec>> = LazyLock::new(Arc::default);

/// One run.
pub(super) struct RunRow {
    record: RunRecord,
    /// When its last transition was recorded; absent if that is behind a checkpoint.
    status_since: Option<Timestamp>,
}

impl std::ops::Deref for RunRow {
    type Target = RunRecord;

    fn deref(&self) -> &RunRecord {
        &self.record
    }
}

/// The fold of all runs.
pub(super) struct Runs {
    rows: Vec<RunRow>,
    /// Where in `rows` each is. Ids come from whoever creates runs, hence the map's own hasher, which no choice of them slows down.
    by_id: HashMap<RunId, usize>,
    /// Whether a column is read that needs it. Specs are most of the memory that runs take.
    keeps_specs: bool,
}

impl Runs {
    /// None yet, for rows with these columns.
    pub(super) fn none(read: Option<&BTreeSet<String>>) -> Self {
        let keeps_specs = read.is_some_and(|read| OF_SPEC.iter().any(|column| read.contains(*column)));
        Self { rows: Vec::new(), by_id: HashMap::new(), keeps_specs }
    }

    /// The same, beginning with records, as out of a checkpoint: one per run.
    pub(super) fn beginning_with(mut self, records: impl Iterator<Item = RunRecord>) -> Self {
        for record in records {
            self.by_id.insert(record.run.id, self.rows.len());
            self.put(record, None);
        }
        self
    }

    fn put(&mut self, mut record: RunRecord, status_since: Option<Timestamp>) {
        if !self.keeps_specs {
            record.run.spec = name_alone(&record.run.spec);
        }
        self.rows.push(RunRow { record, status_since });
    }

    /// Folds one more entry in.
    pub(super) fn apply(&mut self, entry: &Entry) {
        let Some(run) = entry.run() else { return };
        let moved = entry.events().iter().any(|event: &Event| event.leads_to().is_some());
        let moved_at = moved.then_some(entry.recorded_at);
        match self.by_id.entry(run) {
            Place::Occupied(place) => {
                if let Some(row) = self.rows.get_mut(*place.get()) {
                    row.record.advance(entry);
                    row.status_since = moved_at.or(row.status_since);
                }
            }
            Place::Vacant(place) => {
                if let Some(record) = RunRecord::begun_by(entry) {
                    place.insert(self.rows.len());
                    self.put(record, moved_at);
                }
            }
        }
    }

    /// The runs in the order in which they were created.
    pub(super) fn rows(&self) -> Vec<&RunRow> {
        let mut rows: Vec<&RunRow> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|row| row.created);
        rows
    }
}

/// A spec with the same name, and nothing else.
fn name_alone(spec: &RunSpec) -> Arc<RunSpec> {
    match &spec.name {
        Some(name) => Arc::new(RunSpec { name: Some(name.clone()), ..RunSpec::default() }),
        None => NOTHING.clone(),
    }
}

fn outcome(record: &RunRecord) -> Option<&Outcome> {
    record.run.attempt.as_ref()?.outcome.as_ref()
}

fn status(record: &RunRecord) -> Option<&ExitStatus> {
    outcome(record)?.exit_status()
}

fn exit(record: &RunRecord) -> Option<&Exit> {
    match outcome(record)? {
        Outcome::Exited { exit, .. } => Some(exit),
        Outcome::Failed(_) => None,
    }
}

fn waiting(record: &RunRecord) -> Option<(&str, Option<Timestamp>)> {
    match &record.run.status {
        Status::Waiting { on, deadline } => Some((on, *deadline)),
        Status::Created | Status::Started | Status::Exited | Status::Failed | Status::Destroyed { .. } => None,
    }
}

fn workload(spec: &RunSpec) -> (&[String], Option<&String>, Option<&String>) {
    match &spec.workload {
        Workload::Command { argv, cwd } => (argv, cwd.as_ref(), None),
        Workload::Image { reference, argv } => (argv, None, Some(reference)),
    }
}

/// One row per run, as it is at a position.
pub(super) fn runs() -> Table<RunRow> {
    created(ended(standing())).text("payload", "all of it, as JSON (a run as `tacho show` prints it)", |record, _| {
        json(&RunView::from(&record.record))
    })
}

fn standing() -> Table<RunRow> {
    Table::of("runs", "one run as it is, or as it was with `--at`", |_| 1)
        .text("run", "its id", |record: &RunRow, _| Some(record.run.id.to_string()))
        .text("name", "its name", |record, _| record.run.spec.name.clone())
        .text(
            "status",
            "its last transition: `Created`, `Started`, `Waiting`, `Exited`, `Failed` or `Destroyed`",
            |record, _| Some(record.run.status.name().name().to_owned()),
        )
        .time(["status_since", "status_since_us"], "when that was recorded", |record, _| record.status_since)
        .integer("ended", "1 if nothing goes on (Exited, Failed, Destroyed), else 0", |record, _| {
            Some(i64::from(record.run.is_ended()))
        })
        .integer("version", "how many events it has", |record, _| Some(integer(record.run.version.0)))
        .integer("attempts", "how many attempts it has", |record, _| {
            Some(integer(record.run.spent.len() + usize::from(record.run.attempt.is_some())))
        })
        .text("attempt_id", "its latest attempt", |record, _| Some(record.run.attempt.as_ref()?.id.to_string()))
        .text("attempt_cause", "why that was opened: `fresh`, `resume`, `restart` or `takeover`", |record, _| {
            Some(record.run.attempt.as_ref()?.cause.name().to_owned())
        })
        .text("runner", "who holds or held that", |record, _| Some(record.run.attempt.as_ref()?.runner.to_string()))
        .integer("runner_connected", "1 if that runner is connected, as far as was reported, else 0", |record, _| {
            Some(i64::from(record.run.attempt.as_ref()?.connected))
        })
        .text("waits_on", "of Waiting: on what", |record, _| waiting(record).map(|(on, _)| on.to_owned()))
        .time(["deadline", "deadline_us"], "of Waiting: until when at most", |record, _| waiting(record)?.1)
}

fn ended(table: Table<RunRow>) -> Table<RunRow> {
    table
        .integer("exit_code", "the exit code of the latest attempt, if it has one", |record, _| {
            status(record).and_then(ending::code)
        })
        .integer("exit_signal", "the signal that ended the latest attempt", |record, _| {
            status(record).and_then(ending::signal)
        })
        .text("exit_unknown", "why its exit status is not known", |record, _| status(record).and_then(ending::unknown))
        .text("witness", "how the exit is known: `waited`, `exit_file` or `synthesised`", |record, _| {
            exit(record).map(|exit| exit.witness.name().to_owned())
        })
        .integer("stdout_bytes", "bytes of standard output of the latest attempt", |record, _| {
            exit(record).and_then(ending::stdout_bytes)
        })
        .integer("stderr_bytes", "bytes of standard error", |record, _| exit(record).and_then(ending::stderr_bytes))
        .integer("drained", "1 if both were read to their end, else 0", |record, _| {
            exit(record).and_then(ending::drained)
        })
        .integer("left_out_bytes_min", ending::LEFT_OUT, |record, _| {
            exit(record).and_then(|exit| ending::left_out_bytes_min(exit, &record.run.spec.limits))
        })
        .text("failure_kind", "why the latest attempt failed, for example `start_timeout`", |record, _| {
            Some(outcome(record)?.failure()?.kind.name().to_owned())
        })
        .text("failure_message", "the same in a sentence", |record, _| {
            Some(outcome(record)?.failure()?.message.clone())
        })
        .text("destroyed_because", "why it was destroyed", |record, _| match &record.run.status {
            Status::Destroyed { why } => Some(why.clone()),
            _ => None,
        })
}

fn created(table: Table<RunRow>) -> Table<RunRow> {
    table
        .text("command", "the program and its arguments, as a JSON array", |record, _| {
            json(&workload(&record.run.spec).0)
        })
        .text("cwd", "its working directory, if one was asked for", |record, _| workload(&record.run.spec).1.cloned())
        .text("image", "its image, if it is one", |record, _| workload(&record.run.spec).2.cloned())
        .text("parent", "the run that it was made from", |record, _| {
            record.run.spec.parent.map(|parent| parent.to_string())
        })
        .time(["created_at", "created_at_us"], "when it was created", |record, _| Some(record.created_at))
        .time(["updated_at", "updated_at_us"], "when its last event was recorded", |record, _| Some(record.updated_at))
        .integer("created_position", "position of the entry that created it", |record, _| {
            Some(integer(record.created.0))
        })
        .integer("updated_position", "position of its last entry with events", |record, _| {
            Some(integer(record.updated.0))
        })
        .integer("refusals", "how many refusals about it were recorded", |record, _| Some(integer(record.refusals)))
}

/// Where a run's labels are: in the entry that created it, or if that is archived in its record.
pub(super) struct Labelled {
    run: RunId,
    spec: Arc<RunSpec>,
}

impl Labelled {
    /// What the entry created, if it created a run.
    pub(super) fn by(entry: &Entry) -> Option<Self> {
        match entry.events().first()? {
            Event::Created { run, spec } => Some(Self { run: *run, spec: spec.clone() }),
            _ => None,
        }
    }

    /// The run of a record.
    pub(super) fn of(record: &RunRecord) -> Self {
        Self { run: record.run.id, spec: record.run.spec.clone() }
    }
}

/// One row per label of a run. Labels never change, so that what creates runs is all that is needed.
pub(super) fn labels() -> Table<Labelled> {
    Table::of("labels", "one label of one run", |labelled: &Labelled| labelled.spec.labels.len())
        .text("run", "the run", |labelled, _| Some(labelled.run.to_string()))
        .text("key", "the label's key", |labelled, row| labelled.spec.labels.keys().nth(row).cloned())
        .text("value", "the label's value", |labelled, row| labelled.spec.labels.values().nth(row).cloned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tachograph_engine::domain::testing::{command, ids};
    use tachograph_engine::domain::{
        Action, Committed, Digest, Drain, EntryBody, Ordinal, OutputReceipt, Position, ResourceLimits, StartCause,
        StreamReceipt, Version, Witness,
    };

    use super::*;

    fn created_and_exited(spec: &Arc<RunSpec>) -> Entry {
        let (run, attempt) = (ids::run(1), ids::attempt(1));
        let started = Event::Started {
            attempt,
            ordinal: Ordinal(1),
            runner: "runner".into(),
            cause: StartCause::Fresh,
            previous: None,
        };
        let stream = StreamReceipt { bytes: 5, digest: Digest::ZERO };
        let output = Some(OutputReceipt { stdout: stream, stderr: stream, drain: Drain::Drained });
        let exit = Exit { status: ExitStatus::Code(0), witness: Witness::Waited, output };
        Entry {
            id: ids::entry(1),
            position: Position(1),
            recorded_at: Timestamp::from_micros(1),
            previous: None,
            body: EntryBody::Committed(Committed {
                command: command(run, Action::Create { spec: spec.clone() }),
                version: Version(3),
                events: vec![Event::Created { run, spec: spec.clone() }, started, Event::Exited { attempt, exit }],
            }),
        }
    }

    /// The columns that lack what is not kept of the spec.
    fn lacking(spec: RunSpec) -> BTreeSet<&'static str> {
        let entry = created_and_exited(&Arc::new(spec));
        let folded = |read: &str| {
            let mut runs = Runs::none(Some(&[read.to_owned()].into()));
            runs.apply(&entry);
            runs
        };
        let (whole, bare) = (folded("payload"), folded("name"));
        let (whole, bare) = (whole.rows(), bare.rows());
        let differs =
            |column: &&super::super::column::Column<RunRow>| column.value(whole[0], 0) != column.value(bare[0], 0);
        runs().columns.iter().filter(differs).map(|column| column.name).collect()
    }

    #[test]
    fn a_spec_is_kept_for_exactly_the_columns_that_need_it() {
        let argv = vec!["make".to_owned()];
        let command = RunSpec {
            name: Some("build".to_owned()),
            labels: [("team".to_owned(), "core".to_owned())].into(),
            workload: Workload::Command { argv: argv.clone(), cwd: Some("/srv".to_owned()) },
            limits: ResourceLimits { wall_ms: Some(1), output_bytes: Some(1), ..ResourceLimits::default() },
            parent: Some(ids::run(7)),
        };
        let image =
            RunSpec { name: None, workload: Workload::Image { reference: "i".to_owned(), argv }, ..command.clone() };
        let lacking: BTreeSet<_> = lacking(command).union(&lacking(image)).copied().collect();
        assert_eq!(lacking, OF_SPEC.into());
    }
}
