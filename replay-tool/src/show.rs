//! `tacho show`: all about one run.

use std::path::PathBuf;

use tachograph_engine::domain::{Attempt, Diagnostics, Outcome, ResourceLimits, RunRecord, Status, Timestamp};
use tachograph_projections::TimerStory;

use crate::cli::ShowArgs;
use crate::duration;
use crate::error::Error;
use crate::machine::WriterState;
use crate::output::Reading;
use crate::runs::{exit_is_zero, lasted};
use crate::table::{Align, BAD, Cell, DIM, Table, WARN, status_style};
use crate::view::RunView;
use crate::when::AsOf;
use crate::words;

/// Shows one run as it is, or as it was.
///
/// # Errors
///
/// [`Error`] if there is no such run, the journal cannot be read or the output not written.
pub async fn show(reading: &mut Reading, args: &ShowArgs) -> Result<(), Error> {
    reading.note_beyond_end(args.at.and_then(AsOf::asked_position));
    let dataset = &reading.dataset;
    let at = dataset.position(args.at, reading.now).await?;
    let run = dataset.resolve(&args.run, args.at.map(|_| at)).await?;
    let record = dataset.record(run, at).await?;
    // What was open then may have been in other hands than what is open now.
    let asks_about_now = args.at.is_none() && !record.run.is_ended();
    let last = if asks_about_now { dataset.last_writer().await? } else { None };
    let writer = reading.ask_about(last);
    if reading.is_json() {
        let state = writer.map(|(_, state)| state);
        return reading.output.json(&RunView::with_writer(&record, state));
    }
    let is_over = args.at.is_some() || matches!(writer, Some((_, WriterState::Gone)));
    let until = if is_over { dataset.recorded_at(at).await?.unwrap_or(record.updated_at) } else { reading.now };
    let files = dataset.files_of(run).map(|files| files_shown(files, &record));
    let writer = writer.map(|(writer, state)| words::last_writer(&writer, state));
    let late_us = match &record.run.in_flight {
        Some(in_flight) => {
            let own = dataset.reader().history(run).await?;
            TimerStory::of(run, in_flight.id).folded(&own).late_us()
        }
        None => None,
    };
    let now = if args.at.is_some() { until } else { reading.now };
    reading.output.text(&lines(&record, Beside { files, writer, until, now, late_us }))
}

/// The directory of the attempt that is shown, where its output is; the run's own if the attempt has none.
fn files_shown(files: PathBuf, record: &RunRecord) -> PathBuf {
    let attempt = record.run.attempt.as_ref().map(|attempt| files.join(format!("attempt-{}", attempt.ordinal)));
    attempt.filter(|attempt| attempt.is_dir()).unwrap_or(files)
}

/// A list of named values.
struct Lines(Table);

impl Lines {
    fn line(&mut self, name: &str, value: impl Into<Cell>) {
        self.0.row([Cell::styled(name, DIM), value.into()]);
    }

    fn text(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.line(name, value.as_ref());
        }
    }
}

/// What is known of a run beside its record.
pub(crate) struct Beside {
    /// The directory with its files.
    pub(crate) files: Option<PathBuf>,
    /// What the journal's last writer is, in words.
    pub(crate) writer: Option<String>,
    /// Up to when it lasted, if it is open.
    pub(crate) until: Timestamp,
    /// When its timers are looked at.
    pub(crate) now: Timestamp,
    /// How late the snapshot that is being taken was dispatched, in microseconds.
    pub(crate) late_us: Option<i64>,
}

/// All about one run, a line each.
pub(crate) fn lines(record: &RunRecord, beside: Beside) -> String {
    let Beside { files, writer, until, now, late_us } = beside;
    let run = &record.run;
    let spec = &run.spec;
    let mut lines = Lines(Table::of(&[("", Align::Left), ("", Align::Left)]));
    lines.line("run", run.id.to_string());
    lines.text("name", spec.name.as_ref());
    lines.line("status", Cell::styled(status(&run.status), status_style(run.status.name(), exit_is_zero(record))));
    if let Some(attempt) = &run.attempt {
        describe_attempt(&mut lines, attempt, &spec.limits);
    }
    if let Some(armed) = &run.armed {
        let overdue = match duration::between(armed.due, now) {
            0 => format!(", in {}", duration::human(duration::between(now, armed.due))),
            micros => format!(", OVERDUE BY {}", duration::human(micros)),
        };
        lines.line("snapshot", format!("{} armed by runner {}, due {}{overdue}", armed.id, armed.runner, armed.due));
    }
    if let Some(in_flight) = &run.in_flight {
        lines.line("snapshot", format!("{} is being taken{}", in_flight.id, words::late(late_us)));
    }
    lines.line("command", words::workload(&spec.workload));
    for (key, value) in &spec.labels {
        lines.line("label", format!("{key}={value}"));
    }
    lines.text("limits", limits(&spec.limits));
    lines.text("files", files.map(|path| path.display().to_string()));
    lines.text("parent", spec.parent.map(|parent| parent.to_string()));
    lines.line("created", format!("{} (position {})", record.created_at, record.created));
    lines.line("updated", format!("{} (position {})", record.updated_at, record.updated));
    lines.line("lasted", lasted(record, until));
    lines.text("writer", writer);
    lines.line("version", run.version.to_string());
    let refused = if record.refusals > 0 { WARN } else { DIM };
    lines.line("refusals", Cell::styled(refusals(record.refusals), refused));
    lines.0.render()
}

fn status(status: &Status) -> String {
    match status {
        Status::Waiting { on, deadline: None } => format!("Waiting on {on}"),
        Status::Waiting { on, deadline: Some(deadline) } => format!("Waiting on {on}, until {deadline} at most"),
        Status::Destroyed { why } => format!("Destroyed: {why}"),
        Status::Created | Status::Started | Status::Exited | Status::Failed => status.name().to_string(),
    }
}

fn describe_attempt(lines: &mut Lines, attempt: &Attempt, limits: &ResourceLimits) {
    let cause = if attempt.started { attempt.cause.name() } else { "never started" };
    lines.line("attempt", format!("{} ({cause}) {}", attempt.ordinal, attempt.id));
    let connection = if attempt.connected { "" } else { " (not connected)" };
    lines.line("runner", format!("{}{connection}", attempt.runner));
    match &attempt.outcome {
        None => {}
        Some(Outcome::Exited { exit, amended }) => {
            lines.line("exit", words::exit_status(amended.as_ref().unwrap_or(&exit.status)));
            if amended.is_some() {
                lines.line("", format!("first reported as {}", words::exit_status(&exit.status)));
            }
            lines.line("witness", exit.witness.name().replace('_', " "));
            if let Some(receipt) = &exit.output {
                lines.line("output", words::output(receipt, Some(limits)));
                lines.line("", format!("stdout BLAKE3 {}", receipt.stdout.digest));
                lines.line("", format!("stderr BLAKE3 {}", receipt.stderr.digest));
            }
        }
        Some(Outcome::Failed(failure)) => {
            lines.line("failure", Cell::styled(words::failed(failure), BAD));
            for (name, value) in diagnostics(&failure.diagnostics) {
                lines.line(name, value);
            }
        }
    }
}

/// What was seen when an attempt failed, as named lines.
pub fn diagnostics(diagnostics: &Diagnostics) -> Vec<(&'static str, String)> {
    let Diagnostics { alive, last_output, likely_cause, facts } = diagnostics;
    let mut lines = Vec::new();
    lines.extend(likely_cause.iter().map(|cause| ("likely cause", cause.clone())));
    lines.extend(alive.iter().map(|what| ("alive", what.clone())));
    lines.extend(facts.iter().map(|(name, value)| ("fact", format!("{name} = {value}"))));
    lines.extend(last_output.iter().map(|line| ("last output", line.clone())));
    lines
}

fn limits(limits: &ResourceLimits) -> Option<String> {
    let ResourceLimits { wall_ms, memory_bytes, output_bytes } = limits;
    let parts = [
        wall_ms.map(|millis| format!("{} per attempt", duration::human(millis.saturating_mul(1_000)))),
        memory_bytes.map(|bytes| format!("{bytes} bytes of memory")),
        output_bytes.map(|bytes| format!("{bytes} bytes of output")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn refusals(count: u64) -> String {
    if count == 0 { "none".to_owned() } else { format!("{count} recorded; `tacho timeline` shows them") }
}
