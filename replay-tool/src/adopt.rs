//! `tacho adopt`: what opening would make of the runs that were left open.

use std::collections::BTreeSet;

use tachograph_adapters::process::{Foresight, foresee, is_unstarted_image, was_created_here};
use tachograph_projections::CurrentState;

use crate::dataset::{Current, RUNS_DIR};
use crate::error::Error;
use crate::machine::{LastWriter, WriterState};
use crate::output::Reading;
use crate::table::{Align, Cell, DIM, Table, WARN, printable};
use crate::view::AdoptionView;
use crate::words;

const COLUMNS: [(&str, Align); 4] =
    [("RUN", Align::Left), ("NAME", Align::Left), ("WOULD BE", Align::Left), ("BECAUSE", Align::Left)];

/// Says what opening would conclude about every run that is open, and changes nothing.
///
/// # Errors
///
/// [`Error`] if the journal cannot be read or the output not written.
pub async fn foretell(reading: &mut Reading) -> Result<(), Error> {
    let at = reading.dataset.position(None, reading.now).await?;
    let Current { state, last_writer, mut begun_before, .. } = reading.dataset.current(at).await?;
    begun_before.retain(|begun| !begun.has_ended());
    reading.note_begun_before("nothing can be foretold of runs", &begun_before);
    let writer = reading.ask_about(last_writer);
    let runs_dir = reading.dataset.data().join(RUNS_DIR);
    let mut created_here = BTreeSet::new();
    for record in state.records().filter(|record| is_unstarted_image(&record.run)) {
        if was_created_here(&reading.dataset.reader().history(record.run.id).await?) {
            created_here.insert(record.run.id);
        }
    }
    let mut foresight = foresee(&runs_dir, state.records().map(|record| &record.run), &created_here);
    if reading.dataset.damage().is_none() {
        foresight.in_view_of_the_boot(&**reading.dataset.reader()).await?;
    }
    if reading.is_json() {
        let name_of = |run| state.run(run).and_then(|record| record.run.spec.name.as_deref());
        return reading.output.json(&AdoptionView::of(&foresight, name_of, writer.map(|(_, state)| state)));
    }
    let is_part = reading.dataset.held().is_part() || !begun_before.is_empty();
    reading.output.text(&table(&state, &foresight, is_part))?;
    reading.output.text(&closing(writer.as_ref()))
}

fn table(state: &CurrentState, foresight: &Foresight, is_part: bool) -> String {
    let Foresight { open, amended, left_alive, unknown_directories } = foresight;
    let mut text = String::new();
    if open.is_empty() {
        let which = if is_part { " of those whose creation is held" } else { "" };
        text.push_str(&format!("no runs{which} were left open\n"));
    } else {
        let mut table = Table::of(&COLUMNS);
        for foreseen in open {
            let name = state.run(foreseen.run).and_then(|record| record.run.spec.name.as_deref());
            table.row([
                Cell::from(foreseen.run.to_string()),
                Cell::from(name.unwrap_or_default()),
                Cell::from(words::concluded(&foreseen.conclusion)),
                Cell::styled(foreseen.evidence.clone(), DIM),
            ]);
        }
        text.push_str(&table.render());
    }
    for (run, status) in amended {
        text.push_str(&printable(&format!("run {run} ended unseen; a record says {status}")));
        text.push('\n');
    }
    for (run, pids) in left_alive {
        let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
        text.push_str(&format!("run {run} has ended and left alive: process {}\n", pids.join(", process ")));
    }
    for path in unknown_directories {
        text.push_str(&printable(&format!("{} belongs to no run that is recorded", path.display())));
        text.push('\n');
    }
    text
}

fn closing(writer: Option<&(LastWriter, WriterState)>) -> String {
    let Some((writer, state)) = writer else { return String::new() };
    let (style, then) = match state {
        WriterState::Alive => (WARN, "; as long as it holds the journal, nothing else opens it"),
        WriterState::Gone | WriterState::Unknown => (DIM, ""),
    };
    let words = printable(&words::last_writer(writer, *state));
    format!("{}the writer, {words}{then}{}\n", style.render(), style.render_reset())
}
