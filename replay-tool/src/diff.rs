//! `tacho diff`: what differs between two points, of one history or of two.

use serde_json::Value;
use tachograph_engine::domain::{Entry, Position, RunRecord};
use tachograph_engine::ports::JournalError;

use crate::cli::DiffArgs;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::output::Reading;
use crate::point::{Begins, Change, Difference, FieldChange, Parting, Side};
use crate::table::{Align, BOLD, Cell, DIM, GOOD, Table, WARN, printable};
use crate::tail;
use crate::view::DiffView;
use crate::when::AsOf;

/// Characters of a value that a row shows; `--format json` shows all.
const VALUE_CHARS_MAX: usize = 60;

/// Compares two points.
///
/// # Errors
///
/// [`Error`] if a journal cannot be read or the output not written.
pub async fn compare(reading: &mut Reading, args: &DiffArgs) -> Result<(), Error> {
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    let at_a = point(reading, a.as_ref(), &args.a).await?;
    let at_b = point(reading, b.as_ref(), &args.b).await?;
    let (one, other) = match (&a, &b) {
        (None, None) => (&reading.dataset, None),
        (Some(a), None) => (a, Some(&reading.dataset)),
        (None, Some(b)) => (&reading.dataset, Some(b)),
        (Some(a), Some(b)) => (a, Some(b).filter(|_| args.a.path != args.b.path)),
    };
    for dataset in a.iter().chain(&b) {
        if dataset.data() != reading.dataset.data() {
            reading.note_held(dataset);
        }
    }
    let difference = one.difference(at_a, other, at_b).await?;
    let damage = told_damage([Some(one), other].into_iter().flatten().filter_map(Dataset::damage));
    if reading.is_json() {
        reading.output.json(&DiffView::from(&difference))?;
    } else {
        let data = reading.dataset.data();
        let text = text(&difference, &named(&args.a, data, at_a), &named(&args.b, data, at_b));
        reading.output.text(&text)?;
    }
    damage
}

/// The damage of both sides as one error.
fn told_damage(damages: impl Iterator<Item = JournalError>) -> Result<(), Error> {
    let joined = damages.reduce(|first, second| match (first, second) {
        (JournalError::Damaged { file, offset, why }, second) => {
            JournalError::Damaged { file, offset, why: format!("{why}; and in the other journal: {second}") }
        }
        (first, _) => first,
    });
    joined.map_or(Ok(()), |damage| Err(damage.into()))
}

fn open(side: &Side) -> Result<Option<Dataset>, Error> {
    Ok(side.path.as_deref().map(|path| Dataset::open(path).map(Dataset::showing_progress)).transpose()?)
}

async fn point(reading: &Reading, other: Option<&Dataset>, side: &Side) -> Result<Position, Error> {
    let dataset = other.unwrap_or(&reading.dataset);
    let head = dataset.reader().head().position;
    if let Some(asked) = side.at.and_then(AsOf::asked_position).filter(|asked| *asked > head) {
        let place = side.place(reading.dataset.data()).display();
        reading.note(&format!("position {asked} is beyond the end of {place}, which is position {head}"));
    }
    dataset.position(side.at, reading.now).await
}

fn named(side: &Side, data: &std::path::Path, at: Position) -> String {
    format!("{} at position {at}", printable(&side.place(data).display().to_string()))
}

fn text(difference: &Difference, a: &str, b: &str) -> String {
    let mut text = format!("A: {a}\nB: {b}\n");
    if let Some(begins) = difference.begins_after {
        let side = match begins {
            Begins::A => "A",
            Begins::B => "B",
        };
        let from = difference.from;
        text.push_str(&format!("{side} begins after: what is before position {from} is not compared\n"));
    }
    text.push_str(&match &difference.first {
        None if difference.begins_after.is_some() => {
            format!("{}nothing differs from there on{}\n", GOOD.render(), GOOD.render_reset())
        }
        None => format!("{}nothing differs{}\n", GOOD.render(), GOOD.render_reset()),
        Some(parting) => parted(parting, difference),
    });
    difference.changes.iter().for_each(|change| text.push_str(&changed(change)));
    for run in &difference.begun_before {
        text.push_str(&format!(
            "{run} {}began before what is held: how it differs is not known{}\n",
            WARN.render(),
            WARN.render_reset()
        ));
    }
    if difference.first.is_some() {
        let count = difference.changes.len();
        text.push_str(&format!("{}runs that differ: {count}{}\n", DIM.render(), DIM.render_reset()));
    }
    text
}

fn parted(parting: &Parting, difference: &Difference) -> String {
    let Parting { position, a, b } = parting;
    let common = difference.common;
    let from = difference.begins_after.map(|_| format!(" from position {}", difference.from)).unwrap_or_default();
    let mut text = format!("the same{from} up to position {common}; first difference at position {position}\n");
    let side = |name: &str, entry: &Option<Entry>, end: Position| match entry {
        Some(entry) => format!("{name} {}", tail::line(entry)),
        None if *position <= end => format!("{name} {:>8}  cannot be read\n", "-"),
        None => format!("{name} {:>8}  ends before\n", "-"),
    };
    text.push_str(&side("A", a, difference.a));
    if a != b {
        text.push_str(&side("B", b, difference.b));
    }
    text
}

fn changed(change: &Change) -> String {
    let name = change.name().map(|name| format!(" {}", printable(name))).unwrap_or_default();
    let (first, run) = (change.first, change.run);
    let what = match (&change.a, &change.b) {
        (Some(a), None) => format!("only in A: {}", status(a)),
        (None, Some(b)) => format!("only in B: {}", status(b)),
        (Some(_), Some(_)) | (None, None) => "differs".to_owned(),
    };
    let style = WARN;
    let (on, off) = (style.render(), style.render_reset());
    let heading =
        format!("{}{run}{name}{} {on}{what}{off}, from position {first}\n", BOLD.render(), BOLD.render_reset());
    let mut table = Table::of(&[("", Align::Left), ("", Align::Left), ("", Align::Left), ("", Align::Left)]);
    for field in telling(&change.fields) {
        table.row([
            Cell::from(format!("  {}", field.field)),
            Cell::from(shown(&field.a)),
            Cell::styled("→", DIM),
            Cell::from(shown(&field.b)),
        ]);
    }
    heading + &if change.fields.is_empty() { String::new() } else { table.render() }
}

fn status(record: &RunRecord) -> &'static str {
    record.run.status.name().name()
}

/// Positions and counts change with every entry; they are shown only if nothing else did.
fn telling(fields: &[FieldChange]) -> Vec<&FieldChange> {
    let is_bookkeeping = |field: &&FieldChange| {
        field.field.starts_with("positions.") || matches!(field.field.as_str(), "updated_at" | "version")
    };
    let telling: Vec<&FieldChange> = fields.iter().filter(|field| !is_bookkeeping(field)).collect();
    if telling.is_empty() { fields.iter().collect() } else { telling }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    };
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    text.chars().take(VALUE_CHARS_MAX - 1).chain(['…']).collect()
}
