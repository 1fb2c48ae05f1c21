//! `tacho ps`: the runs that have not ended, with their processes.

use tachograph_engine::domain::{RunRecord, Timestamp};

use crate::cli::PsArgs;
use crate::dataset::Current;
use crate::duration;
use crate::error::Error;
use crate::machine::{LastWriter, WriterState};
use crate::output::Reading;
use crate::processes::{Presence, ProcessTable, Standstill};
use crate::table::{Align, Cell, DIM, Table, WARN, printable, status_style};
use crate::view::{LiveView, ProcessView};
use crate::words;

const COLUMNS: [(&str, Align); 12] = [
    ("RUN", Align::Left),
    ("NAME", Align::Left),
    ("STATUS", Align::Left),
    ("ATTEMPT", Align::Right),
    ("PID", Align::Left),
    ("SHIM", Align::Left),
    ("UP", Align::Right),
    ("CPU", Align::Right),
    ("MEMORY", Align::Right),
    ("STDOUT", Align::Right),
    ("STDERR", Align::Right),
    ("NOTE", Align::Left),
];

/// Lists the runs that have not ended, the oldest first, with what can be seen of their processes from here. Nothing is
/// signalled and nothing is written.
///
/// # Errors
///
/// [`Error`] if the journal cannot be read or the output not written.
pub async fn list(reading: &mut Reading, PsArgs {}: &PsArgs) -> Result<(), Error> {
    let at = reading.dataset.position(None, reading.now).await?;
    let Current { state, last_writer, mut begun_before, .. } = reading.dataset.current(at).await?;
    begun_before.retain(|begun| !begun.has_ended());
    reading.note_begun_before("not listed", &begun_before);
    let writer = reading.ask_about(last_writer);
    let writer_state = writer.as_ref().map(|(_, state)| *state);
    let mut records: Vec<&RunRecord> = state.records().filter(|record| !record.run.is_ended()).collect();
    records.sort_unstable_by_key(|record| record.created);
    let table = ProcessTable::scan(&reading.machine);
    let data = reading.dataset.data();
    let views: Vec<LiveView> = records.iter().map(|record| LiveView::of(record, data, &table, writer_state)).collect();
    if reading.is_json() {
        return reading.output.json_list(views);
    }
    let rows = records.iter().zip(&views).map(|(record, view)| row(record, view, reading.now));
    let text = rendered(rows);
    reading.output.text(&text)?;
    reading.output.text(&closing(&views, writer.as_ref()))
}

fn rendered(rows: impl Iterator<Item = Vec<Cell>>) -> String {
    let mut table = Table::of(&COLUMNS);
    let mut count = 0;
    for row in rows {
        table.row(row);
        count += 1;
    }
    if count == 0 { "no live runs\n".to_owned() } else { table.render() }
}

fn row(record: &RunRecord, view: &LiveView, now: Timestamp) -> Vec<Cell> {
    let millis = |millis: u64| duration::human(millis.saturating_mul(1_000));
    let has_processes = !view.pids.is_empty();
    let of_processes = |text: String| if has_processes { text } else { String::new() };
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
    vec![
        Cell::from(&view.run),
        Cell::from(view.name.as_deref().unwrap_or_default()),
        Cell::styled(view.status, status_style(record.run.status.name(), false)),
        Cell::from(view.attempt.map(|ordinal| ordinal.to_string()).unwrap_or_default()),
        process(view.process),
        process(view.shim),
        Cell::from(view.up_ms.map(millis).unwrap_or_default()),
        Cell::from(of_processes(millis(view.cpu_ms))),
        Cell::from(of_processes(size(view.rss_bytes))),
        Cell::from(bytes(view.stdout_bytes)),
        Cell::from(bytes(view.stderr_bytes)),
        Cell::from(note(record, view, now)),
    ]
}

fn process(process: Option<ProcessView>) -> Cell {
    match process {
        None => Cell::from(""),
        Some(ProcessView { pid, state: Presence::Alive }) => Cell::from(pid.to_string()),
        Some(ProcessView { pid, state }) => Cell::styled(format!("{pid} {}", state.name()), WARN),
    }
}

/// What it waits on, and its snapshot.
fn note(record: &RunRecord, view: &LiveView, now: Timestamp) -> String {
    let mut notes = Vec::new();
    if let Some(waiting) = &view.waiting {
        let until = waiting.deadline.as_ref().map(|deadline| format!(" until {deadline} at most")).unwrap_or_default();
        notes.push(format!("waits on {}{until}", waiting.on));
    }
    if let Some(armed) = &record.run.armed {
        notes.push(match duration::between(armed.due, now) {
            0 => format!("snapshot in {}", duration::human(duration::between(now, armed.due))),
            micros => format!("snapshot OVERDUE BY {}", duration::human(micros)),
        });
    } else if record.run.in_flight.is_some() {
        notes.push("its snapshot is being taken".to_owned());
    }
    let has_ended = view.process.is_some_and(|process| process.state == Presence::Gone);
    if has_ended && !view.pids.is_empty() {
        notes.push(format!("{} of its processes left", view.pids.len()));
    }
    if let Some(ProcessView { pid, state: Presence::Alive }) = view.shim {
        notes.extend(awaited(pid, view.shim_stands, has_ended && view.pids.is_empty()));
    }
    notes.join("; ")
}

/// What a run waits for that is over, or that nobody can end: its shim, which is alive.
fn awaited(shim: u32, stands: Option<Standstill>, is_over: bool) -> Option<String> {
    let told = match (stands, is_over) {
        (Some(Standstill::Stopped), true) => format!("has ended; its shim is stopped: kill -CONT {shim}"),
        (Some(Standstill::Stopped), false) => format!("its shim is stopped: kill -CONT {shim}"),
        (Some(Standstill::Disk), true) => "has ended; its shim writes that down and waits for the disk".to_owned(),
        (None, true) => "has ended; its shim writes that down".to_owned(),
        (Some(Standstill::Disk) | None, false) => return None,
    };
    Some(told)
}

/// Bytes for people, rounded down, with one unit.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1_024),
        10_485_760..10_737_418_240 => format!("{} MiB", bytes / 1_048_576),
        _ => format!("{} GiB", bytes / 1_073_741_824),
    }
}

/// How many there are, and who looks after them.
fn closing(views: &[LiveView], writer: Option<&(LastWriter, WriterState)>) -> String {
    if views.is_empty() {
        return String::new();
    }
    let mut text = format!("live: {}", views.len());
    let mut style = DIM;
    if let Some((writer, state)) = writer {
        text.push_str(&format!("; the writer, {}", words::last_writer(writer, *state)));
        if *state != WriterState::Alive {
            style = WARN;
            let is_shimmed = |view: &&LiveView| view.shim.is_some_and(|shim| shim.state == Presence::Alive);
            let shimmed = views.iter().filter(is_shimmed).count();
            let alone = views.iter().filter(|view| !is_shimmed(view) && !view.pids.is_empty()).count();
            let dead = views.len() - shimmed - alone;
            text.push_str(&format!(
                "; in the hands of their shims: {shimmed}; alive unsupervised: {alone}; without a process: {dead}"
            ));
        }
    }
    format!("{}{}{}\n", style.render(), printable(&text), style.render_reset())
}

#[cfg(test)]
mod tests {
    use super::{Standstill, awaited, size};

    #[test]
    fn whoever_waits_for_a_shim_is_told_what_it_waits_for() {
        let told = |stands, is_over| awaited(7, stands, is_over).unwrap_or_default();
        assert!(told(Some(Standstill::Disk), true).ends_with("waits for the disk"));
        assert!(told(None, true).starts_with("has ended"));
        let [over, under_way] = [true, false].map(|is_over| told(Some(Standstill::Stopped), is_over));
        assert!(over.starts_with("has ended") && !under_way.starts_with("has ended"), "{over}, {under_way}");
        assert!([over, under_way].iter().all(|told| told.ends_with("kill -CONT 7")));
        assert_eq!(
            [told(Some(Standstill::Disk), false), told(None, false)],
            ["", ""],
            "any process waits now and then"
        );
    }

    #[test]
    fn sizes_have_one_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (10_239, "10239 B"),
            (10_240, "10 KiB"),
            (10_485_759, "10239 KiB"),
            (10_485_760, "10 MiB"),
            (u64::MAX, "17179869183 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
