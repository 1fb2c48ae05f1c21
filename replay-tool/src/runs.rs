//! `tacho runs`: which runs there are.

use tachograph_engine::domain::{Outcome, RunRecord, Timestamp};
use tachograph_projections::{LabelFilter, RunFilter};

use crate::cli::RunsArgs;
use crate::dataset::Current;
use crate::duration;
use crate::error::Error;
use crate::machine::{LastWriter, WriterState};
use crate::output::Reading;
use crate::table::{Align, Cell, DIM, Table, WARN, printable, status_style};
use crate::view::RunView;
use crate::when::AsOf;
use crate::words;

const COLUMNS: [(&str, Align); 8] = [
    ("RUN", Align::Left),
    ("NAME", Align::Left),
    ("STATUS", Align::Left),
    ("ATTEMPT", Align::Right),
    ("RESULT", Align::Left),
    ("CREATED", Align::Left),
    ("LASTED", Align::Right),
    ("COMMAND", Align::Left),
];
/// Characters of a result or command that a row shows; `tacho show` shows all.
const CELL_CHARS_MAX: usize = 60;

/// Lists the runs that fit, newest first.
///
/// # Errors
///
/// [`Error`] if the journal cannot be read or the output not written.
pub async fn list(reading: &mut Reading, args: &RunsArgs) -> Result<(), Error> {
    let now = reading.now;
    reading.note_beyond_end(args.at.and_then(AsOf::asked_position));
    let at = reading.dataset.position(args.at, now).await?;
    let Current { state, recorded_at, last_writer, begun_before } = reading.dataset.current(at).await?;
    reading.note_begun_before("not listed", &begun_before);
    let writer = reading.ask_about(last_writer.filter(|_| args.at.is_none()));
    let selection = Selection::of(args, now);
    let mut records: Vec<&RunRecord> = state.records().filter(|record| selection.fits(record)).collect();
    records.sort_unstable_by_key(|record| std::cmp::Reverse(record.created));
    records.truncate(args.limit.map_or(usize::MAX, std::num::NonZero::get));
    if reading.is_json() {
        let state = writer.map(|(_, state)| state);
        return reading.output.json_list(records.into_iter().map(|record| RunView::with_writer(record, state)));
    }
    // What is open lasts until now only as long as somebody may go on with it.
    let is_over = args.at.is_some() || matches!(writer, Some((_, WriterState::Gone)));
    let until = recorded_at.filter(|_| is_over).unwrap_or(now);
    reading.output.text(&table(&records, until))?;
    reading.output.text(&writer_of_open(&records, writer.as_ref()))
}

/// The filters of the command line.
struct Selection {
    filter: RunFilter,
    since: Option<Timestamp>,
}

impl Selection {
    fn of(args: &RunsArgs, now: Timestamp) -> Self {
        let label = |label: &crate::cli::Label| LabelFilter::Is { key: label.key.clone(), value: label.value.clone() };
        let filter = RunFilter {
            statuses: args.status.iter().copied().collect(),
            name: args.name.clone(),
            labels: args.labels.iter().map(label).collect(),
            created_at_max: args.until.map(|when| when.resolve(now)),
            ..RunFilter::default()
        };
        Self { filter, since: args.since.map(|when| when.resolve(now)) }
    }

    /// A run that is open counts as going on now, however long ago its last entry was.
    fn fits(&self, record: &RunRecord) -> bool {
        let recent = self.since.is_none_or(|since| !record.run.is_ended() || record.updated_at >= since);
        recent && self.filter.fits(record)
    }
}

fn writer_of_open(records: &[&RunRecord], writer: Option<&(LastWriter, WriterState)>) -> String {
    let open = records.iter().filter(|record| !record.run.is_ended()).count();
    match writer {
        Some((writer, state)) if open > 0 => {
            let style = if *state == WriterState::Alive { DIM } else { WARN };
            let words = printable(&words::last_writer(writer, *state));
            format!("{}open: {open}; the writer, {words}{}\n", style.render(), style.render_reset())
        }
        _ => String::new(),
    }
}

/// The rows of some runs; what is open lasts until a time.
pub(crate) fn table(records: &[&RunRecord], until: Timestamp) -> String {
    if records.is_empty() {
        return "no runs\n".to_owned();
    }
    let mut table = Table::of(&COLUMNS);
    for record in records {
        let run = &record.run;
        let attempt = run.attempt.as_ref().map(|attempt| attempt.ordinal.to_string()).unwrap_or_default();
        let status = status_style(run.status.name(), exit_is_zero(record));
        table.row([
            Cell::from(run.id.to_string()),
            Cell::from(run.spec.name.as_deref().unwrap_or_default()),
            Cell::styled(run.status.name().name(), status),
            Cell::from(attempt),
            Cell::styled(cut(&result(record)), status),
            Cell::from(to_the_second(record.created_at)),
            Cell::from(lasted(record, until)),
            Cell::styled(cut(&words::workload(&run.spec.workload)), DIM),
        ]);
    }
    table.render()
}

/// How long the run had been going on at a time, or did until its last event.
pub fn lasted(record: &RunRecord, until: Timestamp) -> String {
    let end = if record.run.is_ended() { record.updated_at } else { until };
    let micros = end.as_micros().saturating_sub(record.created_at.as_micros());
    duration::human(u64::try_from(micros).unwrap_or(0))
}

/// Whether the latest attempt exited with code 0.
pub fn exit_is_zero(record: &RunRecord) -> bool {
    use tachograph_engine::domain::ExitStatus::Code;
    let outcome = record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref());
    outcome.and_then(Outcome::exit_status) == Some(&Code(0))
}

/// How the latest attempt ended.
fn result(record: &RunRecord) -> String {
    match record.run.attempt.as_ref().and_then(|attempt| attempt.outcome.as_ref()) {
        None => String::new(),
        Some(Outcome::Failed(failure)) => words::failed(failure),
        Some(Outcome::Exited { exit, amended }) => words::exit_status(amended.as_ref().unwrap_or(&exit.status)),
    }
}

fn to_the_second(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

fn cut(text: &str) -> String {
    // Made printable first: an escape takes more room than what it stands for.
    let text = printable(text);
    if text.chars().count() <= CELL_CHARS_MAX {
        return text;
    }
    text.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
}
